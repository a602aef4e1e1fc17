"""Optimizer steps on one flat buffer: a few large operations where a device has many small ones.

On a GPU each operation is a kernel that must be launched, and a model has hundreds of variables.
Here the gradients of all of them are joined to one vector, slots are stored as one, and the new
weights are handed back by one split. The bits are those of `optimizer_step`'s fallback.
"""

from __future__ import annotations

import contextlib
import functools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import tensorflow as tf

from dfl_tf_ops.optimizer_step import (
    TWO_PI,
    Dropout,
    dropout_key,
    kept,
    philox_counter,
    philox_words,
)
from dfl_tf_ops.reference.optimizers import KEY_STEPS, ROUND_MULTIPLIERS, ROUNDS, TILE

_LOW = 0xFFFFFFFF
_BLOCKS = TILE // 4

Rule = Callable[[tf.Tensor, Sequence[tf.Tensor]], tuple[Sequence[tf.Tensor], tf.Tensor]]
"""Takes the gradients and the slots; returns the new slots, and what is taken off the weights."""


@dataclass(frozen=True)
class FlatLayout:
    """Where variables lie in a flat buffer: one after the other, each filled up to whole tiles.

    The tiles are those of `reference.optimizers.dropout_mask`.

    Attributes
    ----------
    shapes : tuple of tuple of int
        Of the variables.
    """

    shapes: tuple[tuple[int, ...], ...]

    @functools.cached_property
    def sizes(self) -> tuple[int, ...]:
        """Elements of each variable."""
        return tuple(math.prod(shape) for shape in self.shapes)

    @functools.cached_property
    def tiles(self) -> tuple[int, ...]:
        """Tiles of each variable."""
        return tuple(-(-size // TILE) for size in self.sizes)

    @property
    def size(self) -> int:
        """Elements of the buffer."""
        return sum(self.tiles) * TILE

    def start(self, index: int) -> int:
        """Return where a variable begins."""
        return sum(self.tiles[:index]) * TILE

    def of(self, indices: Sequence[int]) -> FlatLayout:
        """Return the layout of some of the variables."""
        return FlatLayout(tuple(self.shapes[i] for i in indices))

    def runs(self, indices: Sequence[int]) -> list[tuple[int, int]]:
        """Return where some variables lie, as few stretches (start, stop)."""
        found: list[tuple[int, int]] = []
        for i in indices:
            start, stop = self.start(i), self.start(i) + self.tiles[i] * TILE
            if found and found[-1][1] == start:
                start = found.pop()[0]
            found.append((start, stop))
        return found

    def join(self, tensors: Sequence[tf.Tensor]) -> tf.Tensor:
        """Join tensors of `shapes` to one, shape (size,); what fills up is zero."""
        pieces = []
        for tensor, size, tiles in zip(tensors, self.sizes, self.tiles, strict=True):
            pieces.append(tf.reshape(tensor, (-1,)))
            if rest := tiles * TILE - size:
                pieces.append(tf.constant(0, tensor.dtype, (rest,)))
        return tf.concat(pieces, 0) if len(pieces) > 1 else pieces[0]

    def split(self, flat: tf.Tensor) -> list[tf.Tensor]:
        """Undo `join`: take a tensor of shape (size,) apart into tensors of `shapes`."""
        lengths: list[int] = []
        places: list[int] = []
        for size, tiles in zip(self.sizes, self.tiles, strict=True):
            places.append(len(lengths))
            rest = tiles * TILE - size
            lengths += [size, rest] if rest else [size]
        pieces = tf.split(flat, lengths)
        return [
            tf.reshape(pieces[place], shape)
            for place, shape in zip(places, self.shapes, strict=True)
        ]


def global_norm(flat: tf.Tensor, *, compiled: bool = False) -> tf.Tensor:
    """Square root of the sum of the squares of a flat buffer; a scalar tensor of its dtype.

    `compiled` says that XLA compiles it, which does not know the one operation for that.
    """
    return tf.sqrt(2 * tf.nn.l2_loss(flat)) if compiled else tf.math.reduce_euclidean_norm(flat)


def cosine_share(iteration: tf.Tensor, period: int, dtype: tf.DType) -> tf.Tensor:
    """Share of the rate in an iteration, ``(cos(2 pi t / period) + 1) / 2``: a scalar tensor.

    It comes from a table of `period` entries.
    """
    table = (np.cos(np.arange(period) * (TWO_PI / period)) + 1) / 2
    return tf.gather(tf.constant(table, dtype), tf.cast(iteration, tf.int64) % period)


def read(buffer: tf.Variable, layout: FlatLayout, indices: Sequence[int]) -> tf.Tensor:
    """Return what a flat buffer holds of some variables: a tensor of shape (n,).

    They are joined as ``layout.of(indices)`` says.
    """
    runs = layout.runs(indices)
    if runs == [(0, layout.size)]:
        return buffer.read_value()
    pieces = [buffer[start:stop] for start, stop in runs]
    return tf.concat(pieces, 0) if len(pieces) > 1 else pieces[0]


def write(
    buffer: tf.Variable, layout: FlatLayout, indices: Sequence[int], value: tf.Tensor
) -> None:
    """Undo `read`: store the values of some variables, a tensor of shape (n,)."""
    runs, done = layout.runs(indices), 0
    if runs == [(0, layout.size)]:
        buffer.assign(value)
        return
    for start, stop in runs:
        buffer[start:stop].assign(value[done : done + stop - start])
        done += stop - start


def apply(
    rule: Rule,
    layout: FlatLayout,
    variables: Sequence[tf.Variable],
    slots: Sequence[tf.Variable],
    gradient: tf.Tensor,
    *,
    indices: Sequence[int],
    step: tf.Tensor,
    dropout: Dropout,
) -> None:
    """Update variables and slots by one step of an optimizer.

    Parameters
    ----------
    rule : callable
        What the optimizer makes of gradients and slots.
    layout : FlatLayout
        Of all variables of the optimizer.
    variables : sequence of variables
        Those that move.
    slots : sequence of variables, shape (layout.size,)
    gradient : tensor, shape (n,)
        Joined as ``layout.of(indices)`` says.
    indices : sequence of int
        Place of each of `variables` in `layout`, ascending.
    step : scalar tensor, int64
        The first is 1.
    dropout : Dropout
    """
    moving = layout.of(indices)
    new_slots, delta = rule(gradient, [read(slot, layout, indices) for slot in slots])
    if dropout.masks is not None:
        delta = delta * tf.cast(moving.join(dropout.masks), delta.dtype)
    elif dropout.keep < 1:
        with tf.device(dropout.device) if dropout.device else contextlib.nullcontext():
            mask = dropout_mask(moving, dropout, step)
        delta = tf.where(mask, delta, tf.zeros((), delta.dtype))
    new = moving.join([v.read_value() for v in variables]) - delta
    for slot, value in zip(slots, new_slots, strict=True):
        write(slot, layout, indices, value)
    for variable, value in zip(variables, moving.split(new), strict=True):
        variable.assign(value)


def dropout_mask(layout: FlatLayout, dropout: Dropout, step: tf.Tensor) -> tf.Tensor:
    """Draw the masks of all variables: bool tensor, shape (layout.size,), True = the entry moves.

    Parameters
    ----------
    layout : FlatLayout
    dropout : Dropout
        With the number of each variable.
    step : scalar tensor, int64

    References
    ----------
    training.md 13; `reference.optimizers.dropout_mask` is the NumPy twin.
    """
    tiles = sum(layout.tiles)
    if dropout.compiled:
        return kept(tf.reshape(_rounds(layout, dropout, step), (-1,)), tiles, dropout.keep)
    counter, count = philox_counter(step), len(layout.tiles)
    keys = tf.constant(np.stack([dropout_key(dropout.seed, n) for n in dropout.indices]))
    lengths = tf.constant(np.asarray(layout.tiles, np.int32)[:, np.newaxis] * TILE)

    # What says how long and by which key is int32, which on a GPU's side stays in the host's
    # memory; words go as float32, since lists of uint32 cannot be joined there.
    def draw(number: tf.Tensor, done: tf.TensorArray) -> tuple[tf.Tensor, tf.TensorArray]:
        key = tf.bitcast(keys[number], tf.uint64)
        words = philox_words(lengths[number], key, counter)
        return number + 1, done.write(number, tf.bitcast(words, tf.float32))

    begun = tf.TensorArray(tf.float32, count, infer_shape=False, element_shape=(None,))
    _, drawn = tf.while_loop(lambda number, _: number < count, draw, (tf.constant(0), begun))
    return kept(tf.bitcast(drawn.concat(), tf.uint32), tiles, dropout.keep)


def _rounds(layout: FlatLayout, dropout: Dropout, step: tf.Tensor) -> tf.Tensor:
    """Do the rounds of Philox4x32-10 for all variables at once, for XLA.

    XLA makes one kernel of each round. Of `philox_words` it makes a program of its own for every
    variable: 260 took half a minute of a processor to compile.

    Returns
    -------
    tensor, shape (tiles, blocks, 4), uint32
    """
    tiles = np.asarray(layout.tiles)
    first = np.concatenate([np.arange(count) * _BLOCKS for count in tiles])
    number = np.repeat(np.asarray(dropout.indices, np.int64) & _LOW, tiles)
    key = tf.constant(np.stack([np.full_like(number, dropout.seed & _LOW), number], 1)[:, None])
    block = tf.constant(first[:, np.newaxis], tf.int64) + np.arange(_BLOCKS)
    factors = tf.constant(ROUND_MULTIPLIERS, tf.int64)
    key_steps = tf.constant(KEY_STEPS, tf.int64)
    low = tf.constant(_LOW, tf.int64)

    def one_round(
        number: tf.Tensor, even: tf.Tensor, odd: tf.Tensor, key: tf.Tensor
    ) -> tuple[tf.Tensor, ...]:
        # of a product that does not fit int64 the same bits are left as in uint64
        product = tf.reverse(even * factors, (-1,))
        high = tf.bitwise.right_shift(product, 32) & low
        return number + 1, high ^ odd ^ key, product & low, (key + key_steps) & low

    even = tf.stack([block, tf.broadcast_to(step, block.shape)], -1)  # words 0 and 2
    _, even, odd, _ = tf.while_loop(
        lambda number, *_: number < ROUNDS,
        one_round,
        (tf.constant(0), even, tf.zeros_like(even), key),
    )
    return tf.cast(tf.reshape(tf.stack([even, odd], -1), (*block.shape, 4)), tf.uint32)
