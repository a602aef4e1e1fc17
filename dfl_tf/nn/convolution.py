"""Convolutions in the form that is the fastest where they run."""

from __future__ import annotations

from collections.abc import Callable

import tensorflow as tf
from dfl_tf_ops.convolution import convolve_3x3
from dfl_tf_ops.native import has_winograd

from dfl_tf.nn.tensors import add_bias, product, space_to_depth, working_dtype
from dfl_tf.nn.tracing import tracing

_WIDE = 32
"""Products of fewer channels than this gain nothing."""

_WIDE_ENOUGH_FOR_TRANSFORMS = 64
_PIXELS_ENOUGH = 16
"""With fewer, the transforms cost more than they save (`tools/bench_ops.py`)."""


def convolve_same(x: tf.Tensor, kernel: tf.Tensor, bias: tf.Tensor) -> tf.Tensor:
    """Convolve with stride 1 and TensorFlow's SAME padding, by an odd kernel, and add a bias.

    Parameters
    ----------
    x : tensor, shape (n, h, w, in)
    kernel : tensor, shape (k, k, in, out)
        Of its variable's type: where that is wider than `x`, it is rounded here.
    bias : tensor, shape (out,)

    Returns
    -------
    tensor of the type of `x`, shape (n, h, w, out)

    Notes
    -----
    `Tracing.winograd` comes first where it applies: 3x3, enough channels, a CPU that has it.

    oneDNN's float32 kernels for the gradient of a filter reach about half of the speed of a matrix
    product on CPUs without AVX-512 (`tools/bench_train.py`). With `Tracing.weight_gradient_by_gemm`
    that gradient is one product for each tap: the image, moved by the tap, times the gradient of
    the result.
    """
    if _by_winograd(x, kernel):
        return convolve_3x3(x, kernel, bias)
    return product(_convolve, x, tf.cast(kernel, x.dtype), tf.cast(bias, x.dtype))


def _convolve(x: tf.Tensor, kernel: tf.Tensor, bias: tf.Tensor) -> tf.Tensor:
    if _by_winograd(x, kernel):  # now that `product` has widened them
        return convolve_3x3(x, kernel, bias)
    chosen = tracing()
    by_gemm = chosen.weight_gradient_by_gemm and not chosen.blur_as_matmul
    if by_gemm and min(kernel.shape[2:]) >= _WIDE and x.dtype == tf.float32:
        return add_bias(_with_gemm(x, kernel), bias)
    return add_bias(tf.nn.conv2d(x, kernel, 1, "SAME"), bias)


def convolve_halving(x: tf.Tensor, kernel: tf.Tensor, bias: tf.Tensor) -> tf.Tensor | None:
    """Convolve with stride 2 by a 5x5 kernel and two zeros on each side, if Winograd does it.

    Each quarter of the pixels (those at even or odd rows and columns) becomes channels of its own,
    of which the convolution is a 3x3 one with stride 1, whose kernel has a sixth row and column of
    zeros. So the kernel grows from 25 to 36 entries, of which `convolve_same` saves more
    than half.

    Parameters
    ----------
    x : tensor, shape (n, h, w, in)
    kernel : tensor, shape (5, 5, in, out)
    bias : tensor, shape (out,)

    Returns
    -------
    tensor, shape (n, h / 2, w / 2, out), or None where that gains nothing
    """
    size, _, channels, outputs = kernel.shape
    height, width = (side or 0 for side in x.shape[1:3])
    quarters = tf.TensorSpec((None, height // 2, width // 2, 4 * channels), working_dtype(x))
    by_nines = tf.TensorSpec((3, 3, 4 * channels, outputs))
    fits = size == 5 and height % 2 == width % 2 == 0
    if not fits or not _by_winograd(quarters, by_nines):
        return None
    kernel = tf.pad(kernel, ((0, 1), (0, 1), (0, 0), (0, 0)))
    kernel = tf.transpose(tf.reshape(kernel, (3, 2, 3, 2, channels, outputs)), (0, 2, 1, 3, 4, 5))
    return convolve_same(space_to_depth(x), tf.reshape(kernel, by_nines.shape), bias)


def _by_winograd(x: tf.Tensor | tf.TensorSpec, kernel: tf.Tensor | tf.TensorSpec) -> bool:
    chosen = tracing()
    wanted = chosen.winograd and not chosen.blur_as_matmul  # XLA has kernels of its own
    pixels, width = (x.shape[1] or 0) * (x.shape[2] or 0), min(kernel.shape[2:])
    pays = width >= _WIDE_ENOUGH_FOR_TRANSFORMS and pixels >= _PIXELS_ENOUGH
    return wanted and kernel.shape[0] == 3 and pays and has_winograd(x.dtype.name)


@tf.custom_gradient
def _with_gemm(
    x: tf.Tensor, kernel: tf.Tensor
) -> tuple[tf.Tensor, Callable[[tf.Tensor], tuple[tf.Tensor, ...]]]:
    def gradient(upstream: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        towards_x = tf.raw_ops.Conv2DBackpropInput(
            input_sizes=tf.shape(x),
            filter=kernel,
            out_backprop=upstream,
            strides=(1, 1, 1, 1),
            padding="SAME",
        )
        return towards_x, _weight_gradient(x, upstream, kernel.shape)

    return tf.nn.conv2d(x, kernel, 1, "SAME"), gradient


def _weight_gradient(x: tf.Tensor, upstream: tf.Tensor, shape: tf.TensorShape) -> tf.Tensor:
    size, _, channels, out_channels = shape
    height, width = x.shape[1:3]
    pad = size // 2
    padded = tf.pad(x, ((0, 0), (pad, pad), (pad, pad), (0, 0)))
    upstream = tf.reshape(upstream, (-1, out_channels))
    taps = [
        tf.matmul(
            tf.reshape(padded[:, i : i + height, j : j + width], (-1, channels)),
            upstream,
            transpose_a=True,
        )
        for i in range(size)
        for j in range(size)
    ]
    return tf.reshape(tf.stack(taps), shape)
