"""Jobs in a real browser: start, watch, stop, resume; they outlive the server."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from dfl_tf.web import jobs

from .support.contrast import unreadable
from .support.served import serving

SUPPORT = Path(__file__).parent / "support"
JOB = "document.querySelector('.job[data-kind=extract]')"
STATE = f"{JOB}?.dataset.state"


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    made = tmp_path_factory.mktemp("jobs") / "project"
    for folder in ("data_src/aligned", "data_dst/aligned", "model"):
        (made / folder).mkdir(parents=True)
    (made / "model" / "new_SAEHD_data.dat").touch()
    return made


@pytest.fixture(scope="module")
def served(root):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(jobs, "program", lambda: [sys.executable, str(SUPPORT / "work.py")])
        patch.setenv("PYTHONPATH", f"{Path(__file__).parents[2]}:{':'.join(sys.path)}")
        with serving(root) as server:
            yield server


def work(root, **how):
    (root / "work.json").write_text(json.dumps({"steps": 3, "seconds": 0, "code": 0, **how}))


def put(tab, selector, value):
    tab.run(
        f"(() => {{ const e = document.querySelector({json.dumps(selector)}); e.value = {value!r};"
        " e.dispatchEvent(new Event('change', {bubbles: true})); })()"
    )


def open_jobs(tab, served, kind=""):
    tab.size(1280, 720)
    tab.open(served.context.instance.address)
    tab.run(f"void (location.hash = '#/jobs/{kind}')")


def test_a_job_is_started_watched_stopped_and_resumed(tabs, root, served):
    work(root, seconds=600)
    tab = tabs()
    open_jobs(tab, served, "extract")
    tab.wait("document.querySelector('[data-key=face_type] select') !== null")
    put(tab, "#job-side", "dst")
    put(tab, "[data-key=face_type] select", "head")
    put(tab, "[data-key=image_size] input", "1")
    tab.wait("document.querySelector('.start .error').textContent.includes('64 … 2048')")
    put(tab, "[data-key=image_size] input", "256")
    line = f"dfl-tf extract {root} --side dst --face-type=head --image-size=256"
    tab.wait(f"document.querySelector('.start code').textContent === {json.dumps(line)}")
    tab.click("[data-do=start]")
    tab.wait(f"{STATE} === 'running'")
    tab.wait(f"{JOB}.textContent.includes('2 of 3, 1 s left')")
    assert unreadable(tab) == []
    assert tab.run(f"{JOB}.querySelector('code').textContent") == line
    assert "extract 2/3" in tab.run(f"{JOB}.querySelector('pre').textContent")
    tab.click(".job [data-do=stop]")
    tab.click("dialog button.main")
    tab.wait(f"{STATE} === 'stopped'")
    work(root)
    tab.click(".job [data-do=resume]")
    tab.wait(f"{STATE} === 'done'")
    words = (root / "work.words").read_text().splitlines()
    assert words == [line.removeprefix("dfl-tf ")] * 2
    tab.click(".job [data-do=forget]")
    tab.wait(f"{JOB} === null")
    assert list((root / "jobs").iterdir()) == []
    assert tab.errors() == []


def test_a_plan_is_shown_before_a_training_starts(tabs, root, served):
    work(root, steps=0)
    tab = tabs()
    open_jobs(tab, served, "train")
    tab.wait("document.querySelector('[data-key=archi] input') !== null")
    put(tab, "[data-key=batch_size] input", "2")
    tab.click("[data-do=start]")
    tab.wait("document.querySelector('dialog pre') !== null")
    plan = tab.run("document.querySelector('dialog pre').textContent")
    assert plan == f"train {root} --class SAEHD --name new --batch-size=2 --plan"
    assert tab.run("document.querySelector('.job') === null")
    tab.click("dialog button.main")
    tab.wait("document.querySelector('.job[data-kind=train]')?.dataset.state === 'done'")
    assert tab.errors() == []


def test_a_job_outlives_its_server_and_a_killed_one_has_died(tabs, root, served):
    work(root, seconds=600)
    words = [sys.executable, str(SUPPORT / "jobs_server.py"), str(root)]
    with subprocess.Popen(words, stdout=subprocess.PIPE) as server:
        assert server.stdout.readline() == b"200\n"
        server.kill()
    tab = tabs()
    open_jobs(tab, served)
    tab.wait(f"{STATE} === 'running'")
    tab.wait(f"{JOB}.textContent.includes('2 of 3')")
    record = json.loads((root / "jobs" / "extract-src.json").read_text())
    os.killpg(record["group"], signal.SIGKILL)
    tab.wait(f"{STATE} === 'died'")
    assert "died; it can be resumed" in tab.run(f"{JOB}.textContent")
    work(root)
    tab.click(".job [data-do=resume]")
    tab.wait(f"{STATE} === 'done'")
    assert tab.errors() == []
