"""What a model is put together of: networks and optimizers, in one precision, on its devices."""

from __future__ import annotations

import abc
import contextlib
import functools
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextvars import ContextVar
from typing import TYPE_CHECKING, TypeVar

import keras
import tensorflow as tf
from dfl_tf_ops.convolution_forms import FormChooser

from dfl_tf.data.batch import Batch
from dfl_tf.devices.cpu import slow_weight_gradients
from dfl_tf.devices.placement import Placement
from dfl_tf.formats.loss_history import LossHistory
from dfl_tf.models.keys import legacy_key
from dfl_tf.models.step import Update
from dfl_tf.nn.initializers import initialize
from dfl_tf.nn.layers import Network
from dfl_tf.nn.legacy_optimizer import LegacyOptimizer
from dfl_tf.nn.optimizers import AdaBelief, RMSprop
from dfl_tf.nn.tracing import Tracing, traced_with
from dfl_tf.options import RunOptions, effective

if TYPE_CHECKING:
    from dfl_tf.formats.models.state import ModelState
    from dfl_tf.formats.models.tensor import Tensor
    from dfl_tf.options import TrainingOptions

N = TypeVar("N", bound=Network)
R = TypeVar("R")

_copied: ContextVar[list[tf.Tensor] | None] = ContextVar("copied weights", default=None)
"""What the thread at hand computes with instead of the weights of a model."""

POLICIES = {
    "float32": "float32",
    "float64": "float64",
    "bfloat16": "mixed_bfloat16",
    "float16": "mixed_float16",
}


class Assembly(abc.ABC):
    """Networks and optimizers of a model; see `FaceModel`, the only subclass, for all of it."""

    def __init__(
        self,
        options: TrainingOptions,
        run: RunOptions | None = None,
        *,
        name: str = "new",
        training: bool = True,
        initialized: bool = True,
        expected: ModelState | None = None,
        reinit: Sequence[str] = (),
        placement: Placement | None = None,
    ) -> None:
        self.options = options
        self.effective = effective(options).options
        self.run = RunOptions() if run is None else run
        self.name = name
        self.training = training
        self.iteration = self.uncounted = 0
        self.loss_history = LossHistory()
        self.extra: dict[str, object] = {}
        self.unknown_options: dict[str, object] = {}
        self.previous: tuple[Batch, ...] = ()
        self.seed = 0
        self.policy = keras.DTypePolicy(POLICIES[self.run.precision])
        self.dtype = tf.as_dtype(self.policy.variable_dtype)
        on_gpu = bool(getattr(options, "models_opt_on_gpu", True))
        self.placement = placement or Placement.choose(self.run, models_opt_on_gpu=on_gpu)
        on_cpu = self.placement.on_cpu
        # Workers would measure different things; then the rule holds, or what a model stored.
        alone = not tf.distribute.has_strategy()
        self.forms = FormChooser(measure=training and on_cpu and alone)
        self.tracing = Tracing(
            blur_as_depthwise=self.placement.on_gpu,
            widen=self.placement.emulates(self.run.precision),
            weight_gradient_by_gemm=on_cpu and slow_weight_gradients(),
            winograd=on_cpu,
            forms=self.forms if on_cpu else None,
            fused=on_cpu,
        )
        self.networks: dict[str, Network] = {}
        self.optimizers: dict[str, LegacyOptimizer] = {}
        self.optimizer_variables: dict[str, tuple[keras.Variable, ...]] = {}
        self.updates: list[Update] = []
        self.set_seed(int.from_bytes(os.urandom(4)) if self.run.seed is None else self.run.seed)
        if expected is not None:
            self._check_shapes(expected, reinit)
        with tf.device(self.placement.variables):
            self._make_networks()
            if initialized:
                self.initialize(self.networks)
            if training:
                self.build_updates()
            self._begin()
        self.set_seed(self.seed)
        self._compiled: dict[str, tf.types.experimental.PolymorphicFunction] = {}

    def _make_networks(self) -> None:
        self.build_networks()
        for network in self.networks.values():
            network.build()

    @abc.abstractmethod
    def _check_shapes(self, expected: ModelState, reinit: Sequence[str]) -> None:
        """Refuse options that do not fit the weights."""

    @abc.abstractmethod
    def _begin(self) -> None:
        """Do what needs the networks and optimizers."""

    @abc.abstractmethod
    def build_networks(self) -> None:
        """Fill `networks`, in file order."""

    @abc.abstractmethod
    def build_updates(self) -> None:
        """Fill `optimizers` (by `add_optimizer`) and `updates`."""

    def set_seed(self, seed: int) -> None:
        """Set what fresh weights and lr-dropout masks are drawn from; before the first step."""
        self.seed = int(seed)
        for number, optimizer in enumerate(self.optimizers.values()):
            optimizer.seed = (self.seed + number) % 2**31

    def restore_seed(self, state: ModelState) -> None:
        """Restore the seed of the continued run, so that it equals one that never stopped."""
        if self.run.seed is None and "seed" in state.run:
            self.set_seed(int(state.run["seed"]))

    def make_network(self, cls: type[N], *args: object, scope: str, **kwargs: object) -> N:
        """Make a network with the model's precision.

        Parameters
        ----------
        cls : type
            A `dfl_tf.nn.layers.Network`.
        *args, **kwargs
            Of its constructor.
        scope : str
            Its name, with which the names of its slots in optimizer files begin.
        """
        return cls(*args, name=scope, dtype=self.policy, **kwargs)

    def add_optimizer(
        self,
        stem: str,
        parts: Sequence[str],
        *,
        adabelief: bool,
        lr_dropout: str = "n",
        lr_cos: int = 500,
        clipgrad: bool = False,
        name: str | None = None,
    ) -> None:
        """Make an optimizer over whole networks.

        Parameters
        ----------
        stem : str
            Its file stem and key in `optimizers`; must end in ``_opt``.
        parts : sequence of str
            Keys of `networks`.
        adabelief : bool
            AdaBelief, else RMSprop.
        lr_dropout : {"n", "y", "cpu"}
            Whether each step moves a random share of the weights only.
        lr_cos : int
            Period of the cosine of the learning rate with `lr_dropout`, in iterations; 0 = none.
        clipgrad : bool
            Whether gradients are clipped to the global norm 1.
        name : str, optional
            With which its keys begin; by default `stem`.
        """
        dropout = lr_dropout in ("y", "cpu")
        optimizer = (AdaBelief if adabelief else RMSprop)(
            float(self.options.lr),
            lr_dropout=0.3 if dropout else 1.0,
            lr_cos=lr_cos if dropout else 0,
            clipnorm=1.0 if clipgrad else 0.0,
            slots_on_cpu=self.placement.offloaded,
            dropout_on_cpu=lr_dropout == "cpu",
            flat=self.placement.flat,
            name=name or stem,
        )
        self.optimizer_variables[stem] = self.weights_of(parts)
        optimizer.build(self.optimizer_variables[stem])
        self.optimizers[stem] = optimizer

    def weights_of(self, parts: Sequence[str]) -> tuple[keras.Variable, ...]:
        """Return the variables of some networks, in file order."""
        return tuple(v for part in parts for v in self.networks[part].weights)

    def initialize(self, parts: Iterable[str]) -> None:
        """Give the weights of some networks fresh values drawn from the model's seed."""
        for part in parts:
            initialize(self.networks[part].weights, self.seed)

    def parameter_counts(self) -> dict[str, int]:
        """Return the number of weights of each network."""
        return {part: int(network.count_params()) for part, network in self.networks.items()}

    def run_graph(self, kind: str, function: Callable[..., R], *args: tf.Tensor) -> R:
        """Run networks on whole batches, tensors of any shape, as a graph that `kind` names."""
        copied = _copied.get()
        work: Callable[..., R] = functools.partial(self._on_device, function)
        if copied is not None:
            kind, work, args = f"{kind}, copied", self._with_weights(work), (copied, *args)
        if kind not in self._compiled:
            self._compiled[kind] = tf.function(work, autograph=False, reduce_retracing=True)
        return self._compiled[kind](*args)

    def _with_weights(self, work: Callable[..., R]) -> Callable[..., R]:
        """Make a function of the values of all weights, and of what `work` takes."""

        def with_weights(values: list[tf.Tensor], *args: tf.Tensor) -> R:
            with keras.StatelessScope(state_mapping=list(zip(self._weights, values, strict=True))):
                return work(*args)

        return with_weights

    @property
    def _weights(self) -> tuple[keras.Variable, ...]:
        return self.weights_of(list(self.networks))

    @contextlib.contextmanager
    def weights_from(self, tensors: Mapping[str, Mapping[str, Tensor]]) -> Iterator[None]:
        """Context in which the calling thread computes with copies of the weights.

        Meanwhile other threads can train. Graphs are traced once more for it.

        Parameters
        ----------
        tensors : mapping of str to mapping of str to ndarray, shape of each weight
            Weights by network and legacy key, as `ModelState.tensors` has them.
        """
        with tf.device(self.placement.variables):
            values = [
                tf.cast(tf.convert_to_tensor(tensors[part][legacy_key(v)]), v.dtype)
                for part, network in self.networks.items()
                for v in network.weights
            ]
        token = _copied.set(values)
        try:
            # For what a model computes without a graph.
            with keras.StatelessScope(state_mapping=list(zip(self._weights, values, strict=True))):
                yield
        finally:
            _copied.reset(token)

    def _on_device(self, function: Callable[..., R], *tensors: tf.Tensor) -> R:
        with self.computing(self.tracing):
            return function(*tensors)

    @contextlib.contextmanager
    def computing(self, tracing: Tracing) -> Iterator[None]:
        """Context for the networks: on their device, in the forms that are chosen."""
        with tf.device(self.placement.compute), traced_with(tracing):
            yield
