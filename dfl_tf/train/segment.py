"""What lives as long as one set of options: the model and its data streams.

References
----------
workspace.md 3.1, 5, 9; design decisions 1, 2, 42.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from dfl_tf import models
from dfl_tf.devices.precision import precision_notes
from dfl_tf.face import FaceType
from dfl_tf.formats import ModelState
from dfl_tf.formats.models.average import AVERAGE
from dfl_tf.formats.sessions.workspace import Workspace
from dfl_tf.train.batch_source import BatchSource, Facesets, open_batch_source
from dfl_tf.train.changed_files import ages
from dfl_tf.train.host_copies import HostCopies
from dfl_tf.train.quarantine import LeftOutFace, read_left_out
from dfl_tf.train.settings import Settings
from dfl_tf.train.starting_point import take_parts, take_release

if TYPE_CHECKING:
    from dfl_tf.formats.models.tensor import Tensor
    from dfl_tf.models.base import FaceModel
    from dfl_tf.train.distribution import Distribution


@dataclass(frozen=True)
class Shelved:
    """Weights or slots of a part that is switched off, kept in the host's memory.

    Attributes
    ----------
    arrays : mapping of str to ndarray
        As in `ModelState.tensors`.
    iteration : int or None
        Until when it was trained; None if that is not known.
    """

    arrays: Mapping[str, Tensor]
    iteration: int | None


@dataclass(eq=False)
class Segment:
    """A stretch of a run with one set of options.

    Attributes
    ----------
    settings : Settings
    model : FaceModel
    batch_source : BatchSource
    messages : list of str
        What was initialized instead of loaded, and so on, for the log.
    shelf : dict
        Part → what of it is kept while it is switched off (decision 42).
    distribution : Distribution or None
        What spreads the model over devices and processes.
    facesets : Facesets or None
        What the streams draw from, and what is held out of it.
    new_faces : bool
        Whether the model has seen none of these faces before the segment.
    """

    settings: Settings
    model: FaceModel
    batch_source: BatchSource
    messages: list[str] = field(default_factory=list)
    shelf: dict[str, Shelved] = field(default_factory=dict)
    distribution: Distribution | None = None
    facesets: Facesets | None = None
    new_faces: bool = False

    def snapshot(self, run_state: Mapping[str, object]) -> ModelState:
        """Everything that the model is, switched-off parts included, in arrays of its own.

        Parameters
        ----------
        run_state : mapping
            Where the streams stand; see `BatchSource.run_state`.
        """
        state = self.model.state(views=True)
        kept = {part: dict(shelved.arrays) for part, shelved in self.shelf.items()}
        whole = replace(
            state,
            options=self.settings.legacy(),
            run={**state.run, **run_state},
            tensors={**kept, **state.tensors},
        )
        return HostCopies().take(whole).state

    def shelve(self, parts: Mapping[str, Shelved], iteration: int) -> list[str]:
        """Keep the parts that are not in use.

        Parameters
        ----------
        parts : mapping
            All that were in use or kept before.
        iteration : int
            Of the model at that time.

        Returns
        -------
        list of str
            How old the parts are that are in use again.
        """
        used = set(parts_of(self.model))
        self.shelf = {part: kept for part, kept in parts.items() if part not in used}
        fresh = self.settings.run.reinit
        # an average that is older than the weights begins again, which the model says
        again = {
            p: kept.iteration
            for p, kept in parts.items()
            if p in used and p not in fresh and p != AVERAGE
        }
        return ages(again, iteration)

    def leave_out(self, faces: Sequence[LeftOutFace], stored: Mapping[str, object]) -> None:
        """Draw without some faces from now on, as a run that begins here would.

        Parameters
        ----------
        faces : sequence of LeftOutFace
        stored : mapping
            `ModelState.run` of such a run.
        """
        assert self.facesets is not None
        self.batch_source.close()
        self.facesets = self.facesets.without(faces)
        self.batch_source = open_batch_source(
            self.model,
            self.facesets,
            self.settings.run,
            stored,
            iteration=int(self.model.iteration),
        )

    def close(self) -> None:
        """Stop the streams."""
        self.batch_source.close()

    def release(self) -> None:
        """Stop the streams and let go of the model and all that is kept."""
        self.close()
        if self.distribution is not None:
            self.distribution.release()
        self.model = None  # type: ignore[assignment]  # nothing uses it any more
        self.shelf = {}


def parts_of(model: FaceModel) -> tuple[str, ...]:
    """Networks, optimizers and averaged weights of a model, by the stems of their files."""
    return (*model.networks, *model.optimizers, *([AVERAGE] if model.average else []))


Rebuild = Callable[[Settings, ModelState | None], Segment]
"""Makes a segment that goes on from a state with other settings; None: the chief has the state."""


@dataclass(frozen=True)
class Builder:
    """Builds the segments of a run: each a model with its streams.

    Attributes
    ----------
    workspace : Workspace
    model_class, name : str
    distribution : Distribution or None
        What spreads the model over devices and processes.
    pretrained : Path or None
        Folder of weights from which a new Quick96 starts.
    say : callable
        Gets a line for people.
    """

    workspace: Workspace
    model_class: str
    name: str
    distribution: Distribution | None = None
    pretrained: Path | None = None
    say: Callable[[str], None] = lambda text: None

    def build(
        self, settings: Settings, state: ModelState | None, facesets: Facesets | None = None
    ) -> Segment:
        """Build the model, load it and open the streams: everything up to the first iteration.

        Parameters
        ----------
        settings : Settings
        state : ModelState or None
            What the model goes on from; None: it is new, or the chief of the cluster has it.
        facesets : Facesets, optional
            Opened already.
        """
        wanted = settings.pretrain, settings.run.data, settings.holdout
        if facesets is None or (facesets.pretrain, facesets.data, facesets.holdout) != wanted:
            facesets = faces_of(self.workspace, settings)
        facesets = facesets.without(() if state is None else read_left_out(state.run))
        lines = [*facesets.lines(), *face_type_lines(settings, facesets)]
        for line in lines:
            self.say(line)
        model = self.create(settings, state)
        model.step.say = self.say
        model.step.measures_gradients = bool(settings.run.tensorboard or settings.run.log_json)
        batch_source, messages, facesets = self.open_and_fill(model, settings, state, facesets)
        if self.distribution is not None and settings.run.xla == "auto":
            messages.insert(0, "--xla auto does not compile on several devices; use --xla on")
        return Segment(
            settings,
            model,
            batch_source,
            [*precision_notes(settings.run), *messages],
            _switched_off(model, state),
            self.distribution,
            facesets,
            _has_new_faces(settings, state),
        )

    def create(self, settings: Settings, state: ModelState | None) -> FaceModel:
        """Build the model; the weights of one that is resumed are still zero."""
        options, run = settings.options, settings.run
        create = functools.partial(
            models.create,
            self.model_class,
            options,
            # TensorFlow sees the chosen GPUs only, so the model need not choose again.
            replace(run, devices=""),
            name=self.name,
            initialized=state is None,
            expected=state,
            reinit=run.reinit,
        )
        if self.distribution is None:
            return create()
        on_gpu = bool(getattr(options, "models_opt_on_gpu", True))
        return self.distribution.build(create, models_opt_on_gpu=on_gpu)

    def fill(self, model: FaceModel, state: ModelState | None) -> list[str]:
        """Load the state of a model that goes on; says what was initialized instead of loaded."""
        if state is None:
            told = take_release(model, self.pretrained)
            run = model.run
            return told + (take_parts(model, run.init_from) if run.init_from else [])
        messages: list[str] = model.load_state(state)
        return messages

    def open_and_fill(
        self, model: FaceModel, settings: Settings, state: ModelState | None, facesets: Facesets
    ) -> tuple[BatchSource, list[str], Facesets]:
        """Open the streams and load the weights; returns what `fill` says, and the faces used."""
        run, stored = settings.run, {} if state is None else state.run
        if self.distribution is None:
            if state is not None:
                model.restore_seed(state)  # the streams are drawn by it
            # The first samples are made while the weights are loaded.
            iteration = 0 if state is None else state.iteration
            batch_source = open_batch_source(model, facesets, run, stored, iteration=iteration)
            try:
                return batch_source, self.fill(model, state), facesets
            except BaseException:
                batch_source.close()
                raise
        messages = self.fill(model, state)
        stored = self.distribution.broadcast_from_chief(stored)
        facesets = facesets.without(read_left_out(stored))
        for side, faceset in (("src", facesets.src), ("dst", facesets.dst)):
            self.distribution.check_same(f"number of {side} faces", len(faceset))
        if state is None and stored:  # a worker that is not the chief
            model.rates.restore(stored, model.iteration, {})
        offsets = self.distribution.offsets(model.samples_per_step)
        batch_source = open_batch_source(
            model, facesets, run, stored, offsets, iteration=model.iteration
        )
        return batch_source, messages, facesets


def faces_of(workspace: Workspace, settings: Settings) -> Facesets:
    """The faces that are trained on with some settings; see `Facesets.open`."""
    return Facesets.open(
        workspace, pretrain=settings.pretrain, data=settings.run.data, holdout=settings.holdout
    )


def _has_new_faces(settings: Settings, state: ModelState | None) -> bool:
    """Whether the model has seen none of the faces: it is new, or saw others in pretraining."""
    pretrained = state is not None and bool(state.options.get("pretrain"))
    return state is None or state.iteration == 0 or (pretrained and not settings.pretrain)


def _switched_off(model: FaceModel, state: ModelState | None) -> dict[str, Shelved]:
    """What a state that was read holds beyond the parts of the model."""
    if state is None or state.disk is None:
        return {}
    used, until = set(parts_of(model)), state.disk.trained_until
    return {
        part: Shelved(arrays, until.get(part))
        for part, arrays in state.tensors.items()
        if part not in used
    }


def face_type_lines(settings: Settings, facesets: Facesets) -> list[str]:
    """Say which faces show less than the model is trained on; see `Facesets.check_face_types`."""
    wanted = FaceType.from_name(settings.options.face_type)
    return facesets.check_face_types(wanted, allow_smaller=settings.run.allow_smaller_faces)
