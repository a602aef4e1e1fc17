"""The core of `sot`: sorts along random directions, fifty times an image."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from dfl_tf_ops.jit import njit

Floats = npt.NDArray[np.float32]
Words = npt.NDArray[np.uint32]

_DIGIT = 13
_BUCKETS = 1 << _DIGIT
MAX_PIXELS = 1 << (32 - _DIGIT)
_LEVELS = 1 << 2 * _DIGIT


def transport(source: Floats, target: Floats, directions: Floats) -> Floats:
    """Move the colors of `source` towards those of `target`, step by step.

    In a step every pixel moves, along each direction, by the difference of its own projection and
    the target's projection of the same rank, averaged over the batch.

    Ranks are found by a two-pass radix sort on the projections rounded to 2^26 levels of their
    range (no coarser than float32 there), equal ones in the order of the pixels.

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
    data.md 6.1 (sot), performance.md 7.1.
    """
    new = source.copy()
    _transport(new, np.ascontiguousarray(target), directions)
    return new


@njit
def _project(planes: Floats, direction: Floats, out: Floats) -> tuple[np.float32, np.float32]:
    """Project all pixels; return the range of the result."""
    d0, d1, d2 = direction[0], direction[1], direction[2]
    p0, p1, p2 = planes[0], planes[1], planes[2]
    for i in range(out.size):
        out[i] = (p0[i] * d0 + p1[i] * d1) + p2[i] * d2
    low, high = out[0], out[0]
    for i in range(out.size):
        low = min(low, out[i])
        high = max(high, out[i])
    return low, high


@njit
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


@njit
def _transport(new: Floats, target: Floats, directions: Floats) -> None:
    n = new.shape[1]
    steps, batch = directions.shape[:2]
    mine, theirs = np.empty(n, np.float32), np.empty(n, np.float32)
    my_keys, their_keys = np.empty(n, np.uint32), np.empty(n, np.uint32)
    packed, half_sorted = np.empty(n, np.uint32), np.empty(n, np.uint32)
    wanted, shift = np.empty(n, np.float32), np.empty(n, np.float32)
    advection = np.empty((3, n), np.float32)
    counts = np.empty((4, _BUCKETS), np.int32)
    index_mask = np.uint32((1 << (32 - _DIGIT)) - 1)
    low_mask = np.uint32(_BUCKETS - 1)
    digit = np.uint32(_DIGIT)
    index_bits = np.uint32(32 - _DIGIT)
    for step in range(steps):
        advection[:] = 0
        for k in range(batch):
            direction = directions[step, k]
            low, high = _project(new, direction, mine)
            _quantize(mine, low, high, my_keys)
            low, high = _project(target, direction, theirs)
            _quantize(theirs, low, high, their_keys)
            counts[:] = 0
            for i in range(n):
                a, b = my_keys[i], their_keys[i]
                counts[0, a & low_mask] += 1
                counts[1, a >> digit] += 1
                counts[2, b & low_mask] += 1
                counts[3, b >> digit] += 1
            for c in range(4):
                place = 0
                for j in range(_BUCKETS):
                    count = counts[c, j]
                    counts[c, j] = place
                    place += count
            for i in range(n):
                a, b = my_keys[i], their_keys[i]
                at = counts[0, a & low_mask]
                counts[0, a & low_mask] = at + 1
                packed[at] = ((a >> digit) << index_bits) | np.uint32(i)
                at = counts[2, b & low_mask]
                counts[2, b & low_mask] = at + 1
                half_sorted[at] = ((b >> digit) << index_bits) | np.uint32(i)
            for i in range(n):
                b = half_sorted[i]
                at = counts[3, b >> index_bits]
                counts[3, b >> index_bits] = at + 1
                wanted[at] = theirs[b & index_mask]
            for i in range(n):
                a = packed[i]
                at = counts[1, a >> index_bits]
                counts[1, a >> index_bits] = at + 1
                pixel = a & index_mask
                shift[pixel] = wanted[at] - mine[pixel]
            for c in range(3):
                factor = direction[c]
                for i in range(n):
                    advection[c, i] += shift[i] * factor
        for c in range(3):
            for i in range(n):
                new[c, i] += advection[c, i] / np.float32(batch)
