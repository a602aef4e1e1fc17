"""Sharpness in plain NumPy and SciPy, step by step; see `dfl_tf_ops.sharpness`."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from dfl_tf_ops.sharpness import BLOCK, EDGE_PIXELS

Gray = npt.NDArray[np.float64]


def sharpness(gray: npt.NDArray[np.uint8], edges: npt.NDArray[np.bool_]) -> float:
    """The slow twin of `dfl_tf_ops.sharpness.sharpness`: same arguments, same result."""
    image = gray.astype(np.float64)
    if min(image.shape) < BLOCK:
        return 0.0
    widths = _edge_widths(image)
    if widths is None:
        return 0.0
    rounded = []
    height, width = image.shape
    for top in range(0, height - BLOCK + 1, BLOCK):
        for left in range(0, width - BLOCK + 1, BLOCK):
            block = slice(top, top + BLOCK), slice(left, left + BLOCK)
            if edges[block].sum() <= EDGE_PIXELS:
                continue
            contrast = int(image[block].max() - image[block].min())
            just_noticeable = 5 if contrast <= 50 else 3
            found = widths[block][widths[block] > 0]
            rounded.append(np.round(100 * (1 - np.exp(-((found / just_noticeable) ** 3.6)))))
    shares = np.concatenate(rounded) if rounded else np.empty(0)
    return float((shares <= 63).sum() / len(shares)) if len(shares) else 0.0


def _edge_map(image: Gray) -> npt.NDArray[np.bool_]:
    kernel = np.array([[1, 2, 1], [0, 0, 0], [-1, -2, -1]]).T / 8
    strength = ndimage.convolve(image, kernel) ** 2
    strength[strength <= 2 * np.sqrt(strength.mean())] = 0
    padded = np.pad(strength, 1)
    across = (strength > padded[1:-1, :-2]) & (strength > padded[1:-1, 2:])
    down = (strength > padded[:-2, 1:-1]) & (strength > padded[2:, 1:-1])
    return across | down


def _edge_widths(image: Gray) -> Gray | None:
    """Width of the edge at each pixel, 0 where there is none; None without any direction."""
    gy, gx = np.gradient(image)
    angles = np.where(gx != 0, np.degrees(np.arctan2(gy, gx)), 0.0)
    if not angles.any():
        return None
    quarters = 45 * np.round(angles / 45)
    edges = _edge_map(image)
    widths = np.zeros_like(image)
    for r in range(1, image.shape[0] - 1):
        for c in range(1, image.shape[1] - 1):
            if edges[r, c] and quarters[r, c] in (0, 180, -180):
                rising = 1 if quarters[r, c] == 0 else -1
                left = _extent(image[r] * rising, c, -1)
                widths[r, c] = left + _extent(-image[r] * rising, c, 1)
    return widths


def _extent(row: Gray, c: int, step: int) -> int:
    """Pixels from column `c` while the values of `row` fall in the direction of `step`."""
    for m in range(101):
        inner = c + step * (1 + m)
        outer = inner + step
        if outer < 0 or outer >= len(row) or row[outer] - row[inner] >= 0:
            return m + 1
    return 101
