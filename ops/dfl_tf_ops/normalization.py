"""The face of the C++ filter response normalization, whose fallback is TensorFlow operations."""

from __future__ import annotations

from collections.abc import Callable

import tensorflow as tf

from dfl_tf_ops import native

_COMPUTED = {"bfloat16": "float32", "float32": "float32", "float64": "float64"}
"""Types of images that the C++ operation takes, and the types in which it computes."""


def frn_tlu(
    x: tf.Tensor,
    weight: tf.Tensor,
    bias: tf.Tensor,
    eps: tf.Tensor,
    tau: tf.Tensor,
    *,
    fused: bool = True,
) -> tf.Tensor:
    """Normalize by the filter response, then cut off what is below a threshold.

    ``max(x / sqrt(mean_hw(x^2) + |eps|) * weight + bias, tau)``, computed in the type of the
    weights and rounded to that of `x` before the maximum. Where the C++ library is in use, images
    are read twice forward and twice backward, only `x` is kept for the gradient, and sums over
    pixels are the same for every number of threads.

    Parameters
    ----------
    x : tensor, shape (n, h, w, c), any floating dtype
    weight, bias, tau : tensor, shape (c,), the dtype to compute in
    eps : tensor, shape (1,), dtype of `weight`
    fused : bool
        Whether the C++ operation may be taken: it is for CPUs, and XLA does not know it.

    Returns
    -------
    tensor of the dtype of `x`, shape (n, h, w, c)

    Raises
    ------
    tf.errors.InvalidArgumentError
        If the shapes do not fit.

    References
    ----------
    Singh and Krishnan, Filter Response Normalization Layer, CVPR 2020;
    `reference.normalization.frn_tlu` is the NumPy twin.
    """
    computed = _COMPUTED.get(x.dtype.name)
    fits = computed is not None and weight.dtype.name == computed
    if fused and fits and native.library() is not None:
        return _fused(x, weight, bias, eps, tau)
    return tf.maximum(frn(x, weight, bias, eps), tf.cast(tau, x.dtype))


def frn(x: tf.Tensor, weight: tf.Tensor, bias: tf.Tensor, eps: tf.Tensor) -> tf.Tensor:
    """Return the part of `frn_tlu` before the maximum, by TensorFlow operations.

    Parameters
    ----------
    x : tensor, shape (n, h, w, c), any floating dtype
    weight, bias : tensor, shape (c,), the dtype to compute in
    eps : tensor, shape (1,), dtype of `weight`

    Returns
    -------
    tensor of the dtype of `x`, shape (n, h, w, c)
    """
    wide = tf.cast(x, weight.dtype)
    power = tf.reduce_mean(tf.square(wide), axis=(1, 2), keepdims=True)
    scale = 1.0 / tf.sqrt(power + tf.abs(eps))
    return tf.cast(wide * scale * weight + bias, x.dtype)


@tf.custom_gradient
def _fused(
    x: tf.Tensor, weight: tf.Tensor, bias: tf.Tensor, eps: tf.Tensor, tau: tf.Tensor
) -> tuple[tf.Tensor, Callable[[tf.Tensor], tuple[tf.Tensor, ...]]]:
    ops = native.library()
    assert ops is not None
    given = {"x": x, "weight": weight, "bias": bias, "eps": eps, "tau": tau}
    y, scale = ops.dfl_tf_frn_tlu(**given)

    def gradient(upstream: tf.Tensor) -> tuple[tf.Tensor, ...]:
        return tuple(ops.dfl_tf_frn_tlu_grad(upstream=upstream, scale=scale, **given))

    return y, gradient
