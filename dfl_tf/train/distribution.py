"""Training on several devices and hosts, with the arithmetic of the legacy program.

Every replica sums the loss over its own samples; the gradients are averaged over the replicas, then
clipped by their global norm, then applied once. A Keras optimizer would clip before it sums, and
sum where we average, so the reduction is done here and nowhere else.

References
----------
training.md 8; design decision 17.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import tensorflow as tf

from dfl_tf.devices.cluster import Cluster, Devices, cluster_of, devices_of, replicas_of
from dfl_tf.devices.placement import HOST, Placement
from dfl_tf.devices.rendezvous import meet
from dfl_tf.devices.worker_group import GONE, WorkerGroup
from dfl_tf.errors import OptionError
from dfl_tf.models.base import FaceModel, Losses, Update
from dfl_tf.models.compiling import gradient_graph
from dfl_tf.options import RunOptions

if TYPE_CHECKING:
    import keras


def distribute(
    run: RunOptions, say: Callable[[str], None] = lambda text: None
) -> Distribution | None:
    """Return what spreads a training over the devices and hosts of the options, None for one.

    To be called after `configure_devices` and before TensorFlow computes anything; on several hosts
    it waits for all of them, as long as ``--worker-timeout`` allows.

    Parameters
    ----------
    run : RunOptions
    say : callable
        Gets a line on whom this process waits for.

    Raises
    ------
    UsageError
    WorkerLost
        If a process does not arrive, or is gone again while they are connected.
    """
    if replicas_of(run) == 1:
        return None
    cluster = cluster_of(run)
    if cluster is not None:
        meet(cluster, timeout=run.worker_timeout, say=say)
        say(
            f"all {len(cluster.addresses)} processes have arrived; connecting them (exit code 1 if "
            f"that takes more than {run.worker_timeout:g} s)"
        )
    return Distribution(devices_of(run), cluster, connect_seconds=run.worker_timeout)


PerReplica: TypeAlias = "tf.distribute.DistributedValues"
"""One value for each replica, or a dictionary, list or tuple of such."""


class Distribution(WorkerGroup):
    """Replicas of one model on the devices of a `WorkerGroup`, and one update of them at a time.

    Parameters
    ----------
    devices, cluster, connect_seconds
        See `WorkerGroup`.
    """

    def __init__(
        self, devices: Devices, cluster: Cluster | None = None, *, connect_seconds: float = 600.0
    ) -> None:
        super().__init__(devices, cluster, connect_seconds=connect_seconds)
        self._offloaded = False
        self._compiled: dict[tuple[str, str], tf.types.experimental.PolymorphicFunction] = {}

    # Making the model

    def build(self, create: Callable[..., FaceModel], *, models_opt_on_gpu: bool) -> FaceModel:
        """Make a model with one copy of the weights on every device.

        With `models_opt_on_gpu` off, weights and slots exist once, in host memory: devices read
        them in every step, and one update moves them.

        Parameters
        ----------
        create : callable
            Takes the keyword `placement`.
        models_opt_on_gpu : bool

        Raises
        ------
        WorkerLost
        """
        self._offloaded = not models_opt_on_gpu
        # Replicas run where the strategy puts them: an own device would move all to one.
        placement = Placement(compute="", variables=HOST if self._offloaded else "")
        scope = contextlib.nullcontext() if self._offloaded else self.strategy.scope()
        try:
            with scope:
                model = create(placement=placement)  # variables are sent to all processes
        except GONE as error:
            raise self._lost_worker(error) from None
        model.step.spread = self.run_update
        self._model = model
        return model

    def release(self) -> None:
        """Let go of the model and of all that was traced for it; another one can be built."""
        del self._model
        self._compiled.clear()

    # One update of a step

    def run_update(self, update: Update, inputs: list[tf.Tensor]) -> Losses:
        """Do one update of a step on this process's share of a batch.

        Parameters
        ----------
        update : Update
        inputs : list of tensor, shape (n, h, w, c)
            For each accumulated batch the samples of this process, one after the other.

        Returns
        -------
        dict of tensor, shape (samples,)
            Losses of every sample of the whole batch, on every process.

        Raises
        ------
        WorkerLost
            If another process is gone. Weights and slots are those of the last finished step.
        """
        if self._lost is not None:
            raise self._lost
        pieces = self._pieces(update, inputs)
        try:
            return self._reduced(update, pieces)
        except GONE as error:
            lost = self._lost_worker(error)
            if update is self._model.updates[0]:
                raise lost from None
        # The generator has moved already: finish the step without the others, so that what is
        # saved is a whole step; the next one raises.
        self._lost = lost
        return self._alone(update, pieces)

    def _pieces(self, update: Update, inputs: list[tf.Tensor]) -> list[PerReplica]:
        """Split a share into one piece for each accumulated batch, each over the local devices."""
        samples, count = int(inputs[0].shape[0]), self._model.run.accumulate
        if samples % (count * self.local):
            raise OptionError(
                f"A batch of {samples} samples cannot be divided by {count * self.local} "
                "(accumulate x devices). Change batch_size or accumulate."
            )
        drawn = self._model.draws(update, samples * self.workers)
        own = [tf.gather(x, self.offsets(samples * self.workers)) for x in drawn]
        tensors = [*inputs, *own]
        parts = [tf.split(x, count * self.local) for x in tensors]
        return [
            [self._per_replica(part[first : first + self.local]) for part in parts]
            for first in range(0, count * self.local, self.local)
        ]

    def offsets(self, samples: int) -> list[int]:
        """Return which samples of a step of `samples` belong to this process, by their place."""
        batch = samples // self._model.run.accumulate
        share = batch // self.workers
        return [
            start + self.index * share + i
            for start in range(0, samples, batch)
            for i in range(share)
        ]

    def _per_replica(self, values: list[tf.Tensor]) -> PerReplica:
        def value(context: tf.distribute.ReplicaContext) -> tf.Tensor:
            return values[context.replica_id_in_sync_group % self.local]

        return self.strategy.experimental_distribute_values_from_function(value)

    def _reduced(self, update: Update, pieces: list[PerReplica]) -> Losses:
        if len(pieces) == 1:
            return self._call("step", self._whole, update, pieces[0])
        reported, total = self._summed(update, pieces)
        return self._call("finish", self._finish, update, reported, total)

    def _summed(
        self, update: Update, pieces: list[PerReplica]
    ) -> tuple[list[PerReplica], PerReplica]:
        """Return losses of each piece and the sum of the gradients, on each replica."""
        reported, total = [], None
        for piece in pieces:
            losses, gradients = self._call("gradients", self._gradients, update, piece)
            reported.append(losses)
            total = (
                gradients
                if total is None
                else self._call("add", self._add, update, total, gradients)
            )
        return reported, total

    def _alone(self, update: Update, pieces: list[PerReplica]) -> Losses:
        reported, total = self._summed(update, pieces)
        mean = [tf.add_n(self._local(g)) / self.local for g in total]
        self._call("update", self._update, update, mean)
        return {
            name: tf.concat([x for losses in reported for x in self._local(losses[name])], axis=0)
            for name in reported[0]
        }

    # Graphs; the arguments that are one value a replica are not spelled out in the types

    def _call(
        self, kind: str, function: Callable[..., object], update: Update, *args: PerReplica
    ) -> PerReplica:
        key = (kind, update.optimizer)
        if key not in self._compiled:
            self._compiled[key] = tf.function(functools.partial(function, update), autograph=False)
        return self._compiled[key](*args)

    def _replica_gradients(self, update: Update, inputs: PerReplica) -> PerReplica:
        key = ("jit", update.optimizer)
        if self._model.run.xla != "on":
            return self._model.step.gradients(update, inputs)
        if key not in self._compiled:
            self._compiled[key] = gradient_graph(self._model.step, update, compiled=True)
        return self._compiled[key](inputs)

    def _gradients(self, update: Update, piece: PerReplica) -> PerReplica:
        return self.strategy.run(lambda x: self._replica_gradients(update, x), args=(piece,))

    def _add(self, update: Update, total: PerReplica, more: PerReplica) -> PerReplica:
        def add(total: PerReplica, more: PerReplica) -> PerReplica:
            return [a + b for a, b in zip(total, more, strict=True)]

        return self.strategy.run(add, args=(total, more))

    def _update(self, update: Update, gradients: PerReplica) -> None:
        if self._offloaded:
            self._model.step.apply_gradients(update, gradients)
        else:
            self.strategy.run(
                lambda g: self._model.step.apply_gradients(update, g), args=(gradients,)
            )

    def _whole(self, update: Update, piece: PerReplica) -> PerReplica:
        def step(inputs: PerReplica) -> PerReplica:
            losses, gradients = self._replica_gradients(update, inputs)
            return self._replica_finish(update, [losses], gradients)

        return self._host_update(update, *self.strategy.run(step, args=(piece,)))

    def _finish(self, update: Update, reported: PerReplica, total: PerReplica) -> PerReplica:
        def finish(reported: PerReplica, total: PerReplica) -> PerReplica:
            return self._replica_finish(update, reported, total)

        return self._host_update(update, *self.strategy.run(finish, args=(reported, total)))

    def _replica_finish(
        self, update: Update, reported: list[Losses], gradients: PerReplica
    ) -> PerReplica:
        """Average the gradients, collect the losses of all, and move the replica's own weights."""
        names = list(reported[0])
        own = [losses[name] for losses in reported for name in names]
        everyone = self.all_reduce("SUM", [self._in_its_place(x) for x in own])
        mean = self.all_reduce("MEAN", gradients)
        # Nothing is written, the counter included, unless everything has arrived.
        arrived = tf.identity_n([*mean, *everyone])
        mean, everyone = arrived[: len(mean)], arrived[len(mean) :]
        losses = {name: tf.concat(everyone[i :: len(names)], 0) for i, name in enumerate(names)}
        if self._offloaded:
            return losses, mean
        with tf.control_dependencies(arrived):
            figures = self._model.step.apply_gradients(update, mean)
        return {**losses, **figures}, []

    def _in_its_place(self, own: tf.Tensor) -> tf.Tensor:
        """Put the values of a replica into the zeros of all others: the sum is everyone's."""
        context = tf.distribute.get_replica_context()
        number, size = int(tf.get_static_value(context.replica_id_in_sync_group)), own.shape[0]
        return tf.pad(own, [[number * size, (self.replicas - 1 - number) * size]])

    def _host_update(self, update: Update, losses: PerReplica, gradients: PerReplica) -> Losses:
        """Move weights in host memory, of which there is one copy."""
        found = {name: self._local(value)[0] for name, value in losses.items()}
        if not self._offloaded:
            return found
        mean = [self._local(g)[0] for g in gradients]
        with tf.control_dependencies(mean):
            return {**found, **self._model.step.apply_gradients(update, mean)}

    # Between processes

    def broadcast_from_chief(self, stored: Mapping[str, object]) -> dict[str, object]:
        """Give every process the chief's weights, slots, counters and seed.

        Parameters
        ----------
        stored : mapping
            `ModelState.run` of the chief's model.

        Returns
        -------
        dict
            The chief's `stored`.
        """
        model = self._model
        if self.cluster is None:
            return dict(stored)
        counters = {stem: int(o.iterations.numpy()) for stem, o in model.optimizers.items()}
        facts = self.from_chief(
            {
                "seed": model.seed,
                "iteration": model.iteration,
                "counters": counters,
                "stored": dict(stored),
            }
        )
        if not self.chief:
            model.set_seed(facts["seed"])
            model.iteration = facts["iteration"]
        for stem, optimizer in model.optimizers.items():
            optimizer.iterations.assign(facts["counters"][stem])
            for slot in optimizer.slot_names:
                self._take(optimizer.slot_variables(slot))
        for network in model.networks.values():
            self._take(network.weights)
        return dict(facts["stored"])

    def _take(self, variables: Sequence[keras.Variable]) -> None:
        arrays = [np.asarray(v) for v in variables]
        flat = np.concatenate([a.ravel() for a in arrays])
        flat = self.sum(flat if self.chief else np.zeros_like(flat))
        if self.chief:
            return
        for variable, part in zip(
            variables, np.split(flat, np.cumsum([a.size for a in arrays])[:-1]), strict=True
        ):
            variable.assign(part.reshape(variable.shape))
