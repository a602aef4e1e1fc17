"""Memory that each save copies a model to, kept from one save to the next.

Fresh memory costs more than the copying: the kernel clears every page first.
"""

from __future__ import annotations

import contextlib
import threading
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypeGuard

import numpy as np
from dfl_tf_ops.process import cores

from dfl_tf.formats import ModelState
from dfl_tf.formats.loss_history import LossHistory
from dfl_tf.jobs.pool import ordered

if TYPE_CHECKING:
    from dfl_tf.formats.models.tensor import Tensor

_THREADS = 4
_PIECE = 1 << 18
"""Numbers that are copied and looked at in one go."""


@dataclass(frozen=True)
class CopiedState:
    """A state that owns its memory.

    Attributes
    ----------
    state : ModelState
    squares : mapping of str to mapping of str to float
        Sum of the squares of each floating tensor, by part and key; NaN or infinite if a number
        of it is, or may be.
    """

    state: ModelState
    squares: Mapping[str, Mapping[str, float]]


class HostCopies:
    """Copies states into memory that it keeps.

    The arrays of a copy hold until the next one is taken.
    """

    def __init__(self) -> None:
        self._kept: dict[tuple[object, ...], list[np.ndarray]] = {}
        self._ready: threading.Thread | None = None

    def prepare(self, state: ModelState) -> None:
        """Begin to take the memory of the first copy, in a thread.

        Parameters
        ----------
        state : ModelState
            Of the shapes that will be copied; its arrays are not read.
        """
        kinds = [
            (value.shape, value.dtype)
            for tensors in state.tensors.values()
            for value in tensors.values()
            if _is_view(value)
        ]
        self._ready = threading.Thread(target=self._clear, args=(kinds,), daemon=True)
        self._ready.start()

    def wait(self) -> None:
        """Wait until the memory is there that `prepare` takes."""
        if self._ready is not None:
            self._ready.join()
            self._ready = None

    def _clear(self, kinds: Sequence[tuple[tuple[int, ...], np.dtype]]) -> None:
        kept: defaultdict[tuple[object, ...], list[np.ndarray]] = defaultdict(list)
        with contextlib.suppress(MemoryError):  # the save will say so
            for shape, dtype in kinds:
                array = np.empty(shape, dtype)
                array.fill(0)
                kept[shape, dtype.str].append(array)
        self._kept = dict(kept)

    def take(self, state: ModelState) -> CopiedState:
        """Copy a state; the loss history and what is no array are copied, too.

        Parameters
        ----------
        state : ModelState
            Its arrays may be views of memory that changes with the next step. Those that own
            their memory are taken as they are.
        """
        self.wait()
        free = {kind: list(arrays) for kind, arrays in self._kept.items()}
        used: defaultdict[tuple[object, ...], list[np.ndarray]] = defaultdict(list)
        places = {
            part: {key: _place(value, free, used) for key, value in tensors.items()}
            for part, tensors in state.tensors.items()
        }
        self._kept = dict(used)
        pairs = [
            (value, places[part][key])
            for part, tensors in state.tensors.items()
            for key, value in tensors.items()
        ]
        workers = min(_THREADS, cores())
        done = ordered(lambda pair: _fill(*pair), pairs, workers=workers, ahead=len(pairs))
        sums = iter([outcome.get() for outcome in done])
        squares = {part: {key: next(sums) for key in places[part]} for part in places}
        owned = replace(
            state,
            tensors=places,
            loss_history=LossHistory.of(state.loss_history),
            options=dict(state.options),
            extra=dict(state.extra),
            run=dict(state.run),
        )
        return CopiedState(owned, squares)


def _place(
    value: Tensor,
    free: dict[tuple[object, ...], list[np.ndarray]],
    used: dict[tuple[object, ...], list[np.ndarray]],
) -> Tensor:
    """Return the array that a value is copied to; itself, if that owns its memory."""
    # A NumPy scalar ("iters:0") stays one: the files of the legacy program hold it so.
    if not _is_view(value):
        return value
    kind = (value.shape, value.dtype.str)
    place = free[kind].pop() if free.get(kind) else np.empty(value.shape, value.dtype)
    used[kind].append(place)
    return place


def _is_view(value: Tensor) -> TypeGuard[np.ndarray]:
    return isinstance(value, np.ndarray) and not value.flags.owndata


def _fill(value: Tensor, place: Tensor) -> float:
    """Copy an array, unless it is its own place; returns the sum of its squares.

    A piece that was just copied is still in the processor's cache when its squares are added up.
    """
    if not isinstance(place, np.ndarray) or place is value:
        return sum_of_squares(place)
    if not np.asarray(value).flags.c_contiguous:
        np.copyto(place, value)
        return sum_of_squares(place)
    source, target, total = np.asarray(value).reshape(-1), place.reshape(-1), 0.0
    for start in range(0, source.size, _PIECE):
        piece = target[start : start + _PIECE]
        np.copyto(piece, source[start : start + _PIECE])
        total += sum_of_squares(piece)
    return total


def sum_of_squares(value: Tensor) -> float:
    """Return the sum of the squares of a tensor of any shape; 0 if its dtype is not floating."""
    if not np.issubdtype(value.dtype, np.floating):
        return 0.0
    flat = np.asarray(value, np.float32).ravel()
    with np.errstate(over="ignore", invalid="ignore"):
        return float(np.vdot(flat, flat))
