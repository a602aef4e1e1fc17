"""The training step: the updates of a model on whole batches, in pieces, compiled, distributed."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypeVar

import keras
import numpy as np
import tensorflow as tf

from dfl_tf.errors import OptionError
from dfl_tf.models.compiling import decide, gradient_graph
from dfl_tf.models.loss_scale import LossScale
from dfl_tf.models.targets import VARIANCE
from dfl_tf.nn.local_replica import first_replica, local_replica
from dfl_tf.nn.tracing import Tracing

if TYPE_CHECKING:
    from dfl_tf.models.base import FaceModel

Tensors = Sequence[tf.Tensor]
Losses = dict[str, tf.Tensor]
R = TypeVar("R")
_NOT_COMPILED = (tf.errors.InvalidArgumentError, tf.errors.UnimplementedError)
"""What XLA raises before it changes anything."""


@dataclass(frozen=True)
class Update:
    """One optimizer's update inside a training step.

    Attributes
    ----------
    optimizer : str
        Key in `FaceModel.optimizers`.
    variables : tuple
        What it moves, in file order; a subset of what the optimizer was built with.
    objective : callable
        Takes a `Batch` of tensors for each of `sample_specs`, then what `draws` gave, and returns
        the objective, shape (n,), and the losses to report. The gradient is that of the sum over
        the samples (training.md 1.6).
    """

    optimizer: str
    variables: tuple[keras.Variable, ...]
    objective: Callable[..., tuple[tf.Tensor, Losses]]


@dataclass(frozen=True)
class Report:
    """What a step gave, which a device may still be computing.

    Attributes
    ----------
    values : dict of tensor, shape (n,) or ()
        All that its updates report.
    iterations : dict of scalar tensor
        The counter of each optimizer after it.
    rates : dict of float
        The learning rate of each optimizer in it, before the cosine.
    """

    values: Losses
    iterations: dict[str, tf.Tensor]
    rates: dict[str, float]


class TrainingStep:
    """One step of a model: each of its updates on the same batches, in their order.

    A distributed trainer calls `gradients` and `update` itself, with its own reduction between
    them, and puts that in as `spread`.

    Parameters
    ----------
    model : FaceModel
        With its optimizers and updates; what varies from one class of models to another is asked of
        it.

    Attributes
    ----------
    tracing : Tracing
        How the gradients are traced where they are not compiled.
    replicas : int
        Slices of a batch whose gradients are averaged, as DFL does over devices (training.md 8).
    spread : callable or None
        Does what `run_update` does on several devices (`dfl_tf.train.distribution`).
    say : callable
        Gets what a user should be told; the trainer's log.
    measures_gradients : bool
        Whether the norm of the gradients is computed for `scalars` where no clipping needs it; to
        be set before the first step. It costs a look at every gradient and changes no weight.
    report : Report
        Of the last step.
    loss_scales : dict
        Of each optimizer, in float16.
    xla : dict
        Optimizer → whether the gradients of its update are compiled; known after its first step.
    """

    def __init__(self, model: FaceModel) -> None:
        self.model = model
        self.tracing = replace(model.tracing, recompute=model.run.recompute)
        self.replicas = 1
        self.spread: Callable[[Update, list[tf.Tensor]], Losses] | None = None
        self.say: Callable[[str], None] = lambda text: None
        self.measures_gradients = False
        self.loss_scales: dict[str, LossScale] = {}
        if model.run.precision == "float16":
            self.loss_scales = {stem: LossScale(local_replica) for stem in model.optimizers}
        self.xla: dict[str, bool] = {}
        self._graphs: dict[tuple[str, str], tf.types.experimental.PolymorphicFunction] = {}
        self._plain_updates: set[str] = set()
        self.report = Report({}, {}, {})

    def run(self, inputs: list[tf.Tensor]) -> Losses:
        """Do all updates of a step; returns all that they report.

        Parameters
        ----------
        inputs : list of tensor, shape (n, h, w, c)
            From `FaceModel.inputs`.

        Returns
        -------
        dict of tensor, shape (n,)
        """
        reported: Losses = {}
        for update in self.model.updates:
            reported.update(self.run_update(update, inputs))
        optimizers = self.model.optimizers
        self.report = Report(
            reported,
            {stem: tf.identity(first_replica(o.iterations)) for stem, o in optimizers.items()},
            {stem: o.present_rate for stem, o in optimizers.items()},
        )
        return reported

    def scalars(self, report: Report | None = None) -> dict[str, float]:
        """Return further figures of a step, for logs; it waits until they are computed.

        Parameters
        ----------
        report : Report, optional
            Of the step; by default the last one.

        Returns
        -------
        dict of str to float
            ``objective/<optimizer>`` is the mean of what an update minimizes, ``term/<name>`` that
            of whatever else an objective reports, ``learning_rate/<optimizer>`` the rate used;
            with clipping ``clip_factor/<optimizer>`` and ``gradient_norm/<optimizer>`` (of the
            gradients before it), which `measures_gradients` gives without clipping, too. Of an
            update that float16 left out, the last two are NaN. ``output_variance/<side>``: see
            `output_variance`.
        """
        found, optimizers = {}, self.model.optimizers
        report = report or self.report
        for name, values in report.values.items():
            if "/" in name:
                found[name] = float(np.mean(values))
            elif name not in self.model.loss_names:
                kind = "objective" if name in optimizers else "term"
                found[f"{kind}/{name}"] = float(np.mean(values))
        for stem, iterations in report.iterations.items():
            rate = optimizers[stem].effective_rate(iterations, rate=report.rates[stem])
            found[f"learning_rate/{stem}"] = float(rate)
        return found

    def output_variance(self, report: Report | None = None) -> dict[str, float]:
        """Return how much a step's own reconstructions vary over their pixels.

        Parameters
        ----------
        report : Report, optional
            Of the step; by default the last one.

        Returns
        -------
        dict of str to float
            By side, the mean of the batch; empty for models that make no images.
        """
        return {
            name.removeprefix(VARIANCE): float(np.mean(values))
            for name, values in (report or self.report).values.items()
            if name.startswith(VARIANCE)
        }

    def run_update(self, update: Update, inputs: list[tf.Tensor]) -> Losses:
        """Do one update of a step on a whole batch.

        Parameters
        ----------
        update : Update
        inputs : list of tensor, shape (n, h, w, c)
            From `FaceModel.inputs`.

        Returns
        -------
        dict of tensor, shape (n,)
            The losses of every sample before the update, and under the optimizer's name the
            objective of the update; scalars are what `apply_gradients` returned.
        """
        if self.spread is not None:
            return self.spread(update, inputs)
        inputs = [*inputs, *self.model.draws(update, inputs[0].shape[0])]
        pieces = self.replicas * self.model.run.accumulate
        if self.model.run.xla != "off" and update.optimizer not in self.xla:
            self._choose_xla(update, [x[: x.shape[0] // pieces] for x in inputs])
        if pieces == 1:
            return self._call("step", self.whole_update, update, inputs)
        if inputs[0].shape[0] % pieces:
            raise OptionError(
                f"A batch of {inputs[0].shape[0]} samples cannot be divided by {pieces} "
                "(accumulate x devices). Change batch_size or accumulate."
            )
        total: list[tf.Tensor] = []
        reported: list[Losses] = []
        for piece in zip(*(tf.split(x, pieces) for x in inputs), strict=True):
            losses, gradients = self._call("gradients", self.gradients, update, list(piece))
            reported.append(losses)
            if total:
                gradients = [a + b for a, b in zip(total, gradients, strict=True)]
            total = gradients
        mean = [g / self.replicas for g in total]
        figures = self._call("update", self.apply_gradients, update, mean)
        losses = {name: tf.concat([r[name] for r in reported], axis=0) for name in reported[0]}
        return {**losses, **figures}

    def whole_update(self, update: Update, inputs: Tensors) -> Losses:
        """Compute the gradients of an update and apply them; to be traced.

        Parameters
        ----------
        update : Update
        inputs : sequence of tensor, shape (n, …)
            From `FaceModel.inputs`, and what the update draws.

        Returns
        -------
        dict of tensor, shape (n,) or ()
            See `run_update`.
        """
        if self.xla.get(update.optimizer) and not self.compiles(update):
            losses, gradients = self._call("gradients", self.gradients, update, list(inputs))
        else:
            losses, gradients = self.gradients(update, inputs)
        return {**losses, **self.apply_gradients(update, gradients)}

    def gradients(
        self, update: Update, inputs: Tensors, *, tracing: Tracing | None = None
    ) -> tuple[Losses, list[tf.Tensor]]:
        """Compute the losses of an update and the gradients of its variables.

        Summed over the samples of `inputs`, which may be any slice of a batch; to be traced or run
        eagerly, by default as `tracing` says. Nothing is changed.

        Parameters
        ----------
        update : Update
        inputs : sequence of tensor, shape (n, …)
            From `FaceModel.inputs`, and what the update draws.
        tracing : Tracing, optional

        Returns
        -------
        losses : dict of tensor, shape (n,)
        gradients : list of tensor, shape of each of `update.variables`
        """
        values = [v.value for v in update.variables]
        with self.model.computing(tracing or self.tracing):
            with tf.GradientTape(watch_accessed_variables=False) as tape:
                tape.watch(values)
                objective, losses = update.objective(*self.model.named(inputs))
                total = tf.reduce_sum(objective)
                scale = self.loss_scales.get(update.optimizer)
                if scale is not None:
                    total = scale.scaled(total)
            gradients = tape.gradient(
                total, values, unconnected_gradients=tf.UnconnectedGradients.ZERO
            )
        if scale is not None:
            gradients = scale.unscaled(gradients)
        return {**losses, update.optimizer: objective}, gradients

    def apply_gradients(self, update: Update, gradients: Tensors) -> Losses:
        """Apply the (summed or averaged) gradients of an update; in float16 if all are finite.

        Parameters
        ----------
        update : Update
        gradients : sequence of tensor, shape of each of `update.variables`

        Returns
        -------
        dict of scalar tensor
            ``gradient_norm/<optimizer>`` and so on, see `scalars`.
        """
        stem, scale = update.optimizer, self.loss_scales.get(update.optimizer)
        with tf.device(self.model.placement.variables):
            found = self.model.optimizers[stem].apply_and_measure(
                gradients,
                update.variables,
                norm=self.measures_gradients,
                guard=None if scale is None else scale.guarded,
                compiled=self.compiles(update),
            )
        return {f"{name}/{stem}": value for name, value in found.items()}

    def _choose_xla(self, update: Update, inputs: Tensors) -> None:
        """Find out whether the gradients of an update are compiled, on its first batch."""
        plain, compiled = (gradient_graph(self, update, compiled=c) for c in (False, True))
        self.xla[update.optimizer], reason = decide(
            plain, compiled, inputs, mode=self.model.run.xla, name=update.optimizer
        )
        if reason:
            self.say(reason)
        taken = compiled if self.xla[update.optimizer] else plain
        self._graphs["gradients", update.optimizer] = taken

    def _call(self, kind: str, function: Callable[..., R], update: Update, *args: object) -> R:
        """Call a function as a graph that is traced once for each update and shape."""
        key = (kind, update.optimizer)
        if key not in self._graphs:
            self._graphs[key] = self._graph(function, update, compiled=self.compiles(update))
        try:
            return self._graphs[key](*args)
        except _NOT_COMPILED as error:
            if not self.compiles(update) or kind == "gradients":
                raise
            reason = str(error.message).strip().splitlines()[0][:200]
            self.say(f"XLA is off for the update of {update.optimizer}: {reason}")
            self._plain_updates.add(update.optimizer)
            self._graphs[key] = self._graph(function, update, compiled=False)
            return self._graphs[key](*args)

    def compiles(self, update: Update) -> bool:
        """Whether what moves the weights is compiled: with its gradients, and not on a CPU."""
        stem = update.optimizer
        compiled = self.xla.get(stem, False) and self.model.placement.flat
        return compiled and stem not in self._plain_updates

    @staticmethod
    def _graph(
        function: Callable[..., R], update: Update, *, compiled: bool
    ) -> tf.types.experimental.PolymorphicFunction:
        bound = functools.partial(function, update)
        return tf.function(bound, autograph=False, jit_compile=True if compiled else None)
