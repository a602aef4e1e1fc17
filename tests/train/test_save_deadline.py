"""`--save-deadline`: what a signal may take, in processes that are really signaled."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap

import pytest

# a run whose save never ends (or ends at once), which signals itself
RUN = """
import functools, os, signal, sys, threading, time
from dfl_tf.train.requests import SaveDeadline, StopSignals
say = functools.partial(print, flush=True)
limit, saved, waits = float(sys.argv[1]), int(sys.argv[2]) or None, float(sys.argv[3])
with StopSignals(say, SaveDeadline(lambda: limit, lambda: saved)) as signals:
    os.kill(os.getpid(), getattr(signal, sys.argv[4]))
    threading.Event().wait(waits)
time.sleep(limit)
print("saved", flush=True)
sys.exit(signals.exit_code)
"""


def signaled(limit: float, saved: int | None, waits: float, name: str) -> tuple[int, str, str]:
    words = [
        sys.executable,
        "-c",
        textwrap.dedent(RUN),
        str(limit),
        str(saved or 0),
        str(waits),
        name,
    ]
    done = subprocess.run(words, capture_output=True, text=True, env=dict(os.environ))
    return done.returncode, done.stdout, done.stderr


@pytest.mark.parametrize(("name", "code"), [("SIGTERM", 143), ("SIGINT", 130)])
def test_a_run_leaves_when_the_deadline_is_over(name, code):
    returned, out, err = signaled(0.05, 1200, 3600, name)
    assert returned == code
    assert out.startswith(name)  # it was asked to save first
    assert "saved" not in out.splitlines()
    assert "0.05 s are over: left now; the model on disk is that of iteration 1200" in err


def test_a_run_that_saved_nothing_says_so():
    returned, _, err = signaled(0.05, None, 3600, "SIGHUP")
    assert returned == 128 + signal.SIGHUP
    assert "the model on disk is as it was before this run" in err


@pytest.mark.parametrize("limit", [0, 0.2])
def test_a_run_that_is_in_time_or_has_no_deadline_ends_by_itself(limit):
    returned, out, err = signaled(limit, 1, 0, "SIGTERM")
    assert (returned, out.splitlines()[-1], err) == (143, "saved", "")
