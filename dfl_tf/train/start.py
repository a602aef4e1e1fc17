"""From a request to a running trainer: model choice, options, faces, model, feed.

References
----------
workspace.md 3.1, 5, 9; options.md 1, 4, 6; design decisions 1, 2, 35.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, Protocol, cast

from dfl_tf import models
from dfl_tf.errors import ModelFileError, UsageError
from dfl_tf.formats import ModelState, find_models, read_model
from dfl_tf.formats.model_files import prefix_of
from dfl_tf.formats.model_legacy import read_default_options, read_part
from dfl_tf.formats.workspace import Workspace
from dfl_tf.models import infer
from dfl_tf.options import OPTIONS, Layer, Machine, Resolved, RunOptions, legacy_layer, resolve
from dfl_tf.train.devices import configure_devices, summary_devices
from dfl_tf.train.feeds import Facesets, open_feed
from dfl_tf.train.keeper import ModelPlace
from dfl_tf.train.logging import ConsoleLog, JsonLinesLog, Logger, Loggers, TensorBoardLog
from dfl_tf.train.trainer import Trainer


class Settle(Protocol):
    """Settles the options of a model and of the run, from what is stored and what is given now."""

    def __call__(
        self, cls: type, *, stored: Layer | None, defaults: Mapping[str, Any] | None
    ) -> tuple[Resolved[Any], RunOptions]:
        """Resolve options of `cls`; `defaults` are those of the last new model of the class."""


def settled_by(layers: Sequence[Layer] = (), run: RunOptions | None = None) -> Settle:
    """A `Settle` for programs: layers of values, lowest precedence first, and the run's options."""

    def settle(
        cls: type, *, stored: Layer | None, defaults: Mapping[str, Any] | None
    ) -> tuple[Resolved[Any], RunOptions]:
        below = [stored] if stored else []
        return resolve(cls, [*below, *layers], machine=Machine()), run or RunOptions()

    return settle


@dataclass(frozen=True)
class Prepared:
    """Everything that is known before a network is built.

    Attributes
    ----------
    workspace : Workspace
    place : ModelPlace
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
    place: ModelPlace
    state: ModelState | None
    resolved: Resolved[Any]
    run: RunOptions
    notes: tuple[str, ...] = ()
    stamp: float = 0.0
    pretrained: Path | None = None

    @property
    def pretrain(self) -> bool:
        """Whether the faces come from the pretraining folder."""
        return bool(getattr(self.resolved.options, "pretrain", False))


def choose_name(folder: Path, model_class: str, name: str | None) -> tuple[str, bool]:
    """The name of the model to train, and whether it exists already.

    A given name is used as it is; without one it is the model that was saved last, or ``new``.
    """
    found = [entry.name for entry in find_models(folder, model_class)]
    if model_class == "XSeg":
        return "XSeg", bool(found)
    if name is None:
        return (found[0], True) if found else ("new", False)
    prefix_of(name, model_class)  # refuses what can be no file name
    return name, name in found


def _stamp(folder: Path, name: str, model_class: str) -> float:
    found = [entry for entry in find_models(folder, model_class) if entry.name == name]
    return max((entry.modified for entry in found), default=0.0)


def prepare(workspace: Workspace, model_class: str, name: str | None, settle: Settle) -> Prepared:
    """Find or name the model and settle its options. Writes nothing.

    Raises
    ------
    UsageError, OptionError, ModelFileError
    """
    if model_class not in OPTIONS:
        known = ", ".join(OPTIONS)
        raise UsageError(f"there is no model class {model_class!r}; known are {known}")
    folder = workspace.model
    name, exists = choose_name(folder, model_class, name)
    stamp = _stamp(folder, name, model_class)
    state = read_model(folder, name, model_class) if exists else None
    if state is not None and state.iteration == 0 and not state.tensors:
        state = None
    stored = None if state is None else stored_layer(state, prefix_of(name, model_class))
    defaults = read_default_options(folder, model_class) or None if state is None else None
    resolved, run = settle(OPTIONS[model_class], stored=stored, defaults=defaults)
    if resolved.new:
        state = None
    wanted = "legacy" if run.model_format == "auto" else run.model_format
    place = ModelPlace(
        folder=folder,
        name=name,
        model_class=model_class,
        format=cast(Literal["legacy", "native"], wanted) if state is None else "same",
        options=resolved.legacy(),
        first=state is None,
    )
    converted = stored.notes if stored is not None else ()
    notes = (*converted, *resolved.adjustments, *resolved.warnings)
    return Prepared(workspace, place, state, resolved, run, notes, stamp)


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
    configure_devices(prepared.run)
    # TensorFlow sees the chosen GPU only, so the model need not choose again.
    run = replace(prepared.run, devices="")
    state = prepared.state
    model = models.create(
        prepared.place.model_class,
        prepared.resolved.options,
        run,
        name=prepared.place.name,
        initialized=state is None,
    )
    if state is not None:
        return model, model.load_state(state)
    return model, _take_pretrained(model, prepared.pretrained)


def _take_pretrained(model: Any, folder: Path | None) -> list[str]:
    """Let a new Quick96 start from weights of the release (workspace.md 3)."""
    if folder is None:
        return []
    if model.model_class != "Quick96":
        return [f"--pretrained-weights is for Quick96, a new {model.model_class} starts fresh"]
    files = {part: folder / f"{part}.npy" for part in model.networks}
    tensors = {part: read_part(file) for part, file in files.items() if file.is_file()}
    if not tensors:
        raise UsageError(
            f"--pretrained-weights {folder}: no encoder.npy or other part of it is there"
        )
    state = ModelState(
        model_class=model.model_class, iteration=0, options={}, loss_history=[], tensors=tensors
    )
    taken = [f"{part} starts with the weights of {files[part]}" for part in tensors]
    return taken + model.load_state(state, reinit=[p for p in files if p not in tensors])


def make_log(run: RunOptions) -> Logger:
    """The loggers that the run options ask for."""
    loggers: list[Logger] = [ConsoleLog(run.log_every)]
    if run.log_json:
        loggers.append(JsonLinesLog(run.log_json, run.log_every))
    if run.tensorboard:
        loggers.append(TensorBoardLog(run.tensorboard))
    return Loggers(loggers)


def start(prepared: Prepared, facesets: Facesets, log: Logger) -> Trainer:
    """Build the model and open the streams: everything up to the first iteration.

    The caller holds the model's lock.

    Raises
    ------
    ModelFileError
        If another program saved the model since it was read.
    """
    place = prepared.place
    if _stamp(place.folder, place.name, place.model_class) != prepared.stamp:
        raise ModelFileError(
            f"{place.storage} in {place.folder} was saved by another program just now; start again"
        )
    for note in prepared.notes:
        log.say(note)
    for line in facesets.lines():
        log.say(line)
    model, messages = build_model(prepared)
    for message in messages:
        log.say(message)
    stored = {} if prepared.state is None else prepared.state.run
    feed = open_feed(model, facesets, prepared.run, stored)
    devices = summary_devices(prepared.run)
    trainer = Trainer(model, feed, place, run=prepared.run, log=log, devices=devices)
    log.say(trainer.keeper.summary())
    log.record(
        "start",
        model=place.storage,
        model_class=place.model_class,
        folder=str(place.folder),
        iteration=model.iteration,
        seed=model.seed,
        options=dict(place.options),
    )
    return trainer
