"""Losses against their definitions; fast forms against plain ones."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from dfl_tf.nn import losses, tensors
from dfl_tf.nn.tracing import Tracing, traced_with


@pytest.fixture
def images():
    rng = np.random.default_rng(0)
    coarse = rng.random((2, 2, 8, 8, 3))
    return [tf.image.resize(x, (64, 64)) for x in coarse]


@pytest.mark.parametrize("size", [1, 2, 5, 11, 12, 22, 27])
def test_dssim_in_float32_is_the_exact_one(images, size):
    a, b = images
    exact = losses.dssim(tf.cast(a, tf.float64), tf.cast(b, tf.float64), size)
    np.testing.assert_allclose(losses.dssim(a, b, size), exact, atol=3e-6)


def test_dssim_of_equal_images_is_zero_and_symmetric(images):
    a, b = images
    assert np.abs(losses.dssim(a, a, 5)).max() < 1e-6
    np.testing.assert_allclose(losses.dssim(a, b, 5), losses.dssim(b, a, 5), atol=1e-7)
    assert losses.dssim(tf.cast(a, tf.float16), tf.cast(b, tf.float16), 5).dtype == tf.float16


def test_windows_sum_to_one_and_are_symmetric():
    for size in (1, 2, 5, 22):
        kernel = losses.dssim_kernel(size, "float64")
        assert abs(kernel.sum() - 1) < 1e-12
        np.testing.assert_array_equal(kernel, kernel.T)
        np.testing.assert_array_equal(kernel, kernel[::-1])


@pytest.mark.parametrize(("sigma", "taps"), [(0.5, 3), (1, 5), (2, 9), (3, 13), (8, 33)])
def test_blur_as_bands_is_the_convolution(images, sigma, taps):
    assert losses.blur_kernel(sigma).shape == (taps, taps)
    x = images[0][:, :40]  # not square
    exact = losses.gaussian_blur(tf.cast(x, tf.float64), sigma)
    np.testing.assert_allclose(losses.gaussian_blur(x, sigma), exact, atol=1e-6)


def test_blur_without_matrix_products(images):
    """As on a GPU, where TF32 would round them."""
    x = tf.cast(images[0], tf.float32)
    with traced_with(Tracing(blur_as_depthwise=True)):
        blurred = tf.function(lambda x: losses.gaussian_blur(x, 2.0)).get_concrete_function(x)
    kinds = {op.type for op in blurred.graph.get_operations()}
    assert "MatMul" not in kinds
    assert "DepthwiseConv2dNative" in kinds
    np.testing.assert_allclose(blurred(x), losses.gaussian_blur(x, 2.0), atol=1e-6)


def test_blur_darkens_the_border():
    blurred = losses.gaussian_blur(tf.ones((1, 16, 16, 1)), 2).numpy()[0, ..., 0]
    assert abs(blurred[8, 8] - 1) < 1e-5
    assert 0.2 < blurred[0, 0] < 0.4


def test_total_variation_along_both_pairs_of_axes(images):
    x = images[0].numpy()
    along = {
        axis: np.square(np.diff(x, axis=axis)).reshape(len(x), -1).sum(1) for axis in (1, 2, 3)
    }
    np.testing.assert_allclose(losses.total_variation_mse(x, "hw"), along[1] + along[2], rtol=1e-5)
    np.testing.assert_allclose(losses.total_variation_mse(x, "ch"), along[3] + along[1], rtol=1e-5)


def test_style_loss_compares_means_and_deviations(images):
    a, b = (x.numpy().astype(np.float64) for x in images)

    def moments(x):
        return x.mean((1, 2)), np.sqrt(x.var((1, 2)) + 1e-5)

    (mean_a, dev_a), (mean_b, dev_b) = moments(a), moments(b)
    want = 7 / 3 * (np.square(mean_a - mean_b) + np.square(dev_a - dev_b)).sum(1)
    got = losses.style_loss(tf.constant(a), tf.constant(b), blur_radius=0, weight=7.0)
    np.testing.assert_allclose(got, want, rtol=1e-10)


def test_discriminator_loss_is_the_cross_entropy():
    logits = np.array([[[[-2.0]], [[3.0]]]])
    probability = 1 / (1 + np.exp(-logits))
    for label in (0.0, 1.0):
        want = -np.log(probability if label else 1 - probability).mean()
        got = losses.discriminator_loss(label, tf.constant(logits))
        np.testing.assert_allclose(got, [want], rtol=1e-10)


def test_reorderings_are_channel_major_and_inverse():
    x = np.arange(2 * 3 * 4 * 5, dtype=np.float32).reshape(2, 3, 4, 5)
    flat = tensors.flatten(tf.constant(x)).numpy()
    assert flat[1, (2 * 3 + 1) * 4 + 3] == x[1, 1, 3, 2]
    np.testing.assert_array_equal(tensors.unflatten(flat, 3, 4, 5), x)
    y = tensors.depth_to_space(tf.constant(x[..., :4])).numpy()
    assert y.shape == (2, 6, 8, 1)
    assert y[0, 3, 4, 0] == x[0, 1, 2, 2]


def test_pixel_norm_of_large_half_codes_stays_finite():
    code = tf.constant(np.full((1, 8), 500.0), tf.float16)
    normed = tensors.pixel_norm(code)
    assert normed.dtype == tf.float32
    np.testing.assert_allclose(normed, np.ones((1, 8)), rtol=1e-5)
    zero = tensors.pixel_norm(tf.zeros((1, 8)))
    np.testing.assert_array_equal(zero, np.zeros((1, 8)))
