"""Saves a model while training goes on: copy to memory first, write in a thread.

One save runs at a time: a later one, a backup and the end of the run wait for the one before.
The files are written as one transaction (`formats.write_model`), so a kill at any moment leaves
the last whole set.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from dfl_tf.formats import ModelState
from dfl_tf.formats.loss_history import LossHistory

if TYPE_CHECKING:
    from dfl_tf.formats.models.tensor import Tensor


def own_arrays(state: ModelState) -> ModelState:
    """The state with every array owning its memory, so that training can not change it.

    Arrays that already own their memory (copies of variables) are taken as they are.
    """
    return replace(
        state,
        tensors={
            part: {name: _owned(array) for name, array in arrays.items()}
            for part, arrays in state.tensors.items()
        },
        loss_history=LossHistory.of(state.loss_history),
        options=dict(state.options),
        extra=dict(state.extra),
        run=dict(state.run),
    )


def _owned(value: Tensor) -> Tensor:
    if isinstance(value, np.ndarray):
        return value if value.flags.owndata else value.copy()
    # A NumPy scalar ("iters:0") stays one: the files of the legacy program hold it so.
    return value


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

    def submit(self, state: ModelState, **more: object) -> None:
        """Start writing; waits for the write before.

        Raises
        ------
        Exception
            Whatever made the write before fail.
        """
        self.wait()
        owned = own_arrays(state)

        def work() -> None:
            try:
                self._write(owned, **more)
                self._saved = owned.iteration
            except BaseException as error:
                self._error = error

        # Not a daemon: the interpreter never ends in the middle of a write.
        self._thread = threading.Thread(target=work, name="dfl-tf save")
        self._thread.start()

    def wait(self) -> None:
        """Wait until nothing is being written.

        Raises
        ------
        Exception
            Whatever made the last write fail; raised once.
        """
        if self._thread is not None:
            self._thread.join()
            self._thread = None
        if self._error is not None:
            error, self._error = self._error, None
            raise error
