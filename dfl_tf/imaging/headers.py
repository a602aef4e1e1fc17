"""How many pixels an encoded image declares, and the limit on it: asked before anything is decoded.

A file of a few kilobytes can declare gigabytes of pixels. Only formats whose header is read here
are decoded at all, whatever else OpenCV knows and whatever the file is called.
"""

from __future__ import annotations

import os
import struct

from dfl_tf.errors import OptionError, WorkspaceError

DEFAULT_LIMIT = 1 << 26
"""Pixels: 8192x8192, twice a frame of 8K video."""

LIMIT_VARIABLE = "DFL_TF_MAX_IMAGE_PIXELS"
"""Environment variable that sets another limit, for every command."""

READ_FORMATS = "JPEG, PNG, TIFF, WebP and BMP"

_NO_FRAME = (0xC4, 0xC8, 0xCC)  # Huffman tables, an extension, arithmetic coding conditions
_STANDALONE = (0x01, *range(0xD0, 0xD9))
_TIFF_WIDTH, _TIFF_HEIGHT = 256, 257
_TIFF_TYPES = {1: "B", 3: "H", 4: "I", 6: "b", 8: "h", 9: "i", 16: "Q", 17: "q"}


def pixel_limit() -> int:
    """The number of pixels that an image may have.

    Raises
    ------
    OptionError
        If the environment variable is not a positive number.
    """
    text = os.environ.get(LIMIT_VARIABLE, "").strip()
    if not text:
        return DEFAULT_LIMIT
    if not text.isdecimal() or len(text) > 18 or int(text) < 1:
        raise OptionError(
            f"{LIMIT_VARIABLE}={text[:40]!r} is not a number of pixels; the default is "
            f"{DEFAULT_LIMIT}"
        )
    return int(text)


def set_pixel_limit(pixels: int) -> None:
    """Set the limit for this process and the processes that it starts; 0 leaves it as it is."""
    if pixels:
        os.environ[LIMIT_VARIABLE] = str(pixels)


def size_error(height: int, width: int) -> str:
    """What is wrong with a declared size; empty if it may be decoded."""
    if height < 1 or width < 1:
        return f"it declares {width}x{height} pixels"
    limit = pixel_limit()
    if height * width <= limit:
        return ""
    return (
        f"it declares {width}x{height} pixels, and at most {limit:,} are decoded; if the image is "
        f"what you expect, set {LIMIT_VARIABLE}={height * width}"
    )


def check_image(data: bytes | memoryview, *, what: str) -> None:
    """Refuse an encoded image that must not be decoded.

    Raises
    ------
    WorkspaceError
        It is in no format that is read, or declares more pixels than `pixel_limit`.
    """
    size = image_size(data)
    if size is None:
        raise WorkspaceError(
            f"{what}: cannot be decoded as an image ({len(data)} bytes; {READ_FORMATS} are read)"
        )
    error = size_error(*size)
    if error:
        raise WorkspaceError(f"{what}: the image is not decoded: {error}")


def image_size(data: bytes | memoryview) -> tuple[int, int] | None:
    """Read the (height, width) that an image declares.

    Parameters
    ----------
    data : bytes
        The whole file, or enough of its beginning.

    Returns
    -------
    tuple of int, or None
        None: it is in none of `READ_FORMATS`, or its header is damaged.
    """
    head = bytes(data[:32])
    try:
        if head[:3] == b"\xff\xd8\xff":
            return _jpeg_size(memoryview(data))
        if head[:8] == b"\x89PNG\r\n\x1a\n" and head[12:16] == b"IHDR":
            width, height = struct.unpack(">II", head[16:24])
            return height, width
        if head[:4] in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"):
            return _tiff_size(memoryview(data))
        if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
            return _webp_size(head)
        if head[:2] == b"BM":
            return _bmp_size(head)
    except struct.error:
        pass
    return None


def _jpeg_size(data: memoryview) -> tuple[int, int] | None:
    """Walk the markers as libjpeg does: what stands between segments is skipped."""
    position = 2
    while position < len(data):
        while position < len(data) and data[position] != 0xFF:
            position += 1
        while position < len(data) and data[position] == 0xFF:
            position += 1
        if position >= len(data):
            return None
        marker = data[position]
        position += 1
        if marker == 0 or marker in _STANDALONE:
            continue
        if marker in (0xD9, 0xDA):
            return None
        (length,) = struct.unpack_from(">H", data, position)
        if 0xC0 <= marker <= 0xCF and marker not in _NO_FRAME:
            height, width = struct.unpack_from(">HH", data, position + 3)
            return height, width
        position += max(length, 2)
    return None


def _tiff_size(data: memoryview) -> tuple[int, int] | None:
    """Width and height of the first page, classic or BigTIFF."""
    order = "<" if data[0] == 0x49 else ">"
    big = 43 in (data[2], data[3])
    number, entry, inline = ("Q", 20, 8) if big else ("I", 12, 4)
    (start,) = struct.unpack_from(order + number, data, 8 if big else 4)
    (count,) = struct.unpack_from(order + ("Q" if big else "H"), data, start)
    start += 8 if big else 2
    found: dict[int, int] = {}
    for place in range(start, min(start + count * entry, len(data) - entry + 1), entry):
        tag, kind = struct.unpack_from(order + "HH", data, place)
        if tag in (_TIFF_WIDTH, _TIFF_HEIGHT) and kind in _TIFF_TYPES and tag not in found:
            value = place + entry - inline
            (found[tag],) = struct.unpack_from(order + _TIFF_TYPES[kind], data, value)
    if len(found) < 2:
        return None
    return found[_TIFF_HEIGHT], found[_TIFF_WIDTH]


def _webp_size(head: bytes) -> tuple[int, int] | None:
    kind = head[12:16]
    if kind == b"VP8X":
        width, height = (int.from_bytes(head[at : at + 3], "little") + 1 for at in (24, 27))
    elif kind == b"VP8L" and head[20] == 0x2F:
        bits = int.from_bytes(head[21:25], "little")
        width, height = (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    elif kind == b"VP8 " and head[23:26] == b"\x9d\x01\x2a":
        width, height = (n & 0x3FFF for n in struct.unpack("<HH", head[26:30]))
    else:
        return None
    return height, width


def _bmp_size(head: bytes) -> tuple[int, int] | None:
    (header,) = struct.unpack("<I", head[14:18])
    if header == 12:
        width, height = struct.unpack("<HH", head[18:22])
    else:
        width, height = struct.unpack("<ii", head[18:26])
    return abs(height), abs(width)
