"""From a request to a running trainer: which model, which options, the first segment.

References
----------
workspace.md 3.1, 5, 9; options.md 1, 4, 6; design decisions 1, 2, 35.
"""

from __future__ import annotations

import functools
import logging
import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeVar, cast

from dfl_tf_ops.native_output import import_tensorflow

from dfl_tf.devices.cluster import cluster_of, described, machine_of, replicas_of
from dfl_tf.devices.configure import configure_devices, device_lines, summary_devices
from dfl_tf.errors import ModelFileError, UsageError
from dfl_tf.formats import ModelState, find_models, read_model
from dfl_tf.formats.models.files import prefix_of
from dfl_tf.formats.models.legacy import read_default_options
from dfl_tf.formats.sessions.workspace import Workspace
from dfl_tf.imaging import set_pixel_limit
from dfl_tf.jobs.events import Events
from dfl_tf.models.restore import stored_layer
from dfl_tf.options import (
    Layer,
    Machine,
    Options,
    Resolved,
    RunOptions,
    kind_of,
    unused_note,
)
from dfl_tf.options.inputs import Chosen, OptionInputs
from dfl_tf.options.prompts import Answers
from dfl_tf.options.schema import did_you_mean
from dfl_tf.train import events
from dfl_tf.train.batch_source import Facesets
from dfl_tf.train.changed_files import basis_for, judge_files
from dfl_tf.train.checkpoint import CheckpointLocation
from dfl_tf.train.quarantine import lift, read_left_out
from dfl_tf.train.recipe import ChosenRecipe, RecipeSource, choose_recipe
from dfl_tf.train.requests import RequestFiles
from dfl_tf.train.rollback import lifted
from dfl_tf.train.segment import Builder, faces_of
from dfl_tf.train.settings import Settings
from dfl_tf.train.sinks.console import ConsoleLog, WorkerLog
from dfl_tf.train.sinks.json_lines import JsonLinesLog, log_beside
from dfl_tf.train.sinks.tensorboard import TensorBoardLog
from dfl_tf.train.starting_point import check_origin
from dfl_tf.train.switching import common, followed
from dfl_tf.train.trainer import Trainer
from dfl_tf.train.validation import MakeMeasure

if TYPE_CHECKING:
    from dfl_tf.models.base import FaceModel
    from dfl_tf.options import TrainingOptions
    from dfl_tf.train.distribution import Distribution

_log = logging.getLogger(__name__)

T = TypeVar("T", bound=Options)
EVERY_BESIDE = 50
"""Iterations between lines of the log beside the model, where nothing else is asked for."""


Ask = Callable[[type[Options], Sequence[Layer], Machine], Answers]
"""A dialogue: gets the class, all that is known before it, and the devices in use."""


def resolve_inputs(
    inputs: OptionInputs,
    cls: type[T],
    *,
    stored: Layer | None = None,
    defaults: Mapping[str, object] | None = None,
    restart: bool = False,
    ask: Ask | None = None,
) -> Chosen[T]:
    """Resolve the options of a training, on the devices that it will use.

    Parameters
    ----------
    inputs : OptionInputs
    cls : type
        The class of options of the model.
    stored, defaults
        See `OptionInputs.resolve`.
    restart : bool
        Whether a stored model counts as new.
    ask : callable, optional
        See `Ask`.

    Raises
    ------
    OptionError, UsageError
    """
    machine = machine_of(inputs.run)
    answers = None if ask is None else ask(cls, inputs.below(cls, stored, defaults), machine)
    begins_again = restart or (answers is not None and answers.restart)
    return inputs.resolve(
        cls,
        stored=stored,
        defaults=defaults,
        machine=machine,
        answers=None if answers is None else answers.layer,
        new=True if begins_again else None,
    )


@dataclass(frozen=True)
class Prepared:
    """Everything that is known before a network is built.

    Attributes
    ----------
    workspace : Workspace
    place : CheckpointLocation
    state : ModelState or None
        None: the model begins at its first iteration with fresh weights.
    resolved : Resolved
    run : RunOptions
    notes : tuple of str
        Notes on the options.
    stamp : float
        Time of the model's last save when it was read; 0 if there was none.
    pretrained : Path or None
        Folder with ``encoder.npy`` and so on, from which a new Quick96 starts.
    recipe : ChosenRecipe or None
    """

    workspace: Workspace
    place: CheckpointLocation
    state: ModelState | None
    resolved: Resolved[TrainingOptions]
    run: RunOptions
    notes: tuple[str, ...] = ()
    stamp: float = 0.0
    pretrained: Path | None = None
    recipe: ChosenRecipe | None = None

    @property
    def settings(self) -> Settings:
        """The options of the model and of the run."""
        return Settings(self.resolved, self.run)

    @property
    def pretrain(self) -> bool:
        """Whether the faces come from the pretraining folder."""
        return self.settings.pretrain

    def open_faces(self) -> Facesets:
        """The faces that are trained on."""
        left_out = () if self.state is None else read_left_out(self.state.run)
        return faces_of(self.workspace, self.settings).without(left_out)


def choose_name(folder: Path, model_class: str, name: str | None) -> tuple[str, bool]:
    """The name of the model to train, and whether it exists already.

    A given name is used as it is; without one it is the model that was saved last, or ``new``.
    """
    found = [entry.name for entry in find_models(folder, model_class)]
    if not kind_of(model_class).named:
        return model_class, bool(found)
    if name is None:
        return (found[0], True) if found else ("new", False)
    prefix_of(name, model_class)  # refuses what can be no file name
    return name, name in found


def _stamp(folder: Path, name: str, model_class: str) -> float:
    found = [entry for entry in find_models(folder, model_class) if entry.name == name]
    return max((entry.modified for entry in found), default=0.0)


def prepare(
    workspace: Workspace,
    model_class: str,
    name: str | None,
    inputs: OptionInputs,
    *,
    restart: bool = False,
    ask: Ask | None = None,
) -> Prepared:
    """Find or name the model and resolve its options. Writes nothing.

    Parameters
    ----------
    workspace : Workspace
        Its folders of faces need not have been looked for.
    model_class : str
    name : str or None
        None: the model that was saved last, or ``new``.
    inputs : OptionInputs
    restart : bool
        Begin again at iteration 0 with fresh weights, after a backup.
    ask : callable, optional
        See `Ask`.

    Raises
    ------
    UsageError, OptionError, ModelFileError
    WorkspaceError
        The folders of faces that the options call for are not there.
    ModelFilesChanged
        Files of the model were removed or replaced, and the run options do not say what then.
    """
    kind = kind_of(model_class)
    if restart:
        kind.check_restart()
    folder = workspace.model
    asked, (name, exists) = name, choose_name(folder, model_class, name)
    stamp = _stamp(folder, name, model_class)
    previous = inputs.run.use_previous
    state = _saved(folder, name, model_class, previous=previous) if exists else None
    origin = f"the saved model {prefix_of(name, model_class)}"
    stored = None if state is None else stored_layer(state, origin)
    defaults = read_default_options(folder, model_class) or None if state is None else None
    remedies: list[str] = []
    if state is not None:
        kept, remedies = lifted(state.run, inputs.keys)
        if "quarantine" in inputs.keys and not inputs.run.quarantine:
            kept, told = lift(kept)
            remedies += told
        inputs = replace(inputs, notes=tuple(remedies))
        state = replace(state, run=kept)
    recipe = None
    if inputs.run.recipe:
        recipe, inputs = choose_recipe(
            inputs.run.recipe,
            inputs,
            model_class,
            workspace=workspace,
            state=state,
            stored=stored,
            machine=machine_of(inputs.run),
        )
        state = recipe.begun(state)
    chosen = resolve_inputs(
        inputs, kind.options, stored=stored, defaults=defaults, restart=restart, ask=ask
    )
    resolved, run = chosen.resolved, chosen.run
    set_pixel_limit(run.max_image_pixels)
    if resolved.new:
        state = None
    if state is None and stamp:  # it begins again: what was there is kept
        run = replace(run, backup_now=True)
    changes: list[str] = []
    if state is not None:
        changes = judge_files(folder, name, state, kind.needed_parts(resolved.options), run)
    wanted = "legacy" if run.model_format == "auto" else run.model_format
    place = CheckpointLocation(
        folder=folder,
        name=name,
        model_class=model_class,
        format=cast(Literal["legacy", "native"], wanted) if state is None else "same",
        first=state is None,
        basis=basis_for(folder, name, state, model_class, run),
    )
    # with the notes of conversions
    about_options = (*resolved.adjustments, *resolved.warnings, *unused_note(resolved.unknown))
    notes = (*changes, *remedies, *check_origin(run, state), *about_options)
    if asked is not None and not exists:
        notes = (*_new_name(folder, model_class, name), *notes)
    prepared = Prepared(workspace, place, state, resolved, run, notes, stamp, recipe=recipe)
    faces = workspace.with_faces_of(run.data, pretrain=prepared.pretrain)
    faces.check(("pretrain",) if prepared.pretrain else ("src", "dst"))
    return prepared


def _saved(folder: Path, name: str, model_class: str, *, previous: bool) -> ModelState | None:
    """What a model was saved with; None if that is no more than its options.

    It is read by a thread while this one imports TensorFlow, which a training needs next. What is
    to be said about it is said afterwards: an import hides what is written meanwhile.
    """
    notes: list[str] = []
    read = functools.partial(read_model, folder, name, model_class, tolerant=True,
                             previous=previous, say=notes.append)  # fmt: skip
    with ThreadPoolExecutor(1, thread_name_prefix="read model") as pool:
        reading = pool.submit(read)
        import_tensorflow()
        kind_of(model_class).model_type()
    state = reading.result()
    for note in notes:
        _log.warning(note)
    return state if state.iteration or state.tensors else None


def _new_name(folder: Path, model_class: str, name: str) -> list[str]:
    """Say that a name begins a new model, where it may be another one mistyped."""
    others = [entry.name for entry in find_models(folder, model_class)]
    if not others:
        return []
    hint = did_you_mean(name, others) or f"; there are {', '.join(others[:8])}"
    return [f"no {model_class} model is called {name} yet, a new one begins{hint}"]


def join_cluster(
    prepared: Prepared, say: Callable[[str], None] = lambda text: None
) -> tuple[Prepared, Distribution | None]:
    """Join the devices and processes that train together, if there are several.

    Parameters
    ----------
    prepared : Prepared
    say : callable
        Gets a line on whom this process waits for.

    Returns
    -------
    (Prepared, Distribution or None)
        A worker that is not the chief goes on with the chief's options and saves nothing.
    """
    if replicas_of(prepared.run) == 1:
        return prepared, None
    configure_devices(prepared.run)
    from dfl_tf.train.distribution import distribute

    distribution = distribute(prepared.run, say)
    if distribution is None or distribution.cluster is None:
        return prepared, distribution
    facts = distribution.from_chief(
        {"model_class": prepared.place.model_class, **common(prepared.settings)}
    )
    if distribution.chief:
        return prepared, distribution
    if facts["model_class"] != prepared.place.model_class:
        raise UsageError(
            f"the chief trains {facts['model_class']}, this worker trains "
            f"{prepared.place.model_class}; start the same command on every host"
        )
    follower = followed(prepared.settings, facts)
    return (
        replace(prepared, resolved=follower.resolved, run=follower.run, state=None),
        distribution,
    )


def builder(
    prepared: Prepared,
    distribution: Distribution | None = None,
    say: Callable[[str], None] = lambda text: None,
) -> Builder:
    """What builds the segments of the run."""
    return Builder(
        prepared.workspace,
        prepared.place.model_class,
        prepared.place.name,
        distribution,
        prepared.pretrained,
        say,
    )


def build_model(prepared: Prepared) -> tuple[FaceModel, list[str]]:
    """Build the model without streams and load its state; says what was not loaded."""
    configure_devices(prepared.run)
    make = builder(prepared)
    model = make.create(prepared.settings, prepared.state)
    messages = make.fill(model, prepared.state)
    _forget(prepared.state)
    return model, messages


def _forget(state: ModelState | None) -> None:
    if state is not None:
        state.tensors.clear()  # three times the weights: not to be kept for the whole run


def make_log(prepared: Prepared) -> Events:
    """The sinks that a run has; a worker that is not the chief says little.

    Every run that saves keeps a log beside the model (`log_beside`), which loss plots, ``status``
    and the page read; ``--log-json`` is one more.
    """
    run, place = prepared.run, prepared.place
    cluster = cluster_of(run)
    if cluster is not None and not cluster.chief:
        return Events([WorkerLog(cluster.index)])
    log = Events([ConsoleLog(run.log_every)])
    if run.tensorboard:  # first, for it fails without its extra, and no file is open yet
        log.add(TensorBoardLog(run.tensorboard))
    beside = log_beside(place.folder, place.storage)
    if run.log_json:
        log.add(JsonLinesLog(run.log_json, run.log_every))
    if not (run.no_save or _same_file(run.log_json, beside)):
        log.add(JsonLinesLog(beside, run.log_every or EVERY_BESIDE, rotated=True))
    return log


def _same_file(given: str, path: Path) -> bool:
    return given not in ("", "-") and os.path.abspath(given) == os.path.abspath(path)


def start(
    prepared: Prepared,
    facesets: Facesets,
    log: Events,
    make_measure: MakeMeasure | None = None,
) -> Trainer:
    """Build the model and open the streams: everything up to the first iteration.

    The caller holds the model's lock. `make_measure` makes what `validate_every` measures with.

    Raises
    ------
    ModelFileError
        If another program saved the model since it was read.
    """
    place, cluster = prepared.place, cluster_of(prepared.run)
    chief = cluster is None or cluster.chief
    if chief and _stamp(place.folder, place.name, place.model_class) != prepared.stamp:
        raise ModelFileError(
            f"{place.storage} in {place.folder} has just been saved by another program; "
            "run the command again"
        )
    for note in prepared.notes:
        log.say(note)
    for line in described(prepared.run, prepared.resolved.options.batch_size):
        log.say(line)
    prepared, distribution = join_cluster(prepared, log.say)
    if distribution is None:
        configure_devices(prepared.run)
    for line in device_lines(prepared.run):
        log.say(line)
    make = builder(prepared, distribution, log.say)
    segment = make.build(prepared.settings, prepared.state, facesets)
    stored = {} if prepared.state is None else prepared.state.run
    _forget(prepared.state)
    for message in segment.messages:
        log.say(message)
    sources = [] if prepared.recipe is None else [RecipeSource(prepared.recipe)]
    trainer = Trainer(
        segment,
        place,
        log=log,
        rebuild=make.build,
        devices=summary_devices(prepared.run),
        worker_group=distribution,
        requests=[*sources, RequestFiles(place.folder, place.storage)],
        make_measure=make_measure,
    )
    trainer.state.restore(stored)
    for source in sources:
        source.follow(trainer.state)
    if chief:
        log.say(trainer.checkpoint.summary())
    model = segment.model
    log.emit(
        events.Start(
            place.storage,
            place.model_class,
            str(place.folder),
            model.iteration,
            model.seed,
            segment.settings.legacy(),
        )
    )
    return trainer
