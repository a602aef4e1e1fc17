"""Colors are exact to rounding, both ways, at every size and for every matrix and range."""

from __future__ import annotations

import numpy as np
import pytest

av = pytest.importorskip("av")

from dfl_tf.imaging import read_image_unchanged, to_bgr as three_channels  # noqa: E402, I001
from dfl_tf.video.color import Yuv, from_bgr, from_gray, matrix_of, to_bgr, yuv_planes  # noqa: E402

WEIGHTS = {1: (0.2126, 0.0722), 5: (0.299, 0.114)}


def ramp(height: int, width: int) -> np.ndarray:
    """Colors that change over the whole range in each channel."""
    x = np.linspace(0, 255, width)[None] + np.zeros((height, 1))
    return np.stack([x, 255 - x, x / 2], axis=-1).round().astype(np.uint8)


def gray(height: int, width: int) -> np.ndarray:
    x = np.linspace(0, 255, width).round()[None, :, None]
    return np.broadcast_to(x, (height, width, 3)).astype(np.uint8)


def exact_bgr(planes, matrix: int, full: bool) -> np.ndarray:
    """Decode planes in float64 by the formulas of BT.601 and BT.709."""
    y, u, v = (plane.astype(np.float64) for plane in planes)
    u, v = (c.repeat(2, 0).repeat(2, 1)[: y.shape[0], : y.shape[1]] for c in (u, v))
    red, blue = WEIGHTS[matrix]
    if full:
        y, u, v = y / 255, (u - 128) / 255, (v - 128) / 255
    else:
        y, u, v = (y - 16) / 219, (u - 128) / 224, (v - 128) / 224
    r, b = y + 2 * (1 - red) * v, y + 2 * (1 - blue) * u
    g = (y - red * r - blue * b) / (1 - red - blue)
    return np.clip(np.stack([b, g, r], axis=-1) * 255, 0, 255)


@pytest.mark.parametrize("full", [False, True])
@pytest.mark.parametrize("matrix", [1, 5])
@pytest.mark.parametrize("made", [ramp, gray])
@pytest.mark.parametrize("size", [(64, 256), (63, 257), (720, 1280), (33, 55), (2, 256), (1, 255)])
def test_planes_have_no_bias(made, size, matrix, full):
    image = made(*size)
    frame = from_bgr(av, image, "yuv420p", Yuv(matrix, full))
    planes, depth = yuv_planes(frame)
    assert depth == 8
    height, width = size
    shown = exact_bgr(planes, matrix, full)[:height, :width]
    assert np.abs((shown - image).mean(axis=(0, 1))).max() <= 0.5
    back = to_bgr(frame)[:height, :width].astype(float)
    assert np.abs((back - image).mean(axis=(0, 1))).max() <= 0.5
    assert np.abs(back - shown).max() <= 0.51


def test_unstated_matrix_is_that_of_the_size():
    """HD is BT.709 and what is smaller BT.601, as players take it; 2 means unspecified."""
    assert [matrix_of(2, height) for height in (480, 719, 720, 2160)] == [5, 5, 1, 1]
    assert [matrix_of(stated, 480) for stated in (1, 5, 6, 9)] == [1, 5, 5, 9]


def test_gray_stays_gray_at_tiny_sizes():
    for size in ((1, 1), (1, 2), (2, 1), (3, 5)):
        image = np.full((*size, 3), 128, np.uint8)
        shown = to_bgr(from_bgr(av, image, "yuv420p"))
        assert np.abs(shown.astype(int) - 128).max() <= 1
        assert np.ptp(shown, axis=-1).max() == 0


def test_sixteen_bits_are_rounded_once():
    image = (ramp(16, 256).astype(np.uint16) << 8) + 255
    frame = from_bgr(av, image, "yuv420p")
    planes, _ = yuv_planes(frame)
    shown = exact_bgr(planes, 5, False)
    assert np.abs((shown - image / 257).mean(axis=(0, 1))).max() <= 0.5


@pytest.mark.parametrize(
    "name",
    ["yuvj420p", "nv12", "yuyv422", "yuv411p", "yuv420p10le", "p010le", "yuv422p12le", "gray",
     "gray16le", "yuva420p", "rgb24", "gbrp10le", "rgba64le", "yuv444p16be", "gbrpf32le"],
)  # fmt: skip
@pytest.mark.parametrize("bits", [8, 16])
def test_every_format_of_a_decoder_is_read(name, bits):
    image = np.full((34, 66, 3), 120, np.uint8)
    if name not in ("gray", "gray16le"):
        image[:] = (60, 120, 200)
    frame = av.VideoFrame.from_ndarray(image, format="bgr24").reformat(format=name, threads=1)
    shown = to_bgr(frame, bits)
    assert shown.dtype == (np.uint8 if bits == 8 else np.uint16)
    assert np.abs(shown / (1 if bits == 8 else 257) - image).max() <= 3


def test_frames_are_converted_alike_every_time():
    # Several threads of FFmpeg left rows gray in one of a hundred frames.
    image = np.full((34, 66, 3), (60, 120, 200), np.uint8)
    frame = av.VideoFrame.from_ndarray(image, format="bgr24").reformat(format="p010le", threads=1)
    first = to_bgr(frame)
    assert all(np.array_equal(to_bgr(frame), first) for _ in range(400))


def test_alpha_of_a_frame_is_dropped(tmp_path):
    import cv2

    cv2.imwrite(str(tmp_path / "a.png"), np.full((4, 4, 4), 7, np.uint8))
    assert three_channels(read_image_unchanged(tmp_path / "a.png")).shape == (4, 4, 3)


@pytest.mark.parametrize("size", [(64, 256), (33, 257)])
@pytest.mark.parametrize("yuv", [None, Yuv(1, full_range=True)])
def test_gray_images_need_no_colors(size, yuv):
    gray = np.arange(size[0] * size[1]).reshape(size).astype(np.uint8)
    for image, form in (
        (gray, "yuv420p"),
        (gray.astype(np.uint16) * 250, "yuv420p"),
        (gray, "rgb24"),
    ):
        wanted = from_bgr(av, np.repeat(image[:, :, None], 3, axis=2), form, yuv)
        made = from_gray(av, image, form, yuv)
        assert np.array_equal(made.to_ndarray(), wanted.to_ndarray())
        assert (made.colorspace, made.color_range) == (wanted.colorspace, wanted.color_range)
