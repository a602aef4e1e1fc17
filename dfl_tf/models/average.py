"""An exponential moving average of a model's weights.

References
----------
B. T. Polyak, A. B. Juditsky, "Acceleration of stochastic approximation by averaging", SIAM J.
Control Optim. 30 (1992); the ramp is that of `tf.train.ExponentialMovingAverage`.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from dfl_tf.formats.models.average import AVERAGE, COUNT, ITERATION, counter, why_not_current
from dfl_tf.nn.local_replica import first_replica

if TYPE_CHECKING:
    import keras

    from dfl_tf.formats.models.state import ModelState

EVERY = 10
"""Steps between two updates, which then count as that many; which steps they are depends on the
counter alone, so that a run which is stopped and resumed updates at the same ones."""


def share_of_weights(decay: float, count: int) -> float:
    """Return how much of the weights enters at an update.

    ``1 - d ** EVERY`` with ``d = min(decay, (1 + count) / (10 + count))``: the average follows
    the weights closely at first.

    Parameters
    ----------
    decay : float
        Per step.
    count : int
        Steps since the average began.
    """
    return float(1.0 - min(decay, (1 + count) / (10 + count)) ** EVERY)


class WeightAverage:
    """The average of some weights, in memory of its own beside them.

    It begins at the present weights. Weights that are not finite never enter.

    Parameters
    ----------
    weights : mapping of str to variable
        By their keys in the part `AVERAGE`.
    decay : float
        Per step, below 1.
    device : str
        Where it lives, and is computed: that of the weights. Of mirrored weights it averages the
        first copy, since all copies are equal.

    Attributes
    ----------
    count : int
        Steps since it began; saved with it.
    """

    def __init__(self, weights: Mapping[str, keras.Variable], decay: float, device: str) -> None:
        self._weights, self.decay, self._device = dict(weights), float(decay), device
        self.count = 0
        self._averages: list[tf.Variable] = []
        self._update = tf.function(self._traced_update, autograph=False)

    @property
    def weights(self) -> tuple[keras.Variable, ...]:
        """What is averaged."""
        return tuple(self._weights.values())

    def begin(self) -> None:
        """Begin at the present weights, if it has not begun yet."""
        if not self._averages:
            self.restart()

    def restart(self) -> None:
        """Begin at the present weights."""
        self.count = 0
        self._set([tf.identity(first_replica(weight)) for weight in self._weights.values()])

    def _set(self, values: list[npt.ArrayLike]) -> None:
        if not self._averages:
            with tf.device(self._device):
                self._averages = [
                    tf.Variable(value, trainable=False, dtype=weight.dtype)
                    for value, weight in zip(values, self._weights.values(), strict=True)
                ]
            return
        for average, value in zip(self._averages, values, strict=True):
            average.assign(value)

    def step(self) -> None:
        """Count a step of the weights; update the average when it is due."""
        self.begin()
        self.count += 1
        if self.count % EVERY == 0:
            share = share_of_weights(self.decay, self.count)
            self._update(tf.constant(share, self._averages[0].dtype))

    def wait(self) -> None:
        """Wait until the last update is done, on a device that works on its own."""
        if self._averages:
            tf.reshape(self._averages[-1], [-1])[:1].numpy()

    def _traced_update(self, share: tf.Tensor) -> None:
        weights = [first_replica(weight) for weight in self._weights.values()]

        def follow() -> tf.Tensor:
            for average, weight in zip(self._averages, weights, strict=True):
                average.assign_add(share * (weight - average))
            return tf.constant(True)

        with tf.device(self._device):
            # The sum is not finite as soon as one weight is not.
            total = tf.add_n([tf.reduce_sum(weight) for weight in weights])
            tf.cond(tf.math.is_finite(total), follow, lambda: tf.constant(False))

    def values(self) -> list[npt.NDArray[np.generic]]:
        """Return the averages; each has the shape of its weight and that weight's dtype."""
        self.begin()
        return [average.numpy() for average in self._averages]

    def arrays(self, iteration: int) -> dict[str, npt.NDArray[np.generic] | np.generic]:
        """Return the part `AVERAGE` of a state.

        Parameters
        ----------
        iteration : int
            Of the model.

        Returns
        -------
        dict of ndarray, shape of each weight and its dtype, and two counters
        """
        values = zip(self._weights, self.values(), strict=True)
        return {
            COUNT: np.int64(self.count),
            ITERATION: np.int64(iteration),
            **dict(values),
        }

    def load(self, state: ModelState, fresh: Collection[str]) -> list[str]:
        """Restore the average of a state, or begin at the weights, which are loaded already.

        Parameters
        ----------
        state : ModelState
        fresh : collection of str
            Parts that start with fresh weights.

        Returns
        -------
        list of str
            Why it begins again, for the log.
        """
        stored = state.tensors.get(AVERAGE, {})
        reason = why_not_current(state)
        mine = sorted({key.split("/", 1)[0] for key in self._weights} & set(fresh))
        if AVERAGE in fresh:
            reason = "as asked for"
        elif not reason and mine:
            reason = f"{', '.join(mine)} starts with fresh weights"
        elif not reason and not self._fits(stored):
            reason = "what is stored does not fit the weights"
        if reason:
            self.restart()
            return [f"the averaged weights (ema) begin at the present weights: {reason}."]
        self._set([np.asarray(stored[key]) for key in self._weights])
        self.count = counter(stored, COUNT) or 0
        return []

    def _fits(self, stored: Mapping[str, npt.ArrayLike]) -> bool:
        return all(
            key in stored
            and np.shape(stored[key]) == tuple(weight.shape)
            and bool(np.isfinite(stored[key]).all())
            for key, weight in self._weights.items()
        )
