"""The rendering process: the newest request wins, it ends by itself, and is started again."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import pytest

from dfl_tf.merge.tuner.messages import Dropped, Failed, Open, Render, Rendered
from dfl_tf.merge.tuner.renderer import Renderer

from .tuner_child import ABOUT

CHILD = Path(__file__).with_name("tuner_child.py")
SECONDS = 120


def command(folder, idle=300.0, *more):
    return [sys.executable, str(CHILD), str(folder), str(idle), *more]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("tuner")


@pytest.fixture(scope="module")
def renderer(folder):
    made = Renderer(command(folder), Open({}))
    yield made
    made.close()


def asked(renderer, frame=0, lane="page", **more):
    return renderer.ask(Render(0, lane, frame, **more))


def answer(renderer, frame=0, **more):
    return asked(renderer, frame, **more).result(SECONDS)


def value_of(rendered):
    image = cv2.imdecode(np.frombuffer(rendered.data, np.uint8), cv2.IMREAD_COLOR)
    return int(image[0, 0, 0])


def wait_for(condition):
    while not condition():
        time.sleep(0.01)


def is_running(pid):
    """Whether it works; one that has ended and that nobody waits for does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_the_scene_and_images_come_over_the_socket(renderer):
    assert renderer.open().result(SECONDS) == ABOUT
    found = answer(renderer, values={"erode_mask_modifier": 7})
    assert isinstance(found, Rendered)
    assert (found.media_type, found.asked, value_of(found)) == ("image/png", False, 7)
    assert answer(renderer, view="mask").asked
    assert answer(renderer, width=2).media_type == "image/jpeg"


def test_of_requests_that_wait_only_the_newest_of_a_lane_is_drawn(renderer, folder):
    (folder / "1").touch()
    first = asked(renderer, 1, values={"erode_mask_modifier": 1})
    wait_for((folder / "began 1").exists)
    other = asked(renderer, lane="other", values={"erode_mask_modifier": 50})
    moved = [asked(renderer, values={"erode_mask_modifier": n}) for n in range(2, 12)]
    for future in moved[:-1]:
        assert isinstance(future.result(SECONDS), Dropped)  # said while the first is drawn
    assert not first.done()
    assert not moved[-1].done()
    (folder / "1").unlink()
    assert value_of(first.result(SECONDS)) == 1
    assert value_of(moved[-1].result(SECONDS)) == 11
    assert value_of(other.result(SECONDS)) == 50


@pytest.mark.parametrize(
    ("frame", "values", "text"),
    [
        (77, {}, "00077.png: cannot be read"),
        (88, {}, "ZeroDivisionError: what nobody expects"),
        (0, {"mode": "overlaid"}, 'did you mean "overlay"?'),
        (0, {"erode_mask_modifier": 4000}, "outside -400 … 400"),
        (0, {"nose": 1}, "nose"),
    ],
)
def test_what_fails_is_said_and_ends_nothing(renderer, frame, values, text):
    process = renderer.process_id
    found = answer(renderer, frame, values=values)
    assert isinstance(found, Failed)
    assert text in found.text
    assert isinstance(answer(renderer), Rendered)
    assert renderer.process_id == process


def test_a_process_that_dies_is_said_and_started_again(renderer):
    process = renderer.process_id
    found = answer(renderer, 66)
    assert isinstance(found, Failed)
    assert "was killed by signal 9" in found.text
    assert isinstance(answer(renderer), Rendered)
    assert renderer.process_id != process


def test_what_is_wrong_with_the_scene_answers_everything(folder):
    renderer = Renderer(command(folder), Open({"refuse": "data_dst: holds no frames"}))
    first = asked(renderer)
    opened = renderer.open().result(SECONDS)
    assert isinstance(opened, Failed)
    assert opened.text == "data_dst: holds no frames"
    assert first.result(SECONDS).text == "data_dst: holds no frames"


def test_a_process_that_cannot_start_says_why(folder):
    renderer = Renderer(command(folder, 300.0, "broken"), Open({}))
    found = answer(renderer)
    assert "ended with exit code 1. It said: no such interpreter" in found.text


def test_it_ends_when_nobody_asks_for_a_while_and_comes_back(folder):
    renderer = Renderer(command(folder, 0.2), Open({}))
    assert isinstance(answer(renderer), Rendered)
    process = renderer.process_id
    wait_for(lambda: renderer.process_id is None)
    assert not is_running(process)
    assert isinstance(answer(renderer), Rendered)
    renderer.close()


def test_a_request_that_meets_the_end_is_asked_again(tmp_path):
    renderer = Renderer(command(tmp_path, 300.0, "early"), Open({}))
    assert isinstance(answer(renderer), Rendered)
    renderer.close()


def test_closing_ends_it_in_the_middle_of_a_frame(tmp_path):
    (tmp_path / "1").touch()
    renderer = Renderer(command(tmp_path), Open({}))
    future = asked(renderer, 1)
    wait_for((tmp_path / "began 1").exists)
    process = renderer.process_id
    renderer.close()
    assert isinstance(future.result(SECONDS), Failed)
    assert not is_running(process)


PARENT = """
import sys, time
from dfl_tf.merge.tuner.messages import Open, Render
from dfl_tf.merge.tuner.renderer import Renderer
renderer = Renderer(sys.argv[1:], Open({}))
renderer.ask(Render(0, "page", 1))
print(renderer.process_id, flush=True)
time.sleep(600)
"""


def test_it_ends_with_the_server_in_the_middle_of_a_frame(tmp_path):
    (tmp_path / "1").touch()
    words = [sys.executable, "-c", PARENT, *command(tmp_path)]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as parent:
        process = int(parent.stdout.readline())
        wait_for((tmp_path / "began 1").exists)
        assert is_running(process)
        os.kill(parent.pid, signal.SIGKILL)
    wait_for(lambda: not is_running(process))
