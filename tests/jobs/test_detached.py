"""A job that outlives whoever started it, and says how it went."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import pytest

from dfl_tf.errors import UsageError
from dfl_tf.jobs.detached import DetachedJob

WORK = """
import sys, time
for n in range(1, int(sys.argv[1])):
    print(f"merge {n}/{sys.argv[1]} · 1.0 frames/s · 0:01 left", file=sys.stderr, flush=True)
open(sys.argv[2], "w").close()
time.sleep(float(sys.argv[3]))
sys.exit(int(sys.argv[4]))
"""


def work(folder, *, seconds=0, code=0, count=3):
    words = [str(count), str(folder / "begun"), str(seconds), str(code)]
    return [sys.executable, "-c", WORK, *words]


def wait_for(condition):
    while not condition():
        time.sleep(0.02)


@pytest.mark.parametrize(("code", "state"), [(0, "done"), (1, "failed"), (130, "stopped")])
def test_its_end_is_known_also_to_who_has_not_started_it(tmp_path, code, state):
    job = DetachedJob(tmp_path / "job")
    assert job.state().state == "none"
    job.start(work(tmp_path, code=code), tmp_path)
    wait_for(lambda: DetachedJob(tmp_path / "job").state().state != "running")
    found = DetachedJob(tmp_path / "job").state()
    assert (found.state, found.record.code) == (state, code)
    assert (found.done, found.total, found.left) == (2, 3, None)
    assert found.record.ended >= found.record.began
    job.start(work(tmp_path), tmp_path)  # the next one takes its place


def test_it_runs_once_and_stops_as_by_ctrl_c(tmp_path):
    job = DetachedJob(tmp_path / "job")
    job.start(work(tmp_path, seconds=600), tmp_path)
    wait_for((tmp_path / "begun").exists)
    assert (job.state().state, job.state().left) == ("running", 1)
    with pytest.raises(UsageError, match="runs already"):
        DetachedJob(tmp_path / "job").start(work(tmp_path), tmp_path)
    job.stop()
    wait_for(lambda: job.state().state != "running")
    found = job.state()
    assert found.state == "stopped"
    assert "KeyboardInterrupt" in found.log


STARTS = """
import sys
from pathlib import Path
from dfl_tf.jobs.detached import DetachedJob
DetachedJob(Path(sys.argv[1])).start(sys.argv[2:], Path.cwd())
"""


def test_it_goes_on_without_its_starter_and_a_killed_one_has_died(tmp_path):
    words = [sys.executable, "-c", STARTS, str(tmp_path / "job"), *work(tmp_path, seconds=600)]
    subprocess.run(words, check=True)
    job = DetachedJob(tmp_path / "job")
    wait_for((tmp_path / "begun").exists)
    assert job.state().state == "running"
    os.killpg(job.state().record.group, signal.SIGKILL)
    wait_for(lambda: job.state().state != "running")
    assert job.state().state == "died"
