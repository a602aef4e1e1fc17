"""Small facts read from the 68 landmarks."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from dfl_tf.face.alignment import FloatArray, align_matrix, transform_points
from dfl_tf.face.face_type import FaceType
from dfl_tf.face.reference_tables import MIRROR_PAIRS


def mirror_landmarks(landmarks: npt.ArrayLike, width: float) -> FloatArray:
    """Return the landmarks of the picture mirrored left to right; `width` in pixels.

    References
    ----------
    data.md 7.7.
    """
    mirrored = np.array(landmarks, copy=True)
    left, right = MIRROR_PAIRS[:, 0], MIRROR_PAIRS[:, 1]
    mirrored[left], mirrored[right] = mirrored[right].copy(), mirrored[left].copy()
    mirrored[:, 0] = width - mirrored[:, 0] - 1
    return mirrored


def rect_from_landmarks(landmarks: npt.ArrayLike) -> FloatArray:
    """Return (left, top, right, bottom) of the upright full-face square, shape (4,).

    References
    ----------
    data.md 7.7.
    """
    matrix = align_matrix(landmarks, 256, FaceType.FULL_NO_ALIGN)
    corners = np.array([(0, 0), (255, 255)], dtype=np.float32)
    return transform_points(corners, matrix, invert=True).reshape(4)


def face_pitch(landmarks: npt.ArrayLike) -> float:
    """Return how far the chin lies below its neighbors, in pixels: a helper for sorting.

    References
    ----------
    data.md 7.7.
    """
    y = np.asarray(landmarks, dtype=np.float64)[:, 1]
    return float(y[8] - ((y[6] - y[8]) + (y[10] - y[8])) / 2.0)
