"""Blur, sharpening, degrading."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from dfl_tf.merge.degrade import bicubic_degrade, color_degrade, denoise
from dfl_tf.merge.sharpen import blur_or_sharpen, motion_blur, motion_kernel


@pytest.fixture
def image():
    rng = np.random.default_rng(5)
    return rng.random((24, 28, 3)).astype(np.float32)


def test_motion_kernel_is_a_line_of_sum_one():
    flat = motion_kernel(5, 0)
    assert flat[2].tolist() == pytest.approx([0.2] * 5)
    assert flat.sum() == pytest.approx(1)
    upright = motion_kernel(5, 90)
    assert upright[:, 2].sum() == pytest.approx(1, abs=1e-6)


def test_motion_blur_runs_along_its_direction(image):
    image[:] = 0
    image[12, 14] = 1
    blurred = motion_blur(image, 7, 0)
    assert np.count_nonzero(blurred[12, :, 0]) == 7
    assert np.count_nonzero(blurred[:, 14, 0]) == 1


def test_box_sharpening_is_the_difference_to_the_mean(image):
    mean = cv2.blur(image, (3, 3))
    wanted = image + (image - mean) * 2
    assert np.allclose(blur_or_sharpen(image, 2, "box"), wanted, atol=1e-5)


def test_gaussian_sharpening(image):
    soft = cv2.GaussianBlur(image, (3, 3), 0)
    assert np.allclose(blur_or_sharpen(image, 4, "gaussian"), 3 * image - 2 * soft, atol=1e-5)


def test_no_sharpen_mode_does_not_sharpen_but_blurs(image):
    assert blur_or_sharpen(image, 9, "none") is image
    once = cv2.medianBlur(image, 5)
    assert np.allclose(blur_or_sharpen(image, -10, "none"), once)
    assert np.allclose(blur_or_sharpen(image, -5, "box"), (image + once) / 2, atol=1e-6)


def test_denoise_power_100_is_one_full_and_nine_partial_passes(image):
    wanted = cv2.medianBlur(image, 5)
    for left in range(90, 0, -10):
        part = left / 100
        wanted = wanted * (1 - part) + cv2.medianBlur(wanted.astype(np.float32), 5) * part
    assert np.allclose(denoise(image, 100), wanted, atol=1e-5)


def test_bicubic_degrade_never_reaches_size_zero():
    tiny = np.full((3, 3, 3), 0.25, np.float32)
    assert np.allclose(bicubic_degrade(tiny, 100), 0.25)


def test_color_degrade_leaves_256_colors(image):
    full = color_degrade(image, 100)
    assert len(np.unique((full * 255).round().reshape(-1, 3), axis=0)) <= 256
    half = color_degrade(image, 50)
    assert np.allclose(half, (image + full) / 2, atol=1e-6)
