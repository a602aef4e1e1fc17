"""The face of the C++ blur with stride 2, whose fallback is TensorFlow's depthwise convolution."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import tensorflow as tf

from dfl_tf_ops import native

ROWS: dict[int, tuple[float, ...]] = {
    2: (1.0, 1.0),
    3: (1.0, 2.0, 1.0),
    4: (1.0, 3.0, 3.0, 1.0),
}
"""By size, the binomial kernel of one axis, which is divided by its sum."""
_TYPES = ("bfloat16", "float32", "float64")


def blur_pool(x: tf.Tensor, size: int, *, fused: bool = True) -> tf.Tensor:
    """Blur every channel by a binomial kernel and take every second pixel.

    Parameters
    ----------
    x : tensor, shape (n, h, w, c), any floating dtype
    size : {2, 3, 4}
        Of the kernel; ``(size - 1) // 2`` zeros stand before the first row and column.
    fused : bool
        Whether the C++ operation may be taken: it is for CPUs, and XLA does not know it.

    Returns
    -------
    tensor, shape (n, h', w', c), dtype of `x`
        Half of the height and width, rounded up. The C++ operation adds up in float32 at least.

    References
    ----------
    Zhang, Making Convolutional Networks Shift-Invariant Again, ICML 2019;
    `reference.blur_pool.blur_pool` is the NumPy twin.
    """
    if fused and x.dtype.name in _TYPES and native.library() is not None:
        return _fused(x, size)
    pad = ((size - 1) // 2, size // 2)
    row = np.array(ROWS[size]) / sum(ROWS[size])
    kernel = np.repeat(np.outer(row, row)[:, :, None, None], x.shape[-1], axis=2)
    x = tf.pad(x, ((0, 0), pad, pad, (0, 0)))
    return tf.nn.depthwise_conv2d(x, tf.constant(kernel, x.dtype), (1, 2, 2, 1), "VALID")


def _fused(x: tf.Tensor, size: int) -> tf.Tensor:
    ops = native.library()
    assert ops is not None
    height, width = x.shape[1:3]

    @tf.custom_gradient
    def halve(x: tf.Tensor) -> tuple[tf.Tensor, Callable[[tf.Tensor], tf.Tensor]]:
        def gradient(upstream: tf.Tensor) -> tf.Tensor:
            return ops.dfl_tf_blur_pool_grad(
                upstream=upstream, size=size, height=height, width=width
            )

        return ops.dfl_tf_blur_pool(x=x, size=size), gradient

    return halve(x)
