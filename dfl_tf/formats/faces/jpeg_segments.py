"""The segments of a JPEG: split leniently, joined byte by byte.

References: data.md 1.1, 1.2.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from typing import NamedTuple

from dfl_tf.errors import FacesetError

SOI, EOI, SOS, APP0, APP15 = 0xD8, 0xD9, 0xDA, 0xE0, 0xEF
_FRAME_HEADERS = frozenset((0xC0, 0xC1, 0xC2, 0xC3, 0xC5, 0xC6, 0xC7, 0xC9, 0xCA, 0xCB))
_STANDALONE = frozenset((0x01, *range(0xD0, 0xDA)))


class JpegSegment(NamedTuple):
    """One JPEG segment. `body` holds everything after the marker (length field, data, scan)."""

    marker: int
    body: bytes


def split_segments(data: bytes, *, what: str = "image") -> list[JpegSegment]:
    """The segments of a JPEG, from SOI to EOI (one is added if the scan has no end).

    Raises
    ------
    FacesetError
        It does not have the form of a JPEG.
    """
    segments: list[JpegSegment] = []
    position = 0
    while position < len(data):
        while data[position : position + 2] == b"\xff\xff":  # fill bytes are legal
            position += 1
        head = data[position : position + 2]
        if len(head) < 2 or head[0] != 0xFF:
            raise FacesetError(
                f"{what}: damaged JPEG, no marker at byte {position} of {len(data)}."
            )
        marker = head[1]
        if (marker == SOI) != (not segments):
            raise FacesetError(f"{what}: damaged JPEG, misplaced start marker at byte {position}.")
        position += 2
        if marker in _STANDALONE:
            segments.append(JpegSegment(marker, b""))
            if marker == EOI:
                return segments
            continue
        length = int.from_bytes(data[position : position + 2], "big")
        end = position + length
        if length < 2 or end > len(data):
            raise FacesetError(
                f"{what}: truncated JPEG, segment FF{marker:02X} at byte {position - 2} declares "
                f"{length} bytes, {len(data) - position} are left."
            )
        if marker == SOS:
            found = data.find(b"\xff\xd9", end)
            end = len(data) if found < 0 else found
        segments.append(JpegSegment(marker, data[position:end]))
        position = end
    if not any(segment.marker == SOS for segment in segments):
        raise FacesetError(f"{what}: truncated JPEG, it ends before its image data.")
    return [*segments, JpegSegment(EOI, b"")]


def join_segments(segments: Iterable[JpegSegment]) -> bytes:
    """The bytes of a JPEG made of `segments`."""
    return b"".join(bytes((0xFF, marker)) + body for marker, body in segments)


def image_shape(segments: list[JpegSegment], what: str) -> tuple[int, int, int]:
    """Height, width and channels by the frame header.

    Raises
    ------
    FacesetError
        There is none.
    """
    for segment in segments:
        if segment.marker in _FRAME_HEADERS and len(segment.body) >= 7:
            height, width = struct.unpack(">HH", segment.body[3:7])
            if height and width:
                return height, width, 3
    raise FacesetError(f"{what}: damaged JPEG, it says no size.")
