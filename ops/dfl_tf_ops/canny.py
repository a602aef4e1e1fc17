"""Edges of gray images by Canny's method, at one scale and with fixed thresholds."""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from dfl_tf_ops.jit import njit

LOW, HIGH = 0.1, 0.2
"""Thresholds of the gradient in gray levels: edges end at the low one and need the high one."""

_REACH = 4  # standard deviations of the Gaussian, whose sigma is 1 pixel

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]


def canny(gray: npt.NDArray[np.uint8]) -> Bools:
    """Find the edges of an image.

    A Gaussian of 1 pixel (black beyond the borders, and weighted by what lies within), Sobel
    derivatives, ridges of the gradient between its interpolated neighbors, and hysteresis over
    eight neighbors.

    Parameters
    ----------
    gray : ndarray, shape (h, w), uint8
        At least 2 pixels to a side.

    Returns
    -------
    ndarray, shape (h, w), bool
        What ``skimage.feature.canny(gray.astype(float))`` returns.

    Raises
    ------
    ValueError
        If the shape is another.

    References
    ----------
    J. Canny, "A computational approach to edge detection", IEEE Transactions on Pattern Analysis
    and Machine Intelligence 8(6), 1986.
    """
    if gray.ndim != 2 or min(gray.shape) < 2:
        raise ValueError(f"gray must be (h, w) of 2 pixels or more. Received: {gray.shape}")
    edges = np.zeros(gray.shape, np.bool_)
    _canny(np.ascontiguousarray(gray), _WEIGHTS, _inside(*gray.shape), edges)
    return edges


def _gaussian() -> Floats:
    x = np.arange(-_REACH, _REACH + 1)
    weights = np.exp(-0.5 * x**2)
    return (weights / weights.sum())[_REACH:]


_WEIGHTS = _gaussian()


@lru_cache(maxsize=8)
def _inside(height: int, width: int) -> Floats:
    """Share of the Gaussian that lies within the image; rows that are alike are given once."""
    height = min(height, 2 * _REACH + 1)
    ones, share = np.ones((height, width), np.uint8), np.empty((height, width))
    for r in range(height):
        _smooth(ones, r, _WEIGHTS, np.zeros(width + 2 * _REACH), share[r])
    return share + np.finfo(np.float64).eps


@njit
def _canny(gray: npt.NDArray[np.uint8], weights: Floats, inside: Floats, edges: Bools) -> None:
    """Row after row, of which three are at hand, since the memory is slower than the work."""
    height, width = gray.shape
    reach = len(weights) - 1
    smoothed, strength = np.empty((3, width)), np.empty((3, width))
    down, right = np.empty((2, width)), np.empty((2, width))
    line, step, mean = np.zeros(width + 2 * reach), np.empty(width), np.empty(width)
    ridges = np.zeros((height, width), np.uint8)
    for r in range(height + 1):
        if r < height:
            here = smoothed[r % 3]
            _smooth(gray, r, weights, line, here)
            share = inside[r if r < reach else max(len(inside) - height + r, reach)]
            for c in range(width):
                here[c] /= share[c]
        if r == 0:
            continue
        at = r - 1  # the row before has all of its neighbors now
        y, x, power = down[at % 2], right[at % 2], strength[at % 3]
        upper, lower = smoothed[max(at - 1, 0) % 3], smoothed[min(at + 1, height - 1) % 3]
        _differentiate(upper, smoothed[at % 3], lower, step, mean, y, x)
        for c in range(width):
            power[c] = math.sqrt(y[c] * y[c] + x[c] * x[c])
        if at >= 2:
            i = at - 1
            _keep_ridges(
                strength[(i - 1) % 3], strength[i % 3], power, down[i % 2], right[i % 2], ridges[i]
            )
    _follow(ridges, edges)


@njit
def _smooth(
    gray: npt.NDArray[np.uint8], r: int, weights: Floats, line: Floats, result: Floats
) -> None:
    """A row of the Gaussian, first along columns, then along rows; 0 beyond the borders."""
    height, width = gray.shape
    reach = len(weights) - 1
    inner = line[reach : reach + width]
    for c in range(width):
        inner[c] = float(gray[r, c]) * weights[0]
    for k in range(reach, 0, -1):
        if r >= k and r + k < height:
            upper, lower = gray[r - k], gray[r + k]
            for c in range(width):
                inner[c] += (float(upper[c]) + float(lower[c])) * weights[k]
        elif r >= k or r + k < height:
            only = gray[r - k if r >= k else r + k]
            for c in range(width):
                inner[c] += float(only[c]) * weights[k]
    for c in range(width):
        result[c] = inner[c] * weights[0]
    for k in range(reach, 0, -1):
        for c in range(width):
            result[c] += (line[c + reach - k] + line[c + reach + k]) * weights[k]


@njit
def _differentiate(
    upper: Floats,
    here: Floats,
    lower: Floats,
    step: Floats,
    mean: Floats,
    down: Floats,
    right: Floats,
) -> None:
    """A row of the Sobel derivatives along columns and along rows; border pixels are repeated."""
    width = len(here)
    for c in range(width):
        step[c] = lower[c] - upper[c]
        mean[c] = here[c] * 2.0 + (upper[c] + lower[c])
    for c in range(1, width - 1):
        down[c] = step[c] * 2.0 + (step[c - 1] + step[c + 1])
        right[c] = mean[c + 1] - mean[c - 1]
    down[0] = step[0] * 2.0 + (step[0] + step[1])
    down[width - 1] = step[width - 1] * 2.0 + (step[width - 2] + step[width - 1])
    right[0] = mean[1] - mean[0]
    right[width - 1] = mean[width - 1] - mean[width - 2]


@njit
def _keep_ridges(
    above: Floats,
    power: Floats,
    below: Floats,
    down: Floats,
    right: Floats,
    ridges: npt.NDArray[np.uint8],
) -> None:
    """Where a row is at least as strong as to both sides of the edge: 2 from HIGH on, else 1."""
    for c in range(1, len(power) - 1):
        here = power[c]
        if here < LOW:
            continue
        y, x = down[c], right[c]
        side = 1 if (y >= 0 and x >= 0) or (y <= 0 and x <= 0) else -1
        if abs(y) > abs(x):
            weight = abs(x) / abs(y)
            after = below[c + side] * weight + below[c] * (1 - weight)
            before = above[c - side] * weight + above[c] * (1 - weight)
        else:
            weight = abs(y) / abs(x)
            far, near = (below, above) if side > 0 else (above, below)
            after = far[c + 1] * weight + power[c + 1] * (1 - weight)
            before = near[c - 1] * weight + power[c - 1] * (1 - weight)
        if after <= here and before <= here:
            ridges[c] = 2 if here >= HIGH else 1


@njit
def _follow(ridges: npt.NDArray[np.uint8], edges: Bools) -> None:
    """Ridges that are connected to a strong one."""
    height, width = ridges.shape
    waiting = np.empty(height * width, np.int32)
    for r in range(1, height - 1):
        for c in range(1, width - 1):
            if edges[r, c] or ridges[r, c] != 2:
                continue
            edges[r, c] = True
            waiting[0] = r * width + c
            count = 1
            while count:
                count -= 1
                i, j = waiting[count] // width, waiting[count] % width
                for y in range(i - 1, i + 2):
                    for x in range(j - 1, j + 2):
                        if ridges[y, x] > 0 and not edges[y, x]:
                            edges[y, x] = True
                            waiting[count] = y * width + x
                            count += 1
