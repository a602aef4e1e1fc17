"""Small facts read from the 68 landmarks."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from dfl_tf.face.alignment import FloatArray, umeyama
from dfl_tf.face.masks import FARTHEST
from dfl_tf.face.reference_tables import ALIGN_INDICES, REFERENCE_2D

_THINNEST = 1e-3  # width over length of landmarks on one line; a face in profile has 0.2 and more
_SMALLEST = 0.5  # pixels


def landmarks_error(landmarks: npt.ArrayLike) -> str:
    """Say why no face can be aligned by these landmarks; empty if one can.

    Whatever passes gives finite alignment matrices and a pose.

    Parameters
    ----------
    landmarks : array_like, any dtype
        Should have shape (68, 2); pixels.
    """
    try:
        points = np.asarray(landmarks, dtype=np.float64)
    except (TypeError, ValueError):
        return "they are not an array of numbers"
    if points.shape != (68, 2):
        return f"they have shape {points.shape}, expected (68, 2)"
    if not np.isfinite(points).all():
        return "a value is not finite"
    largest = float(np.abs(points).max())
    if largest > FARTHEST:
        return f"a point is {largest:.3g} pixels away, at most {FARTHEST} make sense"
    for chosen in (points, points[ALIGN_INDICES]):
        length, width = _extents(chosen)
        if length < _SMALLEST:
            return "all points are in one place"
        if width < _THINNEST * length:
            return "all points are on one line"
    scale = math.sqrt(abs(float(np.linalg.det(umeyama(points[ALIGN_INDICES], REFERENCE_2D)))))
    if not math.isfinite(scale) or not 1 / FARTHEST <= scale <= 1:
        return "they do not have the shape of a face"
    return ""


def _extents(points: FloatArray) -> tuple[float, float]:
    """Standard deviations along the longest and the shortest direction of a set of points."""
    x, y = (points - points.mean(axis=0)).T
    xx, yy, xy = float(x @ x), float(y @ y), float(x @ y)
    middle, reach = (xx + yy) / 2, math.hypot((xx - yy) / 2, xy)
    largest = middle + reach
    smallest = max(0.0, (xx * yy - xy * xy) / largest) if largest else 0.0
    return math.sqrt(largest / len(points)), math.sqrt(smallest / len(points))
