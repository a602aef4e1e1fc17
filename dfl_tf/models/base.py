"""FaceModel: networks, optimizers, objectives and what they want of faces."""

from __future__ import annotations

import abc
import functools
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, NamedTuple

import keras
import numpy as np
import numpy.typing as npt
import tensorflow as tf

from dfl_tf.data.batch import Batch
from dfl_tf.errors import UsageError
from dfl_tf.formats import ModelLock, write_model
from dfl_tf.models import description
from dfl_tf.models.assembly import Assembly
from dfl_tf.models.average import WeightAverage
from dfl_tf.models.freezing import without_frozen
from dfl_tf.models.keys import legacy_key
from dfl_tf.models.rates import LearningRates
from dfl_tf.models.state import check_shapes, load, state_of
from dfl_tf.models.step import Losses, Tensors, TrainingStep, Update
from dfl_tf.options import ModelKind, kind_of
from dfl_tf.options.registry import frozen_parts

if TYPE_CHECKING:
    from dfl_tf.data import SampleSpec, XSegSpec
    from dfl_tf.formats.models.state import ModelState


class PreviewImage(NamedTuple):
    """One preview image.

    Attributes
    ----------
    name : str
        Its legacy name.
    image : ndarray, shape (h, w, 3), float32 in [0, 1], BGR
        Cells of equal size, edge to edge, as the legacy program shows them.
    captions : tuple of tuples of str
        What each cell shows, row by row; without them the image is shown as it is.
    further : bool
        Whether the legacy program has no such image.
    """

    name: str
    image: npt.NDArray[np.float32]
    captions: tuple[tuple[str, ...], ...] = ()
    further: bool = False


class FaceModel(Assembly):
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
    rates : LearningRates
        The rate of each optimizer, where it is not constant.
    uncounted : int
        Steps that are begun and that `iteration` does not count yet; kept by the trainer.
    average : WeightAverage or None
        The moving average of the weights, with `ema`.
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

    def _begin(self) -> None:
        self.updates = without_frozen(self.updates, self.networks, frozen_parts(self.options))
        self.step = TrainingStep(self)
        self.rates = LearningRates(self.options)
        self.rates.set(self.optimizers, self.iteration + 1)
        decay = float(getattr(self.options, "ema", 0.0)) if self.training else 0.0
        weights = {
            f"{part}/{legacy_key(v)}": v
            for part in self.kind.generator
            if part in self.networks
            for v in self.networks[part].weights
        }
        device = self.placement.variables
        self.average = WeightAverage(weights, decay, device) if decay else None

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

    # What a model class says about itself

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

    # Training

    @property
    def works_ahead(self) -> bool:
        """Whether the device of the model works on its own: a step returns before it is done."""
        return self.placement.works_ahead

    def on_device(self, batches: Sequence[Batch]) -> tuple[Batch, ...]:
        """Return what a step takes of batches as tensors of its precision, on its device."""
        with tf.device(self.placement.compute):
            given = iter(self.inputs(*batches))
            return tuple(
                replace(batch, arrays={name: tf.identity(next(given)) for name in names})
                for batch, names in zip(batches, self.fields.values(), strict=True)
            )

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
        self.rates.set(self.optimizers, self.iteration + self.uncounted + 1)
        if self.average is not None:
            self.average.begin()
        reported = self.step.run(self.inputs(*batches))
        if self.average is not None:
            self.average.step()
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

    # State

    def state(self, *, views: bool = False) -> ModelState:
        """Return all that the model is, as NumPy arrays and plain Python values.

        Parameters
        ----------
        views : bool
            Whether arrays may share the memory of the variables: quicker, but they have to be
            dropped before the next step.
        """
        return state_of(self, views=views)

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
        """Restore a state strictly.

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
