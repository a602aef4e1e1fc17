"""Head pose from landmarks, and the yaw bins of uniform-yaw training."""

from __future__ import annotations

import math
from collections.abc import Sequence

import cv2
import numpy as np
import numpy.typing as npt

from dfl_tf.face.reference_tables import REFERENCE_3D

YAW_BINS = 128
_YAW_EDGES = np.linspace(-1.2, 1.2, YAW_BINS)
# The mouth is left out: it moves with speech, not with the head.
_RIGID = np.array([*range(27), *range(30, 36)])


def estimate_pitch_yaw_roll(landmarks: npt.ArrayLike, size: int) -> tuple[float, float, float]:
    """Estimate the pose of a head from the landmarks of its aligned image.

    Parameters
    ----------
    landmarks : array_like, shape (68, 2)
        Pixels of an image `size` pixels wide; used as float32.
    size : int
        Width of the image; also taken as the focal length of the camera.

    Returns
    -------
    tuple of float
        (pitch, yaw, roll) in radians, each in [-pi/2, pi/2].

    References
    ----------
    data.md 7.6.
    """
    camera = np.array([[size, 0, size / 2], [0, size, size / 2], [0, 0, 1]], dtype=np.float64)
    image_points = np.asarray(landmarks)[_RIGID].astype(np.float32)
    _, rotation_vector, _ = cv2.solvePnP(
        REFERENCE_3D[_RIGID], image_points, camera, np.zeros((4, 1))
    )
    r = cv2.Rodrigues(rotation_vector)[0]
    horizontal = math.hypot(r[0, 0], r[1, 0])
    y = math.atan2(-r[2, 0], horizontal)
    if horizontal < 1e-6:
        x, z = math.atan2(-r[1, 2], r[1, 1]), 0.0
    else:
        x, z = math.atan2(r[2, 1], r[2, 2]), math.atan2(r[1, 0], r[0, 0])
    limit = math.pi / 2
    pitch, yaw, roll = (min(max(v, -limit), limit) for v in (-x, y, z))
    return pitch, yaw, roll


def yaw_bins(yaws: Sequence[float]) -> dict[int, list[int]]:
    """Sort samples into the 128 yaw bins of uniform-yaw training.

    Parameters
    ----------
    yaws : sequence of float
        Yaw of each sample (radians, as `estimate_pitch_yaw_roll` gives it).

    Returns
    -------
    dict
        Bin number → indices of the samples, in rising order; empty bins are left out.

    References
    ----------
    data.md 3.2.
    """
    bins: dict[int, list[int]] = {}
    places = np.searchsorted(_YAW_EDGES, -np.asarray(yaws, dtype=np.float64), side="right") - 1
    for index, place in enumerate(np.maximum(places, 0)):
        bins.setdefault(int(place), []).append(index)
    return dict(sorted(bins.items()))
