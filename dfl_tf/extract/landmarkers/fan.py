"""FAN, the landmarker of the legacy program, with the user's own weight files."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from dfl_tf.errors import DflTfError
from dfl_tf.extract.found import (
    Box,
    Detection,
    Detector,
    Image,
    Landmarks,
    LandmarksFailedError,
    Points,
)
from dfl_tf.face import FaceType, align_matrix, transform_points

HeatMaps = npt.NDArray[np.float32]

_CROP = 256
_MAP = 64
_SECOND = 256  # side of the aligned image that the second pass looks at
_SAMPLES = ((0, 0), (-1, -1), (1, -1), (1, 1), (-1, 1))


def center_and_scale(box: Box) -> tuple[Points, float]:
    """Center of a box (pixels, shape (2,), float64), and its size in units of 195 pixels."""
    left, top, right, bottom = box
    center = np.array([(left + right) / 2, (top + bottom) / 2])
    return center, ((right - left) + (bottom - top)) / 195.0


def to_frame(points: npt.ArrayLike, center: Points, scale: float, resolution: int) -> Points:
    """Map points of a square around a face to the frame.

    Parameters
    ----------
    points : array_like, shape (n, 2)
        Pixels of the square.
    center : ndarray, shape (2,), float64
        Of the square, in pixels of the frame.
    scale : float
        Side of the square in units of 200 pixels of the frame.
    resolution : int
        Side of the square in its own pixels.

    Returns
    -------
    ndarray, shape (n, 2), float64
        Pixels of the frame.

    Raises
    ------
    LandmarksFailedError
        The face has no size.
    """
    side = 200.0 * scale
    if side == 0:
        raise LandmarksFailedError("the box of the face has no size")
    ratio = resolution / side
    matrix = np.eye(3)
    matrix[0, 0] = matrix[1, 1] = ratio
    matrix[0, 2] = resolution * (0.5 - center[0] / side)
    matrix[1, 2] = resolution * (0.5 - center[1] / side)
    # inverted numerically, as the legacy program does: whole pixels are cut off afterwards
    inverse = np.linalg.inv(matrix)
    array = np.asarray(points, dtype=np.float64)
    return (np.column_stack((array, np.ones(len(array)))) @ inverse.T)[:, :2]


def crop(image: Image, center: Points, scale: float) -> Image:
    """Cut the square around a face from the frame, black outside.

    The square starts one map pixel late (kept for compatibility: extract.md 3.2).

    Parameters
    ----------
    image : ndarray, shape (h, w, 3), uint8
    center, scale
        As in `to_frame`.

    Returns
    -------
    ndarray, shape (256, 256, 3), uint8

    Raises
    ------
    LandmarksFailedError
        The square is empty.
    """
    corners = to_frame([(1, 1), (_CROP, _CROP)], center, scale, _CROP)
    (left, top), (right, bottom) = np.trunc(corners).astype(int).tolist()
    if right <= left or bottom <= top:
        raise LandmarksFailedError("the box of the face has no size")
    height, width = image.shape[:2]
    square = np.zeros((bottom - top, right - left, 3), np.uint8)
    rows, columns = _overlap(top, bottom, height), _overlap(left, right, width)
    if rows is not None and columns is not None:
        square[rows[0], columns[0]] = image[rows[1], columns[1]]
    return cv2.resize(square, (_CROP, _CROP), interpolation=cv2.INTER_LINEAR)


def _overlap(start: int, stop: int, size: int) -> tuple[slice, slice] | None:
    """Where a stretch of the frame lies in the crop, and in the frame; None beside it."""
    first, last = max(start, 0), min(stop, size)
    if last <= first:
        return None
    return slice(first - start, last - start), slice(first, last)


def peaks(maps: HeatMaps) -> Points:
    """Find the maximum of each heat map, to a quarter of a pixel; shape (68, 2), x and y.

    Parameters
    ----------
    maps : ndarray, shape (68, 64, 64), float32

    References
    ----------
    extract.md 3.3.
    """
    places = maps.reshape(len(maps), -1).argmax(axis=1)
    rows, columns = np.unravel_index(places, maps.shape[1:])
    points = np.stack((columns, rows), axis=1).astype(np.float64)
    last = maps.shape[1] - 1
    inside = (columns > 0) & (columns < last) & (rows > 0) & (rows < last)
    for i in np.flatnonzero(inside):
        around, r, c = maps[i], rows[i], columns[i]
        points[i, 0] += 0.25 * np.sign(around[r, c + 1] - around[r, c - 1])
        points[i, 1] += 0.25 * np.sign(around[r + 1, c] - around[r - 1, c])
    return points + 0.5


class FAN:
    """Finds landmarks as the legacy program does.

    Parameters
    ----------
    network : callable
        Takes images (n, 256, 256, 3) float32 RGB in [0, 1]; returns maps (n, 68, 64, 64).
    second_pass : Detector, optional
        Looks at the aligned face; if it finds exactly one face there, the landmarks are found
        again with five crops and averaged.
    name, version : str

    References
    ----------
    extract.md 3.2 to 3.4.
    """

    def __init__(
        self,
        network: Callable[[npt.NDArray[np.float32]], HeatMaps],
        *,
        second_pass: Detector | None = None,
        name: str = "fan",
        version: str = "",
    ) -> None:
        self._network = network
        self._detector = second_pass
        self.name, self.version = name, version

    @classmethod
    def from_file(cls, path: Path, *, second_pass: Detector | None = None) -> FAN:
        """Load the network with the weights of ``2DFAN.npy`` or ``3DFAN.npy``.

        Raises
        ------
        ModelFileError
            It is no such file.
        """
        from dfl_tf.disk.durable import sha256_of
        from dfl_tf.extract.landmarkers.fan_network import FANNetwork
        from dfl_tf.formats.models.legacy import read_part
        from dfl_tf.nn.filling import fill_network

        network = FANNetwork()
        fill_network(network, read_part(path), what=str(path))
        return cls(
            lambda images: network(images).numpy(),
            second_pass=second_pass,
            name=path.stem.lower(),
            version=sha256_of(path)[:16],
        )

    def find(self, image: Image, detections: Sequence[Detection]) -> list[Landmarks | None]:
        """Find landmarks in an image (h, w, 3) uint8 BGR; None where a box has no size."""
        rgb = cv2.cvtColor(image, cv2.COLOR_BGR2RGB)
        found = self._samples(rgb, [face.box for face in detections], _SAMPLES[:1])
        if self._detector is not None:
            found = [points if points is None else self._again(rgb, points) for points in found]
        return [points if points is None else Landmarks(points) for points in found]

    def _samples(
        self, rgb: Image, boxes: Sequence[Box], offsets: Sequence[tuple[int, int]]
    ) -> list[Points | None]:
        """Landmarks by the mean over crops at some offsets in pixels, all boxes in one batch."""
        crops, places = [], []
        results: list[Points | None] = [None] * len(boxes)
        for number, box in enumerate(boxes):
            center, scale = center_and_scale(box)
            try:
                views = [crop(rgb, center + offset, scale) for offset in offsets]
            except LandmarksFailedError:
                continue
            crops += views
            places += [(number, center + offset, scale) for offset in offsets]
        if not crops:
            return results
        maps = self._network(np.stack(crops).astype(np.float32) / np.float32(255))
        sums = np.zeros((len(boxes), 68, 2))
        for (number, center, scale), heat in zip(places, maps, strict=True):
            sums[number] += to_frame(peaks(heat), center, scale, _MAP)
        for number in {number for number, _, _ in places}:
            results[number] = sums[number] / len(offsets)
        return results

    def _again(self, rgb: Image, first: Points) -> Points:
        """Second pass: look at the aligned face; the first landmarks where that does not help."""
        assert self._detector is not None
        try:
            matrix = align_matrix(first, _SECOND, FaceType.FULL)
            aligned = cv2.warpAffine(rgb, matrix, (_SECOND, _SECOND), flags=cv2.INTER_LINEAR)
            faces = self._detector.detect(cv2.cvtColor(aligned, cv2.COLOR_RGB2BGR))
            if len(faces) != 1:
                return first
            points = self._samples(aligned, [faces[0].box], _SAMPLES)[0]
            if points is None:
                return first
            return transform_points(points, matrix, invert=True).astype(np.float64)
        except (cv2.error, ValueError, np.linalg.LinAlgError, DflTfError):
            return first
