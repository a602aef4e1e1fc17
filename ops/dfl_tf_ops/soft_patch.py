"""Drawn parts of a face, grown by an ellipse and softened by a Gaussian, inside compiled kernels.

The same bits as OpenCV's `dilate` and `GaussianBlur`, which round as the instructions do that it
chose for this CPU: `agrees` says whether these kernels do the same here.
"""

from __future__ import annotations

import functools

import cv2
import numpy as np
import numpy.typing as npt

from dfl_tf_ops.fused import fused
from dfl_tf_ops.jit import njit, njit_inner

Bytes = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float32]
Integers = npt.NDArray[np.int64]

_LANES = 8
_SMALLEST_BLUR = 7  # OpenCV has other ways for smaller ones


@functools.cache
def agrees() -> bool:
    """Whether `soften` gives OpenCV's bits on this machine; tried on one small patch."""
    patch = np.zeros((40, 4 * _LANES + 5), np.uint8)
    patch[12:25, 9:30] = 1
    grown = cv2.dilate(patch, ellipse(8)).astype(np.float32)
    wanted = cv2.GaussianBlur(grown, (17, 17), 0)
    result = np.empty_like(grown)
    soften(patch, spans(8), gauss(17), result)
    return bool(np.array_equal(result, wanted))


def supports(blur: int) -> bool:
    """Whether a Gaussian of that many pixels is softened as OpenCV does."""
    return blur >= _SMALLEST_BLUR and agrees()


@functools.lru_cache(32)
def ellipse(size: int) -> Bytes:
    """Return the neighborhood (size, size), uint8, that a part is grown by."""
    return cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (size, size)).astype(np.uint8)


@functools.lru_cache(32)
def spans(size: int) -> Integers:
    """Return where each row of `ellipse` begins and ends; shape (size, 2), int64."""
    rows = [np.flatnonzero(row) for row in ellipse(size)]
    return np.array([(row[0], row[-1] + 1) if len(row) else (0, 0) for row in rows], np.int64)


@functools.lru_cache(32)
def gauss(size: int) -> Floats:
    """Return the weights of a Gaussian of `size` pixels; shape (size,), float32."""
    weights: Floats = cv2.getGaussianKernel(size, 0, cv2.CV_32F)[:, 0].copy()
    return weights


@njit
def soften(patch: Bytes, rows: Integers, weights: Floats, result: Floats) -> None:
    """Dilate a patch by `spans`, and blur it by `gauss` into `result`.

    `patch` has shape (h, w), uint8, 0 or 1; `rows` (n, 2), int64; `weights` (m,), float32; `result`
    (h, w), float32.

    What lies beyond is mirrored without the edge itself. The patch has at least as many rows and
    columns as there are weights.
    """
    height, width = patch.shape
    reach, lines = weights.size // 2, np.zeros((height, width), np.float32)
    row = np.empty(width + 2 * reach, np.float32)
    # How many pixels of a row are 1 before each place; as far beyond the row as the ellipse goes.
    beyond = rows.shape[0]
    counts = np.zeros((height, width + 1 + 2 * beyond), np.int32)
    for i in range(height):
        total = np.int32(0)
        for j in range(width):
            total += np.int32(patch[i, j])
            counts[i, beyond + 1 + j] = total
        for j in range(beyond + 1 + width, counts.shape[1]):
            counts[i, j] = total
    for i in range(height):
        inside = row[reach : reach + width]
        if not _grow_row(counts, rows, i, inside):
            continue
        for j in range(reach):
            row[reach - 1 - j] = inside[j + 1]
            row[reach + width + j] = inside[width - 2 - j]
        line = lines[i]
        for k in range(weights.size):
            weight, shifted = weights[k], row[k : k + width]
            for j in range(width):
                line[j] += shifted[j] * weight
    _blur_columns(lines, weights, result)


@njit_inner
def _grow_row(counts: Integers, rows: Integers, i: int, out: Floats) -> bool:
    """One row of the dilated patch, 0 or 1; whether any of it is 1."""
    height, width, beyond = counts.shape[0], out.size, rows.shape[0]
    for j in range(width):
        out[j] = np.float32(0)
    middle = beyond // 2
    found = False
    for k in range(beyond):
        y = i + k - middle
        if y < 0 or y >= height or rows[k, 0] == rows[k, 1] or counts[y, beyond + width] == 0:
            continue
        found = True
        before = counts[y, beyond + rows[k, 0] - middle :]
        after = counts[y, beyond + rows[k, 1] - middle :]
        for j in range(width):
            out[j] = np.float32(1) if after[j] > before[j] else out[j]
    return found


@njit_inner
def _blur_columns(lines: Floats, weights: Floats, result: Floats) -> None:
    height, width = lines.shape
    middle = weights.size // 2
    whole = width - width % _LANES
    for i in range(height):
        out, line = result[i], lines[i]
        for j in range(width):
            out[j] = line[j] * weights[middle]
        for k in range(1, middle + 1):
            weight = weights[middle + k]
            above, below = abs(i - k), i + k
            below = below if below < height else 2 * (height - 1) - below
            first, second = lines[above], lines[below]
            for j in range(whole):
                out[j] = fused(second[j] + first[j], weight, out[j])
            for j in range(whole, width):
                out[j] += (second[j] + first[j]) * weight
