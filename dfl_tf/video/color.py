"""Between decoded video frames and BGR arrays, with the matrix that the video says or implies."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Bytes = npt.NDArray[np.uint8]

BT709, BT601 = 1, 5
_UNSPECIFIED = 2


def matrix_of(stated: int, height: int) -> int:
    """Return the YUV matrix: as stated, else by picture size (HD is BT.709), as players do."""
    if stated in (BT709, 4, BT601, 7, 9):
        return stated
    if stated == 6:  # SMPTE 170M is BT.601
        return BT601
    return BT709 if height >= 720 else BT601


def to_bgr(frame: Any) -> Bytes:
    """Return a decoded frame as uint8 BGR (height, width, 3), upright."""
    matrix = matrix_of(int(frame.colorspace), frame.height)
    image = frame.to_ndarray(format="bgr24", src_colorspace=matrix, dst_colorspace=matrix)
    turns = round((frame.rotation or 0) / 90)
    return np.ascontiguousarray(np.rot90(image, turns)) if turns % 4 else image


def from_bgr(av: Any, image: Bytes, pixel_format: str) -> Any:
    """Return a frame for the encoder; an odd side gets its last row or column twice."""
    height, width = image.shape[:2]
    if pixel_format == "yuv420p" and (height % 2 or width % 2):
        image = np.pad(image, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
    frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(image), format="bgr24")
    if pixel_format != "yuv420p":
        return frame.reformat(format=pixel_format)
    matrix = matrix_of(_UNSPECIFIED, height)
    return frame.reformat(format=pixel_format, src_colorspace=matrix, dst_colorspace=matrix)
