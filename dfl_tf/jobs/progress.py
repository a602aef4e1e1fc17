"""How far long work is: a line with a bar on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from typing import IO

from dfl_tf.disk.terminal import SafeStream, cursor_stream
from dfl_tf.disk.text import printable

SECONDS_BETWEEN_LINES = 10.0
"""Where stderr is no terminal; work that is over sooner leaves no line in a log."""

LINE_SECONDS = "DFL_TF_PROGRESS_SECONDS"
"""Environment variable that says it otherwise: whoever shows the log as a bar wants more lines."""

_DRAWN_PER_SECOND = 4
_hidden = ContextVar("hidden", default=False)


@contextlib.contextmanager
def hidden() -> Iterator[None]:
    """Let no bar that is made until the end of the block show anything."""
    token = _hidden.set(True)
    try:
        yield
    finally:
        _hidden.reset(token)


def _seconds_between_lines() -> float:
    with contextlib.suppress(ValueError):
        return float(os.environ.get(LINE_SECONDS, SECONDS_BETWEEN_LINES))
    return SECONDS_BETWEEN_LINES


Progress = Callable[[int, int], object]
"""Called with (items done, items to do): what a job takes as `progress`."""


class LiveLine:
    """A line with a bar, drawn in place at the end of a terminal; other lines stand above it.

    Parameters
    ----------
    stream : text stream
        A terminal.
    """

    def __init__(self, stream: IO[str]) -> None:
        from rich import progress
        from rich.console import Console

        self._progress = progress.Progress(
            progress.TextColumn("{task.fields[line]}", markup=False),
            progress.BarColumn(bar_width=24),
            progress.TextColumn("{task.fields[after]}", markup=False),
            console=Console(file=cursor_stream(stream)),
            refresh_per_second=_DRAWN_PER_SECOND,
        )
        self._task = self._progress.add_task("", total=None, line="", after="")
        self._progress.start()
        # What others write to stderr meanwhile is printed above the bar, as safe as without it.
        sys.stderr = SafeStream(sys.stderr)

    def show(self, line: str, share: float | None, after: str) -> None:
        """Draw the line, the share that is done (None if that is not known), and what follows."""
        total = None if share is None else 1.0
        self._progress.update(
            self._task, total=total, completed=share or 0.0, line=line, after=after
        )

    def print(self, text: str) -> None:
        """Print a line above the bar."""
        self._progress.console.print(
            printable(text, lines=True), markup=False, highlight=False, soft_wrap=True
        )

    def close(self) -> None:
        """Leave the last line standing and end it."""
        with contextlib.suppress(OSError):
            self._progress.stop()


class ProgressBar(contextlib.AbstractContextManager["ProgressBar"]):
    """Shows on stderr how much of some work is done, how fast, and how long the rest will take.

    It is called with (items done, items to do), and is a context manager that ends the line.

    Parameters
    ----------
    what : str
        The work: "merge".
    unit : str
        What is counted, a plural: "frames".
    quiet : bool
        Show nothing.
    clock : callable
        Gives seconds.
    """

    def __init__(
        self,
        what: str,
        unit: str,
        *,
        quiet: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._what, self._unit, self._clock = what, unit, clock
        self._quiet = quiet or _hidden.get()
        self._start = self._said = clock()
        self._line: LiveLine | None = None

    def __call__(self, done: int, total: int) -> None:
        """Show `done` of `total`."""
        if self._quiet:
            return
        try:
            if sys.stderr.isatty():
                self._draw(done, total)
            else:
                self._say(done, total)
        except OSError:  # no work ends because of its log
            self._quiet = True

    def __exit__(self, *error: object) -> None:
        if self._line is not None:
            self._line.close()
            self._line = None

    def _draw(self, done: int, total: int) -> None:
        self._line = self._line or LiveLine(sys.stderr)
        line, after = self._text(done, total)
        self._line.show(line, done / max(total, 1), after)
        if done >= total:
            self.__exit__()

    def _say(self, done: int, total: int) -> None:
        if done >= total or self._clock() - self._said < _seconds_between_lines():
            return
        self._said = self._clock()
        print(" · ".join(self._text(done, total)), file=sys.stderr, flush=True)

    def _text(self, done: int, total: int) -> tuple[str, str]:
        speed = done / max(self._clock() - self._start, 1e-9)
        left = int((total - done) / max(speed, 1e-9))
        line = f"{self._what} {done}/{total} · {speed:.1f} {self._unit}/s"
        return line, f"{left // 60}:{left % 60:02d} left"
