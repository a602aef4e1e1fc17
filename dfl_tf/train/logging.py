"""What a training prints and records: loss line, progress bar, JSON lines, TensorBoard.

References
----------
workspace.md 5.1.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import IO, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from dfl_tf.disk.terminal import cursor_stream
from dfl_tf.disk.text import printable
from dfl_tf.errors import UsageError, WorkspaceError


@dataclass(frozen=True)
class IterationEvent:
    """One finished iteration.

    Attributes
    ----------
    iteration : int
        Number of finished iterations, this one included.
    losses : dict of str to float
        Mean over the batch, in the order of the loss history.
    seconds, wait_seconds : float
        Whole duration (samples and steps), and the part spent waiting for samples.
    eta_seconds : float or None
        Until the target iteration or the time limit; None without either.
    progress : float or None
        0..1 of this run; None for an endless one.
    """

    iteration: int
    losses: Mapping[str, float]
    seconds: float
    wait_seconds: float
    wait_share: float = 0.0
    eta_seconds: float | None = None
    progress: float | None = None


class Logger(Protocol):
    """Where a training reports to."""

    def iteration(self, event: IterationEvent) -> None:
        """One iteration is done."""

    def mean_line(self, event: IterationEvent, means: Sequence[float]) -> None:
        """The first iteration after a save; `means` are the losses since the previous such line."""

    def say(self, text: str) -> None:
        """A message for people."""

    def record(self, kind: str, **fields: Any) -> None:
        """An event for machines."""

    def picture(self, name: str, iteration: int, image: NDArray[np.uint8]) -> None:
        """A preview picture (BGR) was made."""

    def close(self) -> None:
        """The run is over."""


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


def duration(seconds: float) -> str:
    """Seconds as ``4d 03h``, ``2h 05m``, ``3m 07s`` or ``12s``."""
    whole = max(0, round(seconds))
    days, hours, minutes = whole // 86400, whole // 3600 % 24, whole // 60 % 60
    if days:
        return f"{days}d {hours:02d}h"
    if hours:
        return f"{hours}h {minutes:02d}m"
    return f"{minutes}m {whole % 60:02d}s" if minutes else f"{whole}s"


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
        self._progress: Any = None
        self._task: Any = None
        self._told_iteration = -1

    def iteration(self, event: IterationEvent) -> None:
        """Refresh the progress line, or print every n-th."""
        line = loss_line(event.iteration, event.seconds, list(event.losses.values()))
        if self._live and event.iteration % self._every == 0:
            self._show(event, line)
        elif not self._live and event.iteration % self._every == 0 and not self._told(event):
            left = "" if event.eta_seconds is None else f" {duration(event.eta_seconds)} left"
            self._print(line + left)

    def mean_line(self, event: IterationEvent, means: Sequence[float]) -> None:
        """Print the mean losses since the last save, as the legacy program does."""
        self._told_iteration = event.iteration
        self.say(loss_line(event.iteration, event.seconds, means))

    def _told(self, event: IterationEvent) -> bool:
        return self._told_iteration == event.iteration

    def say(self, text: str) -> None:
        """Print a message above the progress line."""
        if self._progress is None:
            self._print(text)
            return
        try:
            self._progress.console.print(
                printable(text, lines=True), markup=False, highlight=False, soft_wrap=True
            )
        except OSError:
            self._silence()

    def _print(self, text: str) -> None:
        try:
            print(text, file=self._stream, flush=True)
        except OSError:
            self._silence()

    def _silence(self) -> None:
        """Point a dead stream to nowhere: whoever else writes there must not fail either."""
        self._progress, self._live = None, False
        with contextlib.suppress(OSError, ValueError):
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, self._stream.fileno())
            os.close(nowhere)

    def record(self, kind: str, **fields: Any) -> None:
        """Nothing: events for machines go to the JSON lines."""

    def picture(self, name: str, iteration: int, image: NDArray[np.uint8]) -> None:
        """Nothing: pictures are files."""

    def close(self) -> None:
        """Leave the last progress line standing and end it."""
        if self._progress is not None:
            with contextlib.suppress(OSError):
                self._progress.stop()
            self._progress = None

    def _show(self, event: IterationEvent, line: str) -> None:
        if self._progress is None:
            self._progress, self._task = _progress_line(self._stream)
        waits = f"waits {100 * event.wait_share:.0f} %" if event.wait_share >= 0.05 else ""
        left = "" if event.eta_seconds is None else f"{duration(event.eta_seconds)} left"
        self._progress.update(
            self._task,
            total=1.0 if event.progress is not None else None,
            completed=event.progress or 0.0,
            line=line,
            left=left,
            waits=waits,
        )


def _progress_line(stream: IO[str]) -> tuple[Any, Any]:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn

    progress = Progress(
        TextColumn("{task.fields[line]}", markup=False),
        BarColumn(bar_width=24),
        TextColumn("{task.fields[left]} {task.fields[waits]}", markup=False),
        console=Console(file=cursor_stream(stream)),
        refresh_per_second=4,
    )
    task = progress.add_task("", total=None, line="", left="", waits="")
    progress.start()
    return progress, task


class WorkerLog(ConsoleLog):
    """The lines of a worker that is not the chief: what happens to it, without the losses."""

    def __init__(self, index: int, stream: IO[str] | None = None) -> None:
        super().__init__(stream=stream)
        self._index = index

    def iteration(self, event: IterationEvent) -> None:
        """Nothing: the chief tells."""

    def mean_line(self, event: IterationEvent, means: Sequence[float]) -> None:
        """Nothing: the chief tells."""

    def say(self, text: str) -> None:
        """Print a message under the worker's number."""
        self._print(f"worker {self._index}: {text}")


class JsonLinesLog:
    """One JSON object a line: each iteration and each event. NaN and infinity become null.

    Parameters
    ----------
    path : Path or str
        Appended to. ``-`` is stdout.
    every : int
        Iterations between entries; 0 = each one.

    Raises
    ------
    WorkspaceError
        If the file can not be opened.
    """

    def __init__(self, path: Path | str, every: int = 0) -> None:
        self._every = every or 1
        self._own = str(path) != "-"
        self.name = f"--log-json {path}"
        try:
            self._stream = open(path, "a", encoding="utf-8") if self._own else sys.stdout  # noqa: SIM115
        except OSError as error:
            raise WorkspaceError(f"--log-json {path}: {error.strerror}") from error

    def iteration(self, event: IterationEvent) -> None:
        """Write the iteration, its losses and its timing."""
        if event.iteration % self._every == 0:
            self.record(
                "iteration",
                iteration=event.iteration,
                losses=dict(event.losses),
                ms=round(event.seconds * 1000, 3),
                wait_ms=round(event.wait_seconds * 1000, 3),
            )

    def mean_line(self, event: IterationEvent, means: Sequence[float]) -> None:
        """Write the mean losses since the previous save."""
        names = list(event.losses)
        self.record("mean", iteration=event.iteration, losses=dict(zip(names, means, strict=False)))

    def say(self, text: str) -> None:
        """Write the message as an event."""
        self.record("message", text=text)

    def record(self, kind: str, **fields: Any) -> None:
        """Write one event with its local time."""
        entry = {"event": kind, "time": round(time.time(), 3), **fields}
        self._stream.write(json.dumps(_finite(entry), allow_nan=False, default=str) + "\n")
        self._stream.flush()

    def picture(self, name: str, iteration: int, image: NDArray[np.uint8]) -> None:
        """Nothing: preview files are told of as events."""

    def close(self) -> None:
        """Close the file."""
        if self._own:
            self._stream.close()


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return value


class TensorBoardLog:
    """Losses, times and preview pictures as TensorBoard events; needs the ``tensorboard`` extra.

    Raises
    ------
    UsageError
        If TensorBoard is not installed.
    """

    def __init__(self, folder: Path | str, every: int = 0) -> None:
        try:
            import tensorboard  # noqa: F401
        except ImportError:
            raise UsageError(
                "--tensorboard needs TensorBoard, which is not installed: "
                'pip install "dfl-tf[tensorboard]", or use --log-json'
            ) from None
        import tensorflow as tf

        self._tf = tf
        self._every = every or 1
        self._writer = tf.summary.create_file_writer(str(folder))

    def iteration(self, event: IterationEvent) -> None:
        """Write the losses and the duration."""
        if event.iteration % self._every:
            return
        with self._writer.as_default(step=event.iteration):
            for name, loss in event.losses.items():
                self._tf.summary.scalar(f"loss/{name}", loss)
            self._tf.summary.scalar("time/ms", event.seconds * 1000)

    def mean_line(self, event: IterationEvent, means: Sequence[float]) -> None:
        """Nothing: TensorBoard smooths by itself."""

    def say(self, text: str) -> None:
        """Nothing."""

    def record(self, kind: str, **fields: Any) -> None:
        """Nothing."""

    def picture(self, name: str, iteration: int, image: NDArray[np.uint8]) -> None:
        """Write the picture."""
        with self._writer.as_default(step=iteration):
            self._tf.summary.image(f"preview/{name}", image[None, :, :, ::-1])
        self._writer.flush()

    def close(self) -> None:
        """Write what is left."""
        self._writer.close()


class Loggers:
    """Several loggers that are spoken to as one.

    A log that can not be written any more (full disk, closed pipe or terminal) is left out from
    then on, and the others are told: no training ends because of its log.
    """

    def __init__(self, loggers: Sequence[Logger]) -> None:
        self._loggers = list(loggers)

    def iteration(self, event: IterationEvent) -> None:
        """Tell all."""
        self._tell(lambda logger: logger.iteration(event))

    def mean_line(self, event: IterationEvent, means: Sequence[float]) -> None:
        """Tell all."""
        self._tell(lambda logger: logger.mean_line(event, means))

    def say(self, text: str) -> None:
        """Tell all."""
        self._tell(lambda logger: logger.say(text))

    def record(self, kind: str, **fields: Any) -> None:
        """Tell all."""
        self._tell(lambda logger: logger.record(kind, **fields))

    def picture(self, name: str, iteration: int, image: NDArray[np.uint8]) -> None:
        """Tell all."""
        self._tell(lambda logger: logger.picture(name, iteration, image))

    def close(self) -> None:
        """Close all."""
        self._tell(lambda logger: logger.close())

    def _tell(self, how: Callable[[Logger], None]) -> None:
        for logger in tuple(self._loggers):
            try:
                how(logger)
            except OSError as error:
                self._loggers.remove(logger)
                with contextlib.suppress(OSError, ValueError):
                    logger.close()
                what = getattr(logger, "name", type(logger).__name__)
                self.say(f"warning: {what} cannot be written any more ({error.strerror}): left out")
