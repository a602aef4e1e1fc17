"""Reordering and normalizing tensors as the legacy files expect it."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from dfl_tf.nn.tracing import tracing


def product(function: Callable[..., tf.Tensor], *tensors: tf.Tensor) -> tf.Tensor:
    """Call a convolution or matrix product ``function(*tensors)``, with its bias if it has one.

    With `Tracing.widen` half-precision numbers are widened and the sum is rounded once at
    the end. That is what hardware for such numbers does: their products are exact in float32, in
    which it adds them up. A CPU without it has slow kernels that do the same.

    Parameters
    ----------
    function : callable
    *tensors : tensor, any shape that `function` takes, one floating dtype

    Returns
    -------
    tensor, shape of the result of `function`, dtype of `tensors`
    """
    dtype, working = tensors[0].dtype, working_dtype(tensors[0])
    if working == dtype:
        return function(*tensors)
    return tf.cast(function(*(tf.cast(t, working) for t in tensors)), dtype)


def working_dtype(x: tf.Tensor) -> tf.DType:
    """Return the type in which `product` multiplies `x`, of any shape: its own, or float32."""
    return tf.float32 if x.dtype.size < 4 and tracing().widen else x.dtype


def add_bias(x: tf.Tensor, bias: tf.Tensor) -> tf.Tensor:
    """Add `bias` (c) to all pixels of `x` (..., c); the gradient is summed in float32 at least.

    TensorFlow 2.21 on a CPU adds up a bfloat16 gradient in bfloat16, where 256 + 1 is 256.
    """
    return tf.nn.bias_add(x, bias) if x.dtype.size >= 4 else _add_short_bias(x, bias)


@tf.custom_gradient
def _add_short_bias(
    x: tf.Tensor, bias: tf.Tensor
) -> tuple[tf.Tensor, Callable[[tf.Tensor], tuple[tf.Tensor, ...]]]:
    def gradient(upstream: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        total = tf.raw_ops.BiasAddGrad(out_backprop=tf.cast(upstream, tf.float32))
        return upstream, tf.cast(total, bias.dtype)

    return tf.nn.bias_add(x, bias), gradient


def filter_by_matmul(
    x: tf.Tensor, rows: npt.NDArray[np.floating], columns: npt.NDArray[np.floating]
) -> tf.Tensor:
    """Filter every channel of (n, h, w, c) along both axes.

    Parameters
    ----------
    x : tensor, shape (n, h, w, c)
    rows : ndarray, shape (h, h'), any floating dtype
    columns : ndarray, shape (w, w'), any floating dtype

    Returns
    -------
    tensor, shape (n, h', w', c)
    """
    height, width, channels = x.shape[1:]
    # Plain matrix products only: TensorFlow 2.21's oneDNN kernel crashes on broadcast ones.
    lines = tf.reshape(tf.transpose(x, (0, 3, 1, 2)), (-1, width))
    lines = tf.matmul(lines, tf.constant(columns, x.dtype))
    wide = columns.shape[1]
    planes = tf.transpose(tf.reshape(lines, (-1, channels, height, wide)), (0, 1, 3, 2))
    lines = tf.matmul(tf.reshape(planes, (-1, height)), tf.constant(rows, x.dtype))
    return tf.transpose(tf.reshape(lines, (-1, channels, wide, rows.shape[1])), (0, 3, 2, 1))


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
    return tf.nn.depth_to_space(x, 2) if x.dtype != tf.float64 else _blocks_to_space(x)


def space_to_depth(x: tf.Tensor) -> tf.Tensor:
    """Undo `depth_to_space`: (n, 2 h, 2 w, c) becomes (n, h, w, 4 c)."""
    return tf.nn.space_to_depth(x, 2) if x.dtype != tf.float64 else _space_to_blocks(x)


def _blocks_to_space(x: tf.Tensor) -> tf.Tensor:
    """Do as `depth_to_space` by a transpose, which has a kernel for float64 on GPUs."""
    n, h, w, c = _sides(x)
    blocks = tf.transpose(tf.reshape(x, (n, h, w, 2, 2, c // 4)), (0, 1, 3, 2, 4, 5))
    return tf.reshape(blocks, (n, 2 * h, 2 * w, c // 4))


def _space_to_blocks(x: tf.Tensor) -> tf.Tensor:
    """Do as `space_to_depth` by a transpose, which has a kernel for float64 on GPUs."""
    n, h, w, c = _sides(x)
    blocks = tf.transpose(tf.reshape(x, (n, h // 2, 2, w // 2, 2, c)), (0, 1, 3, 2, 4, 5))
    return tf.reshape(blocks, (n, h // 2, w // 2, 4 * c))


def _sides(x: tf.Tensor) -> list[int | tf.Tensor]:
    """Return the sizes of the axes, as numbers where they are known."""
    found = tf.shape(x)
    return [found[axis] if side is None else side for axis, side in enumerate(x.shape)]


def pixel_norm(x: tf.Tensor) -> tf.Tensor:
    """Scale each flat code to unit mean square: ``x / sqrt(mean(x^2) + 1e-6)`` over the last axis.

    Half-precision codes are widened to float32 first (and stay so): their squares overflow.

    Parameters
    ----------
    x : tensor, shape (n, length), any floating dtype

    Returns
    -------
    tensor, shape (n, length), float32 if `x` has half precision, else its dtype

    References
    ----------
    models.md 1.6
    """
    if x.dtype.size < 4:
        x = tf.cast(x, tf.float32)
    return x * tf.math.rsqrt(tf.reduce_mean(tf.square(x), axis=-1, keepdims=True) + 1e-6)
