"""Faces of the fused optimizer ops, each with a TensorFlow-graph fallback of the same result.

A step updates all variables of an optimizer at once. All gradients are arguments, so no variable is
written before the last gradient is known (training.md 3.1). The learning-rate-dropout masks come
from a counter-based generator and are the same bits in both ways (training.md 13).
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import ModuleType

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from dfl_tf_ops import native
from dfl_tf_ops.reference.optimizers import TILE, keep_threshold

TWO_PI = 2 * 3.1415926535  # as the legacy program has it
_PHILOX = 1  # tf.random.Algorithm.PHILOX
_NATIVE_DTYPES = (tf.float32, tf.float64)


@dataclass(frozen=True)
class Dropout:
    """Learning-rate dropout of one step.

    Parameters
    ----------
    keep : float
        Probability that an entry of a variable moves; 1 moves all.
    seed : int
        Low 32 bits are the first word of the generator's key.
    indices : tuple of int
        For each variable of the step its number in the optimizer: the second word of the key.
    device : str
        Where the fallback draws ("" = with the variable); the fused op draws where it runs.
    masks : sequence of tensor, shape of each variable, optional
        Given masks instead of drawn ones, one a variable of the step (tests); runs the fallback.
    compiled : bool
        Whether XLA compiles the step, for `flat_step`.
    """

    keep: float = 1.0
    seed: int = 0
    indices: tuple[int, ...] = ()
    device: str = ""
    masks: Sequence[tf.Tensor] | None = None
    compiled: bool = False


def dropout_mask(
    shape: Sequence[int], keep: float, *, seed: int, index: int, step: tf.Tensor
) -> tf.Tensor:
    """Draw the mask of one variable: bool tensor of shape `shape`, True = the entry moves.

    References
    ----------
    training.md 13; `reference.optimizers.dropout_mask` is the NumPy twin.
    """
    size = math.prod(int(side) for side in shape)
    tiles = -(-size // TILE)
    key = tf.bitcast(tf.constant(dropout_key(seed, index)), tf.uint64)
    words = philox_words(tf.constant([tiles * TILE]), key, philox_counter(step))
    return tf.reshape(kept(words, tiles, keep)[:size], shape)


def dropout_key(seed: int, index: int) -> npt.NDArray[np.int32]:
    """Return the generator's key for a variable as two words, shape (2,), int32."""
    return np.asarray([seed & 0xFFFFFFFF, index & 0xFFFFFFFF], np.uint32).view(np.int32)


def philox_counter(step: tf.Tensor) -> tf.Tensor:
    """Return the generator's first counter in a step, shape (2,), uint64."""
    step = tf.cast(step, tf.int64)
    return tf.bitcast(tf.stack([tf.zeros((), tf.int64), step]), tf.uint64)


def philox_words(shape: tf.Tensor, key: tf.Tensor, counter: tf.Tensor) -> tf.Tensor:
    """Draw words by Philox4x32-10, four of each counter.

    Parameters
    ----------
    shape : tensor, shape (1,), int32
        How many, a multiple of 4.
    key : scalar tensor, uint64
    counter : tensor, shape (2,), uint64

    Returns
    -------
    tensor, shape (n,), uint32
    """
    return tf.raw_ops.StatelessRandomUniformFullIntV2(
        shape=shape, key=tf.reshape(key, (1,)), counter=counter, alg=_PHILOX, dtype=tf.uint32
    )


def kept(words: tf.Tensor, tiles: int, keep: float) -> tf.Tensor:
    """Say of all entries of some tiles whether they move: bool tensor, shape (n,).

    Parameters
    ----------
    words : tensor, shape (n,), uint32
        What was drawn for them.
    tiles : int
        n / 1024.
    keep : float
    """
    limit = keep_threshold(keep)
    if limit > 0xFFFFFFFF:
        return tf.ones((tiles * TILE,), tf.bool)
    below = tf.less(tf.reshape(words, (tiles, TILE // 4, 4)), tf.constant(limit, tf.uint32))
    return tf.reshape(tf.transpose(below, (0, 2, 1)), (-1,))


def global_norm(tensors: Sequence[tf.Tensor], *, fused: bool = True) -> tf.Tensor:
    """Square root of the sum of all squares of all tensors.

    The fused op adds in float64 over fixed chunks: the number of threads does not matter.

    Parameters
    ----------
    tensors : sequence of tensors, any shape, one floating dtype
    fused : bool
        Whether the fused op, which is one for CPUs, may be used. While a graph is traced, tensors
        do not say where they will be.

    Returns
    -------
    scalar tensor of their dtype
    """
    dtype = tensors[0].dtype
    fused = fused and dtype in _NATIVE_DTYPES and _on_cpu(tensors)
    library = native.library() if fused else None
    if library is not None:
        return library.dfl_tf_global_norm(list(tensors))
    if dtype == tf.float16:
        tensors = [tf.cast(t, tf.float32) for t in tensors]
    total = tf.add_n([tf.reduce_sum(tf.square(t)) for t in tensors])
    return tf.cast(tf.sqrt(total), dtype)


def adabelief_step(
    variables: Sequence[tf.Variable],
    ms: Sequence[tf.Variable],
    vs: Sequence[tf.Variable],
    grads: Sequence[tf.Tensor],
    *,
    learning_rate: float | tf.Tensor,
    clip_scale: float | tf.Tensor,
    step: tf.Tensor,
    beta_1: float = 0.9,
    beta_2: float = 0.999,
    epsilon: float = 1e-6,
    dropout: Dropout = Dropout(),
) -> None:
    """Update `variables` and their slots `ms`, `vs` in place by one AdaBelief step.

    The arithmetic is done where the slots lie; what crosses to another device is the gradient and
    the change of the variable.

    Parameters
    ----------
    variables, ms, vs : sequence of tf.Variable
        Same shapes and one dtype, pairwise.
    grads : sequence of tf.Tensor, shape of each variable
        Gradients, unclipped, in the dtype of the variables.
    learning_rate, clip_scale : float or scalar tensor
        Effective rate, and the factor that every gradient is multiplied by first.
    step : scalar tensor, int64
        Counter after its increment (first step = 1); the masks depend on it.

    References
    ----------
    training.md 3; training.md 13.
    """
    dtype = variables[0].dtype
    rate, scale = _scalar(learning_rate, dtype), _scalar(clip_scale, dtype)
    library = _library_for([*variables, *ms, *vs], dropout)
    if library is not None:
        library.dfl_tf_resource_apply_adabelief(
            var=[v.handle for v in variables],
            m=[v.handle for v in ms],
            v=[v.handle for v in vs],
            grad=list(grads),
            learning_rate=rate,
            clip_scale=scale,
            step=_scalar(step, tf.int64),
            beta_1=beta_1,
            beta_2=beta_2,
            epsilon=epsilon,
            **_native_dropout(dropout, len(variables)),
        )
        return
    rule = adabelief_rule(rate, beta_1=beta_1, beta_2=beta_2, epsilon=epsilon)
    for i, (var, m, v, grad) in enumerate(zip(variables, ms, vs, grads, strict=True)):
        with tf.device(m.device):
            (new_m, new_v), delta = rule(grad * scale, (m, v))
            m.assign(new_m)
            v.assign(new_v)
            masked = _masked(delta, dropout, i, step)
        var.assign_sub(masked)


def adabelief_rule(
    rate: tf.Tensor, *, beta_1: float, beta_2: float, epsilon: float
) -> Callable[[tf.Tensor, Sequence[tf.Tensor]], tuple[Sequence[tf.Tensor], tf.Tensor]]:
    """Return the arithmetic of AdaBelief: gradient, (m, v) -> new (m, v), what the weights lose.

    Parameters
    ----------
    rate : scalar tensor
    beta_1, beta_2, epsilon : float
    """

    def rule(g: tf.Tensor, slots: Sequence[tf.Tensor]) -> tuple[Sequence[tf.Tensor], tf.Tensor]:
        m, v = slots
        b1, b2, rest_1, rest_2 = (
            tf.constant(x, g.dtype) for x in (beta_1, beta_2, 1 - beta_1, 1 - beta_2)
        )
        new_m = b1 * m + rest_1 * g
        new_v = b2 * v + rest_2 * tf.math.squared_difference(g, new_m)
        return (new_m, new_v), rate * new_m / (tf.sqrt(new_v) + tf.constant(epsilon, g.dtype))

    return rule


def rmsprop_step(
    variables: Sequence[tf.Variable],
    accs: Sequence[tf.Variable],
    grads: Sequence[tf.Tensor],
    *,
    learning_rate: float | tf.Tensor,
    clip_scale: float | tf.Tensor,
    step: tf.Tensor,
    rho: float = 0.9,
    epsilon: float = 1e-6,
    dropout: Dropout = Dropout(),
) -> None:
    """Update `variables` and their slots `accs` in place by one RMSprop step.

    Parameters and shapes of tensors: see `adabelief_step`.

    References
    ----------
    training.md 3; training.md 13.
    """
    dtype = variables[0].dtype
    rate, scale = _scalar(learning_rate, dtype), _scalar(clip_scale, dtype)
    library = _library_for([*variables, *accs], dropout)
    if library is not None:
        library.dfl_tf_resource_apply_rmsprop(
            var=[v.handle for v in variables],
            acc=[v.handle for v in accs],
            grad=list(grads),
            learning_rate=rate,
            clip_scale=scale,
            step=_scalar(step, tf.int64),
            rho=rho,
            epsilon=epsilon,
            **_native_dropout(dropout, len(variables)),
        )
        return
    rule = rmsprop_rule(rate, rho=rho, epsilon=epsilon)
    for i, (var, acc, grad) in enumerate(zip(variables, accs, grads, strict=True)):
        with tf.device(acc.device):
            (new_acc,), delta = rule(grad * scale, (acc,))
            acc.assign(new_acc)
            masked = _masked(delta, dropout, i, step)
        var.assign_sub(masked)


def rmsprop_rule(
    rate: tf.Tensor, *, rho: float, epsilon: float
) -> Callable[[tf.Tensor, Sequence[tf.Tensor]], tuple[Sequence[tf.Tensor], tf.Tensor]]:
    """Return the arithmetic of RMSprop: gradient, (a,) -> new (a,), what the weights lose.

    Parameters
    ----------
    rate : scalar tensor
    rho, epsilon : float
    """

    def rule(g: tf.Tensor, slots: Sequence[tf.Tensor]) -> tuple[Sequence[tf.Tensor], tf.Tensor]:
        (acc,) = slots
        decay, rest = tf.constant(rho, g.dtype), tf.constant(1 - rho, g.dtype)
        new_acc = decay * acc + rest * tf.square(g)
        return (new_acc,), rate * g / (tf.sqrt(new_acc) + tf.constant(epsilon, g.dtype))

    return rule


def _scalar(value: object, dtype: tf.DType) -> tf.Tensor:
    """Convert a number without the detour over float32 that `tf.cast` takes."""
    if isinstance(value, int | float):
        return tf.constant(value, dtype)
    return tf.cast(value, dtype)


def _masked(delta: tf.Tensor, dropout: Dropout, i: int, step: tf.Tensor) -> tf.Tensor:
    if dropout.masks is not None:
        return delta * tf.cast(dropout.masks[i], delta.dtype)
    if dropout.keep >= 1:
        return delta
    with tf.device(dropout.device) if dropout.device else contextlib.nullcontext():
        mask = dropout_mask(
            delta.shape, dropout.keep, seed=dropout.seed, index=dropout.indices[i], step=step
        )
    return tf.where(mask, delta, tf.zeros((), delta.dtype))


def _library_for(variables: Sequence[tf.Variable], dropout: Dropout) -> ModuleType | None:
    """Return the fused ops if they can run here: all on one CPU device, no given masks."""
    if dropout.masks is not None or variables[0].dtype not in _NATIVE_DTYPES:
        return None
    if not _on_cpu(variables) or len({v.device for v in variables}) > 1:
        return None
    return native.library()


def _native_dropout(dropout: Dropout, count: int) -> dict[str, object]:
    seed = dropout.seed & 0xFFFFFFFF
    return {
        "keep": dropout.keep,
        "seed": seed,
        "indices": list(dropout.indices) or list(range(count)),
    }


def _on_cpu(items: Sequence[tf.Variable]) -> bool:
    """Whether nothing of this lies on an accelerator (a symbolic tensor may not say: it passes)."""
    return all("device:" not in i.device or "device:CPU" in i.device for i in items)
