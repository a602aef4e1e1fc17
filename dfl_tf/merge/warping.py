"""Frame pixels into an aligned crop and back, touching no more of the frame than the face needs."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]
Matrix = npt.NDArray[np.float64]

# Cubic sampling reaches two crop pixels past the edge; one more for rounding.
_REACH = 3


@dataclass(frozen=True)
class Region:
    """A rectangle of a frame: rows `top … bottom`, columns `left … right`, ends excluded."""

    left: int
    top: int
    right: int
    bottom: int

    @property
    def slices(self) -> tuple[slice, slice]:
        """Rows and columns, to index a frame with."""
        return slice(self.top, self.bottom), slice(self.left, self.right)

    @property
    def shape(self) -> tuple[int, int]:
        """(height, width)."""
        return max(self.bottom - self.top, 0), max(self.right - self.left, 0)

    @property
    def empty(self) -> bool:
        """Whether no pixel lies in it."""
        return 0 in self.shape

    def union(self, other: Region) -> Region:
        """Return the smallest rectangle around both."""
        if self.empty:
            return other
        if other.empty:
            return self
        return Region(
            min(self.left, other.left),
            min(self.top, other.top),
            max(self.right, other.right),
            max(self.bottom, other.bottom),
        )

    def within(self, outer: Region) -> tuple[slice, slice]:
        """Rows and columns of this region in an array that holds `outer`."""
        top, left = self.top - outer.top, self.left - outer.left
        height, width = self.shape
        return slice(top, top + height), slice(left, left + width)


def whole_frame(shape: tuple[int, int]) -> Region:
    """Return the region of all pixels of a frame of (height, width)."""
    return Region(0, 0, shape[1], shape[0])


def crop_region(shape: tuple[int, int], crops: Iterable[tuple[Matrix, int]]) -> Region:
    """Return the part of a frame that crops read from or paste into.

    Parameters
    ----------
    shape : tuple of int
        (height, width) of the frame.
    crops : iterable of (matrix, size)
        Matrices from frame to crop pixels, shape (2, 3), float64, with the side of each crop.
    """
    corners = []
    for matrix, size in crops:
        low, high = -_REACH, size + _REACH
        square = np.array([[(low, low), (high, low), (high, high), (low, high)]], np.float64)
        corners.append(cv2.transform(square, cv2.invertAffineTransform(matrix))[0])
    points = np.concatenate(corners)
    if not np.isfinite(points).all():
        return Region(0, 0, 0, 0)
    height, width = shape
    low, high = np.floor(points.min(axis=0)) - 2, np.ceil(points.max(axis=0)) + 3
    left, top = (int(v) for v in np.clip(low, 0, (width, height)))
    right, bottom = (int(v) for v in np.clip(high, 0, (width, height)))
    return Region(left, top, right, bottom)


def warp(image: Floats, matrix: Matrix, size: int) -> Floats:
    """Cut an aligned square out of a frame: cubic, zero outside of the frame.

    Parameters
    ----------
    image : ndarray, shape (h, w) or (h, w, 3), float32
    matrix : ndarray, shape (2, 3), float64
        From frame to crop pixels.
    size : int
        Side of the square in pixels.

    Returns
    -------
    ndarray, shape (size, size) or (size, size, 3), float32
        Not clipped; cubic interpolation overshoots.

    References
    ----------
    merge.md, conventions ("warp").
    """
    return cv2.warpAffine(image, matrix, (size, size), flags=cv2.INTER_CUBIC)


class Unwarp:
    """Paste a crop back into one region of the frame: cubic, zero outside of the crop.

    Parameters
    ----------
    matrix : ndarray, shape (2, 3), float64
        From frame to crop pixels.
    region : Region
        The part of the frame that is wanted.

    Notes
    -----
    The sampling positions are computed in float32 in the order of OpenCV 5's `warpAffine`, so the
    result equals the same part of `warpAffine(…, WARP_INVERSE_MAP)` over the whole frame.

    References
    ----------
    merge.md, conventions ("unwarp").
    """

    def __init__(self, matrix: Matrix, region: Region):
        m = matrix.astype(np.float32)
        x = np.arange(region.left, region.right, dtype=np.float32)[None, :]
        y = np.arange(region.top, region.bottom, dtype=np.float32)[:, None]
        self._x = m[0, 0] * x + (m[0, 1] * y + m[0, 2])
        self._y = m[1, 0] * x + (m[1, 1] * y + m[1, 2])

    def __call__(self, crop: Floats) -> Floats:
        """Paste a crop.

        Parameters
        ----------
        crop : ndarray, shape (size, size) or (size, size, c), float32

        Returns
        -------
        ndarray, shape `region.shape` or (*region.shape, c), float32
            Not clipped; cubic interpolation overshoots.
        """
        if self._x.size == 0:
            return np.zeros((*self._x.shape, *crop.shape[2:]), np.float32)
        return cv2.remap(crop, self._x, self._y, cv2.INTER_CUBIC)
