"""Between video frames and BGR arrays, exact to rounding, by the matrix a video says or implies.

FFmpeg's own conversion truncates, which makes a gray of 128 (124, 126, 123). Here all arithmetic
is float32 and rounds once. FFmpeg only rearranges bytes, with one thread: with several it leaves
some rows of a frame unwritten now and then.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import TYPE_CHECKING, cast

import cv2
import numpy as np
import numpy.typing as npt

from dfl_tf.video.orientation import orientation_of

if TYPE_CHECKING:
    from av import VideoFrame
    from av.video.format import VideoFormat
    from av.video.plane import VideoPlane

Bytes = npt.NDArray[np.uint8]
Stored = npt.NDArray[np.uint8] | npt.NDArray[np.uint16]
Floats = npt.NDArray[np.float32]

# Matrix coefficients of ITU-T H.273.
BT709, BT601 = 1, 5
_UNSPECIFIED = 2
# Weights of red and blue in luma.
_LUMA = {
    1: (0.2126, 0.0722),
    4: (0.30, 0.11),
    5: (0.299, 0.114),
    7: (0.212, 0.087),
    9: (0.2627, 0.0593),
}
_SAME = {6: 5, 10: 9}
_FULL = 2
_GRAY = ("gray", "ya8", "ya16")

# Where a format of FFmpeg differs from one of these in the order of its bytes only.
_PLANAR = {(0, 0): "yuv444p", (1, 0): "yuv422p", (1, 1): "yuv420p", (2, 0): "yuv411p"}
_PLANAR_DEEP = {(0, 0): "yuv444p", (1, 0): "yuv422p", (1, 1): "yuv420p"}


def matrix_of(stated: int, height: int) -> int:
    """Return the YUV matrix: as stated, else by image size (HD is BT.709), as players do."""
    stated = _SAME.get(stated, stated)
    if stated in _LUMA:
        return stated
    return BT709 if height >= 720 else BT601


@dataclass(frozen=True)
class Yuv:
    """How Y, U and V are made of red, green and blue.

    Attributes
    ----------
    matrix : int
        1 BT.709, 5 BT.601, 9 BT.2020.
    full_range : bool
        Luma from 0 to 255; else 16 to 235, and chroma 16 to 240.
    """

    matrix: int = BT601
    full_range: bool = False

    def decoding(self, bits: int) -> Floats:
        """Matrix, shape (3, 4), float32, from Y, U, V of so many bits to B, G, R in [0, 1]."""
        red, blue = _LUMA[self.matrix]
        green = 1 - red - blue
        black, luma, chroma = self._levels(bits)
        v_red, u_blue = 2 * (1 - red), 2 * (1 - blue)
        center = 1 << (bits - 1)
        rows = np.array(
            [
                [1, u_blue, 0],
                [1, -u_blue * blue / green, -v_red * red / green],
                [1, 0, v_red],
            ]
        ) / np.array([luma, chroma, chroma])
        offset = -rows @ np.array([black, center, center])
        return np.hstack([rows, offset[:, None]]).astype(np.float32)

    def encoding(self) -> Floats:
        """Matrix, shape (3, 4), float32, from B, G, R in [0, 255] to 8-bit Y, U, V."""
        red, blue = _LUMA[self.matrix]
        black, luma, chroma = self._levels(8)
        weights = np.array([blue, 1 - red - blue, red])
        u = (np.array([1.0, 0, 0]) - weights) / (2 * (1 - blue))
        v = (np.array([0, 0, 1.0]) - weights) / (2 * (1 - red))
        rows = np.stack([weights * luma, u * chroma, v * chroma]) / 255
        return np.hstack([rows, [[black], [128], [128]]]).astype(np.float32)

    def _levels(self, bits: int) -> tuple[int, int, int]:
        """Return black, the span of luma and the span of chroma."""
        if self.full_range:
            top = (1 << bits) - 1
            return 0, top, top
        scale = 1 << (bits - 8)
        return 16 * scale, 219 * scale, 224 * scale


def yuv_of(frame: VideoFrame) -> Yuv:
    """Return what the colors of a decoded frame mean."""
    # Gray without a word about it is full, as everywhere in FFmpeg.
    name, stated = frame.format.name, int(frame.color_range)
    full = stated == _FULL or name.startswith("yuvj") or (stated != 1 and name.startswith(_GRAY))
    return Yuv(matrix_of(int(frame.colorspace), frame.height), full)


def bits_of(frame: VideoFrame) -> int:
    """Return the depth of one component of a frame; more than 16 count as 16."""
    return min(16, max((c.bits for c in frame.format.components), default=8))


def to_bgr(frame: VideoFrame, bits: int = 8) -> Stored:
    """Return a decoded frame as BGR (height, width, 3), upright.

    Parameters
    ----------
    frame : av.VideoFrame
        Of any format that FFmpeg decodes.
    bits : {8, 16}
        uint8 or uint16; every depth is rounded to it. Alpha is dropped.
    """
    image = _rgb_pixels(frame, bits) if _is_rgb(frame) else _yuv_pixels(frame, bits)
    orientation = orientation_of(frame)
    return image if orientation.upright else orientation.apply(image)


def _is_rgb(frame: VideoFrame) -> bool:
    stated = frame.format
    if stated.name.startswith(_GRAY):
        return False
    return stated.name.startswith("mono") or bool(
        stated.is_rgb or stated.has_palette or stated.is_bayer or "xyz" in stated.name
    )


def _rgb_pixels(frame: VideoFrame, bits: int) -> Stored:
    """Pixels that need no matrix; FFmpeg only rearranges them."""
    if bits_of(frame) <= 8:
        return _rescaled(frame.reformat(format="bgr24", threads=1).to_ndarray(), 255, bits)
    image = frame.reformat(format="gbrpf32le", threads=1).to_ndarray() if _is_float(frame) else None
    if image is None:
        image = frame.reformat(format="gbrp16le", threads=1).to_ndarray().astype(np.float32) / 65535
    return _rescaled(np.ascontiguousarray(image[:, :, ::-1]), 1, bits)


def _is_float(frame: VideoFrame) -> bool:
    return "f32" in frame.format.name or "f16" in frame.format.name


def _rescaled(image: npt.NDArray[np.generic], largest: float, bits: int) -> Stored:
    top = (1 << bits) - 1
    if image.dtype == np.uint8 and bits == 8:
        return np.ascontiguousarray(image)
    return _rounded(image.astype(np.float32) * np.float32(top / largest), bits)


def _rounded(image: Floats, bits: int) -> Stored:
    """Round to the nearest, to even between two, and clip."""
    return cv2.add(image, 0.0, dtype=cv2.CV_8U if bits == 8 else cv2.CV_16U)


def _yuv_pixels(frame: VideoFrame, bits: int) -> Stored:
    planes, depth = yuv_planes(frame)
    size = (frame.width, frame.height)
    luma = planes[0]
    if len(planes) == 1:
        neutral = np.full_like(luma, 1 << (depth - 1))
        stacked = cv2.merge([luma, neutral, neutral])
    else:
        # Repeated, not smoothed: encoding again gives the same chroma.
        chroma = [_repeated(plane, size) for plane in planes[1:]]
        stacked = cv2.merge([luma, *chroma])
    matrix = yuv_of(frame).decoding(depth) * np.float32((1 << bits) - 1)
    return _rounded(cv2.transform(stacked.astype(np.float32), matrix), bits)


def _repeated(plane: npt.NDArray[np.generic], size: tuple[int, int]) -> npt.NDArray[np.generic]:
    """Repeat chroma for every pixel it stands for."""
    width, height = size
    across, down = -(-width // plane.shape[1]), -(-height // plane.shape[0])
    if across > 1:
        plane = plane.repeat(across, axis=1)
    if down > 1:
        plane = plane.repeat(down, axis=0)
    return np.ascontiguousarray(plane[:height, :width])


def yuv_planes(frame: VideoFrame) -> tuple[list[Stored], int]:
    """Return the planes of a frame as stored, and their depth.

    Parameters
    ----------
    frame : av.VideoFrame
        Of any format that FFmpeg decodes.

    Returns
    -------
    planes : list of ndarray, shape (h, w), uint8 or uint16
        Y; or Y, U and V, where U and V may be smaller. Alpha is left out.
    depth : int
        Bits of a value, at most 16.
    """
    stated = frame.format
    names = {c.plane for c in stated.components if not c.is_alpha}
    depth = bits_of(frame)
    gray = len([c for c in stated.components if not c.is_alpha]) == 1
    wanted = _plain_format(stated, depth, gray)
    if stated.name != wanted and not (stated.name.startswith("yuvj") and len(names) == 3):
        yuv = yuv_of(frame)
        frame = frame.reformat(
            format=wanted,
            src_colorspace=yuv.matrix,
            dst_colorspace=yuv.matrix,
            src_color_range=2 if yuv.full_range else 1,
            dst_color_range=2 if yuv.full_range else 1,
            threads=1,
        )
        depth = bits_of(frame)
    return [_array(plane, depth) for plane in frame.planes[: 1 if gray else 3]], depth


def _plain_format(stated: VideoFormat, depth: int, gray: bool) -> str:
    """Name the planar format that holds the same numbers."""
    if gray:
        return "gray" if depth <= 8 else f"gray{depth}le"
    width, height = stated.chroma_width(64), stated.chroma_height(64)
    shift = ((64 // width).bit_length() - 1, (64 // height).bit_length() - 1)
    if depth <= 8:
        return _PLANAR.get(shift, "yuv444p")
    return f"{_PLANAR_DEEP.get(shift, 'yuv444p')}{depth}le"


def _array(plane: VideoPlane, depth: int) -> Stored:
    kind = np.dtype(np.uint8) if depth <= 8 else np.dtype("<u2")
    rows = np.frombuffer(memoryview(plane), kind).reshape(-1, plane.line_size // kind.itemsize)
    return np.ascontiguousarray(rows[: plane.height, : plane.width])


def from_bgr(
    av: ModuleType, image: Stored, pixel_format: str, yuv: Yuv | None = None
) -> VideoFrame:
    """Return a frame for the encoder; an odd side gets its last row or column twice.

    Parameters
    ----------
    image : ndarray, shape (h, w, 3), uint8 or uint16, BGR
    pixel_format : str
        "yuv420p", or a format of RGB.
    yuv : Yuv, optional
        Default: limited range, with the matrix that players expect for the size.
    """
    height, width = image.shape[:2]
    if pixel_format != "yuv420p":
        if image.dtype == np.uint16:
            image = _rounded(image.astype(np.float32) / np.float32(257), 8)
        frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(image), format="bgr24")
        return frame.reformat(format=pixel_format, threads=1)
    if height % 2 or width % 2:
        padding = ((0, height % 2), (0, width % 2), (0, 0))
        image = cast("Stored", np.pad(image, padding, mode="edge"))
    yuv = yuv or Yuv(matrix_of(_UNSPECIFIED, height))
    exact = image.astype(np.float32)
    if image.dtype == np.uint16:
        exact /= np.float32(257)
    planes = cv2.transform(exact, yuv.encoding())
    luma = _rounded(np.ascontiguousarray(planes[:, :, 0]), 8)
    half = (image.shape[1] // 2, image.shape[0] // 2)
    chroma = _rounded(cv2.resize(planes[:, :, 1:], half, interpolation=cv2.INTER_AREA), 8)
    return frame_of_planes(av, [luma, chroma[:, :, 0], chroma[:, :, 1]], yuv)


def from_gray(
    av: ModuleType, image: Stored, pixel_format: str, yuv: Yuv | None = None
) -> VideoFrame:
    """Return the frame that `from_bgr` makes of a gray image repeated to three channels.

    Parameters
    ----------
    image : ndarray, shape (h, w), uint8 or uint16
    pixel_format, yuv
        As in `from_bgr`.
    """
    height, width = image.shape
    if pixel_format != "yuv420p" or image.dtype != np.uint8:
        return from_bgr(av, cv2.merge([image] * 3), pixel_format, yuv)
    yuv = yuv or Yuv(matrix_of(_UNSPECIFIED, height))
    image = cast("Bytes", np.pad(image, ((0, height % 2), (0, width % 2)), mode="edge"))
    levels = np.repeat(np.arange(256, dtype=np.float32)[None, :, None], 3, axis=2)
    lumas = _rounded(np.ascontiguousarray(cv2.transform(levels, yuv.encoding())[:, :, 0]), 8)
    chroma = np.full((image.shape[0] // 2, image.shape[1] // 2), 128, np.uint8)
    return frame_of_planes(av, [cv2.LUT(image, lumas), chroma, chroma], yuv)


def frame_of_planes(av: ModuleType, planes: Sequence[Stored], yuv: Yuv) -> VideoFrame:
    """Return a yuv420p frame.

    Parameters
    ----------
    av : module
        PyAV.
    planes : list of ndarray, uint8
        Y of shape (h, w), U and V of shape (h / 2, w / 2); h and w are even.
    yuv : Yuv
        What the planes mean; written into the frame.

    Returns
    -------
    av.VideoFrame
    """
    height, width = planes[0].shape
    packed = np.concatenate([np.ascontiguousarray(plane).reshape(-1) for plane in planes])
    frame = av.VideoFrame.from_ndarray(packed.reshape(height * 3 // 2, width), format="yuv420p")
    frame.colorspace = yuv.matrix
    frame.color_range = _FULL if yuv.full_range else 1
    return frame
