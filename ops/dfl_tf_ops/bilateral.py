"""The bilateral filter of `sot`, for changes of color that are small against `sigma_color`."""

from __future__ import annotations

import math
from functools import lru_cache

import cv2
import numpy as np
import numpy.typing as npt

from dfl_tf_ops.jit import njit_fused

FloatPlanes = npt.NDArray[np.float32]
Float = np.float32
FivePowers = tuple[Float, Float, Float, Float, Float]

_DEGREE = 4
_SLACK = 3  # neighbors are taken four at a time: the last ones may lie outside, with weight 0
_MAX_WEIGHT_ERROR = 1e-6


def bilateral_filter(planes: FloatPlanes, sigma_color: float, sigma_space: float) -> FloatPlanes:
    """Filter as ``cv2.bilateralFilter(image, 0, sigma_color, sigma_space)``, several times faster.

    Each pixel becomes the mean of its neighbors within radius round(1.5 sigma_space), weighted by
    exp(-r^2 / (2 sigma_space^2)) exp(-d^2 / (2 sigma_color^2)), d the sum over channels of the
    absolute differences; the border is reflected without repeating the edge.

    The color weight is a polynomial in d^2, within 1e-6 of the exponential over the differences
    that the image can have. Where the spread of the image is too large for that, or the image
    smaller than the window, OpenCV does the work.

    Parameters
    ----------
    planes : ndarray, shape (3, h, w), float32
        One plane a channel, any range.
    sigma_color, sigma_space : float
        In units of the values, and in pixels.

    Returns
    -------
    ndarray, shape (3, h, w), float32

    References
    ----------
    data.md 6.1 (sot), design decision 26.
    """
    radius = max(1, round(1.5 * sigma_space))
    spread = sum(float(plane.max()) - float(plane.min()) for plane in planes)
    largest = spread**2 / (2 * sigma_color**2)
    error = 2 * (largest / 4) ** (_DEGREE + 1) / math.factorial(_DEGREE + 1)
    height, width = planes.shape[1:]
    if not error <= _MAX_WEIGHT_ERROR or min(height, width) <= radius:
        image = np.ascontiguousarray(planes.transpose(1, 2, 0))
        image = cv2.bilateralFilter(image, 0, sigma_color, sigma_space)
        return np.ascontiguousarray(image.transpose(2, 0, 1))
    border = (radius, radius, radius, radius + _SLACK)
    # Given its room, OpenCV gives the interpreter's lock away once a call.
    wide = np.empty((3, height + 2 * radius, width + 2 * radius + _SLACK), np.float32)
    for plane, room in zip(planes, wide, strict=True):
        cv2.copyMakeBorder(plane, *border, cv2.BORDER_REFLECT_101, dst=room)
    rows, weights = _window(radius, sigma_space)
    coefficients = _exponential(largest) / (2 * sigma_color**2) ** np.arange(_DEGREE + 1)
    out = np.empty((3, height, width), np.float32)
    _filter(wide[0], wide[1], wide[2], rows, weights, coefficients.astype(np.float32), radius, out)
    return out


@lru_cache(maxsize=4)
def _window(radius: int, sigma: float) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float32]]:
    """Half width of the circular window in each row (2r+1,), its weights (2r+1, 2r+4)."""
    offset = np.arange(-radius, radius + 1)
    squared = offset[:, None] ** 2 + offset**2
    inside = np.sqrt(squared) <= radius
    weights = np.where(inside, np.exp(-squared / (2 * sigma**2)), 0).astype(np.float32)
    return inside.sum(1) // 2, np.pad(weights, ((0, 0), (0, _SLACK)))


def _exponential(largest: float) -> npt.NDArray[np.float64]:
    """Coefficients of the polynomial that meets exp(-x) in the Chebyshev nodes of 0 ... largest."""
    count = _DEGREE + 1
    unit = (1 + np.cos(np.pi * (np.arange(count) + 0.5) / count)) / 2
    largest = max(largest, 1e-9)
    scaled = np.linalg.solve(np.vander(unit, increasing=True), np.exp(-largest * unit))
    return scaled / largest ** np.arange(count)


@njit_fused
def _range_weight(
    b: Float, g: Float, r: Float, cb: Float, cg: Float, cr: Float, powers: FivePowers
) -> Float:
    c0, c1, c2, c3, c4 = powers
    d = abs(b - cb) + abs(g - cg) + abs(r - cr)
    d *= d
    return (((c4 * d + c3) * d + c2) * d + c1) * d + c0


@njit_fused
def _filter(
    wide_b: FloatPlanes,
    wide_g: FloatPlanes,
    wide_r: FloatPlanes,
    rows: npt.NDArray[np.int64],
    weights: FloatPlanes,
    coefficients: FloatPlanes,
    radius: int,
    out: FloatPlanes,
) -> None:
    """Four neighbors at a time for a whole row: the sums stay in cache, weights in registers."""
    height, width = out.shape[1], out.shape[2]
    powers = (coefficients[0], coefficients[1], coefficients[2], coefficients[3], coefficients[4])
    sums = np.empty((4, width), np.float32)
    total, sum_b, sum_g, sum_r = sums[0], sums[1], sums[2], sums[3]
    for y in range(height):
        sums[:] = 0
        center_b = wide_b[y + radius, radius : radius + width]
        center_g = wide_g[y + radius, radius : radius + width]
        center_r = wide_r[y + radius, radius : radius + width]
        for dy in range(2 * radius + 1):
            half = rows[dy]
            for dx in range(radius - half, radius + half + 1, 4):
                near_b = wide_b[y + dy, dx : dx + width + 3]
                near_g = wide_g[y + dy, dx : dx + width + 3]
                near_r = wide_r[y + dy, dx : dx + width + 3]
                s0, s1 = weights[dy, dx], weights[dy, dx + 1]
                s2, s3 = weights[dy, dx + 2], weights[dy, dx + 3]
                for x in range(width):
                    cb, cg, cr = center_b[x], center_g[x], center_r[x]
                    b, g, r = near_b[x], near_g[x], near_r[x]
                    w = s0 * _range_weight(b, g, r, cb, cg, cr, powers)
                    t, tb, tg, tr = w, w * b, w * g, w * r
                    b, g, r = near_b[x + 1], near_g[x + 1], near_r[x + 1]
                    w = s1 * _range_weight(b, g, r, cb, cg, cr, powers)
                    t, tb, tg, tr = t + w, tb + w * b, tg + w * g, tr + w * r
                    b, g, r = near_b[x + 2], near_g[x + 2], near_r[x + 2]
                    w = s2 * _range_weight(b, g, r, cb, cg, cr, powers)
                    t, tb, tg, tr = t + w, tb + w * b, tg + w * g, tr + w * r
                    b, g, r = near_b[x + 3], near_g[x + 3], near_r[x + 3]
                    w = s3 * _range_weight(b, g, r, cb, cg, cr, powers)
                    total[x] += t + w
                    sum_b[x] += tb + w * b
                    sum_g[x] += tg + w * g
                    sum_r[x] += tr + w * r
        for x in range(width):
            out[0, y, x] = sum_b[x] / total[x]
            out[1, y, x] = sum_g[x] / total[x]
            out[2, y, x] = sum_r[x] / total[x]
