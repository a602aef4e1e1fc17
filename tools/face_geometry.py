"""Geometry of the legacy program that no command needs: for goldens and for other tools."""

from __future__ import annotations

import math
from collections.abc import Sequence

import cv2
import numpy as np
import numpy.typing as npt

from dfl_tf.face import FaceType, align_matrix, transform_points
from dfl_tf.face.alignment import FloatArray, Matrix
from dfl_tf.face.masks import _INNER_LIPS, Mask, _pasted, _soft_hulls

# Landmarks that change places when a face is mirrored.
MIRROR_PAIRS = np.array(
    [
        (0, 16),
        (1, 15),
        (2, 14),
        (3, 13),
        (4, 12),
        (5, 11),
        (6, 10),
        (7, 9),
        (17, 26),
        (18, 25),
        (19, 24),
        (20, 23),
        (21, 22),
        (36, 45),
        (37, 44),
        (38, 43),
        (39, 42),
        (40, 47),
        (41, 46),
        (31, 35),
        (32, 34),
        (50, 52),
        (49, 53),
        (48, 54),
        (59, 55),
        (58, 56),
        (67, 65),
        (60, 64),
        (61, 63),
    ]
)


def mirror_landmarks(landmarks: npt.ArrayLike, width: float) -> FloatArray:
    """Return the landmarks of the image mirrored left to right.

    Parameters
    ----------
    landmarks : array_like, shape (68, 2)
        Pixels.
    width : float
        Of the image in pixels.

    Returns
    -------
    ndarray, shape (68, 2), dtype of `landmarks`

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
    """Return the upright full-face square around landmarks.

    Parameters
    ----------
    landmarks : array_like, shape (68, 2)
        Pixels.

    Returns
    -------
    ndarray, shape (4,), float32
        Left, top, right, bottom in pixels.

    References
    ----------
    data.md 7.7.
    """
    matrix = align_matrix(landmarks, 256, FaceType.FULL_NO_ALIGN)
    corners = np.array([(0, 0), (255, 255)], dtype=np.float32)
    return transform_points(corners, matrix, invert=True).reshape(4)


def face_pitch(landmarks: npt.ArrayLike) -> float:
    """Return how far the chin lies below its neighbors, in pixels: a helper for sorting.

    Parameters
    ----------
    landmarks : array_like, shape (68, 2), any dtype
        Pixels.

    References
    ----------
    data.md 7.7.
    """
    y = np.asarray(landmarks, dtype=np.float64)[:, 1]
    return float(y[8] - ((y[6] - y[8]) + (y[10] - y[8])) / 2.0)


def transform_matrix(
    matrix: npt.ArrayLike,
    size: int,
    shift_x: float,
    shift_y: float,
    rotation: float,
    scale: float,
) -> Matrix:
    """Shift, turn and scale the region of the image that a crop matrix shows.

    Parameters
    ----------
    matrix : array_like, shape (2, 3)
        Crop matrix for a crop of `size` pixels.
    shift_x, shift_y : float
        In parts of the region's width and height, along the axes of the image.
    rotation : float
        Degrees, about the center before it is shifted.
    scale : float
        Factor on the region's side.

    Returns
    -------
    ndarray, shape (2, 3), float64

    References
    ----------
    data.md 7.7.
    """
    crop = np.array(
        [(0, 0), (size, 0), (size, size), (0, size), (size / 2, size / 2)], dtype=np.float32
    )
    region = transform_points(crop, matrix, invert=True).astype(np.float64)
    center = region[4]
    width = np.linalg.norm(region[1] - region[0])
    height = np.linalg.norm(region[3] - region[0])
    offsets = (region[:3] - center) * scale + (shift_x * width, shift_y * height)
    angle = math.radians(rotation)
    turn = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    moved = center + offsets @ turn.T
    return cv2.getAffineTransform(moved.astype(np.float32), crop[:3])


def mouth_mask(shape: Sequence[int], landmarks: npt.ArrayLike) -> Mask:
    """Draw the inside of the mouth, grown and softened; see `eyes_mask` (data.md 7.5)."""
    return _pasted(shape, [_soft_hulls(shape, landmarks, _INNER_LIPS)])
