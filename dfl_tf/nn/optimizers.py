"""AdaBelief and RMSprop: the arithmetic of one step, from `dfl_tf_ops.optimizer_step`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Unpack

import tensorflow as tf
from dfl_tf_ops import flat_step, optimizer_step

from dfl_tf.nn.legacy_optimizer import LegacyOptimizer, OptimizerOptions
from dfl_tf.nn.slot_storage import StepSettings


class AdaBelief(LegacyOptimizer):
    """AdaBelief without bias correction; slots `ms` (mean) and `vs` (spread around it).

    ``m = b1 m + (1 - b1) g``, ``v = b2 v + (1 - b2) (g - m)**2``, ``w -= rate m / (sqrt(v) + eps)``
    with the new ``m`` and ``v``. See `LegacyOptimizer` for the common parameters.

    Parameters
    ----------
    learning_rate : float
    beta_1, beta_2 : float in [0, 1)
        Decay of mean and spread per step.
    **common
        Of `LegacyOptimizer`.

    References
    ----------
    J. Zhuang et al., "AdaBelief Optimizer: Adapting Stepsizes by the Belief in Observed
    Gradients", NeurIPS 2020 (without its bias correction, and with epsilon outside of the root
    only); training.md 3.

    Examples
    --------
    >>> import keras
    >>> weight = keras.Variable([1.0, -1.0])
    >>> optimizer = AdaBelief(0.1)
    >>> optimizer.build([weight])
    >>> optimizer.apply([tf.constant([2.0, 0.0])], [weight])
    >>> [f"{value:.4f}" for value in weight.numpy()]
    ['0.6486', '-1.0000']
    """

    slot_names = ("ms", "vs")

    def __init__(
        self,
        learning_rate: float = 5e-5,
        *,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        **common: Unpack[OptimizerOptions],
    ) -> None:
        super().__init__(learning_rate, **common)
        self.beta_1 = beta_1
        self.beta_2 = beta_2

    def fused_step(
        self,
        variables: Sequence[tf.Variable],
        slots: Sequence[Sequence[tf.Variable]],
        grads: Sequence[tf.Tensor],
        **settings: Unpack[StepSettings],
    ) -> None:
        """Do a step variable by variable; see `Arithmetic`."""
        ms, vs = slots
        optimizer_step.adabelief_step(
            variables, ms, vs, grads, beta_1=self.beta_1, beta_2=self.beta_2, **settings
        )

    def rule(self, rate: tf.Tensor, epsilon: float) -> flat_step.Rule:
        """Return the arithmetic of a step; see `Arithmetic`."""
        return optimizer_step.adabelief_rule(
            rate, beta_1=self.beta_1, beta_2=self.beta_2, epsilon=epsilon
        )

    def get_config(self) -> dict[str, object]:
        """Return the arguments of the constructor."""
        return {**super().get_config(), "beta_1": self.beta_1, "beta_2": self.beta_2}


class RMSprop(LegacyOptimizer):
    """RMSprop with epsilon outside the root; slot `acc`.

    ``a = rho a + (1 - rho) g**2``, ``w -= rate g / (sqrt(a) + eps)`` with the new ``a``. See
    `LegacyOptimizer` for the common parameters.

    Parameters
    ----------
    learning_rate : float
    rho : float in [0, 1)
        Decay of the mean square per step.
    **common
        Of `LegacyOptimizer`.

    References
    ----------
    T. Tieleman and G. Hinton, "Lecture 6.5: RMSprop", Neural Networks for Machine Learning, 2012;
    training.md 3.

    Examples
    --------
    >>> import keras
    >>> weight = keras.Variable([1.0, -1.0])
    >>> optimizer = RMSprop(0.1)
    >>> optimizer.build([weight])
    >>> optimizer.apply([tf.constant([2.0, 0.0])], [weight])
    >>> [f"{value:.4f}" for value in weight.numpy()]
    ['0.6838', '-1.0000']
    """

    slot_names = ("acc",)

    def __init__(
        self, learning_rate: float = 5e-5, *, rho: float = 0.9, **common: Unpack[OptimizerOptions]
    ) -> None:
        super().__init__(learning_rate, **common)
        self.rho = rho

    def fused_step(
        self,
        variables: Sequence[tf.Variable],
        slots: Sequence[Sequence[tf.Variable]],
        grads: Sequence[tf.Tensor],
        **settings: Unpack[StepSettings],
    ) -> None:
        """Do a step variable by variable; see `Arithmetic`."""
        (accs,) = slots
        optimizer_step.rmsprop_step(variables, accs, grads, rho=self.rho, **settings)

    def rule(self, rate: tf.Tensor, epsilon: float) -> flat_step.Rule:
        """Return the arithmetic of a step; see `Arithmetic`."""
        return optimizer_step.rmsprop_rule(rate, rho=self.rho, epsilon=epsilon)

    def get_config(self) -> dict[str, object]:
        """Return the arguments of the constructor."""
        return {**super().get_config(), "rho": self.rho}
