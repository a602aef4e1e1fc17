from __future__ import annotations

import importlib.util
import io
import json
import math
import subprocess
import sys
from datetime import datetime
from pathlib import Path

import numpy as np
import pytest

from dfl_tf.errors import UsageError, WorkspaceError
from dfl_tf.train.logging import (
    ConsoleLog,
    IterationEvent,
    JsonLinesLog,
    Loggers,
    TensorBoardLog,
    duration,
    loss_line,
)

ROOT = Path(__file__).parents[2]
NOON = datetime(2024, 5, 1, 12, 3, 4)


def event(iteration: int, **more) -> IterationEvent:
    losses = {"src": 1.5, "dst": 0.25}
    return IterationEvent(iteration, losses, 0.1234, 0.01, **more)


@pytest.mark.parametrize(
    ("iteration", "seconds", "losses", "line"),
    [
        (7, 0.1239, [1.23456, 0.5], "[12:03:04][#000007][0123ms][1.2346][0.5000]"),
        (1234567, 9.9999, [0.1], "[12:03:04][#1234567][9999ms][0.1000]"),
        (1, 12.3456, [2.0], "[12:03:04][#000001][12.34s][2.0000]"),
        (1, 123.456, [math.nan], "[12:03:04][#000001][123.4s][nan]"),
    ],
)
def test_the_legacy_loss_line(iteration, seconds, losses, line):
    assert loss_line(iteration, seconds, losses, NOON) == line


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0s"), (59.4, "59s"), (61, "1m 01s"), (7500, "2h 05m"), (356400, "4d 03h"), (-3, "0s")],
)
def test_durations(seconds, text):
    assert duration(seconds) == text


def test_plain_lines_elsewhere_than_on_a_terminal():
    stream = io.StringIO()
    log = ConsoleLog(stream=stream)
    for iteration in range(1, 101):
        log.iteration(event(iteration, eta_seconds=90.0))
    log.mean_line(event(150), [9.0, 8.0])
    log.iteration(event(150))
    log.say("a message")
    log.close()
    lines = stream.getvalue().splitlines()
    assert [line.split("]")[1] for line in lines[:3]] == ["[#000050", "[#000100", "[#000150"]
    assert lines[0].endswith("[1.5000][0.2500] 1m 30s left")
    assert "[9.0000][8.0000]" in lines[2]
    assert lines[3:] == ["a message"]


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_live_line_on_a_terminal(monkeypatch):
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "120")
    stream = Terminal()
    log = ConsoleLog(stream=stream)
    for iteration in (1, 2):
        log.iteration(event(iteration, eta_seconds=75.0, progress=0.5, wait_share=0.2))
    log.say("saved [bold]")
    log.close()
    shown = stream.getvalue()
    assert "#000002" in shown
    assert "1m 15s left waits 20 %" in shown
    assert "saved [bold]" in shown


def test_json_lines_are_valid_whatever_the_loss(tmp_path):
    path = tmp_path / "log.jsonl"
    for _ in range(2):
        log = JsonLinesLog(path)
        log.record("start", options={"archi": "df", 1: (math.inf, None)})
        log.iteration(IterationEvent(3, {"src": math.nan, "dst": 1.0}, 0.5, 0.25))
        log.close()
    entries = [json.loads(line) for line in path.read_text().splitlines()]
    assert len(entries) == 4
    assert entries[0]["options"] == {"archi": "df", "1": [None, None]}
    assert entries[1]["losses"] == {"src": None, "dst": 1.0}
    assert (entries[1]["ms"], entries[1]["wait_ms"]) == (500.0, 250.0)


def test_a_log_that_can_not_be_opened_is_told(tmp_path):
    with pytest.raises(WorkspaceError, match="--log-json"):
        JsonLinesLog(tmp_path / "absent" / "log")


def test_tensorboard(tmp_path):
    if importlib.util.find_spec("tensorboard") is None:
        with pytest.raises(UsageError, match=r"dfl-tf\[tensorboard\]"):
            TensorBoardLog(tmp_path)
        return
    log = TensorBoardLog(tmp_path)
    log.iteration(event(1))
    log.picture("SAEHD", 1, np.zeros((8, 8, 3), np.uint8))
    log.close()
    assert list(tmp_path.iterdir())


class _Dead(io.StringIO):
    """A stream whose reader is gone."""

    def write(self, text: str) -> int:
        raise BrokenPipeError(32, "Broken pipe")


def test_a_console_that_is_gone_does_not_end_the_training():
    console = ConsoleLog(1, _Dead())
    console.say("hello")
    console.iteration(event(1))
    console.close()


def test_stderr_whose_reader_is_gone_is_pointed_to_nowhere(tmp_path):
    program = (
        "import sys\n"
        "from dfl_tf.train.logging import ConsoleLog, Loggers\n"
        "log = Loggers([ConsoleLog(1)])\n"
        "sys.stdin.read()\n"  # until the reader of stderr is gone
        "for _ in range(3): log.say('x')\n"
        "print('after', file=sys.stderr, flush=True)\n"
        "sys.exit(7)\n"
    )
    child = subprocess.Popen(
        [sys.executable, "-c", program], stdin=subprocess.PIPE, stderr=subprocess.PIPE, cwd=ROOT
    )
    child.stderr.close()
    child.stdin.close()
    assert child.wait() == 7


def test_a_log_on_a_full_disk_is_left_out_and_the_others_are_told():
    full = JsonLinesLog("/dev/full")
    lines = []
    console = ConsoleLog(1, io.StringIO())
    console.say = lines.append
    log = Loggers([full, console])
    log.iteration(event(1))
    log.iteration(event(2))
    log.close()
    assert lines == [
        "warning: --log-json /dev/full cannot be written any more (No space left on device): "
        "left out"
    ]
