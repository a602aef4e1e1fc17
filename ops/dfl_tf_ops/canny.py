"""Edges of gray images by Canny's method, at one scale and with fixed thresholds."""

from __future__ import annotations

import math
import threading
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
    work = _scratch.of(gray.shape)
    edges = np.zeros(gray.shape, np.bool_)
    _canny(np.ascontiguousarray(gray), _WEIGHTS, _inside(*gray.shape), work, edges)
    return edges


def _gaussian() -> Floats:
    x = np.arange(-_REACH, _REACH + 1)
    weights = np.exp(-0.5 * x**2)
    return (weights / weights.sum())[_REACH:]


_WEIGHTS = _gaussian()


class _Scratch(threading.local):
    """Arrays that a thread uses again for images of one shape; new ones cost more than the work."""

    def __init__(self) -> None:
        self._arrays = np.empty((4, 0, 0))

    def of(self, shape: tuple[int, ...]) -> Floats:
        """Four arrays of a shape, with whatever is in them."""
        if self._arrays.shape[1:] != shape:
            self._arrays = np.empty((4, *shape))
        return self._arrays


_scratch = _Scratch()


@lru_cache(maxsize=8)
def _inside(height: int, width: int) -> Floats:
    """Share of the Gaussian that lies within the image."""
    share = np.empty((height, width))
    _smooth(np.ones((height, width), np.uint8), _WEIGHTS, share)
    return share + np.finfo(np.float64).eps


@njit
def _canny(
    gray: npt.NDArray[np.uint8], weights: Floats, inside: Floats, work: Floats, edges: Bools
) -> None:
    smoothed, down, right, strength = work[0], work[1], work[2], work[3]
    _smooth(gray, weights, smoothed)
    for r in range(gray.shape[0]):
        for c in range(gray.shape[1]):
            smoothed[r, c] /= inside[r, c]
    _differentiate(smoothed, down, right)
    for r in range(gray.shape[0]):
        for c in range(gray.shape[1]):
            y, x = down[r, c], right[r, c]
            strength[r, c] = math.sqrt(y * y + x * x)
    ridges = smoothed  # which is not needed any more
    _keep_ridges(down, right, strength, ridges)
    _follow(ridges, edges)


@njit
def _smooth(gray: npt.NDArray[np.uint8], weights: Floats, result: Floats) -> None:
    """Gaussian, first along columns, then along rows; 0 beyond the borders."""
    height, width = gray.shape
    reach = len(weights) - 1
    line = np.zeros(width + 2 * reach)
    inner = line[reach : reach + width]
    black = np.zeros(width, np.uint8)
    for r in range(height):
        for c in range(width):
            inner[c] = float(gray[r, c]) * weights[0]
        for k in range(reach, 0, -1):
            upper = gray[r - k] if r >= k else black
            lower = gray[r + k] if r + k < height else black
            for c in range(width):
                inner[c] += (float(upper[c]) + float(lower[c])) * weights[k]
        for c in range(width):
            result[r, c] = inner[c] * weights[0]
        for k in range(reach, 0, -1):
            for c in range(width):
                result[r, c] += (line[c + reach - k] + line[c + reach + k]) * weights[k]


@njit
def _differentiate(image: Floats, down: Floats, right: Floats) -> None:
    """Sobel derivatives along columns and along rows; the border pixels are repeated."""
    height, width = image.shape
    step, mean = np.empty(width), np.empty(width)
    for r in range(height):
        upper, here, lower = image[max(r - 1, 0)], image[r], image[min(r + 1, height - 1)]
        for c in range(width):
            step[c] = lower[c] - upper[c]
        for c in range(1, width - 1):
            down[r, c] = step[c] * 2.0 + (step[c - 1] + step[c + 1])
        down[r, 0] = step[0] * 2.0 + (step[0] + step[1])
        down[r, width - 1] = step[width - 1] * 2.0 + (step[width - 2] + step[width - 1])
        for c in range(width):
            mean[c] = here[c] * 2.0 + (upper[c] + lower[c])
        for c in range(1, width - 1):
            right[r, c] = mean[c + 1] - mean[c - 1]
        right[r, 0] = mean[1] - mean[0]
        right[r, width - 1] = mean[width - 1] - mean[width - 2]


@njit
def _keep_ridges(down: Floats, right: Floats, strength: Floats, kept: Floats) -> None:
    """The gradient where it is at least as strong as to both sides of the edge, else 0."""
    height, width = strength.shape
    kept[:] = 0.0
    for r in range(1, height - 1):
        for c in range(1, width - 1):
            here = strength[r, c]
            if here < LOW:
                continue
            y, x = down[r, c], right[r, c]
            side = 1 if (y >= 0 and x >= 0) or (y <= 0 and x <= 0) else -1
            if abs(y) > abs(x):
                weight = abs(x) / abs(y)
                after = strength[r + 1, c + side] * weight + strength[r + 1, c] * (1 - weight)
                before = strength[r - 1, c - side] * weight + strength[r - 1, c] * (1 - weight)
            else:
                weight = abs(y) / abs(x)
                after = strength[r + side, c + 1] * weight + strength[r, c + 1] * (1 - weight)
                before = strength[r - side, c - 1] * weight + strength[r, c - 1] * (1 - weight)
            if after <= here and before <= here:
                kept[r, c] = here


@njit
def _follow(ridges: Floats, edges: Bools) -> None:
    """Ridges that are connected to a strong one."""
    height, width = ridges.shape
    waiting = np.empty(height * width, np.int32)
    for r in range(1, height - 1):
        for c in range(1, width - 1):
            if edges[r, c] or ridges[r, c] < HIGH:
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
