"""Saves a model while training goes on: copy to memory first, write in a thread.

One save runs at a time: a later one, a backup and the end of the run wait for the one before.
The files are written as one transaction (`formats.write_model`), so a kill at any moment leaves
the last whole set.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from dfl_tf.disk.durable import pausing
from dfl_tf.formats import ModelState

REST = 4.0
"""Seconds of rest for a second of work: of two cores, a tenth is taken from the training."""


class _Rest:
    """Rests for a multiple of the time that the calling thread has worked since the last rest."""

    def __init__(self, hurry: threading.Event) -> None:
        self._hurry, self._worked = hurry, time.thread_time()

    def __call__(self) -> None:
        worked, self._worked = self._worked, time.thread_time()
        if not self._hurry.is_set():
            self._hurry.wait(REST * (self._worked - worked))


class Saver:
    """Runs one write at a time in a thread of its own.

    Parameters
    ----------
    write : callable
        ``write(state, **more)``; called in the thread.
    """

    def __init__(self, write: Callable[..., None]) -> None:
        self._write = write
        self._thread: threading.Thread | None = None
        self._hurry = threading.Event()
        self._error: BaseException | None = None
        self._saved: int | None = None

    @property
    def saved_iteration(self) -> int | None:
        """The iteration of the last save that is whole on disk, None before the first."""
        return self._saved

    @property
    def failed(self) -> bool:
        """Whether a save failed and that has not been reported yet; `wait` raises its error."""
        return self._error is not None

    def submit(
        self, state: ModelState, after: Callable[[], None] | None = None, **more: object
    ) -> None:
        """Start writing; waits for the write before.

        The arrays of `state` must not change until that is done. The thread rests between pieces,
        so that the next iterations are hardly slower, until somebody waits for it. `after` is
        called in it when the files are written, or writing has failed; it must not fail.

        Raises
        ------
        Exception
            Whatever made the write before fail.
        """
        self.wait()

        self._hurry.clear()

        def work() -> None:
            try:
                with pausing(_Rest(self._hurry)):
                    self._write(state, **more)
                self._saved = state.iteration
            except BaseException as error:
                self._error = error
            if after is not None:
                after()

        # Not a daemon: the interpreter never ends in the middle of a write.
        self._thread = threading.Thread(target=work, name="dfl-tf save")
        self._thread.start()

    def join(self) -> None:
        """Wait until nothing is being written; `wait` still tells what failed."""
        if self._thread is not None:
            self._hurry.set()
            self._thread.join()
            self._thread = None

    def wait(self) -> None:
        """Wait until nothing is being written.

        Raises
        ------
        Exception
            Whatever made the last write fail; raised once.
        """
        self.join()
        if self._error is not None:
            error, self._error = self._error, None
            raise error
