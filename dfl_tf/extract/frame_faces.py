"""The faces of one frame: found at some orientation, with their landmarks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from dfl_tf.extract.found import Box, Detector, Image, Landmarker, Landmarks, Points
from dfl_tf.imaging import to_bgr

ROTATIONS = (0, 90, 270, 180)
"""Degrees, in the order in which they are tried."""

SMALLEST_FRAME = 128
"""Frames with a shorter side hold no faces, as in the legacy program."""


@dataclass(frozen=True, eq=False)
class FrameFace:
    """A face in a frame.

    Attributes
    ----------
    box : tuple of float
        Left, top, right, bottom in frame pixels.
    landmarks : Landmarks or None
        In frame pixels; None where the landmarker found no face in the box.
    score : float
        Of the detector.
    """

    box: Box
    landmarks: Landmarks | None
    score: float


@dataclass(frozen=True, eq=False)
class FrameFaces:
    """The faces of a frame, the largest first.

    Attributes
    ----------
    faces : tuple of FrameFace
    rotation : int
        By how many degrees the frame was turned when the faces were found.
    """

    faces: tuple[FrameFace, ...]
    rotation: int = 0


def prepare_frame(image: npt.NDArray[np.uint8] | npt.NDArray[np.uint16]) -> Image:
    """Give a decoded frame the form that detectors want: 8-bit BGR with even sides.

    Parameters
    ----------
    image : ndarray, shape (h, w), (h, w, 1), (h, w, 3) or (h, w, 4), uint8 or uint16
        16-bit values are divided by 257 and rounded. An odd last row or column is cut off.

    Returns
    -------
    ndarray, shape (h, w, 3), uint8, BGR

    References
    ----------
    extract.md 5.2.
    """
    if image.dtype == np.uint16:
        image = np.round(image / 257.0).astype(np.uint8)
    bgr = to_bgr(image)
    height, width = bgr.shape[:2]
    return np.ascontiguousarray(bgr[: height - height % 2, : width - width % 2])


def turned(image: Image, rotation: int) -> Image:
    """Turn an image by 0, 90, 180 or 270 degrees, clockwise.

    Parameters
    ----------
    image : ndarray, shape (h, w, c), uint8
    rotation : {0, 90, 180, 270}

    Returns
    -------
    ndarray, shape (h, w, c) or (w, h, c), uint8, contiguous
    """
    return np.ascontiguousarray(np.rot90(image, -rotation // 90))


def points_back(points: npt.ArrayLike, rotation: int, height: int, width: int) -> Points:
    """Map points of a turned frame to the upright one.

    Parameters
    ----------
    points : array_like, shape (n, 2)
        Pixels of the turned frame.
    rotation : {0, 90, 180, 270}
        Degrees, clockwise, by which the frame was turned.
    height, width : int
        Of the upright frame in pixels.

    Returns
    -------
    ndarray, shape (n, 2), float64

    References
    ----------
    extract.md 5.3.
    """
    x, y = np.asarray(points, dtype=np.float64).T
    if rotation == 90:
        x, y = y, height - x
    elif rotation == 270:
        x, y = width - y, x
    elif rotation == 180:
        x, y = width - x, height - y
    return np.stack((x, y), axis=1)


def box_back(box: Box, rotation: int, height: int, width: int) -> Box:
    """Map a box of a turned frame to the frame, its sides in order."""
    corners = points_back([box[:2], box[2:]], rotation, height, width)
    (left, top), (right, bottom) = corners.min(axis=0).tolist(), corners.max(axis=0).tolist()
    return left, top, right, bottom


def find_faces(
    image: Image,
    detector: Detector,
    landmarker: Landmarker,
    *,
    rotations: Sequence[int] = ROTATIONS,
    max_faces: int = 0,
) -> FrameFaces:
    """Find the faces of a frame and their landmarks.

    Parameters
    ----------
    image : ndarray, shape (h, w, 3), uint8, BGR
        See `prepare_frame`.
    detector, landmarker
    rotations : sequence of int
        The frame is turned by each of these until faces are found; all faces are those of one
        orientation.
    max_faces : int
        How many of the largest are kept; 0 = all.

    References
    ----------
    extract.md 5.3.
    """
    height, width = image.shape[:2]
    if min(height, width) < SMALLEST_FRAME:
        return FrameFaces(())
    for rotation in rotations:
        view = turned(image, rotation)
        detections = detector.detect(view)
        if detections:
            break
    else:
        rotation, view, detections = 0, image, detector.search(image)
    detections = detections[: max_faces or None]
    faces = []
    for detection, found in zip(detections, landmarker.find(view, detections), strict=True):
        if found is not None:
            found = Landmarks(points_back(found.points, rotation, height, width), found.score)
        box = box_back(detection.box, rotation, height, width)
        faces.append(FrameFace(box, found, detection.score))
    return FrameFaces(tuple(faces), rotation)
