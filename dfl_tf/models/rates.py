"""How the learning rate of a model's optimizers changes with its iterations.

References
----------
I. Loshchilov, F. Hutter, "SGDR: Stochastic Gradient Descent with Warm Restarts", ICLR 2017 (one
period of it); P. Goyal et al., "Accurate, Large Minibatch SGD", 2017, for the warm-up.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from dfl_tf.formats.models import run_record

if TYPE_CHECKING:
    from dfl_tf.nn.legacy_optimizer import LegacyOptimizer
    from dfl_tf.options import TrainingOptions

START: Final = "lr_start"
SINCE: Final = "slots_since"
"""Keys in `ModelState.run`."""
STORED = (START, SINCE)


def without(stored: Mapping[str, object]) -> dict[str, object]:
    """Return what is stored with a model, without what its rates store by themselves."""
    return {key: value for key, value in stored.items() if key not in STORED}


@dataclass
class LearningRates:
    """The rate of each optimizer at each iteration.

    ``lr`` times ``k / lr_warmup`` in the first iterations after an optimizer started empty, k = 1
    in the first of them; with ``lr_schedule: cosine``, ``lr`` is replaced by
    ``lr_final + (lr - lr_final) (1 + cos(pi t)) / 2``, where t goes from 0 to 1 between the
    iteration at which the schedule began and its end.

    Attributes
    ----------
    options : TrainingOptions
    start : int
        Iteration of the model at which the schedule began; stored with it.
    since : dict
        Stem of an optimizer to the iteration at which its slots, or some of them, started empty; 0
        for those that are not in it. Stored with the model.
    override : float or None
        A rate that holds in place of all this; for trials.
    """

    options: TrainingOptions
    start: int = 0
    since: dict[str, int] = field(default_factory=dict)
    override: float | None = None

    @property
    def vary(self) -> bool:
        """Whether the rate is another one from iteration to iteration."""
        trial = self.override is not None
        return trial or self._cosine or self.options.lr_warmup > 0

    @property
    def _cosine(self) -> bool:
        return self.options.lr_schedule == "cosine"

    def rate(self, stem: str, iteration: int) -> float:
        """Return the rate of an optimizer in an iteration, counted from 1."""
        if self.override is not None:
            return self.override
        options, rate = self.options, float(self.options.lr)
        if self._cosine:
            end = options.lr_end or options.target_iter
            done = (iteration - 1 - self.start) / max(1, end - self.start)
            swing = (1.0 + math.cos(math.pi * min(max(done, 0.0), 1.0))) / 2.0
            rate = options.lr_final + (rate - options.lr_final) * swing
        if options.lr_warmup:
            count = iteration - self.since.get(stem, 0)
            rate *= min(1.0, max(1, count) / options.lr_warmup)
        return rate

    def set(self, optimizers: Mapping[str, LegacyOptimizer], iteration: int) -> None:
        """Give optimizers their rates in an iteration, counted from 1."""
        if self.vary:
            for stem, optimizer in optimizers.items():
                optimizer.vary_rate(self.rate(stem, iteration))

    def stored(self) -> dict[str, object]:
        """Return what is stored with the model, as JSON values; empty if it says nothing."""
        found: dict[str, object] = {}
        if self._cosine:
            found[START] = self.start
        if self.since:
            found[SINCE] = dict(self.since)
        return found

    def restore(
        self, stored: Mapping[str, object], iteration: int, emptied: Mapping[str, bool]
    ) -> None:
        """Go on as stored with a model.

        Parameters
        ----------
        stored : mapping
            `ModelState.run`.
        iteration : int
            Of the model. One that lies before what is stored means that the count began again.
        emptied : mapping of str to bool
            Stem of an optimizer to whether slots of it have just started empty.
        """
        known = run_record.stored(stored, SINCE) or {}
        self.since = {stem: since for stem, since in known.items() if since <= iteration}
        self.since |= {stem: iteration for stem, empty in emptied.items() if empty and iteration}
        start = run_record.stored(stored, START)
        self.start = iteration if start is None else min(start, iteration)
