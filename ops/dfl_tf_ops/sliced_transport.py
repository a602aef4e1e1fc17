"""The core of `sot`: sorts along random directions, fifty times an image."""

from __future__ import annotations

import threading

import numpy as np
import numpy.typing as npt

from dfl_tf_ops.jit import njit, njit_inner
from dfl_tf_ops.value_range import value_range

Floats = npt.NDArray[np.float32]
Words = npt.NDArray[np.uint32]

_DIGIT = 13
_BUCKETS = 1 << _DIGIT
MAX_PIXELS = 1 << (32 - _DIGIT)
_LEVELS = 1 << 2 * _DIGIT
_ROOM_BYTES = 4 << 20  # of the target's projections; more of them leave the processor's cache


def transport(source: Floats, target: Floats, directions: Floats) -> Floats:
    """Move the colors of `source` towards those of `target`, step by step.

    In a step every pixel moves, along each direction, by the difference of its own projection and
    the target's projection of the same rank, averaged over the batch.

    The pixels are ranked by a two-pass radix sort on their projections rounded to 2^26 levels of
    the range (no coarser than float32 there), equal ones in the order of the pixels. Of the target
    only the values are needed: NumPy's sort has vector instructions for that.

    Parameters
    ----------
    source, target : ndarray, shape (3, n), float32, n at most MAX_PIXELS
    directions : ndarray, shape (steps, batch, 3), float32
        Unit vectors.

    Returns
    -------
    ndarray, shape (3, n), float32

    References
    ----------
    data.md 6.1 (sot).
    """
    new, target = source.copy(), np.ascontiguousarray(target)
    batch, pixels = directions.shape[1], target.shape[1]
    # Steps together: each call gives the interpreter's lock away and has to get it back.
    together = max(1, _ROOM_BYTES // (4 * batch * pixels))
    for first in range(0, len(directions), together):
        some = directions[first : first + together]
        wanted = _room.take(len(some) * batch, pixels)
        _project_all(target, some, wanted)
        wanted.sort(axis=1)
        _steps(new, wanted, some)
    return new


class _Room(threading.local):
    """Memory of the working thread."""

    def __init__(self) -> None:
        self.values = np.empty(0, np.float32)

    def take(self, rows: int, columns: int) -> Floats:
        if self.values.size < rows * columns:
            self.values = np.empty(rows * columns, np.float32)
        return self.values[: rows * columns].reshape(rows, columns)


_room = _Room()


@njit
def _project_all(planes: Floats, directions: Floats, out: Floats) -> None:
    steps, batch, _ = directions.shape
    for step in range(steps):
        for k in range(batch):
            _project(planes, directions[step, k], out[step * batch + k])


@njit
def _steps(new: Floats, wanted: Floats, directions: Floats) -> None:
    steps, batch, _ = directions.shape
    for step in range(steps):
        _step(new, wanted[step * batch : (step + 1) * batch], directions[step])


@njit_inner
def _project(planes: Floats, direction: Floats, out: Floats) -> None:
    d0, d1, d2 = direction[0], direction[1], direction[2]
    p0, p1, p2 = planes[0], planes[1], planes[2]
    for i in range(out.size):
        out[i] = (p0[i] * d0 + p1[i] * d1) + p2[i] * d2


@njit_inner
def _quantize(values: Floats, low: np.float32, high: np.float32, keys: Words) -> None:
    """Round down to 2^26 levels; rounding in float32 may reach one more, which is the last.

    Keys are places in tables: NaN (of a network that has collapsed) and a range so small that the
    scale overflows must give a level, too.
    """
    scale = np.float32(0)
    if high > low:
        scale = np.float32((_LEVELS - 1) / np.float64(high - low))
    for i in range(values.size):
        level = (values[i] - low) * scale
        level = level if level > np.float32(0) else np.float32(0)
        level = level if level < np.float32(_LEVELS) else np.float32(_LEVELS)
        keys[i] = np.uint32(min(np.int32(level), np.int32(_LEVELS - 1)))


@njit_inner
def _step(new: Floats, wanted: Floats, directions: Floats) -> None:
    """Move `new` by the mean over the directions; `wanted` is the target's, sorted, for each."""
    n = new.shape[1]
    batch = directions.shape[0]
    mine, shift = np.empty(n, np.float32), np.empty(n, np.float32)
    keys, half_sorted = np.empty(n, np.uint32), np.empty(n, np.uint32)
    advection = np.zeros((3, n), np.float32)
    low_counts, high_counts = np.empty(_BUCKETS, np.int32), np.empty(_BUCKETS, np.int32)
    digit, index_bits = np.uint32(_DIGIT), np.uint32(32 - _DIGIT)
    low_mask, index_mask = np.uint32(_BUCKETS - 1), np.uint32(MAX_PIXELS - 1)
    for k in range(batch):
        direction = directions[k]
        _project(new, direction, mine)
        low, high = value_range(mine)
        _quantize(mine, low, high, keys)
        low_counts[:] = 0
        high_counts[:] = 0
        for i in range(n):
            low_counts[keys[i] & low_mask] += 1
            high_counts[keys[i] >> digit] += 1
        low_place = high_place = 0
        for j in range(_BUCKETS):
            count = low_counts[j]
            low_counts[j] = low_place
            low_place += count
            count = high_counts[j]
            high_counts[j] = high_place
            high_place += count
        for i in range(n):
            key = keys[i]
            at = low_counts[key & low_mask]
            low_counts[key & low_mask] = at + 1
            half_sorted[at] = ((key >> digit) << index_bits) | np.uint32(i)
        for i in range(n):
            key = half_sorted[i]
            at = high_counts[key >> index_bits]
            high_counts[key >> index_bits] = at + 1
            pixel = key & index_mask
            shift[pixel] = wanted[k, at] - mine[pixel]
        for c in range(3):
            factor = direction[c]
            for i in range(n):
                advection[c, i] += shift[i] * factor
    for c in range(3):
        for i in range(n):
            new[c, i] += advection[c, i] / np.float32(batch)
