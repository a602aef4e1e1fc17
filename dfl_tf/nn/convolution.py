"""Convolutions in the form that is the fastest where they run."""

from __future__ import annotations

from collections.abc import Callable

import tensorflow as tf
from dfl_tf_ops.convolution import (
    TAPS,
    WINOGRAD,
    Forms,
    convolve,
    convolve_3x3,
    gradient_by_taps,
)
from dfl_tf_ops.convolution_forms import Convolution
from dfl_tf_ops.native import has_winograd

from dfl_tf.nn.tensors import add_bias, product, space_to_depth, working_dtype
from dfl_tf.nn.tracing import tracing

_MINIMAL = Forms(WINOGRAD, WINOGRAD, WINOGRAD)
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
    With `Tracing.forms` each product of a large convolution takes the form that was measured to be
    the fastest for its shape. Else `Tracing.winograd` comes first where it applies: 3x3, enough
    channels, a CPU that has it.

    oneDNN's float32 kernels for the gradient of a filter reach about half of the speed of a matrix
    product on CPUs without AVX-512 (`tools/bench_train.py`). With `Tracing.weight_gradient_by_gemm`
    that gradient is one product for each tap: the image, moved by the tap, times the gradient of
    the result.
    """
    if working_dtype(x) != x.dtype and not _by_winograd(x, kernel):
        return product(_convolve, x, tf.cast(kernel, x.dtype), tf.cast(bias, x.dtype))
    return _convolve(x, kernel, bias)


def _convolve(x: tf.Tensor, kernel: tf.Tensor, bias: tf.Tensor) -> tf.Tensor:
    rule = _rule(x, kernel)
    forms = _forms(x, kernel, rule)
    if forms == _MINIMAL:
        return convolve_3x3(x, kernel, bias)
    if forms != rule:
        return convolve(x, kernel, bias, forms)
    kernel, bias = tf.cast(kernel, x.dtype), tf.cast(bias, x.dtype)
    convolved = (
        _with_taps(x, kernel) if forms.kernel == TAPS else tf.nn.conv2d(x, kernel, 1, "SAME")
    )
    return add_bias(convolved, bias)


def _rule(x: tf.Tensor, kernel: tf.Tensor) -> Forms:
    """Which forms are taken where none was measured."""
    if _by_winograd(x, kernel):
        return _MINIMAL
    chosen = tracing()
    by_taps = chosen.weight_gradient_by_gemm and not chosen.blur_as_matmul
    wide = min(kernel.shape[2:]) >= _WIDE and x.dtype == tf.float32
    return Forms(kernel=TAPS) if by_taps and wide else Forms()


def _forms(x: tf.Tensor, kernel: tf.Tensor, rule: Forms) -> Forms:
    chosen, (height, width) = tracing(), x.shape[1:3]
    if chosen.forms is None or chosen.blur_as_matmul or None in (height, width):
        return rule
    size, _, inputs, outputs = kernel.shape
    shape = Convolution(x.dtype.name, height, width, inputs, outputs, size)
    return chosen.forms.choose(shape, rule)


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
def _with_taps(
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
        return towards_x, gradient_by_taps(x, upstream, kernel.shape)

    return tf.nn.conv2d(x, kernel, 1, "SAME"), gradient
