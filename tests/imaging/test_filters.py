import cv2
import numpy as np
import pytest

from dfl_tf.imaging import filters


@pytest.fixture
def image():
    noise = np.random.RandomState(3).random_sample((48, 48, 3)).astype(np.float32)
    return cv2.GaussianBlur(noise, (5, 5), 0)


RANDOM = {
    "levels": lambda i, r, m: filters.random_rgb_levels(i, r, mask=m),
    "hsv": lambda i, r, m: filters.random_hsv_shift(i, r, mask=m),
    "sharpen": lambda i, r, m: filters.random_sharpen(i, r, 100, 5, mask=m),
    "motion": lambda i, r, m: filters.random_motion_blur(i, r, 100, 5, mask=m),
    "gaussian": lambda i, r, m: filters.random_gaussian_blur(i, r, 100, 5, mask=m),
    "resize": lambda i, r, m: filters.random_resize(i, r, 100, 75, cv2.INTER_LINEAR, mask=m),
    "jpeg": lambda i, r, m: filters.random_jpeg(i, r, 100, mask=m),
}


@pytest.mark.parametrize("name", RANDOM)
def test_filters_act_only_where_the_mask_is(image, name):
    mask = np.zeros((48, 48, 1), dtype=np.float32)
    mask[:, 24:] = 1
    for seed in range(4):
        whole = RANDOM[name](image, np.random.RandomState(seed), None)
        part = RANDOM[name](image, np.random.RandomState(seed), mask)
        assert whole.dtype == part.dtype == np.float32
        np.testing.assert_allclose(part[:, :24], image[:, :24], atol=1e-7)
        np.testing.assert_allclose(part[:, 24:], whole[:, 24:], atol=1e-7)


def test_zero_percent_leaves_the_image_and_draws_the_same(image):
    rng = np.random.RandomState(5)
    assert filters.random_sharpen(image, rng, 0, 5) is image
    assert filters.random_motion_blur(image, rng, 0, 5) is image
    assert filters.random_gaussian_blur(image, rng, 0, 5) is image
    assert filters.random_resize(image, rng, 0, 75, cv2.INTER_LINEAR) is image
    assert filters.random_jpeg(image, rng, 0) is image


def test_hsv_shift_of_nothing_is_the_image(image):
    np.testing.assert_allclose(filters.shift_hsv(image, 0, 0, 0), image, atol=1e-5)
    np.testing.assert_allclose(filters.shift_hsv(image, 360, 0, 0), image, atol=1e-5)


def test_motion_blur_keeps_flat_areas():
    flat = np.full((20, 20, 3), 0.25, dtype=np.float32)
    for size in range(1, 6):
        blurred = filters.linear_motion_blur(flat, size, 30 * size)
        np.testing.assert_allclose(blurred, flat, atol=1e-6)


def test_faded_circle_slope_is_one_over_the_second_radius():
    circle = filters.faded_circle((20, 10), (5, 3), (2, 4))
    assert circle.shape == (10, 20, 1)
    np.testing.assert_allclose(circle[5, 3:10, 0], [1, 1, 1, 0.75, 0.5, 0.25, 0])
    assert filters.faded_circle((4, 4), (0, 0), (0, 0))[0, 0, 0] == 1
