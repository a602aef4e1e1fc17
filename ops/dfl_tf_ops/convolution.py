"""The face of the C++ convolution, whose fallback is TensorFlow's own."""

from __future__ import annotations

from collections.abc import Callable

import tensorflow as tf

from dfl_tf_ops import native


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
    return _winograd(x, kernel, bias)


@tf.custom_gradient
def _winograd(
    x: tf.Tensor, kernel: tf.Tensor, bias: tf.Tensor
) -> tuple[tf.Tensor, Callable[[tf.Tensor], tuple[tf.Tensor, ...]]]:
    ops = native.library()
    assert ops is not None

    def gradient(upstream: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        no_bias = tf.zeros((0,))
        towards_x = ops.dfl_tf_winograd_conv2d(
            x=upstream, kernel=kernel, bias=no_bias, towards_input=True
        )
        towards_weights = ops.dfl_tf_winograd_filter_gradient(x=x, upstream=upstream)
        return towards_x, towards_weights.gradient, towards_weights.bias_gradient

    return ops.dfl_tf_winograd_conv2d(x=x, kernel=kernel, bias=bias), gradient
