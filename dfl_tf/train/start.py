"""From a request to a running trainer: which model, which options, the first segment.

References
----------
workspace.md 3.1, 5, 9; options.md 1, 4, 6; design decisions 1, 2, 35.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, Protocol, cast

from dfl_tf.devices.cluster import cluster_of, described, machine_of, replicas_of
from dfl_tf.devices.configure import configure_devices, summary_devices
from dfl_tf.errors import ModelFileError, UsageError
from dfl_tf.formats import ModelState, find_models, read_model
from dfl_tf.formats.models.files import prefix_of
from dfl_tf.formats.models.legacy import read_default_options
from dfl_tf.formats.sessions.workspace import Workspace
from dfl_tf.imaging import set_pixel_limit
from dfl_tf.jobs.events import Events
from dfl_tf.models.restore import stored_layer
from dfl_tf.options import Layer, Resolved, RunOptions, kind_of, resolve, unused_note
from dfl_tf.options.schema import did_you_mean
from dfl_tf.train import events
from dfl_tf.train.changed_files import basis_for, judge_files
from dfl_tf.train.checkpoint import CheckpointLocation
from dfl_tf.train.feeds import Facesets
from dfl_tf.train.segment import Builder
from dfl_tf.train.settings import Settings
from dfl_tf.train.sinks.console import ConsoleLog, WorkerLog
from dfl_tf.train.sinks.json_lines import JsonLinesLog, log_beside
from dfl_tf.train.sinks.tensorboard import TensorBoardLog
from dfl_tf.train.switching import common, followed
from dfl_tf.train.trainer import Trainer

EVERY_BESIDE = 50
"""Iterations between lines of the log beside the model, where nothing else is asked for."""


class ResolveOptions(Protocol):
    """Resolves the options of a model and of the run, from what is stored and what is given now."""

    def __call__(
        self, cls: type, *, stored: Layer | None, defaults: Mapping[str, Any] | None
    ) -> tuple[Resolved[Any], RunOptions]:
        """Resolve options of `cls`; `defaults` are those of the last new model of the class."""


def resolver_of(layers: Sequence[Layer] = (), run: RunOptions | None = None) -> ResolveOptions:
    """Options of programs: layers of values, lowest precedence first, and the run's options."""

    def resolve_options(
        cls: type, *, stored: Layer | None, defaults: Mapping[str, Any] | None
    ) -> tuple[Resolved[Any], RunOptions]:
        below = [stored] if stored else []
        machine = machine_of(run or RunOptions())
        return resolve(cls, [*below, *layers], machine=machine), run or RunOptions()

    return resolve_options


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
        What a user should be told about the options.
    stamp : float
        Time of the model's last save when it was read; 0 if there was none.
    pretrained : Path or None
        Folder with ``encoder.npy`` and so on, from which a new Quick96 starts.
    """

    workspace: Workspace
    place: CheckpointLocation
    state: ModelState | None
    resolved: Resolved[Any]
    run: RunOptions
    notes: tuple[str, ...] = ()
    stamp: float = 0.0
    pretrained: Path | None = None

    @property
    def settings(self) -> Settings:
        """The options of the model and of the run."""
        return Settings(self.resolved, self.run)

    @property
    def pretrain(self) -> bool:
        """Whether the faces come from the pretraining folder."""
        return self.settings.pretrain


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
    resolve_options: ResolveOptions,
    *,
    use_previous: bool = False,
) -> Prepared:
    """Find or name the model and resolve its options. Writes nothing.

    Parameters
    ----------
    use_previous : bool
        Start from the kept previous set: what `RunOptions.use_previous` says, which is needed
        before the options can be resolved.

    Raises
    ------
    UsageError, OptionError, ModelFileError
    ModelFilesChanged
        Files of the model were removed or replaced, and the run options do not say what then.
    """
    kind = kind_of(model_class)
    folder = workspace.model
    asked, (name, exists) = name, choose_name(folder, model_class, name)
    stamp = _stamp(folder, name, model_class)
    state = None
    if exists:
        state = read_model(folder, name, model_class, tolerant=True, previous=use_previous)
    if state is not None and state.iteration == 0 and not state.tensors:
        state = None
    stored = (
        None
        if state is None
        else stored_layer(state, f"the saved model {prefix_of(name, model_class)}")
    )
    defaults = read_default_options(folder, model_class) or None if state is None else None
    resolved, run = resolve_options(kind.options, stored=stored, defaults=defaults)
    set_pixel_limit(run.max_image_pixels)
    if resolved.new:
        state = None
    run = replace(run, use_previous=use_previous)
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
    told = (*resolved.adjustments, *resolved.warnings, *unused_note(resolved.unknown))
    notes = (*changes, *told)
    if asked is not None and not exists:
        notes = (*_new_name(folder, model_class, name), *notes)
    return Prepared(workspace, place, state, resolved, run, notes, stamp)


def _new_name(folder: Path, model_class: str, name: str) -> list[str]:
    """Say that a name begins a new model, where it may be another one mistyped."""
    others = [entry.name for entry in find_models(folder, model_class)]
    if not others:
        return []
    hint = did_you_mean(name, others) or f"; there are {', '.join(others[:8])}"
    return [f"no {model_class} model is called {name} yet, a new one begins{hint}"]


def enlist(
    prepared: Prepared, say: Callable[[str], None] = lambda text: None
) -> tuple[Prepared, Any]:
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
            f"the chief trains {facts['model_class']}, this worker was told to train "
            f"{prepared.place.model_class}; start the same command on every host"
        )
    follower = followed(prepared.settings, facts)
    return (
        replace(prepared, resolved=follower.resolved, run=follower.run, state=None),
        distribution,
    )


def builder(
    prepared: Prepared,
    distribution: Any = None,
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


def build_model(prepared: Prepared) -> tuple[Any, list[str]]:
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

    Every run keeps a log beside the model (`log_beside`), unless ``--log-json`` names another file
    or nothing is to be written.
    """
    run, place = prepared.run, prepared.place
    cluster = cluster_of(run)
    if cluster is not None and not cluster.chief:
        return Events([WorkerLog(cluster.index)])
    log = Events([ConsoleLog(run.log_every)])
    if run.tensorboard:  # first, for it fails without its extra, and no file is open yet
        log.add(TensorBoardLog(run.tensorboard))
    if run.log_json:
        log.add(JsonLinesLog(run.log_json, run.log_every))
    elif not run.no_save:
        beside, every = log_beside(place.folder, place.storage), run.log_every or EVERY_BESIDE
        log.add(JsonLinesLog(beside, every, rotated=True))
    return log


def start(prepared: Prepared, facesets: Facesets, log: Events) -> Trainer:
    """Build the model and open the streams: everything up to the first iteration.

    The caller holds the model's lock.

    Raises
    ------
    ModelFileError
        If another program saved the model since it was read.
    """
    place, cluster = prepared.place, cluster_of(prepared.run)
    chief = cluster is None or cluster.chief
    if chief and _stamp(place.folder, place.name, place.model_class) != prepared.stamp:
        raise ModelFileError(
            f"{place.storage} in {place.folder} was saved by another program just now; start again"
        )
    for note in prepared.notes:
        log.say(note)
    for line in described(prepared.run, prepared.resolved.options.batch_size):
        log.say(line)
    prepared, distribution = enlist(prepared, log.say)
    if distribution is None:
        configure_devices(prepared.run)
    make = builder(prepared, distribution, log.say)
    segment = make.build(prepared.settings, prepared.state, facesets)
    _forget(prepared.state)
    for message in segment.messages:
        log.say(message)
    trainer = Trainer(
        segment,
        place,
        log=log,
        rebuild=make.build,
        devices=summary_devices(prepared.run),
        team=distribution,
    )
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
