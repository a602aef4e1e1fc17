"""From a request to a running trainer: model choice, options, faces, model, feed.

References
----------
workspace.md 3.1, 5, 9; options.md 1, 4, 6; design decisions 1, 2, 35.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from dfl_tf import models
from dfl_tf.errors import UsageError
from dfl_tf.formats import ModelState, find_models, read_model
from dfl_tf.formats.model_files import prefix_of
from dfl_tf.formats.model_legacy import read_default_options
from dfl_tf.formats.workspace import Workspace
from dfl_tf.models import infer
from dfl_tf.options import (
    OPTIONS,
    Layer,
    Machine,
    Resolved,
    RunOptions,
    legacy_layer,
    resolve,
)
from dfl_tf.train.devices import configure_devices, summary_devices
from dfl_tf.train.feeds import Facesets, open_feed
from dfl_tf.train.keeper import ModelPlace
from dfl_tf.train.logging import (
    ConsoleLog,
    JsonLinesLog,
    Logger,
    Loggers,
    TensorBoardLog,
)
from dfl_tf.train.trainer import Trainer

Ask = Callable[[type, Sequence[Layer]], tuple[Layer, bool]]


@dataclass(frozen=True)
class TrainRequest:
    """What a user asked for.

    Attributes
    ----------
    model_class : str
    workspace : Workspace
    name : str or None
        None: the model that was saved last, or a new one called ``new``.
    layers : tuple of Layer
        ``--config``, environment, flags: lowest precedence first.
    run : RunOptions
    use_last_defaults, allow_unknown, strict : bool
        As the flags of these names.
    ask : callable or None
        The interactive dialogue: class of options and layers in, layer of answers and XSeg's
        "restart" out. None: headless.
    """

    model_class: str
    workspace: Workspace
    name: str | None = None
    layers: tuple[Layer, ...] = ()
    run: RunOptions = field(default_factory=RunOptions)
    use_last_defaults: bool = False
    allow_unknown: bool = False
    strict: bool = False
    ask: Ask | None = None


@dataclass(frozen=True)
class Prepared:
    """Everything that is known before a network is built."""

    request: TrainRequest
    place: ModelPlace
    state: ModelState | None
    resolved: Resolved[Any]

    @property
    def new(self) -> bool:
        """Whether the model begins at its first iteration with fresh weights."""
        return self.state is None

    def notes(self) -> list[str]:
        """What a user should be told about the options."""
        return [*self.resolved.adjustments, *self.resolved.warnings]


def choose_name(folder: Path, model_class: str, name: str | None) -> tuple[str, bool]:
    """The name of the model to train, and whether it exists already.

    A given name is used as it is; without one it is the model that was saved last, or ``new``.
    """
    found = [entry.name for entry in find_models(folder, model_class)] if folder.is_dir() else []
    if model_class == "XSeg":
        return "XSeg", bool(found)
    if name is None:
        return (found[0], True) if found else ("new", False)
    return name, name in found


def prepare(request: TrainRequest) -> Prepared:
    """Find or name the model and settle its options. Writes nothing.

    Raises
    ------
    UsageError, OptionError, ModelFileError
    """
    model_class, folder = request.model_class, request.workspace.model
    if model_class not in OPTIONS:
        known = ", ".join(OPTIONS)
        raise UsageError(f"there is no model class {model_class!r}; known are {known}")
    name, exists = choose_name(folder, model_class, request.name)
    state = read_model(folder, name, model_class) if exists else None
    layers: list[Layer] = []
    if state is None and request.use_last_defaults:
        stored = read_default_options(folder, model_class)
        origin = f"{model_class}_default_options.dat"
        if stored is not None:
            layers.append(Layer(stored, origin, kind="defaults"))
    if state is not None:
        layers.append(stored_layer(state, prefix_of(name, model_class)))
    layers += request.layers
    cls, new = OPTIONS[model_class], None
    if request.ask is not None:
        answers, restart = request.ask(cls, layers)
        layers.append(answers)
        new = restart or None
    resolved = resolve(
        cls,
        layers,
        machine=Machine(),
        strict=request.strict,
        allow_unknown=request.allow_unknown,
        new=new,
    )
    notes = [note for layer in layers for note in layer.notes]
    resolved = replace(resolved, warnings=(*notes, *resolved.warnings))
    if new:
        state = None
    wanted = request.run.model_format
    place = ModelPlace(
        folder=folder,
        name=name,
        model_class=model_class,
        format=("legacy" if wanted == "auto" else wanted) if state is None else "same",
        options=resolved.legacy(),
        first=state is None,
    )
    return Prepared(request, place, state, resolved)


def stored_layer(state: ModelState, origin: str) -> Layer:
    """The options saved with a model, with what its tensors say where the options are silent."""
    slots = state.tensors.get("src_dst_opt", {})
    rmsprop = None if len(slots) < 2 else any(key.startswith("acc_") for key in slots)
    inferred: dict[str, object] = {}
    if state.model_class == "SAEHD":
        inferred = infer.saehd(state.tensors, str(state.options.get("archi", "")))
    elif state.model_class == "AMP":
        inferred = infer.amp(state.tensors)
    return legacy_layer(
        OPTIONS[state.model_class],
        state.options,
        origin=f"the saved model {origin}",
        rmsprop_slots=rmsprop,
        inferred=inferred,
    )


def build_model(prepared: Prepared) -> tuple[Any, list[str]]:
    """Build the model and load its state.

    Returns
    -------
    (FaceModel, list of str)
        The messages say what was initialized instead of loaded.
    """
    # TensorFlow sees the chosen GPU only, so the model need not choose again.
    run = replace(prepared.request.run, devices="")
    state = prepared.state
    model = models.create(
        prepared.place.model_class,
        prepared.resolved.options,
        run,
        name=prepared.place.name,
        initialized=state is None,
    )
    return model, [] if state is None else model.load_state(state)


def make_log(run: RunOptions) -> Logger:
    """The loggers that the run options ask for."""
    loggers: list[Logger] = [ConsoleLog(run.log_every)]
    if run.log_json:
        loggers.append(JsonLinesLog(run.log_json, run.log_every))
    if run.tensorboard:
        loggers.append(TensorBoardLog(run.tensorboard))
    return Loggers(loggers)


def start(prepared: Prepared, log: Logger) -> Trainer:
    """Open the faces, build the model, open the streams: everything up to the first iteration.

    The caller holds the model's lock.
    """
    request = prepared.request
    for note in prepared.notes():
        log.say(note)
    pretrain = bool(getattr(prepared.resolved.options, "pretrain", False))
    facesets = Facesets.open(request.workspace, pretrain=pretrain)
    for line in facesets.lines():
        log.say(line)
    configure_devices(request.run)
    model, messages = build_model(prepared)
    for message in messages:
        log.say(message)
    stored = {} if prepared.state is None else dict(prepared.state.run)
    feed = open_feed(model, facesets, request.run, stored)
    devices = summary_devices(request.run)
    return Trainer(model, feed, prepared.place, run=request.run, log=log, devices=devices)
