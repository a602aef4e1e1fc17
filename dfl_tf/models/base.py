"""FaceModel: networks, optimizers and one training step."""

from __future__ import annotations

import abc
import contextlib
import functools
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

import keras
import numpy as np
import numpy.typing as npt
import tensorflow as tf

from dfl_tf.data.batch import Batch
from dfl_tf.errors import OptionError, UsageError
from dfl_tf.formats.loss_history import LossHistory
from dfl_tf.models import description, weights
from dfl_tf.models.compiling import decide, gradient_graph
from dfl_tf.models.cpu import slow_filter_gradients
from dfl_tf.models.loss_scale import LossScale
from dfl_tf.models.placement import Placement
from dfl_tf.models.swap_input import checked_morph, face_batch
from dfl_tf.nn.convolution import filter_gradients_by_products, minimal_products
from dfl_tf.nn.initializers import initialize
from dfl_tf.nn.optimizers import AdaBelief, LegacyOptimizer, RMSprop, own_copy
from dfl_tf.nn.tensors import products_in_float32, recomputing
from dfl_tf.options import RunOptions, effective

if TYPE_CHECKING:
    from dfl_tf.data import SampleSpec, XSegSpec
    from dfl_tf.formats.model_state import ModelState

POLICIES = {
    "float32": "float32",
    "float64": "float64",
    "bfloat16": "mixed_bfloat16",
    "float16": "mixed_float16",
}
Tensors = Sequence[tf.Tensor]
Losses = dict[str, tf.Tensor]


class Preview(NamedTuple):
    """One preview picture: its legacy name, and (h, w, 3) float32 BGR in [0, 1]."""

    name: str
    image: npt.NDArray[np.float32]


class SwapOutput(NamedTuple):
    """What merging needs of a face: (n, r, r, 3) image, its (n, r, r, 1) mask, the dst mask."""

    image: Any
    mask: Any
    dst_mask: Any


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
    variables: tuple[Any, ...]
    objective: Callable[..., tuple[tf.Tensor, Losses]]


class FaceModel(abc.ABC):
    """A model: its networks, its optimizers, how it is trained, previewed and used.

    Parameters
    ----------
    options
        The options of the class, as they are stored with the model.
    run : RunOptions, optional
        How it is run; nothing of it is stored.
    name : str
        Name of the model folder's files.
    training : bool
        False leaves out optimizers and discriminators (merging, export).
    initialized : bool
        False leaves all weights zero, for a model whose state is loaded next.
    expected : ModelState, optional
        That state. What the options ask for is compared with it before any memory is taken.
    reinit : sequence of str
        Parts of which it is not used (see `load_state`).
    placement : Placement, optional
        Devices; by default chosen from `run` and `models_opt_on_gpu`.

    Attributes
    ----------
    networks, optimizers : dict
        By file stem, in file order. A network's name is its legacy scope, the path of a variable
        its legacy name.
    updates : list of Update
        The updates of one step, in order.
    optimizer_variables : dict
        All variables that each optimizer has slots for; an update may move fewer.
    optional_parts : mapping
        Networks that may be new to an existing model, with the option that switches them on.
    scopes_without_slots : tuple of str
        Scopes whose slots a file may lack.
    iteration, loss_history, extra
        Kept by the trainer, saved with the model.
    unknown_options : dict
        Stored options of forks, saved again unchanged.
    replicas : int
        Slices of a batch whose gradients are averaged, as DFL does over devices (training.md 8).
    say : callable
        Gets what a user should be told while the model is used; the trainer's log.
    loss_scales : dict
        Of each optimizer, in float16.
    xla : dict
        Optimizer → whether the gradients of its update are compiled; known after its first step.
    previous : tuple of Batch
        The batches of the last step, where a model takes them twice (`repeats_batch`).
    spread : callable or None
        Does what `run_update` does on several devices (`dfl_tf.train.distribution`).

    Notes
    -----
    A step runs `gradients` and `apply_gradients` of each update: a distributed trainer calls the
    same two with its own reduction between them.
    """

    model_class: ClassVar[str]
    loss_names: ClassVar[tuple[str, ...]] = ("src", "dst")
    optional_parts: ClassVar[Mapping[str, str]] = {}
    scopes_without_slots: ClassVar[tuple[str, ...]] = ()

    def __init__(
        self,
        options: Any,
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
        self.iteration = 0
        self.loss_history = LossHistory()
        self.extra: dict[str, Any] = {}
        self.unknown_options: dict[str, Any] = {}
        self.previous: tuple[Batch, ...] = ()
        self.seed = 0
        self.policy = keras.DTypePolicy(POLICIES[self.run.precision])
        self.dtype = tf.as_dtype(self.policy.variable_dtype)
        on_gpu = bool(getattr(options, "models_opt_on_gpu", True))
        self.placement = placement or Placement.choose(self.run, models_opt_on_gpu=on_gpu)
        self.replicas = 1
        self.spread: Callable[[Update, list[tf.Tensor]], Losses] | None = None
        self.say: Callable[[str], None] = lambda text: None
        self.loss_scales: dict[str, LossScale] = {}
        self.xla: dict[str, bool] = {}
        self.networks: dict[str, Any] = {}
        self.optimizers: dict[str, LegacyOptimizer] = {}
        self.optimizer_variables: dict[str, tuple[Any, ...]] = {}
        self.updates: list[Update] = []
        self.set_seed(int.from_bytes(os.urandom(4)) if self.run.seed is None else self.run.seed)
        if expected is not None:
            self._check_shapes(expected, reinit)
        with tf.device(self.placement.variables):
            self._make_networks()
            if initialized:
                self.initialize(self.networks)
            if training:
                self._build_updates()
        self.set_seed(self.seed)
        self._compiled: dict[Any, Any] = {}

    def _make_networks(self) -> None:
        self._build_networks()
        for network in self.networks.values():
            network.build()

    def _check_shapes(self, expected: ModelState, reinit: Sequence[str]) -> None:
        """Refuse options that do not fit the weights while variables are shapes without memory."""

        def check() -> None:
            with keras.StatelessScope(initialize_variables=False):
                self._make_networks()
            weights.check_shapes(self, expected, reinit)

        # Keras remembers, for each thread, variables that wait for their values: these never get
        # any, so they are left behind with their thread.
        with ThreadPoolExecutor(1) as thread:
            thread.submit(check).result()
        self.networks = {}

    def set_seed(self, seed: int) -> None:
        """Set what fresh weights and lr-dropout masks are drawn from; before the first step."""
        self.seed = int(seed)
        for number, optimizer in enumerate(self.optimizers.values()):
            optimizer.seed = (self.seed + number) % 2**31

    def take_seed(self, state: ModelState) -> None:
        """Take up the seed of the run that is continued, so that it goes on as if never stopped."""
        if self.run.seed is None and "seed" in state.run:
            self.set_seed(int(state.run["seed"]))

    # What a model class says about itself

    @abc.abstractmethod
    def _build_networks(self) -> None:
        """Fill `networks`, in file order."""

    @abc.abstractmethod
    def _build_updates(self) -> None:
        """Fill `optimizers` (by `_add_optimizer`) and `updates`."""

    @abc.abstractmethod
    def sample_specs(self) -> Mapping[str, SampleSpec | XSegSpec]:
        """Say which arrays a training step takes: a spec for each batch, by the batch's name.

        Batches are named "src" and "dst" after the person, or "faces" where both are one.
        """

    def preview_specs(self) -> Mapping[str, SampleSpec]:
        """Say which batches previews show besides those of the step."""
        return {}

    @abc.abstractmethod
    def preview(self, *batches: Batch) -> list[Preview]:
        """Draw the preview pictures of the first samples of the batches (workspace.md 7.3)."""

    @abc.abstractmethod
    def swap_tensors(self, face: tf.Tensor, morph: tf.Tensor | None = None) -> SwapOutput:
        """Compute `swap` as tensors of the model's precision; can be traced."""

    def repeats_batch(self, iteration: int) -> bool:
        """Return whether the step after `iteration` takes the batches of the one before again."""
        return False

    def options_from(self, state: ModelState) -> dict[str, object]:
        """Return what the tensors of a state say about the architecture options."""
        return {}

    def parts_to_reset(self, state: ModelState) -> dict[str, str]:
        """Return the parts that changed options re-initialize, each with the reason."""
        return {}

    # Building

    def _network(self, cls: Callable[..., Any], *args: Any, scope: str, **kwargs: Any) -> Any:
        return cls(*args, name=scope, dtype=self.policy, **kwargs)

    def _add_optimizer(
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
        """Make an optimizer over whole networks; its file has the name `stem`, its keys `name`."""
        dropout = lr_dropout in ("y", "cpu")
        optimizer = (AdaBelief if adabelief else RMSprop)(
            float(self.options.lr),
            lr_dropout=0.3 if dropout else 1.0,
            lr_cos=lr_cos if dropout else 0,
            clipnorm=1.0 if clipgrad else 0.0,
            slots_on_cpu=self.placement.offloaded,
            dropout_on_cpu=lr_dropout == "cpu",
            name=name or stem,
        )
        self.optimizer_variables[stem] = self.weights_of(parts)
        optimizer.build(self.optimizer_variables[stem])
        self.optimizers[stem] = optimizer
        if self.run.precision == "float16":
            self.loss_scales[stem] = LossScale(own_copy)

    def weights_of(self, parts: Sequence[str]) -> tuple[Any, ...]:
        """Return the variables of some networks, in file order."""
        return tuple(v for part in parts for v in self.networks[part].weights)

    def initialize(self, parts: Iterable[str]) -> None:
        """Give the weights of some networks fresh values drawn from the model's seed."""
        for part in parts:
            initialize(self.networks[part].weights, self.seed)

    # Training

    @property
    def samples_per_step(self) -> int:
        """How many samples of each batch one `train_step` takes."""
        return int(self.options.batch_size) * self.run.accumulate

    def train_step(self, *batches: Batch) -> Losses:
        """Move the weights once.

        Parameters
        ----------
        *batches : Batch
            One for each of `sample_specs`, of `samples_per_step` samples.

        Returns
        -------
        dict of tensor
            For each of `loss_names` the loss of every sample, shape (n,), before the update.
        """
        inputs = self.inputs(*batches)
        reported: Losses = {}
        for update in self.updates:
            reported.update(self.run_update(update, inputs))
        return {name: reported[name] for name in self.loss_names}

    @functools.cached_property
    def fields(self) -> dict[str, tuple[str, ...]]:
        """What a step takes of each batch: the names of its arrays, by the name of the batch."""
        return {name: tuple(spec.outputs) for name, spec in self.sample_specs().items()}

    def inputs(self, *batches: Batch) -> list[tf.Tensor]:
        """Flatten batches to tensors of the model's precision, in the order of `fields`.

        Raises
        ------
        ValueError
            If a batch or one of its arrays is missing.
        """
        if len(batches) != len(self.fields):
            raise ValueError(
                f"a step of {self.model_class} takes {len(self.fields)} batches "
                f"({', '.join(self.fields)}); received {len(batches)}"
            )
        for batch, (side, names) in zip(batches, self.fields.items(), strict=True):
            if missing := [name for name in names if name not in batch]:
                raise ValueError(
                    f"the batch {side} lacks {', '.join(missing)}; it has {', '.join(batch.names)}"
                )
        pairs = zip(batches, self.fields.values(), strict=True)
        return self.tensors(*(batch[name] for batch, names in pairs for name in names))

    def tensors(self, *arrays: Any) -> list[tf.Tensor]:
        """Return arrays as tensors of the model's precision."""
        return [tf.cast(tf.convert_to_tensor(array), self.dtype) for array in arrays]

    def named(self, inputs: Tensors) -> tuple[Any, ...]:
        """Return what `inputs` flattened as batches again, followed by what was drawn."""
        given = iter(inputs)
        batches = [Batch({name: next(given) for name in names}) for names in self.fields.values()]
        return (*batches, *given)

    def draws(self, update: Update, samples: int) -> list[tf.Tensor]:
        """Return what an update draws at random for a whole batch; it follows the inputs."""
        return []

    def run_update(self, update: Update, inputs: list[tf.Tensor]) -> Losses:
        """Do one update of a step on a whole batch.

        Returns
        -------
        dict of tensor
            The losses of every sample before the update, and under the optimizer's name the
            objective of the update.
        """
        if self.spread is not None:
            return self.spread(update, inputs)
        inputs = [*inputs, *self.draws(update, inputs[0].shape[0])]
        pieces = self.replicas * self.run.accumulate
        if self.run.xla != "off" and update.optimizer not in self.xla:
            self._settle_xla(update, [x[: x.shape[0] // pieces] for x in inputs])
        if pieces == 1:
            return self._call("step", self._whole_update, update, inputs)
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
        self._call("update", self.apply_gradients, update, [g / self.replicas for g in total])
        return {name: tf.concat([r[name] for r in reported], axis=0) for name in reported[0]}

    def _whole_update(self, update: Update, inputs: Tensors) -> Losses:
        if self.xla.get(update.optimizer):  # XLA has no kernel for the C++ update
            losses, gradients = self._call("gradients", self.gradients, update, list(inputs))
        else:
            losses, gradients = self.gradients(update, inputs)
        self.apply_gradients(update, gradients)
        return losses

    def gradients(self, update: Update, inputs: Tensors) -> tuple[Losses, list[tf.Tensor]]:
        """Compute the losses of an update and the gradients of its variables.

        Summed over the samples of `inputs`, which may be any slice of a batch; to be traced or run
        eagerly. Nothing is changed.
        """
        values = [v.value for v in update.variables]
        with self._computing(), recomputing(self.run.recompute):
            with tf.GradientTape(watch_accessed_variables=False) as tape:
                tape.watch(values)
                objective, losses = update.objective(*self.named(inputs))
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

    def apply_gradients(self, update: Update, gradients: Tensors) -> None:
        """Apply the (summed or averaged) gradients of an update; in float16 if all are finite."""
        optimizer, scale = self.optimizers[update.optimizer], self.loss_scales.get(update.optimizer)
        with tf.device(self.placement.variables):
            if scale is None:
                optimizer.apply(gradients, update.variables)
            else:
                scale.guarded(gradients, lambda: optimizer.apply(gradients, update.variables))

    def _settle_xla(self, update: Update, inputs: Tensors) -> None:
        """Find out whether the gradients of an update are compiled, on its first batch."""
        gradients = functools.partial(self.gradients, update)
        plain, compiled = (gradient_graph(gradients, compiled=which) for which in (False, True))
        self.xla[update.optimizer], reason = decide(
            plain, compiled, inputs, mode=self.run.xla, name=update.optimizer
        )
        if reason:
            self.say(reason)
        taken = compiled if self.xla[update.optimizer] else plain
        self._compiled["gradients", update.optimizer] = taken

    def _call(self, kind: str, function: Callable[..., Any], update: Update, *args: Any) -> Any:
        """Call a function as a graph that is traced once for each update and shape."""
        key = (kind, update.optimizer)
        if key not in self._compiled:
            self._compiled[key] = tf.function(
                functools.partial(function, update),
                autograph=False,
            )
        return self._compiled[key](*args)

    # Use

    def swap(self, face: Any, morph: float | None = None) -> SwapOutput:
        """Put the src face on dst faces.

        Parameters
        ----------
        face : ndarray or tensor
            BGR, shape (n, r, r, 3), or (r, r, 3) for one face; r is the model's resolution. Floats
            in [0, 1], or uint8, which is divided by 255.
        morph : float, optional
            Share of src for AMP, in [0, 1] (1 = all src).

        Returns
        -------
        SwapOutput
            NumPy arrays, float32 in [0, 1]; without the first axis if one face was given so.

        Raises
        ------
        TypeError, ValueError
            If dtype, shape or range of `face`, or `morph`, are others.
        """
        faces, single = face_batch(face, int(self.options.resolution))
        morph = checked_morph(morph)
        given = () if morph is None else (tf.constant(morph, tf.float32),)
        tensor = tf.cast(tf.convert_to_tensor(faces), self.dtype)
        output = self._predict("swap", self.swap_tensors, tensor, *given)
        arrays = [np.asarray(x, np.float32) for x in output]
        return SwapOutput(*(x[0] if single else x for x in arrays))

    def _predict(self, kind: str, function: Callable[..., Any], *args: tf.Tensor) -> Any:
        """Run networks on whole batches of any length."""
        if kind not in self._compiled:
            self._compiled[kind] = tf.function(
                functools.partial(self._on_device, function),
                autograph=False,
                reduce_retracing=True,
            )
        return self._compiled[kind](*args)

    def _on_device(self, function: Callable[..., Any], *tensors: tf.Tensor) -> Any:
        with self._computing():
            return function(*tensors)

    @contextlib.contextmanager
    def _computing(self) -> Iterator[None]:
        """Context for the networks: on their device, in products that it is good at."""
        with (
            tf.device(self.placement.compute),
            products_in_float32(self.placement.emulates(self.run.precision)),
            filter_gradients_by_products(self.placement.on_cpu and slow_filter_gradients()),
            minimal_products(self.placement.on_cpu),
        ):
            yield

    def __repr__(self) -> str:
        """Return one line on the model."""
        return description.short(self)

    def summary(self, print_fn: Callable[[str], None] = print) -> None:
        """Print the model's networks and optimizers with the numbers of their parameters.

        Parameters
        ----------
        print_fn : callable
            Gets the whole text, as with ``keras.Model.summary``.
        """
        print_fn(description.long(self))

    def parameter_counts(self) -> dict[str, int]:
        """Return the number of weights of each network."""
        return {part: int(network.count_params()) for part, network in self.networks.items()}

    # State

    def state(self) -> ModelState:
        """Return all that the model is, as NumPy arrays and plain Python values."""
        return weights.state_of(self)

    def load_state(self, state: ModelState, *, reinit: Sequence[str] = ()) -> list[str]:
        """Take up a state strictly.

        Parameters
        ----------
        state : ModelState
            Of the same class. Its options are compared with the model's: what their change
            re-initializes (end of pretraining, another GAN) is done here.
        reinit : sequence of str
            Parts (file stems) to initialize instead of loading.

        Returns
        -------
        list of str
            What was initialized or emptied instead of loaded, for the log.

        Raises
        ------
        ModelFileError
            If tensors are missing, unexpected or misshapen: all of them named, nothing is changed.
        UsageError
            If the state is of another class, or `reinit` names an unknown part.

        References
        ----------
        models.md 5.5; options.md 4.
        """
        if state.model_class != self.model_class:
            raise UsageError(f"This is a state of {state.model_class}, not of {self.model_class}.")
        return weights.load(self, state, [*self.run.reinit, *reinit])
