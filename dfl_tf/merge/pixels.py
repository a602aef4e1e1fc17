"""Frames as they are read: 8 or 16 bit, gray, BGR or with alpha."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path

import numpy as np
import numpy.typing as npt

from dfl_tf.imaging import read_image_unchanged
from dfl_tf.merge.warping import Floats, Region

Bytes = npt.NDArray[np.uint8]
Stored = npt.NDArray[np.unsignedinteger]  # uint8 or uint16


class FramePixels:
    """One frame, converted to float only where it is needed.

    Parameters
    ----------
    decoded : ndarray, uint8 or uint16
        (height, width), or (height, width, 1 … 4) in BGR(A) order. Gray is repeated to three
        channels, alpha is kept aside, 16 bit is scaled by 65535.
    bits : {0, 8, 16}
        Depth of what is written; 0: that of the frame.

    Attributes
    ----------
    gray : bool
        Whether it was stored with one color channel.
    alpha : ndarray, shape (height, width), or None
        With the depth of what is written.
    dtype : numpy.dtype
        Of what is written: uint8 or uint16.

    References
    ----------
    merge.md 1.
    """

    def __init__(self, decoded: Stored, bits: int = 0):
        if decoded.dtype not in (np.uint8, np.uint16):
            raise ValueError(f"a frame is uint8 or uint16; received {decoded.dtype}")
        array = decoded[:, :, None] if decoded.ndim == 2 else decoded
        self.gray = array.shape[2] < 3
        self._array = np.repeat(array[:, :, :1], 3, axis=2) if self.gray else array[:, :, :3]
        self._scale = np.float32(255 if decoded.dtype == np.uint8 else 65535)
        self.dtype: np.dtype[np.generic] = np.dtype(f"u{bits // 8}") if bits else decoded.dtype
        self.alpha = self._written(array[:, :, -1]) if array.shape[2] in (2, 4) else None

    @property
    def shape(self) -> tuple[int, int]:
        """(height, width)."""
        return self._array.shape[0], self._array.shape[1]

    @property
    def deep(self) -> bool:
        """Whether it is stored with 16 bits."""
        return self._array.dtype == np.uint16

    @cached_property
    def bytes(self) -> Bytes:
        """The whole frame as BGR, shape (height, width, 3), uint8."""
        if self._array.dtype == np.uint8:
            return np.ascontiguousarray(self._array)
        return to_bytes(np.divide(self._array, self._scale, dtype=np.float32))

    def pixels(self) -> Stored:
        """Copy the frame as BGR, shape (height, width, 3), uint8 or uint16 as `dtype` says."""
        return self._written(self._array).copy()

    def _written(self, stored: Stored) -> Stored:
        """Give pixels of the file, of any shape, the depth of what is written."""
        if stored.dtype == self.dtype:
            return stored
        if self.deep:
            return to_bytes(np.divide(stored, self._scale, dtype=np.float32))
        return stored.astype(np.uint16) * np.uint16(257)

    def quantized(self, image: Floats) -> Stored:
        """Give an image the depth of what is written: 8 bits as `to_bytes` does, 16 bits rounded.

        Parameters
        ----------
        image : ndarray, shape (h, w, 3), float32, clipped to [0, 1]

        Returns
        -------
        ndarray, shape (h, w, 3), uint8 or uint16
        """
        if self.dtype == np.uint8:
            return to_bytes(image)
        return np.rint(np.clip(image, 0, 1) * np.float32(65535)).astype(np.uint16)

    def with_alpha(self, image: Stored) -> Stored:
        """Append the alpha channel of the frame, if there is one, to an image of its size.

        Parameters
        ----------
        image : ndarray, shape (height, width, 3), uint8 or uint16
            With the depth of what is written.

        Returns
        -------
        ndarray, shape (height, width, 4) or `image` itself, dtype of `image`
        """
        if self.alpha is None:
            return image
        return np.dstack((image, self.alpha))

    def floats(self, region: Region) -> Floats:
        """One region as BGR, shape (*region.shape, 3), float32 in [0, 1]."""
        return np.divide(self._array[region.slices], self._scale, dtype=np.float32)

    def canvas(self, region: Region, pixels: Floats) -> Floats:
        """Return an image of the frame's size that is filled in one region only, zero elsewhere.

        Untouched pages of it cost nothing; OpenCV gets the frame's own coordinates and with them
        the same roundings as from the whole frame.

        Parameters
        ----------
        region : Region
        pixels : ndarray, shape (*region.shape, 3), float32

        Returns
        -------
        ndarray, shape (height, width, 3), float32
        """
        canvas = np.zeros((*self.shape, 3), np.float32)
        canvas[region.slices] = pixels
        return canvas


def to_bytes(image: Floats) -> Bytes:
    """Clip to [0, 1] and truncate x·255; legacy lets 1.0001 wrap around (merge.md 5).

    Parameters
    ----------
    image : ndarray, any shape, float32

    Returns
    -------
    ndarray, same shape, uint8
    """
    return (np.clip(image, 0, 1) * np.float32(255)).astype(np.uint8)


def read_frame(path: Path, bits: int = 0) -> FramePixels:
    """Read a frame file of any depth and channel count; WorkspaceError if it is not an image."""
    return FramePixels(read_image_unchanged(path), bits)
