"""FaceModel: networks, optimizers, objectives and what they want of faces."""

from __future__ import annotations

import abc
import contextlib
import functools
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, NamedTuple, TypeVar

import keras
import numpy as np
import numpy.typing as npt
import tensorflow as tf

from dfl_tf.data.batch import Batch
from dfl_tf.devices.cpu import slow_filter_gradients
from dfl_tf.devices.placement import Placement
from dfl_tf.errors import UsageError
from dfl_tf.formats import ModelLock, write_model
from dfl_tf.formats.loss_history import LossHistory
from dfl_tf.models import description
from dfl_tf.models.state import check_shapes, load, state_of
from dfl_tf.models.step import Losses, Tensors, TrainingStep, Update
from dfl_tf.nn.initializers import initialize
from dfl_tf.nn.layers import Network
from dfl_tf.nn.optimizers import AdaBelief, LegacyOptimizer, RMSprop
from dfl_tf.nn.tracing import Tracing, traced_with
from dfl_tf.options import ModelKind, RunOptions, effective, kind_of

if TYPE_CHECKING:
    from dfl_tf.data import SampleSpec, XSegSpec
    from dfl_tf.formats.models.state import ModelState
    from dfl_tf.options import TrainingOptions

N = TypeVar("N", bound=Network)
R = TypeVar("R")

POLICIES = {
    "float32": "float32",
    "float64": "float64",
    "bfloat16": "mixed_bfloat16",
    "float16": "mixed_float16",
}


class PreviewImage(NamedTuple):
    """One preview image: its legacy name, and (h, w, 3) float32 BGR in [0, 1]."""

    name: str
    image: npt.NDArray[np.float32]


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
    previews_one_face : bool
        Whether previews show the first sample of the batches only.
    iteration, loss_history, extra
        Kept by the trainer, saved with the model.
    unknown_options : dict
        Stored options of forks, saved again unchanged.
    step : TrainingStep
        How the updates are done: in pieces, compiled, on several devices.
    tracing : Tracing
        How the networks are written into graphs on the device at hand.
    previous : tuple of Batch
        The batches of the last step, where a model takes them twice (`repeats_batch`).
    """

    model_class: ClassVar[str]
    loss_names: ClassVar[tuple[str, ...]] = ("src", "dst")
    optional_parts: ClassVar[Mapping[str, str]] = {}
    scopes_without_slots: ClassVar[tuple[str, ...]] = ()
    previews_one_face: ClassVar[bool] = False

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
        self.iteration = 0
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
        self.tracing = Tracing(
            widen=self.placement.emulates(self.run.precision),
            weight_gradient_by_gemm=on_cpu and slow_filter_gradients(),
            winograd=on_cpu,
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
            self.step = TrainingStep(self)
        self.set_seed(self.seed)
        self._compiled: dict[str, tf.types.experimental.PolymorphicFunction] = {}

    def _make_networks(self) -> None:
        self.build_networks()
        for network in self.networks.values():
            network.build()

    def _check_shapes(self, expected: ModelState, reinit: Sequence[str]) -> None:
        """Refuse options that do not fit the weights while variables are shapes without memory."""

        def check() -> None:
            with keras.StatelessScope(initialize_variables=False):
                self._make_networks()
            check_shapes(self, expected, reinit)

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
    def build_networks(self) -> None:
        """Fill `networks`, in file order."""

    @abc.abstractmethod
    def build_updates(self) -> None:
        """Fill `optimizers` (by `add_optimizer`) and `updates`."""

    @abc.abstractmethod
    def sample_specs(self) -> Mapping[str, SampleSpec | XSegSpec]:
        """Say which arrays a training step takes: a spec for each batch, by the batch's name.

        Batches are named "src" and "dst" after the person, or "faces" where both are one.
        """

    def preview_specs(self) -> Mapping[str, SampleSpec]:
        """Say which batches previews show besides those of the step."""
        return {}

    @abc.abstractmethod
    def preview(self, *batches: Batch) -> list[PreviewImage]:
        """Draw the preview images of the first samples of the batches (workspace.md 7.3)."""

    @property
    def history_period(self) -> int:
        """Iterations between two sheets of the preview history (workspace.md 7.1)."""
        return 10

    @abc.abstractmethod
    def outputs(self, face: npt.NDArray[np.float32]) -> dict[str, npt.NDArray[np.float32]]:
        """Compute what the model makes of faces, by name: what proofs compare.

        Parameters
        ----------
        face : ndarray, shape (n, r, r, 3), float32 in [0, 1], BGR

        Returns
        -------
        dict of ndarray, shape (n, r, r, 3) or (n, r, r, 1), float32
            Images and masks in [0, 1]; of XSeg the logits.
        """

    def repeats_batch(self, iteration: int) -> bool:
        """Return whether the step after `iteration` takes the batches of the one before again."""
        return False

    @property
    def kind(self) -> ModelKind:
        """What is known of the class without a model."""
        return kind_of(self.model_class)

    def options_from(self, state: ModelState) -> dict[str, object]:
        """Return what the tensors of a state say about the architecture options."""
        return self.kind.options_from(state.tensors, vars(self.options))

    def parts_to_reset(self, state: ModelState) -> dict[str, str]:
        """Return the parts that changed options re-initialize, each with the reason."""
        return {}

    # Building

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
        reported = self.step.run(self.inputs(*batches))
        return {name: reported[name] for name in self.loss_names}

    @functools.cached_property
    def fields(self) -> dict[str, tuple[str, ...]]:
        """What a step takes of each batch: the names of its arrays, by the name of the batch."""
        return {name: tuple(spec.outputs) for name, spec in self.sample_specs().items()}

    def inputs(self, *batches: Batch) -> list[tf.Tensor]:
        """Flatten batches to tensors of the model's precision, in the order of `fields`.

        Returns
        -------
        list of tensor, shape (n, h, w, c)

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

    def tensors(self, *arrays: npt.ArrayLike) -> list[tf.Tensor]:
        """Return arrays of any shape and numeric dtype as tensors of the model's precision."""
        return [tf.cast(tf.convert_to_tensor(array), self.dtype) for array in arrays]

    def named(self, inputs: Tensors) -> tuple[Batch | tf.Tensor, ...]:
        """Return what `inputs` flattened as batches again, followed by what was drawn.

        Parameters
        ----------
        inputs : sequence of tensor, shape (n, h, w, c)
            As in `inputs`, followed by what `draws` returned.

        Returns
        -------
        tuple of Batch and tensor, shape (n, …)
        """
        given = iter(inputs)
        batches = [Batch({name: next(given) for name in names}) for names in self.fields.values()]
        return (*batches, *given)

    def draws(self, update: Update, samples: int) -> list[tf.Tensor]:
        """Return what an update draws at random for a whole batch; it follows the inputs.

        Parameters
        ----------
        update : Update
        samples : int
            Of the batch.

        Returns
        -------
        list of tensor, any shape that begins with `samples`
        """
        return []

    # Use

    def run_graph(self, kind: str, function: Callable[..., R], *args: tf.Tensor) -> R:
        """Run networks on whole batches, tensors of any shape, as a graph that `kind` names."""
        if kind not in self._compiled:
            self._compiled[kind] = tf.function(
                functools.partial(self._on_device, function),
                autograph=False,
                reduce_retracing=True,
            )
        return self._compiled[kind](*args)

    def _on_device(self, function: Callable[..., R], *tensors: tf.Tensor) -> R:
        with self.computing(self.tracing):
            return function(*tensors)

    @contextlib.contextmanager
    def computing(self, tracing: Tracing) -> Iterator[None]:
        """Context for the networks: on their device, in the forms that are chosen."""
        with tf.device(self.placement.compute), traced_with(tracing):
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
        return state_of(self)

    def save(self, model_dir: str | Path, name: str | None = None) -> None:
        """Write the model into a folder, as one set: old or new is there, whole.

        Parameters
        ----------
        model_dir : str or Path
            Made if it is not there. A model of that name and class is replaced, its files kept as
            the previous set (`dfl-tf model restore --previous`).
        name : str, optional
            By default the name that the model was loaded by.

        Raises
        ------
        UsageError, ModelFileError, WorkspaceError
            The name can be no file name, another program uses the model, or it cannot be written.
        """
        name = name or self.name
        with ModelLock(Path(model_dir), name, self.model_class):
            write_model(model_dir, name, self.state())

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
        return load(self, state, [*self.run.reinit, *reinit])
