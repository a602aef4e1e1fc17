"""From landmarks to the affine matrix that crops an aligned face."""

from __future__ import annotations

import math

import cv2
import numpy as np
import numpy.typing as npt

from dfl_tf.face.face_type import FaceType
from dfl_tf.face.reference_tables import ALIGN_INDICES, REFERENCE_2D

FloatArray = npt.NDArray[np.floating]
Matrix = npt.NDArray[np.float64]


def umeyama(source: FloatArray, target: FloatArray) -> Matrix:
    """Fit the similarity transform (rotation, scale, shift) that takes `source` to `target`.

    Parameters
    ----------
    source, target : ndarray, shape (n, 2)
        Corresponding points. The arithmetic runs in the dtype of the inputs, so float32 points
        give a result of float32 accuracy (kept for compatibility).

    Returns
    -------
    ndarray, shape (3, 3), float64
        Homogeneous matrix; all NaN if the points have no extent.

    References
    ----------
    S. Umeyama, "Least-squares estimation of transformation parameters between two point
    patterns", PAMI 13(4), 1991; data.md 7.2.
    """
    source_mean, target_mean = source.mean(axis=0), target.mean(axis=0)
    source_centered, target_centered = source - source_mean, target - target_mean
    covariance = target_centered.T @ source_centered / len(source)
    signs = np.ones(2)
    if np.linalg.det(covariance) < 0:
        signs[1] = -1
    u, singular, vh = np.linalg.svd(covariance)
    rank = np.linalg.matrix_rank(covariance)
    if rank == 0:
        return np.full((3, 3), np.nan)
    if rank == 1:
        proper = np.linalg.det(u) * np.linalg.det(vh) > 0
        rotation = u @ vh if proper else u @ np.diag([1.0, -1.0]) @ vh
    else:
        rotation = u @ np.diag(signs) @ vh
    scale = 1.0 / source_centered.var(axis=0).sum() * (singular @ signs)
    matrix = np.eye(3)
    matrix[:2, :2] = rotation
    matrix[:2, 2] = target_mean - scale * (matrix[:2, :2] @ source_mean.T)
    matrix[:2, :2] *= scale
    return matrix


def transform_points(
    points: npt.ArrayLike, matrix: npt.ArrayLike, invert: bool = False
) -> FloatArray:
    """Apply a 2x3 affine matrix, or its inverse, to points.

    Parameters
    ----------
    points : array_like, shape (n, 2)
    matrix : array_like, shape (2, 3)
    invert : bool

    Returns
    -------
    ndarray, shape (n, 2), float32 if `points` are, else float64
    """
    affine = np.asarray(matrix)
    if invert:
        affine = cv2.invertAffineTransform(affine)
    array = np.asarray(points)
    if array.dtype not in (np.float32, np.float64):
        array = array.astype(np.float64)
    return cv2.transform(array[:, None, :], affine, dst=None)[:, 0, :]


def average_yaw(landmarks: FloatArray) -> float:
    """Return how much nearer the nose bridge is to the right than to the left cheek, in x units.

    Parameters
    ----------
    landmarks : array_like, shape (68, 2), any dtype

    References
    ----------
    data.md 7.3.
    """
    x = np.asarray(landmarks)[:, 0]
    left = ((x[27] - x[0]) + (x[28] - x[1]) + (x[29] - x[2])) / 3
    right = ((x[16] - x[27]) + (x[15] - x[28]) + (x[14] - x[29])) / 3
    return float(right - left)


def align_matrix(
    landmarks: npt.ArrayLike, size: int, face_type: FaceType, scale: float = 1.0
) -> Matrix:
    """Return the matrix that takes image pixels to the pixels of an aligned crop.

    Parameters
    ----------
    landmarks : array_like, shape (68, 2)
        Pixels of the image; float32 and float64 give results of that accuracy.
    size : int
        Side of the square crop, in pixels.
    face_type : FaceType
        Which crop; must be croppable.
    scale : float
        More than 1 shows less of the image.

    Returns
    -------
    ndarray, shape (2, 3), float64

    Notes
    -----
    Kept for compatibility: corners are exact pixel coordinates (0 and `size`, not `size - 1`),
    intermediate vectors are float32, and `HEAD_NO_ALIGN` gets none of the offsets of `HEAD`.

    References
    ----------
    data.md 7.3.
    """
    points = np.asarray(landmarks)
    if points.dtype not in (np.float32, np.float64):
        points = points.astype(np.float64)
    if points.shape != (68, 2):
        raise ValueError(f"landmarks must have shape (68, 2); received {points.shape}")
    fit = umeyama(points[ALIGN_INDICES], REFERENCE_2D)[:2]
    unit_square = np.array([(0, 0), (1, 0), (1, 1), (0, 1), (0.5, 0.5)], dtype=np.float32)
    square = transform_points(unit_square, fit, invert=True).astype(np.float32)
    diagonal_down, diagonal_up = _unit(square[2] - square[0]), _unit(square[1] - square[3])
    center = _offset_center(square, face_type, points, fit)
    reach = np.float32(
        (1.0 / scale)
        * float(np.linalg.norm(square[0] - square[2]))
        * (face_type.padding * math.sqrt(2.0) + 0.5)
    )
    if face_type.upright:
        corners = [
            center - diagonal_down * reach,
            center + diagonal_up * reach,
            center + diagonal_down * reach,
        ]
    else:
        around = np.array(
            [
                center - diagonal_down * reach,
                center + diagonal_up * reach,
                center + diagonal_down * reach,
                center - diagonal_up * reach,
            ],
            dtype=np.float32,
        )
        half = np.float32(math.sqrt(polygon_area(around)) / 2)
        corners = [center + np.array(s, np.float32) * half for s in ((-1, -1), (1, -1), (1, 1))]
    crop = np.array([(0, 0), (size, 0), (size, size)], dtype=np.float32)
    return cv2.getAffineTransform(np.array(corners, dtype=np.float32), crop)


def _unit(vector: FloatArray) -> FloatArray:
    return vector / np.linalg.norm(vector)


def _offset_center(
    square: FloatArray, face_type: FaceType, landmarks: FloatArray, fit: Matrix
) -> FloatArray:
    """Move the center of the reference square as whole-face and head crops ask."""
    center = square[4].copy()
    upward = square[0] - square[3]
    up, height = _unit(upward), np.linalg.norm(upward)
    if face_type is FaceType.WHOLE_FACE:
        center += up * height * 0.07
    elif face_type is FaceType.HEAD:
        yaw = average_yaw(transform_points(landmarks, fit))
        yaw *= abs(math.tanh(2 * yaw))
        leftward = square[0] - square[1]
        width = np.linalg.norm(leftward)
        center -= _unit(leftward) * np.float32(yaw * float(width) / 2)
        center += up * height * 0.5
    return center


def polygon_area(points: npt.ArrayLike) -> float:
    """Return the area of a simple polygon by the shoelace formula.

    Parameters
    ----------
    points : array_like, shape (n, 2), any dtype
    """
    array = np.asarray(points)
    x, y = array[:, 0], array[:, 1]
    return float(0.5 * abs(np.dot(x, np.roll(y, 1)) - np.dot(y, np.roll(x, 1))))
