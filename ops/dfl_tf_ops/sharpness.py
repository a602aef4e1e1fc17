"""Sharpness of an image: the share of its edges that are too narrow for their blur to be seen."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from dfl_tf_ops.jit import njit

BLOCK = 64
"""Side of the blocks that are pooled, in pixels."""
EDGE_PIXELS = 0.002 * BLOCK * BLOCK
"""A block counts if more pixels than this are edges."""

_REACH = 100  # pixels that an edge is followed to each side
_INVISIBLE = 63  # percent of observers who would notice the blur of an edge of just this width
_POWER = 3.6


def sharpness(gray: npt.NDArray[np.uint8], edges: npt.NDArray[np.bool_]) -> float:
    """Estimate the sharpness of an image by the probability of noticing the blur of its edges.

    For the edges of all 64x64 blocks that hold enough of them, with width ``v``, the probability
    that the blur is noticed is ``p = 1 - exp(-(v / w) ** 3.6)`` with ``w = 5`` in blocks of low
    contrast and 3 in others. The result is the share of edges with ``p`` of at most 63 %.

    Parameters
    ----------
    gray : ndarray, shape (h, w), uint8
    edges : ndarray, shape (h, w), bool
        Edge pixels, as `dfl_tf_ops.canny.canny` finds them. They only decide which blocks count.

    Returns
    -------
    float
        In [0, 1]; larger is sharper. 0 for images without edges or smaller than a block.

    Raises
    ------
    ValueError
        If the shapes differ.

    References
    ----------
    N. Narvekar and L. Karam, "A no-reference image blur metric based on the cumulative probability
    of blur detection (CPBD)", IEEE Transactions on Image Processing 20(9), 2011.
    """
    if gray.ndim != 2 or gray.shape != edges.shape:
        raise ValueError(f"gray {gray.shape} and edges {edges.shape} must be of one (h, w) shape")
    if min(gray.shape) < BLOCK:
        return 0.0
    return float(_sharpness(np.ascontiguousarray(gray), np.ascontiguousarray(edges)))


@njit
def _gradient(gray: npt.NDArray[np.uint8], r: int, c: int) -> tuple[float, float]:
    """Central differences, one-sided at the borders, as `numpy.gradient`."""
    height, width = gray.shape
    if c == 0:
        gx = float(gray[r, 1]) - float(gray[r, 0])
    elif c == width - 1:
        gx = float(gray[r, c]) - float(gray[r, c - 1])
    else:
        gx = (float(gray[r, c + 1]) - float(gray[r, c - 1])) / 2.0
    if r == 0:
        gy = float(gray[1, c]) - float(gray[0, c])
    elif r == height - 1:
        gy = float(gray[r, c]) - float(gray[r - 1, c])
    else:
        gy = (float(gray[r + 1, c]) - float(gray[r - 1, c])) / 2.0
    return gy, gx


@njit
def _strength(gray: npt.NDArray[np.uint8]) -> npt.NDArray[np.int32]:
    """Square of 8 times the horizontal Sobel derivative; the borders are mirrored."""
    height, width = gray.shape
    strength = np.empty((height, width), np.int32)
    mean = np.empty(width + 2, np.int32)
    for r in range(height):
        upper, here, lower = gray[max(r - 1, 0)], gray[r], gray[min(r + 1, height - 1)]
        for c in range(width):
            mean[c + 1] = np.int32(upper[c]) + 2 * np.int32(here[c]) + np.int32(lower[c])
        mean[0], mean[width + 1] = mean[1], mean[width]
        for c in range(width):
            g = mean[c + 2] - mean[c]
            strength[r, c] = g * g
    return strength


@njit
def _is_edge(strength: npt.NDArray[np.int32], r: int, c: int, threshold: float) -> bool:
    """Whether an inner pixel is a ridge of `strength` in its row or column."""
    here = strength[r, c]
    if here <= threshold:
        return False
    left, right = strength[r, c - 1], strength[r, c + 1]
    upper, lower = strength[r - 1, c], strength[r + 1, c]
    # what is below the threshold counts as 0, which `here` is above anyhow
    return (here > left and here > right) or (here > upper and here > lower)


@njit
def _extent(gray: npt.NDArray[np.uint8], r: int, c: int, step: int, rising: bool) -> int:
    """Pixels from an edge at column `c` to where the gray level stops rising (or falling)."""
    width = gray.shape[1]
    for m in range(_REACH + 1):
        inner = c + step * (1 + m)
        outer = inner + step
        if outer < 0 or outer >= width:
            return m + 1
        change = float(gray[r, outer]) - float(gray[r, inner])
        if (rising and change <= 0) or (not rising and change >= 0):
            return m + 1
    return _REACH + 1


@njit
def _width(gray: npt.NDArray[np.uint8], r: int, c: int) -> int:
    """Width of a vertical edge in pixels; 0 for an edge of another direction."""
    gy, gx = _gradient(gray, r, c)
    quarter = 0.0
    if gx != 0.0:
        quarter = np.rint(math.atan2(gy, gx) * 180.0 / math.pi / 45.0)
    if quarter == 0.0:
        return _extent(gray, r, c, -1, False) + _extent(gray, r, c, 1, True)
    if abs(quarter) == 4.0:
        return _extent(gray, r, c, -1, True) + _extent(gray, r, c, 1, False)
    return 0


@njit
def _has_direction(gray: npt.NDArray[np.uint8]) -> bool:
    """Whether the gradient of any pixel has an angle other than 0."""
    for r in range(gray.shape[0]):
        for c in range(gray.shape[1]):
            gy, gx = _gradient(gray, r, c)
            if gx < 0.0 or (gx != 0.0 and gy != 0.0):
                return True
    return False


@njit
def _sharpness(gray: npt.NDArray[np.uint8], edges: npt.NDArray[np.bool_]) -> float:
    if not _has_direction(gray):
        return 0.0
    height, width = gray.shape
    strength = _strength(gray)
    threshold = 64 * (2.0 * math.sqrt(strength.sum() / 64 / strength.size))
    found = 0
    sharp = 0
    for top in range(0, height - BLOCK + 1, BLOCK):
        for left in range(0, width - BLOCK + 1, BLOCK):
            count = 0
            low, high = gray[top, left], gray[top, left]
            for r in range(top, top + BLOCK):
                for c in range(left, left + BLOCK):
                    count += edges[r, c]
                    low, high = min(low, gray[r, c]), max(high, gray[r, c])
            if count <= EDGE_PIXELS:
                continue
            just_noticeable = 5.0 if int(high) - int(low) <= 50 else 3.0
            for r in range(max(top, 1), min(top + BLOCK, height - 1)):
                for c in range(max(left, 1), min(left + BLOCK, width - 1)):
                    if not _is_edge(strength, r, c, threshold):
                        continue
                    v = _width(gray, r, c)
                    if v == 0:
                        continue
                    p = 1.0 - math.exp(-((v / just_noticeable) ** _POWER))
                    found += 1
                    sharp += np.rint(100.0 * p) <= _INVISIBLE
    return sharp / found if found else 0.0
