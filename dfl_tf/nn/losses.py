"""Terms of the training objectives. Each is a vector with one entry a sample.

A constant that the legacy program rounds to float32 (blur and dssim kernels) is rounded so in
float64 runs too, in the same order; only then do float64 runs agree to 1e-10. Those kernels are
separable up to that rounding: float64 uses the kernel itself, float32 one-dimensional factors where
the kernel is large enough for that to pay.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from dfl_tf.nn.tensors import filter_by_matmul
from dfl_tf.nn.tracing import tracing

_DSSIM_SIGMA = 1.5
_C1 = 0.01**2
_C2 = 0.03**2
_SEPARABLE_FROM = 12  # side of the dssim window from which two passes are clearly faster than one
_AXES = {"hw": (1, 2), "ch": (3, 1)}


@functools.lru_cache
def dssim_kernel(size: int, dtype: str = "float32") -> npt.NDArray[np.floating]:
    """Return the window of `dssim`: a softmax of Gaussian logarithms.

    Returns
    -------
    ndarray, shape (size, size), dtype `dtype`
        Positive, with sum 1.

    References
    ----------
    training.md 1.1
    """
    coordinate = np.arange(size, dtype=np.float32) - np.float32((size - 1) / 2)
    squares = np.square(coordinate) * np.float32(-0.5 / _DSSIM_SIGMA**2)
    logarithm = (squares[:, None] + squares[None, :]).astype(dtype)
    weight = np.exp(logarithm - logarithm.max())
    return weight / weight.sum(dtype=dtype)


@functools.lru_cache
def _dssim_row(size: int) -> npt.NDArray[np.float32]:
    """Return the (1, size) factor of the window of `dssim`."""
    coordinate = np.arange(size) - (size - 1) / 2
    row = np.exp(coordinate**2 * (-0.5 / _DSSIM_SIGMA**2))
    return (row / row.sum()).astype(np.float32)[None]


@functools.lru_cache
def _dssim_band(size: int, side: int) -> npt.NDArray[np.float32]:
    """Return the (side, windows) matrix that filters one axis of `dssim`."""
    row = _dssim_row(size)[0]
    offset = np.arange(side)[:, None] - np.arange(side - size + 1)[None, :]
    inside = (offset >= 0) & (offset < size)
    return np.where(inside, row[np.clip(offset, 0, size - 1)], np.float32(0))


@functools.lru_cache
def blur_kernel(sigma: float) -> npt.NDArray[np.float32]:
    """Return the (k, k) float32 kernel of `gaussian_blur`; k = max(3, int(4 sigma)), made odd.

    References
    ----------
    training.md 1.2
    """
    row = _blur_row(sigma)
    kernel = np.outer(row, row).astype(np.float32)
    return kernel / kernel.sum()


def _blur_row(sigma: float) -> npt.NDArray[np.float64]:
    size = max(3, int(4 * sigma))
    size += 1 - size % 2
    return np.exp(-((np.arange(size) - size // 2) ** 2) / (2.0 * sigma**2))


@functools.lru_cache
def _blur_band(sigma: float, size: int) -> npt.NDArray[np.float32]:
    """Return the symmetric (size, size) matrix that blurs one axis between zeros."""
    row = _blur_row(sigma)
    offset = np.arange(size)[None, :] - np.arange(size)[:, None] + len(row) // 2
    inside = (offset >= 0) & (offset < len(row))
    band = np.where(inside, row[np.clip(offset, 0, len(row) - 1)], 0.0)
    return (band / row.sum()).astype(np.float32)


def _depthwise(x: tf.Tensor, kernel: npt.NDArray[np.floating], padding: str) -> tf.Tensor:
    kernel = np.repeat(kernel[:, :, None, None], x.shape[-1], axis=2)
    return tf.nn.depthwise_conv2d(x, tf.constant(kernel, x.dtype), (1, 1, 1, 1), padding)


def dssim(a: tf.Tensor, b: tf.Tensor, filter_size: int) -> tf.Tensor:
    """Structural dissimilarity ``(1 - ssim) / 2`` of two image batches.

    Parameters
    ----------
    a, b : tensor, shape (n, h, w, c)
        In [0, 1]. Types narrower than float32 are computed in float32 and cast back.
    filter_size : int
        Side of the Gaussian window (sigma 1.5 whatever the size); at least 1.

    Returns
    -------
    tensor, shape (n, c)
        Mean over the windows that lie inside the image; 0 where both are equal, at most 1.

    References
    ----------
    Z. Wang et al., "Image Quality Assessment: From Error Visibility to Structural Similarity",
    IEEE Transactions on Image Processing 13(4), 2004; training.md 1.1.

    Examples
    --------
    >>> image = tf.random.stateless_uniform((1, 16, 16, 3), seed=(1, 2))
    >>> dssim(image, image, 11).numpy().tolist()
    [[0.0, 0.0, 0.0]]
    >>> bool((dssim(image, 1 - image, 11) > 0.5).numpy().all())
    True
    """
    given = a.dtype
    if given != tf.float64:
        a, b = tf.cast(a, tf.float32), tf.cast(b, tf.float32)
    with tf.name_scope("dssim") if tracing().named else contextlib.nullcontext():
        dissimilarity = _dssim(a, b, max(1, filter_size))
    return tf.cast(dissimilarity, given)


def _dssim(a: tf.Tensor, b: tf.Tensor, size: int) -> tf.Tensor:
    moments = tf.concat((a, b, a * b, tf.square(a) + tf.square(b)), axis=-1)
    if tracing().blur_as_matmul:
        sides = moments.shape[1:3]
        moments = filter_by_matmul(moments, *(_dssim_band(size, side) for side in sides))
    elif a.dtype == tf.float64 or size < _SEPARABLE_FROM:
        moments = _depthwise(moments, dssim_kernel(size, a.dtype.name), "VALID")
    else:
        row = _dssim_row(size)
        moments = _depthwise(_depthwise(moments, row.T, "VALID"), row, "VALID")
    mean_a, mean_b, product, squares = tf.split(moments, 4, axis=-1)
    num0, den0 = 2.0 * mean_a * mean_b, tf.square(mean_a) + tf.square(mean_b)
    luminance = (num0 + _C1) / (den0 + _C1)
    structure = (2.0 * product - num0 + _C2) / (squares - den0 + _C2)
    ssim = tf.reduce_mean(luminance * structure, axis=(1, 2))
    return (1.0 - ssim) / 2.0


def gaussian_blur(x: tf.Tensor, sigma: float) -> tf.Tensor:
    """Blur (n, h, w, c) with zeros beyond the border: values darken near it.

    References
    ----------
    training.md 1.2
    """
    chosen = tracing()
    if not chosen.blur_as_matmul and x.dtype == tf.float64:
        return _depthwise(x, blur_kernel(sigma), "SAME")  # odd kernel: TensorFlow's SAME is ours
    if not chosen.blur_as_matmul and chosen.blur_as_depthwise:
        row = (_blur_row(sigma) / _blur_row(sigma).sum())[None]
        return _depthwise(_depthwise(x, row.T, "SAME"), row, "SAME")
    height, width = x.shape[1:3]
    return filter_by_matmul(x, _blur_band(sigma, height), _blur_band(sigma, width))


def style_loss(
    content: tf.Tensor, style: tf.Tensor, *, blur_radius: int, weight: float
) -> tf.Tensor:
    """Squared distance of per-channel means and deviations, after blurring both.

    Parameters
    ----------
    content, style : tensor, shape (n, h, w, c)
    blur_radius : int
        Sigma of `gaussian_blur`; 0 = none.
    weight : float

    Returns
    -------
    tensor, shape (n,)

    References
    ----------
    X. Huang and S. Belongie, "Arbitrary Style Transfer in Real-time with Adaptive Instance
    Normalization", ICCV 2017; training.md 1.3.

    Examples
    --------
    >>> dark, light = tf.fill((1, 8, 8, 3), 0.25), tf.fill((1, 8, 8, 3), 0.75)
    >>> style_loss(dark, light, blur_radius=0, weight=3.0).numpy().tolist()
    [0.75]
    """
    if blur_radius > 0:
        content, style = gaussian_blur(content, blur_radius), gaussian_blur(style, blur_radius)
    mean_a, var_a = tf.nn.moments(content, axes=(1, 2))
    mean_b, var_b = tf.nn.moments(style, axes=(1, 2))
    means = tf.reduce_sum(tf.square(mean_a - mean_b), axis=-1)
    deviations = tf.square(tf.sqrt(var_a + 1e-5) - tf.sqrt(var_b + 1e-5))
    return (means + tf.reduce_sum(deviations, axis=-1)) * (weight / content.shape[-1])


def total_variation_mse(x: tf.Tensor, axes: str) -> tf.Tensor:
    """Sum of squared forward differences of (n, h, w, c) along two axes: (n,).

    Parameters
    ----------
    x : tensor, shape (n, h, w, c)
    axes : {"hw", "ch"}
        Height and width, or channel and height as the legacy program did on a GPU and in AMP.

    References
    ----------
    L. Rudin, S. Osher and E. Fatemi, "Nonlinear total variation based noise removal algorithms",
    Physica D 60, 1992 (with squares, and summed); training.md 1.4.

    Examples
    --------
    >>> step = tf.reshape(tf.constant([0.0, 0.0, 1.0, 1.0]), (1, 2, 2, 1))
    >>> total_variation_mse(step, "hw").numpy().tolist()
    [2.0]
    """
    total = tf.zeros((), x.dtype)
    for axis in _AXES[axes]:
        size = x.shape[axis]
        later, earlier = (
            tf.gather(x, range(1, size), axis=axis),
            tf.gather(x, range(size - 1), axis=axis),
        )
        total += tf.reduce_sum(tf.square(later - earlier), axis=(1, 2, 3))
    return total


def discriminator_loss(label: float, logits: tf.Tensor) -> tf.Tensor:
    """Mean sigmoid cross entropy of logits (n, …) with a constant label: (n,).

    Parameters
    ----------
    label : float
        1 for true images, 0 for generated ones.
    logits : tensor, shape (n, …)

    References
    ----------
    I. Goodfellow et al., "Generative Adversarial Nets", NeurIPS 2014; training.md 1.5.

    Examples
    --------
    >>> [f"{loss:.4f}" for loss in discriminator_loss(1.0, tf.constant([[0.0], [20.0]])).numpy()]
    ['0.6931', '0.0000']
    """
    entropy = tf.nn.sigmoid_cross_entropy_with_logits(
        labels=tf.fill(tf.shape(logits), tf.constant(label, logits.dtype)), logits=logits
    )
    return tf.reduce_mean(entropy, axis=list(range(1, len(logits.shape))))


def mean_hwc(x: tf.Tensor) -> tf.Tensor:
    """Mean over height, width and channels: (n, h, w, c) to (n,)."""
    return tf.reduce_mean(x, axis=(1, 2, 3))


def mean_dssim(a: tf.Tensor, b: tf.Tensor, weight: float, sizes: Sequence[int]) -> tf.Tensor:
    """Sum over window sizes of the channel mean of ``weight * dssim``: (n,)."""
    return tf.add_n(dssim_terms(a, b, weight, sizes))


def dssim_terms(a: tf.Tensor, b: tf.Tensor, weight: float, sizes: Sequence[int]) -> list[tf.Tensor]:
    """Return what `mean_dssim` adds up, for each window size: (n,)."""
    return [tf.reduce_mean(weight * dssim(a, b, size), axis=-1) for size in sizes]
