"""The metrics: values known by hand, and equality to scikit-image called directly."""

from __future__ import annotations

import math

import numpy as np
import pytest
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from dfl_tf.evaluate import metrics

SIDE = 64


@pytest.fixture
def pair() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(5)
    target = rng.random((SIDE, SIDE, 3))
    return np.clip(target + rng.normal(0, 0.1, target.shape), 0, 1).astype(np.float32), target


def square_mask(left: int = 16, right: int = 48) -> np.ndarray:
    mask = np.zeros((SIDE, SIDE, 1), np.float32)
    mask[left:right, left:right] = 1
    return mask


def test_ssim_equals_scikit_image(pair):
    image, target = pair
    direct, whole = structural_similarity(
        target, image.astype(np.float64), channel_axis=2, data_range=1.0, gaussian_weights=True,
        sigma=1.5, use_sample_covariance=False, full=True,
    )  # fmt: skip
    # scikit-image leaves out a border of half a window: the mask that does so gives its number
    assert metrics.masked_ssim(image, target, square_mask(5, SIDE - 5)) == pytest.approx(
        direct, abs=1e-6
    )
    mask = square_mask()
    inside = whole[16:48, 16:48].mean()
    assert metrics.masked_ssim(image, target, mask) == pytest.approx(inside, abs=1e-6)


def test_psnr_and_l1_equal_scikit_image_and_numpy(pair):
    image, target = pair
    everywhere = np.ones((SIDE, SIDE))
    direct = peak_signal_noise_ratio(target, image.astype(np.float64), data_range=1.0)
    assert metrics.psnr(image, target, everywhere) == pytest.approx(direct, abs=1e-6)
    assert metrics.l1(image, target, everywhere) == pytest.approx(
        np.abs(image - target).mean(), abs=1e-6
    )


def test_only_the_mask_counts(pair):
    _, target = pair
    mask = square_mask()
    outside = np.where(mask > 0, target, 1 - target)
    assert metrics.l1(outside, target, mask) == 0
    assert metrics.psnr(outside, target, mask) == metrics.HIGHEST_PSNR
    half = np.full_like(target, 0.5)
    assert metrics.l1(half, half - 0.25, mask * 0.5) == pytest.approx(0.25)
    assert metrics.psnr(half, half - 0.1, mask) == pytest.approx(20.0)


def test_equal_images_are_perfect_and_an_empty_mask_is_no_number(pair):
    _, target = pair
    mask = square_mask()
    assert metrics.masked_ssim(target, target, mask) == pytest.approx(1.0)
    assert metrics.l1(target, target, mask) == 0
    for measure in (metrics.masked_ssim, metrics.l1, metrics.psnr):
        assert math.isnan(measure(target, target, mask * 0))


def test_overlap_of_masks():
    one, other = np.zeros((4, 4)), np.zeros((4, 4))
    one[:2], other[1:3] = 0.5, 0.9  # one half counts
    assert metrics.iou(one, other) == pytest.approx(4 / 12)
    assert metrics.iou(one, one) == 1
    assert metrics.iou(one * 0, one * 0) == 1
    assert metrics.iou(one * 0, one) == 0
    assert metrics.iou(one * 0.99, one) == 0


def ramp(shift: float, slope: float = 0.01) -> np.ndarray:
    """Brightness that grows by `slope` a pixel from left to right, moved by `shift` pixels."""
    row = 0.2 + slope * (np.arange(SIDE) - shift)
    return np.repeat(np.repeat(row[None, :, None], SIDE, axis=0), 3, axis=2)


def test_jitter_of_a_still_clip_is_zero(pair):
    swap, face = pair
    assert metrics.jitter((swap, swap), (face, face), square_mask()) == 0


@pytest.mark.parametrize("shift", [0.25, 1.0, 3.0])
def test_jitter_of_known_shifts(shift):
    still = ramp(0)
    # a still face, a swap that is shifted: shift times slope
    assert metrics.jitter((ramp(0), ramp(shift)), (still, still), square_mask()) == pytest.approx(
        shift * 0.01
    )
    # the swap moves as the face does
    both = metrics.jitter((ramp(0), ramp(shift)), (ramp(0) - 0.1, ramp(shift) - 0.1), square_mask())
    assert both == pytest.approx(0, abs=1e-12)
    # the swap stays where the face moves, and moves twice as far
    for factor in (0, 2):
        moved = metrics.jitter(
            (ramp(0), ramp(factor * shift)), (ramp(0), ramp(shift)), square_mask()
        )
        assert moved == pytest.approx(shift * 0.01)


def test_jitter_of_black_to_white_is_one():
    black, white = np.zeros((SIDE, SIDE, 3)), np.ones((SIDE, SIDE, 3))
    assert metrics.jitter((black, white), (black, black), square_mask()) == pytest.approx(1)


def test_identity_is_the_distance_from_the_mean_of_a_person():
    person = [[0.0, 0.0], [2.0, 0.0]]
    assert metrics.identity_distance([1.0, 3.0], person) == pytest.approx(3.0)
    assert metrics.identity_distance([1.0, 0.0], person) == 0
    assert math.isnan(metrics.identity_distance([1.0, 0.0], np.zeros((0, 2))))
