"""Killed trainers: by SIGTERM they save and can be resumed, by SIGKILL they leave a whole model."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from kill_trainer import FAKE, kill_often

from dfl_tf.formats import read_model

from .support.fake_model import check_whole

ROOT = Path(__file__).parents[2]


def saved_at(folder: Path) -> int:
    manifest = folder / "new_SAEHD.manifest.json"
    return manifest.stat().st_mtime_ns if manifest.exists() else 0


def start(folder: Path, seconds: float = 0.0) -> subprocess.Popen:
    """A trainer that has made its first save of this run; its iterations take `seconds`."""
    before = saved_at(folder)
    child = subprocess.Popen(
        [sys.executable, *FAKE, str(folder), str(seconds)],
        cwd=ROOT,
        stderr=subprocess.PIPE,
        text=True,
    )
    while saved_at(folder) == before:
        assert child.poll() is None, child.communicate()[1]
        time.sleep(0.01)
    return child


@pytest.mark.parametrize(
    ("number", "code"),
    [(signal.SIGTERM, 143), pytest.param(signal.SIGINT, 130, marks=pytest.mark.slow)],
)
def test_stopped_by_a_signal_it_saves_and_resumes_there(tmp_path, number, code):
    child = start(tmp_path)
    time.sleep(0.2)
    child.send_signal(number)
    output = child.communicate()[1]
    assert child.returncode == code, output
    state = read_model(tmp_path, "new", "SAEHD")
    check_whole(state)
    assert f"iteration {state.iteration}: interrupted" in output
    again = start(tmp_path)
    time.sleep(0.5)
    again.send_signal(number)
    again.communicate()
    resumed = read_model(tmp_path, "new", "SAEHD")
    check_whole(resumed)
    assert resumed.iteration > state.iteration
    assert resumed.loss_history[: state.iteration] == state.loss_history


def test_a_second_sigint_ends_at_once(tmp_path):
    with start(tmp_path, seconds=3) as child:
        time.sleep(1)  # it is well within an iteration
        child.send_signal(signal.SIGINT)
        while "finishing this iteration" not in (line := child.stderr.readline()):
            assert line, "ended before the second signal"
        child.send_signal(signal.SIGINT)
        output = child.communicate()[1]
    assert child.returncode == 130, output
    assert "stopped at once" in output
    check_whole(read_model(tmp_path, "new", "SAEHD"))


@pytest.mark.slow
def test_a_second_sigint_while_the_first_is_answered(tmp_path):
    with start(tmp_path, seconds=3) as child:
        time.sleep(1)
        child.send_signal(signal.SIGSTOP)  # both arrive before the handler runs again
        child.send_signal(signal.SIGINT)
        child.send_signal(signal.SIGCONT)
        time.sleep(0.001)
        child.send_signal(signal.SIGINT)
        output = child.communicate()[1]
    assert child.returncode == 130, output
    check_whole(read_model(tmp_path, "new", "SAEHD"))


@pytest.mark.slow
@pytest.mark.parametrize("late", [False, True])
def test_killed_at_random_moments_it_leaves_a_whole_model(tmp_path, late):
    report = kill_often(tmp_path, FAKE, check_whole, kills=6, seed=1, longest=0.2, late=late)
    assert report.torn == []
    assert report.iterations == sorted(report.iterations)
