"""Reordering and normalizing tensors as the legacy files expect it."""

from __future__ import annotations

import tensorflow as tf


def flatten(x: tf.Tensor) -> tf.Tensor:
    """Flatten feature maps channel by channel.

    Parameters
    ----------
    x : tensor, shape (n, h, w, c)

    Returns
    -------
    tensor, shape (n, c * h * w)
        Flat index ``(channel * h + y) * w + x``: dense weights then mean the same whatever layout
        the model was trained in.

    References
    ----------
    models.md 1.4
    """
    size = x.shape[1] * x.shape[2] * x.shape[3]
    return tf.reshape(tf.transpose(x, (0, 3, 1, 2)), (-1, size))


def unflatten(x: tf.Tensor, height: int, width: int, channels: int) -> tf.Tensor:
    """Undo `flatten`: (n, channels * height * width) becomes (n, height, width, channels)."""
    return tf.transpose(tf.reshape(x, (-1, channels, height, width)), (0, 2, 3, 1))


def depth_to_space(x: tf.Tensor) -> tf.Tensor:
    """Turn (n, h, w, 4c) into (n, 2h, 2w, c); channel ``(2 dy + dx) c + k`` goes to pixel (dy, dx).

    References
    ----------
    models.md 1.5
    """
    return tf.nn.depth_to_space(x, 2)


def pixel_norm(x: tf.Tensor) -> tf.Tensor:
    """Scale each flat code to unit mean square: ``x / sqrt(mean(x^2) + 1e-6)`` over the last axis.

    Half-precision codes are widened to float32 first (and stay so): their squares overflow.

    References
    ----------
    models.md 1.6
    """
    if x.dtype.size < 4:
        x = tf.cast(x, tf.float32)
    return x * tf.math.rsqrt(tf.reduce_mean(tf.square(x), axis=-1, keepdims=True) + 1e-6)
