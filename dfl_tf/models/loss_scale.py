"""Dynamic loss scaling for float16, whose small gradients would else become zero.

The objective is multiplied by a power of two before it is differentiated, and the gradients are
divided by it in float32 before anything looks at them. When one of them overflows, the step is left
out (weights, slots and the optimizer's counter stay) and the scale is halved; after many good steps
it is doubled.

References
----------
Micikevicius et al., Mixed precision training (2018), section 3.2.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import tensorflow as tf

FIRST = 2.0**15
LARGEST = 2.0**24
GROWS_AFTER = 2000


class LossScale:
    """The scale of one optimizer's objective.

    A resumed training begins with the first scale again: a power of two changes no digit of a
    gradient that neither over- nor underflows.

    Parameters
    ----------
    own : callable
        Returns of a (possibly mirrored) variable the copy of the calling replica.
    """

    def __init__(self, own: Callable[[tf.Variable], tf.Variable]) -> None:
        self._own = own
        self._value = tf.Variable(FIRST, trainable=False, name="loss_scale")
        # float32, which counts to 2000 as well: whole numbers would stay in the host's memory
        self._good = tf.Variable(0.0, trainable=False, name="good_steps")

    @property
    def value(self) -> tf.Tensor:
        """The scale, a scalar tensor, float32, 1 or more."""
        return tf.convert_to_tensor(self._own(self._value))

    def scaled(self, objective: tf.Tensor) -> tf.Tensor:
        """Multiply the objective, a scalar tensor, float32."""
        return objective * self.value

    def unscaled(self, gradients: Sequence[tf.Tensor]) -> list[tf.Tensor]:
        """Divide gradients by the scale, in float32; what has overflowed stays infinite or NaN.

        Parameters
        ----------
        gradients : sequence of tensor, any shape, any floating dtype

        Returns
        -------
        list of tensor, same shape, float32
        """
        factor = 1.0 / self.value
        return [tf.cast(gradient, tf.float32) * factor for gradient in gradients]

    def guarded(
        self,
        gradients: Sequence[tf.Tensor],
        apply: Callable[[], dict[str, tf.Tensor]],
        figures: Sequence[str] = (),
    ) -> dict[str, tf.Tensor]:
        """Call `apply` if all gradients are finite, and move the scale.

        With averaged gradients all replicas decide alike.

        Parameters
        ----------
        gradients : sequence of tensor, any shape, any floating dtype
        apply : callable
            Takes nothing, gives scalar tensors, float32; part of the graph.
        figures : sequence of str
            Their names.

        Returns
        -------
        dict of scalar tensor, float32
            What `apply` gave; NaN where it was not called.
        """
        finite = [tf.reduce_all(tf.math.is_finite(g)) for g in gradients]
        all_finite = finite[0] if len(finite) == 1 else tf.reduce_all(finite)
        value, good = self._own(self._value), self._own(self._good)

        def move() -> list[tf.Tensor]:
            found = apply()
            count = tf.convert_to_tensor(good.assign_add(1.0))
            grows = count >= GROWS_AFTER
            value.assign(tf.where(grows, tf.minimum(value * 2.0, LARGEST), value))
            good.assign(tf.where(grows, 0.0, count))
            return [tf.constant(True), *(found[name] for name in figures)]

        def leave_out() -> list[tf.Tensor]:
            value.assign(tf.maximum(value * 0.5, 1.0))
            good.assign(0.0)
            return [tf.constant(False), *[tf.constant(float("nan"))] * len(figures)]

        _, *found = tf.cond(all_finite, move, leave_out)
        return dict(zip(figures, found, strict=True))
