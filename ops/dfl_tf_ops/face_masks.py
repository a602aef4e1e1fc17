"""What a face's image and landmarks make, in one call which holds no lock.

The image in floating point, and two masks: the face's hull; its eyes and mouth.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from dfl_tf_ops import soft_patch
from dfl_tf_ops.jit import njit, njit_inner
from dfl_tf_ops.polygons import fill_hull
from dfl_tf_ops.soft_patch import soften

Bytes = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float32]
Integers = npt.NDArray[np.int64]
Parts = npt.NDArray[np.int64]


def parts(groups: Sequence[Sequence[int]]) -> Parts:
    """Return groups of landmarks as a table, a row for each; what is left of a row is -1.

    Shape (n, m), int64: groups, and landmarks of the largest one.
    """
    table = np.full((len(groups), max(len(group) for group in groups)), -1, np.int64)
    for row, group in zip(table, groups, strict=True):
        row[: len(group)] = group
    return table


_FARTHEST = 1 << 20  # pixels: damaged files must not stop the filling of hulls
_NO_PIXELS = np.empty(0, np.uint8)
_NO_IMAGE = np.empty(0, np.float32)


def draw_face(
    landmarks: npt.NDArray[np.float64],
    expand: float,
    table: Parts,
    ends: tuple[int, int],
    *,
    full: Floats,
    eyes_mouth: Floats | None,
    drawn: bool,
    grow: int,
    blur: int,
    pixels: Bytes | None = None,
    image: Floats | None = None,
) -> bool:
    """Draw the masks of a face to the bit as `dfl_tf.face.masks` does step by step.

    Parameters
    ----------
    landmarks : ndarray, shape (68, 2), float64
        Pixels, x first.
    expand : float
        How far the hull's eyebrows are moved from the eyes (`dfl_tf.face.masks.expand_eyebrows`).
    table : ndarray, shape (n, m), int64
        `parts` of the hull, then of the eyes, then of the mouth.
    ends : tuple of int
        Rows of the table where the hull ends, and the eyes.
    full : ndarray, shape (h, w), float32
        Becomes the hull, 0 or 1; if `drawn`, it is the face's mask already.
    eyes_mouth : ndarray, shape (h, w), float32, optional
        Becomes the mask of eyes and mouth where `full` is not 0.
    grow, blur : int
        Pixels of the ellipse and of the Gaussian.
    pixels : ndarray, shape (h, w, 3), uint8, optional
    image : ndarray, shape (h, w, 3), float32, optional
        Becomes `pixels` / 255.

    Returns
    -------
    bool
        Whether `eyes_mouth` was drawn; not if `soft_patch` does not support that.
    """
    wanted = eyes_mouth is not None and soft_patch.supports(blur)
    done = _draw_face(
        landmarks,
        float(expand),
        # One by one: tuples take longer to hand over than all the rest.
        table,
        ends[0],
        ends[1],
        full,
        full if eyes_mouth is None else eyes_mouth,
        drawn,
        wanted,
        soft_patch.spans(grow),
        soft_patch.gauss(blur),
        _NO_PIXELS if pixels is None else pixels.reshape(-1),
        _NO_IMAGE if image is None else image.reshape(-1),
    )
    return bool(done)


@njit_inner
def _fill_parts(points: Integers, table: Parts, left: int, top: int, image: Bytes) -> None:
    for number in range(table.shape[0]):
        group = table[number]
        count = 0
        while count < group.size and group[count] >= 0:
            count += 1
        some = np.empty((count, 2), np.int64)
        for i in range(count):
            some[i, 0], some[i, 1] = points[group[i], 0] - left, points[group[i], 1] - top
        fill_hull(some, image)


@njit_inner
def _frame(
    points: Integers, table: Parts, reach: int, height: int, width: int
) -> tuple[int, int, int, int]:
    """Left, top, right and bottom of what the parts reach within the image."""
    left, top, right, bottom = 1 << 40, 1 << 40, -(1 << 40), -(1 << 40)
    for row in range(table.shape[0]):
        for place in range(table.shape[1]):
            number = table[row, place]
            if number >= 0:
                x, y = int(points[number, 0]), int(points[number, 1])
                left, right, top, bottom = min(left, x), max(right, x), min(top, y), max(bottom, y)
    return (
        max(left - reach, 0),
        max(top - reach, 0),
        min(right + reach + 1, width),
        min(bottom + reach + 1, height),
    )


@njit_inner
def _whole_pixels(landmarks: npt.NDArray[np.float64]) -> Integers:
    whole = np.empty((landmarks.shape[0], 2), np.int64)
    for i in range(landmarks.shape[0]):
        for axis in range(2):
            whole[i, axis] = np.int64(min(max(landmarks[i, axis], -_FARTHEST), _FARTHEST))
    return whole


@njit_inner
def _expand_eyebrows(points: Integers, amount: float) -> Integers:
    """As `dfl_tf.face.masks.expand_eyebrows`, of whole pixels."""
    moved = np.empty((points.shape[0], 2), np.float64)
    for i in range(points.shape[0]):
        for axis in range(2):
            moved[i, axis] = points[i, axis]
    for axis in range(2):
        p = points[:, axis]
        for i in range(5):
            # below the left brow: a quarter of the way from the eye's corner to the jaw, the eye
            left = (p[36] + (p[36] + p[0]) // 2) // 2 if i == 0 else p[35 + i]
            right = (p[45] + (p[16] + p[45]) // 2) // 2 if i == 4 else p[42 + i]
            moved[17 + i, axis] = p[17 + i] + amount * 0.5 * (p[17 + i] - left)
            moved[22 + i, axis] = p[22 + i] + amount * 0.5 * (p[22 + i] - right)
    return _whole_pixels(moved)


@njit
def _draw_face(
    landmarks: npt.NDArray[np.float64],
    expand: float,
    table: Parts,
    hull_end: int,
    eyes_end: int,
    full: Floats,
    eyes_mouth: Floats,
    drawn: bool,
    wanted: bool,
    spans: Integers,
    weights: Floats,
    pixels: Bytes,
    image: Floats,
) -> bool:
    for i in range(image.size):
        image[i] = np.float32(pixels[i]) / np.float32(255)
    height, width = full.shape
    points = _whole_pixels(landmarks)
    if not drawn:
        hull = np.zeros((height, width), np.uint8)
        _fill_parts(_expand_eyebrows(points, expand), table[:hull_end], 0, 0, hull)
        for i in range(height):
            for j in range(width):
                full[i, j] = np.float32(hull[i, j])
    if not wanted:
        return False
    reach = spans.shape[0] // 2 + weights.size // 2 + 2
    for i in range(height):
        for j in range(width):
            eyes_mouth[i, j] = np.float32(0)
    for number in range(1, 3):
        groups = table[hull_end:eyes_end] if number == 1 else table[eyes_end:]
        left, top, right, bottom = _frame(points, groups, reach, height, width)
        if left >= right or top >= bottom:
            continue
        if min(right - left, bottom - top) < weights.size:
            return False
        patch = np.zeros((bottom - top, right - left), np.uint8)
        _fill_parts(points, groups, left, top, patch)
        soft = np.empty(patch.shape, np.float32)
        soften(patch, spans, weights, soft)
        for i in range(bottom - top):
            row, face = eyes_mouth[top + i, left:right], full[top + i, left:right]
            for j in range(right - left):
                value = min(row[j] + soft[i, j], np.float32(1))
                row[j] = value if face[j] != 0 else np.float32(0)
    return True
