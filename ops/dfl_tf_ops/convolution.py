"""Convolutions with stride 1: in TensorFlow's form, in Winograd's (C++), or tap by tap."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from types import ModuleType
from typing import NamedTuple

import tensorflow as tf

from dfl_tf_ops import native

PLAIN, WINOGRAD, TAPS = "plain", "winograd", "taps"


class Forms(NamedTuple):
    """The form of each product of a convolution: `PLAIN`, `WINOGRAD` or, for `kernel`, `TAPS`."""

    forward: str = PLAIN
    input: str = PLAIN
    kernel: str = PLAIN

    def items(self) -> Iterator[tuple[str, str]]:
        """Pairs of direction and form."""
        return zip(self._fields, self, strict=True)


def convolve_3x3(x: tf.Tensor, kernel: tf.Tensor, bias: tf.Tensor) -> tf.Tensor:
    """Convolve by a 3x3 kernel with stride 1 and SAME padding, and add a bias.

    Where the C++ library has it (`native.has_winograd`), result and gradients are computed in
    Winograd's form F(2x2, 3x3): 16 multiplications where the plain sum takes 36, and transforms of
    additions and halves. In float32 the numbers are those of `tf.nn.conv2d` but for rounding, which
    is no worse, and the same on every CPU and for every number of threads. In bfloat16 transformed
    numbers are rounded, and the result, where the plain sum rounds its result only.

    Parameters
    ----------
    x : float32 or bfloat16 tensor, shape (n, h, w, in)
        On a CPU. Other types are left to TensorFlow.
    kernel : float32 tensor, shape (3, 3, in, out)
        Rounded to bfloat16 for such an `x`; its gradient is not.
    bias : float32 tensor, shape (out,)

    Returns
    -------
    tensor of the type of `x`, shape (n, h, w, out)

    Raises
    ------
    tf.errors.InvalidArgumentError
        If the shapes do not fit.

    References
    ----------
    Lavin and Gray, Fast Algorithms for Convolutional Neural Networks, CVPR 2016;
    `reference.convolution.winograd` is the NumPy twin.
    """
    if not native.has_winograd(x.dtype.name):
        kernel, bias = (tf.cast(t, x.dtype) for t in (kernel, bias))
        return tf.nn.bias_add(tf.nn.conv2d(x, kernel, 1, "SAME"), bias)
    return convolve(x, kernel, bias, Forms(WINOGRAD, WINOGRAD, WINOGRAD))


def convolve(x: tf.Tensor, kernel: tf.Tensor, bias: tf.Tensor, forms: Forms) -> tf.Tensor:
    """Convolve with stride 1 and SAME padding, each product in its form, and add a bias.

    Parameters
    ----------
    x : float32 or bfloat16 tensor, shape (n, h, w, in)
        On a CPU.
    kernel : float32 tensor, shape (k, k, in, out)
        An odd k; rounded to the type of `x`. Its gradient is rounded where the form is not
        `WINOGRAD`.
    bias : float32 tensor, shape (out,)
        Its gradient is added up in float32.
    forms : Forms

    Returns
    -------
    tensor of the type of `x`, shape (n, h, w, out)
    """

    @tf.custom_gradient
    def run(
        x: tf.Tensor, kernel: tf.Tensor, bias: tf.Tensor
    ) -> tuple[tf.Tensor, Callable[[tf.Tensor], tuple[tf.Tensor, ...]]]:
        def gradient(upstream: tf.Tensor) -> tuple[tf.Tensor, ...]:
            towards_input = _towards_input(forms.input, x, kernel, upstream)
            return towards_input, *_towards_kernel(forms.kernel, x, kernel, upstream)

        return _forward(forms.forward, x, kernel, bias), gradient

    return run(x, kernel, bias)


def products(
    x: tf.Tensor, kernel: tf.Tensor, upstream: tf.Tensor
) -> dict[str, Callable[[str], object]]:
    """Return, by direction, what computes it in a form: for measurements and tests.

    Parameters
    ----------
    x, upstream : float32 or bfloat16 tensor, shape (n, h, w, in) and (n, h, w, out)
    kernel : float32 tensor, shape (k, k, in, out)
    """
    bias = tf.zeros((kernel.shape[3],), kernel.dtype)
    return {
        "forward": lambda form: _forward(form, x, kernel, bias),
        "input": lambda form: _towards_input(form, x, kernel, upstream),
        "kernel": lambda form: _towards_kernel(form, x, kernel, upstream),
    }


def _ops() -> ModuleType:
    ops = native.library()
    assert ops is not None, "a form in C++ was chosen without the library"
    return ops


def _forward(form: str, x: tf.Tensor, kernel: tf.Tensor, bias: tf.Tensor) -> tf.Tensor:
    if form == WINOGRAD:
        return _ops().dfl_tf_winograd_conv2d(x=x, kernel=kernel, bias=bias)
    kernel, bias = (tf.cast(t, x.dtype) for t in (kernel, bias))
    return tf.nn.bias_add(tf.nn.conv2d(x, kernel, 1, "SAME"), bias)


def _towards_input(form: str, x: tf.Tensor, kernel: tf.Tensor, upstream: tf.Tensor) -> tf.Tensor:
    if form == WINOGRAD:
        return _ops().dfl_tf_winograd_conv2d(
            x=upstream, kernel=kernel, bias=tf.zeros((0,)), towards_input=True
        )
    return tf.raw_ops.Conv2DBackpropInput(
        input_sizes=tf.shape(x),
        filter=tf.cast(kernel, x.dtype),
        out_backprop=upstream,
        strides=(1, 1, 1, 1),
        padding="SAME",
    )


def _towards_kernel(
    form: str, x: tf.Tensor, kernel: tf.Tensor, upstream: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor]:
    """Return the gradients of kernel and bias, in the type of `kernel`."""
    if form == WINOGRAD:
        found = _ops().dfl_tf_winograd_filter_gradient(x=x, upstream=upstream)
        return found.gradient, found.bias_gradient
    if form == TAPS:
        gradient = gradient_by_taps(x, upstream, kernel.shape)
    else:
        gradient = tf.raw_ops.Conv2DBackpropFilter(
            input=x,
            filter_sizes=kernel.shape,
            out_backprop=upstream,
            strides=(1, 1, 1, 1),
            padding="SAME",
        )
    total = tf.raw_ops.BiasAddGrad(out_backprop=tf.cast(upstream, kernel.dtype))
    return tf.cast(gradient, kernel.dtype), total


def gradient_by_taps(x: tf.Tensor, upstream: tf.Tensor, shape: tf.TensorShape) -> tf.Tensor:
    """Return the gradient of a kernel: for each tap the moved image times `upstream`.

    Parameters
    ----------
    x : tensor, shape (n, h, w, in), any floating dtype
    upstream : tensor, shape (n, h, w, out), dtype of `x`
    shape : TensorShape
        Of the kernel: (k, k, in, out).

    Returns
    -------
    tensor, shape (k, k, in, out), dtype of `x`
    """
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
