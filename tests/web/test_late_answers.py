"""What the page shows is the newest it asked for, whatever is answered last."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import numpy as np
import pytest

from dfl_tf.formats import read_metadata
from dfl_tf.web import jobs, tuning

from . import test_jobs_page, test_tuner_page, test_xseg_page
from .support.holding import hold, release, wait_for_held
from .support.labeling import labeling_workspace
from .support.merging import tunable_workspace
from .support.served import serving
from .support.trainings import line, lock, make_workspace

MESSAGES = "[...document.querySelectorAll('.log div')].map(e => e.textContent)"
DRAWN = "Number(document.querySelector('[data-points]')?.dataset.points ?? 0)"


@pytest.fixture(autouse=True)
def path(monkeypatch):
    monkeypatch.setenv("PYTHONPATH", ":".join([str(Path(__file__).parents[2]), *sys.path]))


def test_no_line_of_the_log_is_shown_twice(tabs, tmp_path):
    model = make_workspace(tmp_path / "project").joinpath("model")
    lock(model)
    with serving(tmp_path / "project") as served:
        tab = tabs()
        tab.open(served.context.instance.address)
        before = tab.wait(f"{MESSAGES}.length && {MESSAGES}")
        hold(tab, "/log?", said="said in between")
        with (model / "new_SAEHD_log.jsonl").open("a") as file:
            file.write(line("message", text="said in between"))
        wait_for_held(tab)
        tab.press("s")  # the page looks again once the training was asked
        while not list(model.glob("*.request")):
            time.sleep(0.02)
        time.sleep(0.5)
        release(tab)
        tab.wait("document.querySelector('.model ~ .dim').textContent.includes('save')")
        (new,) = tab.run(MESSAGES)[len(before) :]
        assert "said in between" in new


def test_curves_are_those_of_the_last_range(tabs, served):
    tab = tabs()
    tab.size(1280, 900)
    tab.open(served.context.instance.address)
    whole = tab.wait(DRAWN)
    hold(tab, "/series?")
    left, top, width, height = tab.run(
        "(() => { const b = document.querySelector('.u-over').getBoundingClientRect();"
        " return [b.x, b.y, b.width, b.height]; })()"
    )
    tab.drag(*[(left + share * width, top + height / 2) for share in (0.2, 0.4)])
    wait_for_held(tab)
    tab.press("0")
    release(tab)
    assert tab.run(DRAWN) == whole


@pytest.fixture
def working(tmp_path, monkeypatch):
    for folder in ("data_src/aligned", "data_dst/aligned", "model"):
        (tmp_path / "project" / folder).mkdir(parents=True)
    program = [sys.executable, str(test_jobs_page.SUPPORT / "work.py")]
    monkeypatch.setattr(jobs, "program", lambda: program)
    with serving(tmp_path / "project") as served:
        yield served


def test_a_stopped_job_is_not_shown_as_running(tabs, working, tmp_path):
    test_jobs_page.work(tmp_path / "project", seconds=600)
    tab = tabs()
    test_jobs_page.open_jobs(tab, working, "extract")
    tab.click("[data-do=start]")
    tab.wait(f"{test_jobs_page.STATE} === 'running'")
    hold(tab, "/jobs/list", said='"running"')
    wait_for_held(tab)
    tab.click(".job [data-do=stop]")
    tab.click("dialog button.main")
    tab.wait(f"{test_jobs_page.STATE} === 'stopped'")
    release(tab)
    assert tab.run(test_jobs_page.STATE) == "stopped"


def test_the_command_line_is_that_of_the_form(tabs, working):
    tab = tabs()
    test_jobs_page.open_jobs(tab, working, "extract")
    tab.wait("document.querySelector('.start code')?.textContent.includes('extract')")
    hold(tab, "/jobs/line", "POST", "2048")
    test_jobs_page.put(tab, "[data-key=image_size] input", "1")
    wait_for_held(tab)
    test_jobs_page.put(tab, "[data-key=image_size] input", "256")
    tab.wait("document.querySelector('.start code').textContent.endsWith('--image-size=256')")
    release(tab)
    shown = "['code', '.error'].map(e => document.querySelector(`.start ${e}`).textContent)"
    command, wrong = tab.run(shown)
    assert command.endswith("--image-size=256")
    assert wrong == ""


def test_a_change_during_another_question_is_kept(tabs, tmp_path, monkeypatch):
    program = [sys.executable, str(test_tuner_page.MERGING)]
    monkeypatch.setattr(tuning, "render_command", lambda: [*program, "render"])
    with serving(tunable_workspace(tmp_path / "project")) as served:
        tab = tabs()
        tab.size(1280, 720)
        tab.open(served.context.instance.address)
        tab.run("void (location.hash = '#/tuner')")
        tab.wait(test_tuner_page.READY)
        hold(tab, "/copy/", "POST")
        tab.click("[title='Give the other one these settings']")
        wait_for_held(tab)
        test_tuner_page.put(tab, "blur_mask_modifier", 24)
        time.sleep(0.6)  # it would have been sent by now
        release(tab)
        test_tuner_page.saved(tab)
        assert tab.run("document.querySelectorAll('.message.error').length") == 0
        model = served.ask("/api/tuner/models").json[0]["id"]
        slots = served.ask(f"/api/tuner/scene/{model}").json["tuning"]["slots"]
        assert slots["A"]["base"]["blur_mask_modifier"] == 24
        assert slots["B"]["base"]["blur_mask_modifier"] != 24


@pytest.fixture
def labeling(tmp_path):
    with serving(labeling_workspace(tmp_path / "project")) as served:
        yield served


def test_a_look_does_not_undo_what_was_saved_since(tabs, labeling, tmp_path):
    path = tmp_path / "project" / "data_src" / "aligned" / "00000.jpg"
    tab = tabs()
    hand = test_xseg_page.opened(tab, labeling)
    hand.face("00000.jpg")
    hand.draw(test_xseg_page.SQUARE)
    hand.saved()
    hand.press("Escape")
    hand.press("KeyZ", test_xseg_page.CONTROL)
    test_xseg_page.until(lambda: test_xseg_page.labels(path) == [])
    hand.saved()
    hold(tab, "/face/")
    tab.run("void dispatchEvent(new Event('focus'))")  # the page looks at the file
    wait_for_held(tab)
    hand.press("KeyZ", test_xseg_page.CONTROL | test_xseg_page.SHIFT)
    test_xseg_page.until(lambda: len(read_metadata(path).seg_ie_polys) == 1)
    hand.saved()
    release(tab)

    hand.click(38, 38)
    hand.mode("edit")
    hand.drag(38, 38, (25, 28))
    corner = (25, 28)
    test_xseg_page.until(lambda: np.allclose(test_xseg_page.labels(path)[0][1][0], corner, atol=1))
    hand.saved()
    assert tab.run(f"{test_xseg_page.BOARD}.dataset.polygons") == "1"


def test_a_look_at_all_faces_does_not_undo_a_label(tabs, labeling):
    tab = tabs()
    tab.size(1280, 720)
    tab.open(labeling.context.instance.address)
    hold(tab, "/marks/", said='"complete":true')
    tab.run("void (location.hash = '#/xseg/src')")
    wait_for_held(tab)
    hand = test_xseg_page.Hand(tab)
    hand.face("00000.jpg")
    hand.draw(test_xseg_page.SQUARE)
    hand.saved()
    release(tab)
    counted = "8 faces: 2 labeled, 6 not, 1 with an applied mask"
    assert tab.run("document.querySelector('.counted').textContent") == counted
