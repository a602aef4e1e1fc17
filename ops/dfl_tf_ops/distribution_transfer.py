"""The core of `idt`: histograms matched along the axes of one rotation after the other."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from dfl_tf_ops.jit import njit
from dfl_tf_ops.value_range import value_range

Floats = npt.NDArray[np.float32]
Doubles = npt.NDArray[np.float64]
Bytes = npt.NDArray[np.uint8]
Counts = npt.NDArray[np.int64]

BINS = 256


def transfer(source: Floats, target: Floats, rotations: Floats) -> Floats:
    """Match 256-bin histograms along three axes a rotation, with relaxation 1 / len(rotations).

    Parameters
    ----------
    source, target : ndarray, shape (3, n) and (3, m), float32
    rotations : ndarray, shape (steps, 3, 3), float32

    Returns
    -------
    ndarray, shape (3, n), float32

    References
    ----------
    data.md 6.1 (idt).
    """
    new = source.copy()
    inverses = np.linalg.inv(rotations.astype(np.float64)).astype(np.float32)
    _transfer(new, np.ascontiguousarray(target), np.ascontiguousarray(rotations), inverses)
    return new


@njit
def _rotate(planes: Floats, row: Floats, out: Floats) -> None:
    """One row of rotation times colors, each product and sum rounded once: as BLAS with fused adds.

    Images of 8-bit values have many pixels on the edges of bins, where the last bit decides.
    """
    r0, r1, r2 = np.float64(row[0]), np.float64(row[1]), np.float64(row[2])
    p0, p1, p2 = planes[0], planes[1], planes[2]
    for i in range(out.size):
        x = np.float32(p0[i] * r0)
        x = np.float32(p1[i] * r1 + np.float64(x))
        out[i] = np.float32(p2[i] * r2 + np.float64(x))


@njit
def _find_bins(values: Floats, low: np.float32, high: np.float32, bins: Bytes) -> None:
    """Bin as `numpy.histogram` does: by the edges, the last bin closed."""
    width = (high - low) / np.float32(BINS)
    scale = np.float32(BINS) / (high - low)
    for i in range(values.size):
        x = values[i]
        k = min(np.int32((x - low) * scale), np.int32(BINS - 1))
        edge, next_edge = np.float32(k) * width + low, np.float32(k + 1) * width + low
        k += np.int32((x >= next_edge) & (k < BINS - 1)) - np.int32(x < edge)
        bins[i] = k


@njit
def _count(bins: Bytes, counts: Counts) -> None:
    """Count in four tables in turn: neighbors often share a bin and would wait for its counter."""
    parts = np.zeros((4, BINS), np.int32)
    whole = bins.size // 4 * 4
    for i in range(0, whole, 4):
        parts[0, bins[i]] += 1
        parts[1, bins[i + 1]] += 1
        parts[2, bins[i + 2]] += 1
        parts[3, bins[i + 3]] += 1
    for i in range(whole, bins.size):
        parts[0, bins[i]] += 1
    for k in range(BINS):
        counts[k] = parts[0, k] + parts[1, k] + parts[2, k] + parts[3, k]


@njit
def _transfer(new: Floats, target: Floats, rotations: Floats, inverses: Floats) -> None:
    n, m = new.shape[1], target.shape[1]
    steps = rotations.shape[0]
    relaxation = np.float32(1 / steps)
    mine, theirs = np.empty(n, np.float32), np.empty(m, np.float32)
    my_bins, their_bins = np.empty(n, np.uint8), np.empty(m, np.uint8)
    shift = np.empty((3, n), np.float32)
    edges = np.empty(BINS + 1, np.float32)
    my_counts, their_counts = np.empty(BINS, np.int64), np.empty(BINS, np.int64)
    base, slope = np.empty(BINS, np.float64), np.empty(BINS, np.float64)
    for step in range(steps):
        for axis in range(3):
            _rotate(new, rotations[step, axis], mine)
            _rotate(target, rotations[step, axis], theirs)
            low, high = value_range(mine)
            their_low, their_high = value_range(theirs)
            low, high = min(low, their_low), max(high, their_high)
            if low == high:
                low, high = low - np.float32(0.5), high + np.float32(0.5)
            _set_edges(low, high, edges)
            _find_bins(mine, low, high, my_bins)
            _find_bins(theirs, low, high, their_bins)
            _count(my_bins, my_counts)
            _count(their_bins, their_counts)
            _set_map(my_counts, their_counts, edges, base, slope)
            for i in range(n):
                k = my_bins[i]
                x = np.float64(mine[i])
                moved = np.float32(slope[k] * (x - np.float64(edges[k])) + base[k])
                shift[axis, i] = moved - mine[i]
        for c in range(3):
            i0, i1, i2 = inverses[step, c, 0], inverses[step, c, 1], inverses[step, c, 2]
            for i in range(n):
                new[c, i] += relaxation * ((i0 * shift[0, i] + i1 * shift[1, i]) + i2 * shift[2, i])


@njit
def _set_edges(low: np.float32, high: np.float32, edges: Floats) -> None:
    """Edges of equal bins in float32, as `numpy.histogram` makes them."""
    width = (high - low) / np.float32(BINS)
    for k in range(BINS):
        edges[k] = np.float32(k) * width + low
    edges[BINS] = high


@njit
def _set_map(
    my_counts: Counts, their_counts: Counts, edges: Floats, base: Doubles, slope: Doubles
) -> None:
    """Piecewise-linear map of a value in bin k: slope[k] (x - edges[k]) + base[k]; bin 0 to 0.

    Colors that differ in their last bits only have bins without width.
    """
    my_share = my_counts.cumsum().astype(np.float32)
    their_share = their_counts.cumsum().astype(np.float32)
    my_share /= my_share[-1]
    their_share /= their_share[-1]
    f = np.interp(
        my_share.astype(np.float64), their_share.astype(np.float64), edges[1:].astype(np.float64)
    )
    base[0], slope[0] = 0, 0
    for k in range(1, BINS):
        base[k] = f[k - 1]
        width = np.float64(edges[k + 1]) - np.float64(edges[k])
        slope[k] = (f[k] - f[k - 1]) / width if width > 0 else 0.0
