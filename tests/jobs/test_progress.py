"""One progress line: in place on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import io
import sys

import pytest

from dfl_tf.jobs import progress
from dfl_tf.jobs.progress import LiveLine, ProgressBar


class _Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


class _Gone(io.StringIO):
    def write(self, text: str) -> int:
        raise BrokenPipeError(32, "Broken pipe")


def ticking(*times: float):
    left = iter(times)
    return lambda: next(left, times[-1])


def test_a_log_gets_a_line_now_and_then(capsys: pytest.CaptureFixture[str]) -> None:
    with ProgressBar("merge", "frames", clock=ticking(0, 9, 11, 11, 11, 22)) as step:
        step(9, 33)
        step(11, 33)
        step(22, 33)
        step(33, 33)
    assert capsys.readouterr() == ("", "merge 11/33 · 1.0 frames/s · 0:22 left\n" * 1
                                       + "merge 22/33 · 1.0 frames/s · 0:11 left\n")  # fmt: skip


def test_short_work_and_quiet_work_leave_nothing(capsys, monkeypatch) -> None:
    with ProgressBar("merge", "frames") as step:
        step(1, 2)
        step(2, 2)
    monkeypatch.setattr(progress, "SECONDS_BETWEEN_LINES", 0.0)
    with ProgressBar("merge", "frames", quiet=True) as step:
        step(1, 2)
    assert capsys.readouterr() == ("", "")


def test_a_stream_that_is_gone_ends_no_work(monkeypatch) -> None:
    monkeypatch.setattr(progress, "SECONDS_BETWEEN_LINES", 0.0)
    monkeypatch.setattr(sys, "stderr", _Gone())
    with ProgressBar("merge", "frames") as step:
        step(1, 3)
        step(2, 3)


def test_on_a_terminal_the_line_is_drawn_in_place_and_ended(monkeypatch) -> None:
    terminal = _Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("TERM", "xterm")
    with ProgressBar("masking", "faces") as step:
        step(1, 3)
        assert sys.stderr is not terminal
        print("a face \x1b[2J is left out", file=sys.stderr)
        step(2, 3)
    assert sys.stderr is terminal
    shown = terminal.getvalue()
    assert "masking 2/3 · " in shown
    assert "faces/s" in shown
    assert "left out" in shown
    assert "\x1b[2J" not in shown  # what others print is as safe as without the line
    assert shown.endswith("\x1b[?25h")  # the cursor is there again


def test_other_lines_stand_above_the_live_one(monkeypatch) -> None:
    terminal = _Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    line = LiveLine(terminal)
    line.show("[12:00:00][#000001]", None, "3m left")
    line.print("saved\x1b[2J")
    line.close()
    assert "saved\\x1b[2J\n" in terminal.getvalue()
