"""Orders in which each face is followed by the one most (or least) like it."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Image = npt.NDArray[np.uint8]

LONGEST_CHAIN = 20000
_MOST_CHUNKS = 12
_ROWS = 2048  # rows of a distance matrix that are held at once
_TABLE = 4096  # faces whose distances are all computed first, which needs 128 MiB
_ROUNDING = 1e-14
_TIE = 1e-12
_POOL = 16  # pixels of a block at least, and blocks of a side at most


def histogram_roots(histograms: npt.ArrayLike) -> Floats:
    """Square roots of normalized histograms: their dot products are Bhattacharyya coefficients.

    Parameters
    ----------
    histograms : array_like, shape (..., bins)
        Counts, not all zero.

    Returns
    -------
    ndarray, shape (..., bins), float64
    """
    counts = np.asarray(histograms, dtype=np.float64)
    return np.sqrt(counts / counts.sum(axis=-1, keepdims=True))


def bhattacharyya(roots: Floats, others: Floats) -> Floats:
    """Bhattacharyya distances ``sqrt(1 - sum(sqrt(p * q)))`` of all pairs of two sets.

    Parameters
    ----------
    roots, others : ndarray, shape (n, bins) and (m, bins), float64
        See `histogram_roots`.

    Returns
    -------
    ndarray, shape (n, m), float64, in [0, 1]
        0 where the histograms are equal to rounding.

    References
    ----------
    OpenCV, ``HISTCMP_BHATTACHARYYA``; facesets.md 4.2.
    """
    rest = 1.0 - roots @ others.T
    rest[rest < _ROUNDING] = 0.0
    return np.sqrt(rest, out=rest)


def dissimilarity(roots: Floats) -> Floats:
    """Sum of the Bhattacharyya distances of each histogram to all others; shape (n,), float64.

    Parameters
    ----------
    roots : ndarray, shape (n, bins), float64
        See `histogram_roots`.
    """
    sums = np.empty(len(roots))
    for start in range(0, len(roots), _ROWS):
        rows = slice(start, start + _ROWS)
        sums[rows] = bhattacharyya(roots[rows], roots).sum(axis=1)
    return sums


def histogram_chain(roots: Floats) -> list[int]:
    """Chain color histograms greedily, each followed by the most similar of the rest.

    The next one changes places with the one that stood there, so the order of the rest is
    disturbed; this decides between equal distances (kept for compatibility: facesets.md 4.1).
    More than 20000 are chained in chunks, one after the other.

    Parameters
    ----------
    roots : ndarray, shape (n, channels, bins), float64
        See `histogram_roots`. The distance is the sum over the channels.

    Returns
    -------
    list of int
        A permutation; the first stays first.
    """
    count = len(roots)
    size = LONGEST_CHAIN
    if count > size * _MOST_CHUNKS:
        size = int(count / 11.9)
    order: list[int] = []
    for start in range(0, count, size):
        order += [start + i for i in _chain_of_chunk(roots[start : start + size])]
    return order


def _chain_of_chunk(roots: Floats) -> list[int]:
    order = np.arange(len(roots))
    channels = [np.ascontiguousarray(roots[:, channel]) for channel in range(roots.shape[1])]
    table = None
    if len(roots) <= _TABLE:
        table = np.zeros((len(roots), len(roots)))
        for channel in channels:
            table += bhattacharyya(channel, channel)
        channels = []
    for i in range(len(roots) - 1):
        if table is not None:
            distances = table[order[i], order[i + 1 :]]
        else:
            distances = sum(bhattacharyya(c[i : i + 1], c[i + 1 :])[0] for c in channels)
        # equal histograms differ in the last bits, as a matrix product sums them differently
        nearest = i + 1 + int(np.argmax(distances <= distances.min() + _TIE))
        for array in (*channels, order):
            array[[i + 1, nearest]] = array[[nearest, i + 1]]
    return [int(i) for i in order]


def image_chain(images: Sequence[Image], *, similar: bool = True) -> list[int]:
    """Chain images greedily by the sum of absolute differences, starting with the first.

    Exact, but most differences are never computed: sums over blocks of pixels bound them.

    Parameters
    ----------
    images : sequence of ndarray, shape (h, w, 3), uint8
        All of one shape.
    similar : bool
        Whether the most similar image comes next, or the least similar.

    Returns
    -------
    list of int
        A permutation; of equal differences, the first in the sequence is taken.

    References
    ----------
    facesets.md 4.4.
    """
    if not len(images):
        return []
    sums, spreads = (np.stack(part) for part in zip(*map(_pooled, images), strict=True))
    left = np.arange(1, len(images))
    order = [0]
    while len(left):
        current = order[-1]
        # |a - b| summed over a block is at least |sum a - sum b|, and at most that plus what
        # both images differ from their means
        bound = np.abs(sums[left] - sums[current]).sum(axis=1, dtype=np.int64)
        if not similar:
            bound = -(bound + spreads[left] + spreads[current])
        best, chosen = np.inf, -1
        for place in np.argsort(bound, kind="stable"):
            if bound[place] > best:
                break
            difference = cv2.norm(images[current], images[left[place]], cv2.NORM_L1)
            value = difference if similar else -difference
            if value < best or (value == best and place < chosen):
                best, chosen = value, int(place)
        order.append(int(left[chosen]))
        left = np.delete(left, chosen)
    return order


def _pooled(image: Image) -> tuple[npt.NDArray[np.int32], np.int64]:
    """Sums over blocks of pixels, and the sum of all differences from the blocks' means."""
    height, width, _ = image.shape
    pool = max(_POOL, -(-max(height, width) // _POOL))
    rows, columns = np.arange(0, height, pool), np.arange(0, width, pool)
    sums = np.add.reduceat(np.add.reduceat(image, rows, 0, dtype=np.int32), columns, 1)
    counts = np.outer(np.diff(np.append(rows, height)), np.diff(np.append(columns, width)))
    means = (sums / counts[:, :, None]).repeat(pool, 0)[:height].repeat(pool, 1)[:, :width]
    return sums.reshape(-1), np.int64(np.ceil(np.abs(image - means).sum()))
