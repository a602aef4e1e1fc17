"""What a training prints: the loss line, the progress bar, messages.

References
----------
workspace.md 5.1.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Sequence
from datetime import datetime
from typing import IO

from dfl_tf.jobs.events import Closed, Event, Message
from dfl_tf.jobs.progress import LiveLine
from dfl_tf.train.events import Iteration, Mean, Validated


def loss_line(
    iteration: int, seconds: float, losses: Sequence[float], now: datetime | None = None
) -> str:
    """The legacy line ``[HH:MM:SS][#NNNNNN][TTTTms][a.aaaa][b.bbbb]``.

    Iterations of 10 s and more show seconds instead: 4 decimals cut to 5 characters and ``s``.
    """
    clock = (now or datetime.now()).strftime("%H:%M:%S")
    lasted = f"{seconds:.4f}"[:5] + "s" if seconds >= 10 else f"{int(seconds * 1000):04d}ms"
    values = "".join(f"[{loss:.4f}]" for loss in losses)
    return f"[{clock}][#{iteration:06d}][{lasted}]{values}"


class ConsoleLog:
    """The lines on stderr: a live progress line on a terminal, plain lines elsewhere.

    Parameters
    ----------
    every : int
        Iterations between lines; 0 = each one on a terminal, every 50th elsewhere.
    stream : text stream or None
        None: stderr. Once it can not be written any more (the terminal is closed, `tee` is gone),
        what is said goes nowhere, and the training goes on.
    """

    def __init__(self, every: int = 0, stream: IO[str] | None = None) -> None:
        self._stream = stream if stream is not None else sys.stderr
        self._live = self._stream.isatty()
        self._every = every or (1 if self._live else 50)
        self._line: LiveLine | None = None
        self._told_iteration = -1

    def emit(self, event: Event) -> None:
        """Show iterations, mean losses, quality and messages."""
        match event:
            case Iteration():
                self._iteration(event)
            case Mean():
                self._told_iteration = event.iteration
                self.say(loss_line(event.iteration, event.seconds, list(event.losses.values())))
            case Validated():
                self.say(event.text())
            case Message() if event.shown:
                self.say(event.text)
            case Closed():
                self._close()

    def _iteration(self, event: Iteration) -> None:
        line = loss_line(event.iteration, event.seconds, list(event.losses.values()))
        if self._live and event.iteration % self._every == 0:
            self._show(event, line)
        elif not self._live and event.iteration % self._every == 0 and not self._told(event):
            left = "" if event.left is None else f" {event.left.text()}"
            self._print((line + left).rstrip())

    def _told(self, event: Iteration) -> bool:
        return self._told_iteration == event.iteration

    def say(self, text: str) -> None:
        """Print a message above the progress line."""
        if self._line is None:
            self._print(text)
            return
        try:
            self._line.print(text)
        except OSError:
            self._silence()

    def _print(self, text: str) -> None:
        try:
            print(text, file=self._stream, flush=True)
        except OSError:
            self._silence()

    def _silence(self) -> None:
        """Point a dead stream to nowhere: whoever else writes there must not fail either."""
        self._line, self._live = None, False
        with contextlib.suppress(OSError, ValueError):
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, self._stream.fileno())
            os.close(nowhere)

    def _close(self) -> None:
        if self._line is not None:
            self._line.close()
            self._line = None

    def _show(self, event: Iteration, line: str) -> None:
        self._line = self._line or LiveLine(self._stream)
        waits = f"waits {100 * event.wait_share:.0f} %" if event.wait_share >= 0.05 else ""
        left = "" if event.left is None else event.left.text()
        self._line.show(line, event.progress, f"{left} {waits}")


class WorkerLog(ConsoleLog):
    """The lines of a worker that is not the chief: what happens to it, without the losses."""

    def __init__(self, index: int, stream: IO[str] | None = None) -> None:
        super().__init__(stream=stream)
        self._index = index

    def emit(self, event: Event) -> None:
        """Show messages under the worker's number; the chief tells the rest."""
        if isinstance(event, Message) and event.shown:
            self._print(f"worker {self._index}: {event.text}")
