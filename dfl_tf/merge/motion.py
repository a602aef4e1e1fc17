"""How fast and in which direction a face moves through the frames."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from dfl_tf.face import FaceType, align_matrix

Landmarks = npt.NDArray[np.floating]


@dataclass(frozen=True)
class Motion:
    """Length in frame pixels (over two frames) and direction in degrees."""

    power: float = 0.0
    angle: float = 0.0


NO_MOTION = Motion()


def motion_vectors(faces: Sequence[Sequence[Landmarks]]) -> list[Motion]:
    """Measure the motion of the only face of every frame.

    Parameters
    ----------
    faces : sequence of sequences of ndarray, shape (68, 2), any floating dtype
        For every frame the landmark sets found in it, in frame pixels.

    Returns
    -------
    list of Motion
        No motion anywhere if any frame has several faces; none where a frame or one of its
        neighbors has no face.

    Notes
    -----
    Kept for compatibility: the positions are rounded to whole pixels.

    References
    ----------
    merge.md 6.
    """
    if any(len(found) > 1 for found in faces):
        return [NO_MOTION] * len(faces)
    centers = [_center(found[0]) if found else None for found in faces]
    last = len(centers) - 1
    return [
        _between(centers[max(i - 1, 0)], center, centers[min(i + 1, last)])
        for i, center in enumerate(centers)
    ]


def _center(landmarks: Landmarks) -> npt.NDArray[np.float64]:
    matrix = cv2.invertAffineTransform(align_matrix(landmarks, 256, FaceType.FULL))
    return np.rint(matrix @ np.array([127.0, 127.0, 1.0]))


def _between(
    before: npt.NDArray[np.float64] | None,
    here: npt.NDArray[np.float64] | None,
    after: npt.NDArray[np.float64] | None,
) -> Motion:
    if before is None or here is None or after is None:
        return NO_MOTION
    x, y = after - before
    power = float(np.linalg.norm((x, y)))
    if power == 0:
        return NO_MOTION
    return Motion(power, -math.atan2(y / power, x / power) * 180 / math.pi)
