"""Merged frames as PNG, JPEG and TIFF, with levels and 8 or 16 bits, as a user asks for them."""

from __future__ import annotations

import re

import cv2
import numpy as np
import pytest
from PIL import Image

from dfl_tf.errors import UsageError
from dfl_tf.merge.image_format import ImageFormat
from dfl_tf.merge.pixels import FramePixels
from dfl_tf.merge.provenance import read_provenance
from dfl_tf.merge.run import merge_frames

from .test_bad_input import deepened
from .test_run import contents, output_of, run_of, tasks_of


def merged(workspace, name, **form):
    report = merge_frames(
        tasks_of(workspace), run_of(workspace, name, output=output_of(workspace, name, **form))
    )
    assert not report.failed
    return report


def read(workspace, folder, name):
    return cv2.imread(str(workspace / folder / name), cv2.IMREAD_UNCHANGED)


def names(workspace, folder):
    return [p.name for p in sorted((workspace / folder).iterdir())]


def test_tiff_and_png_of_any_level_hold_the_same_pixels(workspace):
    merged(workspace, "png")
    merged(workspace, "tif", kind="tif")
    merged(workspace, "small", kind="png", level=9)
    merged(workspace, "plain", kind="png", level=0)
    assert names(workspace, "tif_mask") == [f"{i:05d}.tif" for i in range(1, 7)]
    for folder in ("", "_mask"):
        for i in range(1, 7):
            png = read(workspace, f"png{folder}", f"{i:05d}.png")
            for other, suffix in (("tif", ".tif"), ("small", ".png"), ("plain", ".png")):
                assert np.array_equal(png, read(workspace, other + folder, f"{i:05d}{suffix}"))
    sizes = {
        name: sum(map(len, contents(workspace / name).values())) for name in ("small", "plain")
    }
    assert sizes["plain"] > 1.3 * sizes["small"]


def test_tiff_is_not_compressed_and_says_how_it_was_made(workspace):
    merged(workspace, "tif", kind="tif")
    path = workspace / "tif" / "00001.tif"
    with Image.open(path) as image:
        assert image.info["compression"] == "raw"
        packet = image.tag_v2[700]
    assert b"compositeWithTrainedAlgorithmicMedia" in packet
    assert read_provenance(path)["system"] == "new (SAEHD)"
    assert read_provenance(workspace / "tif_mask" / "00001.tif")["version"] == "iteration 7"


def test_jpeg_has_the_quality_asked_for_and_exact_masks(workspace):
    merged(workspace, "png")
    merged(workspace, "best", kind="jpg", level=100)
    merged(workspace, "poor", kind="jpg", level=20)
    assert names(workspace, "best_mask") == [f"{i:05d}.png" for i in range(1, 7)]
    mask = read(workspace, "best_mask", "00001.png")
    assert np.array_equal(mask, read(workspace, "png_mask", "00001.png"))
    exact = read(workspace, "png", "00001.png").astype(int)
    best, poor = (
        np.abs(read(workspace, name, "00001.jpg") - exact).mean() for name in ("best", "poor")
    )
    assert best < 1.5 < poor
    assert read_provenance(workspace / "best" / "00001.jpg")["system"] == "new (SAEHD)"


def test_16_bits_keep_more_of_the_face_than_8(workspace):
    merged(workspace, "eight", kind="tif")
    report = merged(workspace, "deep", kind="tif", bits=16)
    assert report.deep == 6
    image, mask = read(workspace, "deep", "00001.tif"), read(workspace, "deep_mask", "00001.tif")
    assert image.dtype == mask.dtype == np.uint16
    source = read(workspace, "data_dst", "00001.png")
    outside = mask == 0
    assert np.array_equal(image[outside], source[outside].astype(np.uint16) * 257)
    assert (image[mask > 60000] % 257 != 0).mean() > 0.9  # no 8-bit values in disguise
    assert np.array_equal(image // 257, read(workspace, "eight", "00001.tif")) or (
        np.abs(image / 257.0 - read(workspace, "eight", "00001.tif")).max() <= 1.0
    )


def test_what_a_jpeg_cannot_hold_is_counted(workspace):
    deepened(workspace / "data_dst" / "00001.png", alpha=True)
    report = merged(workspace, "jpg", kind="jpg")
    image = read(workspace, "jpg", "00001.jpg")
    assert (image.dtype, image.shape[2]) == (np.uint8, 3)
    assert (report.deep, report.alpha) == (0, 0)
    assert sorted(report.left_out.by_kind()) == [
        "16 bits of the frame, which are reduced to the 8 of what is written",
        "alpha of the frame, which JPEG images and videos do not have",
    ]


def test_depth_of_what_is_written():
    eight = np.array([[[0, 1, 255, 128]]], np.uint8)
    deep = FramePixels(eight, 16)
    assert np.array_equal(deep.pixels(), eight[..., :3].astype(np.uint16) * 257)
    assert np.array_equal(deep.alpha, [[128 * 257]])
    back = FramePixels(eight.astype(np.uint16) * 257, 8)
    assert np.array_equal(back.pixels(), eight[..., :3])
    assert back.quantized(np.float32([[[1.0, 0.5, 0]]])).tolist() == [[[255, 127, 0]]]


def test_images_of_two_kinds_never_lie_in_one_folder(workspace):
    merged(workspace, "m")
    frames = [task.path for task in tasks_of(workspace)]
    tiff = output_of(workspace, "m", kind="tif")
    with pytest.raises(UsageError, match=re.escape("6 merged images of another kind (00001.png)")):
        tiff.prepare(resume=True, overwrite=False, frames=frames)
    with pytest.raises(UsageError, match="Give --format png"):
        tiff.prepare(resume=False, overwrite=True, keep=True, frames=frames[:2])
    tiff.prepare(resume=False, overwrite=True, frames=frames)
    assert not names(workspace, "m")
    assert not names(workspace, "m_mask")


@pytest.mark.parametrize(
    ("form", "message"),
    [
        ({"kind": "gif"}, "give one of png, tif, jpg"),
        ({"kind": "jpg", "bits": 16}, "jpg holds 8 bits of a color"),
        ({"kind": "png", "level": 10}, "outside 0 … 9"),
        ({"kind": "jpg", "level": 0}, "outside 1 … 100"),
        ({"kind": "tif", "level": 1}, "tif is not compressed"),
    ],
)
def test_wrong_forms_are_refused(form, message):
    with pytest.raises(UsageError, match=re.escape(message)):
        ImageFormat(**form)
