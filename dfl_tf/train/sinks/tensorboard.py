"""Losses, times and previews for TensorBoard."""

from __future__ import annotations

import time
from pathlib import Path

from dfl_tf.disk.text import printable
from dfl_tf.errors import UsageError
from dfl_tf.extras import install_command
from dfl_tf.jobs.events import Closed, Event
from dfl_tf.train.events import Iteration, Preview, RolledBack, Start, Switched, Validated


def _cell(value: object) -> str:
    """Write a value so that it stays within its cell of a Markdown table."""
    return printable(value).replace("|", "\\|")


class TensorBoardLog:
    """Losses, further figures, times and previews; needs the ``tensorboard`` extra.

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
                f"{install_command('tensorboard')}, or use --log-json"
            ) from None
        import tensorflow as tf

        self._tf = tf
        self._every = every or 1
        self._writer = tf.summary.create_file_writer(str(folder))

    def emit(self, event: Event) -> None:
        """Write an event; messages and saves are left to other sinks."""
        match event:
            case Iteration() if event.iteration % self._every == 0:
                self._iteration(event)
            case Validated():
                with self._writer.as_default(step=event.iteration):
                    for name, value in event.metrics.items():
                        self._tf.summary.scalar(f"quality/{name}", value)
                self._writer.flush()
            case Preview():
                with self._writer.as_default(step=event.iteration):
                    for name, image in event.images.items():
                        self._tf.summary.image(f"preview/{name}", image[None, :, :, ::-1])
                self._writer.flush()
            case Switched():
                changes = ", ".join(f"{key}: {new}" for key, (_, new) in event.changes.items())
                with self._writer.as_default(step=event.iteration):
                    self._tf.summary.text("options", changes)
            case Start():
                self._restart(event.iteration)
                table = [f"| {key} | {_cell(value)} |" for key, value in event.options.items()]
                with self._writer.as_default(step=event.iteration):
                    text = "\n".join(["| option | value |", "|---|---|", *table])
                    self._tf.summary.text("options", text)
                self._writer.flush()
            case RolledBack():
                self._restart(event.iteration)
                text = f"back from {event.undone_until}: {event.reason} Now {event.remedy}."
                with self._writer.as_default(step=event.iteration):
                    self._tf.summary.text("rollback", text)
            case Closed():
                self._writer.close()

    def _restart(self, iteration: int) -> None:
        """Let TensorBoard drop what an earlier run, or a stretch that was undone, has written.

        It drops everything after the step of a session's start, but for the first start of all.
        """
        from tensorflow.core.util import event_pb2

        start = event_pb2.SessionLog(status=event_pb2.SessionLog.START)
        mark = event_pb2.Event(wall_time=time.time(), step=iteration + 1, session_log=start)
        self._tf.raw_ops.ImportEvent(writer=self._writer._resource, event=mark.SerializeToString())

    def _iteration(self, event: Iteration) -> None:
        with self._writer.as_default(step=event.iteration):
            for name, loss in event.losses.items():
                self._tf.summary.scalar(f"loss/{name}", loss)
            for name, value in event.scalars.items():
                self._tf.summary.scalar(name, value)
            self._tf.summary.scalar("time/ms", event.seconds * 1000)
