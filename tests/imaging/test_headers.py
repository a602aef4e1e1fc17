"""What an image declares is known, and limited, before it is decoded."""

from __future__ import annotations

import struct
import zlib

import cv2
import numpy as np
import pytest

from dfl_tf.errors import OptionError, WorkspaceError
from dfl_tf.imaging import decode_image, encode_image, image_size, set_pixel_limit
from dfl_tf.imaging.headers import DEFAULT_LIMIT, LIMIT_VARIABLE, pixel_limit

BIG = 20000


@pytest.fixture(autouse=True)
def no_limit_given(monkeypatch):
    monkeypatch.setenv(LIMIT_VARIABLE, "")  # so that what a test sets is undone


def png_bomb() -> bytes:
    def chunk(kind: bytes, body: bytes) -> bytes:
        return (
            struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        )

    head = struct.pack(">IIBBBBB", BIG, BIG, 8, 0, 0, 0, 0)
    data = zlib.compress(bytes(BIG + 1))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def tiff_bomb(order: str, big: bool) -> bytes:
    start = b"II" if order == "<" else b"MM"
    tags = [(256, 4, 1, BIG), (257, 4, 1, BIG), (258, 3, 1, 8), (259, 3, 1, 1), (262, 3, 1, 1)]
    if big:
        head = (
            start + struct.pack(order + "HHHQ", 43, 8, 0, 16) + struct.pack(order + "Q", len(tags))
        )
        rows = [
            struct.pack(order + "HHQ", *tag[:3]) + _inline(order, *tag[1::2], 8) for tag in tags
        ]
    else:
        head = start + struct.pack(order + "HIH", 42, 8, len(tags))
        rows = [
            struct.pack(order + "HHI", *tag[:3]) + _inline(order, *tag[1::2], 4) for tag in tags
        ]
    return head + b"".join(rows) + bytes(16)


def _inline(order: str, kind: int, value: int, size: int) -> bytes:
    return struct.pack(order + ("H" if kind == 3 else "I"), value).ljust(size, b"\0")


def jpeg_bomb() -> bytes:
    data = bytearray(encode_image(np.zeros((8, 8, 3), np.uint8), ".jpg"))
    place = data.index(b"\xff\xc0") + 5
    data[place : place + 4] = struct.pack(">HH", BIG, BIG)
    return bytes(data)


def bmp_bomb() -> bytes:
    return (
        b"BM"
        + struct.pack("<IHHI", 54, 0, 0, 54)
        + struct.pack("<IiiHHIIiiII", 40, BIG, -BIG, 1, 24, 0, 0, 0, 0, 0, 0)
    )


def webp_bomb() -> bytes:
    size = (16000 - 1).to_bytes(3, "little")
    return b"RIFF" + struct.pack("<I", 100) + b"WEBPVP8X" + struct.pack("<II", 10, 0) + size * 2


BOMBS = {
    "png": png_bomb(),
    "jpeg": jpeg_bomb(),
    "bmp": bmp_bomb(),
    "webp": webp_bomb(),
    **{f"tiff {o} {b}": tiff_bomb(o, b) for o in "<>" for b in (False, True)},
}


@pytest.mark.parametrize("kind", BOMBS)
def test_too_many_pixels_are_refused_before_decoding(kind, monkeypatch):
    monkeypatch.setattr(cv2, "imdecode", lambda *_: pytest.fail("it was decoded"))
    with pytest.raises(
        WorkspaceError, match=r"x: .*0x.*0 pixels, and at most 67,108,864 are decod"
    ):
        decode_image(BOMBS[kind], what="x")


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".tif", ".tiff", ".webp", ".bmp"])
@pytest.mark.parametrize("shape", [(7, 11, 3), (300, 2, 3)])
def test_the_size_of_what_opencv_writes_is_read(suffix, shape):
    data = encode_image(np.full(shape, 99, np.uint8), suffix)
    assert image_size(data) == shape[:2]
    assert decode_image(data).shape == shape


@pytest.mark.parametrize("flags", [(cv2.IMWRITE_WEBP_QUALITY, 30), (cv2.IMWRITE_WEBP_QUALITY, 101)])
def test_webp_with_and_without_loss(flags):
    data = cv2.imencode(".webp", np.full((9, 5, 3), 99, np.uint8), flags)[1].tobytes()
    assert image_size(data) == (9, 5)


def test_what_libjpeg_skips_between_segments_hides_no_size():
    plain = encode_image(np.zeros((8, 16, 3), np.uint8), ".jpg")
    place = plain.index(b"\xff\xdb")
    odd = plain[:place] + b"garbage\xff\x00\xff\xff" + plain[place:]
    assert image_size(odd) == (8, 16)
    assert cv2.imdecode(np.frombuffer(odd, np.uint8), cv2.IMREAD_COLOR).shape == (8, 16, 3)


TORN = [
    b"",
    b"\xff\xd8\xff",
    b"\x89PNG\r\n\x1a\n",
    b"P6 20000 20000 255\n",
    b"BM",
    b"II*\0\xff\xff\xff\xff",
    b"RIFF....WEBPVP8 ",
]


@pytest.mark.parametrize("data", TORN)
def test_other_formats_and_torn_headers_are_no_images(data):
    assert image_size(data) is None
    with pytest.raises(WorkspaceError, match="cannot be decoded as an image"):
        decode_image(data)


def test_the_limit_is_an_option(monkeypatch):
    image = encode_image(np.zeros((10, 10, 3), np.uint8), ".png")
    assert pixel_limit() == DEFAULT_LIMIT
    set_pixel_limit(99)
    with pytest.raises(WorkspaceError, match=f"at most 99 are decoded.*{LIMIT_VARIABLE}=100"):
        decode_image(image)
    set_pixel_limit(100)
    assert decode_image(image).shape == (10, 10, 3)
    monkeypatch.setenv(LIMIT_VARIABLE, "many")
    with pytest.raises(OptionError, match="'many' is not a number of pixels"):
        decode_image(image)
