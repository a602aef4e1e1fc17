"""The orientation that a camera notes in a photograph: it is read and reported, never applied."""

from __future__ import annotations

import struct

_ORIENTATION = 0x0112
_UPRIGHT = 1


def exif_orientation(data: bytes) -> int:
    """Read the EXIF orientation of a JPEG, PNG or TIFF file.

    Parameters
    ----------
    data : bytes
        A whole file.

    Returns
    -------
    int
        1 (upright) to 8; 1 where nothing is noted.
    """
    try:
        if data[:2] == b"\xff\xd8":
            return _of_tiff(_jpeg_exif(data))
        if data[:8] == b"\x89PNG\r\n\x1a\n":
            return _of_tiff(_png_exif(data))
        if data[:4] in (b"II*\0", b"MM\0*"):
            return _of_tiff(data)
    except struct.error:
        pass
    return _UPRIGHT


def _jpeg_exif(data: bytes) -> bytes:
    position = 2
    while data[position : position + 1] == b"\xff":
        marker, length = struct.unpack_from(">BH", data, position + 1)
        if marker == 0xDA or length < 2:
            break
        body = data[position + 4 : position + 2 + length]
        if marker == 0xE1 and body[:6] == b"Exif\0\0":
            return body[6:]
        position += 2 + length
    return b""


def _png_exif(data: bytes) -> bytes:
    position = 8
    while position + 8 <= len(data):
        length, kind = struct.unpack_from(">I4s", data, position)
        if kind == b"eXIf":
            return data[position + 8 : position + 8 + length]
        if kind == b"IEND":
            break
        position += 12 + length
    return b""


def _of_tiff(data: bytes) -> int:
    if data[:2] not in (b"II", b"MM"):
        return _UPRIGHT
    order = "<" if data[:2] == b"II" else ">"
    (start,) = struct.unpack_from(order + "I", data, 4)
    (count,) = struct.unpack_from(order + "H", data, start)
    for place in range(start + 2, start + 2 + 12 * count, 12):
        tag, _, _, value = struct.unpack_from(order + "HHIH", data, place)
        if tag == _ORIENTATION:
            return value if 1 <= value <= 8 else _UPRIGHT
    return _UPRIGHT
