"""Going back to the last good save when a training collapses, with a remedy and other samples.

References
----------
docs/recipes.md, "When a model collapses".
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

from dfl_tf.errors import DflTfError, TrainingDiverged
from dfl_tf.formats import ModelState, find_models, read_model
from dfl_tf.formats.models import run_record
from dfl_tf.options import Layer, Options, RunOptions, specs
from dfl_tf.train import events, quarantine
from dfl_tf.train.checkpoint import CheckpointLocation
from dfl_tf.train.guard import without_advice
from dfl_tf.train.quarantine import LeftOutFace, listed, tree_of
from dfl_tf.train.run import Run
from dfl_tf.train.segment import Rebuild
from dfl_tf.train.snapshots import QUIET, past_of

STORED_AS: Final = "rollback"
"""Key of the state of roll-backs in `ModelState.run`."""
Setting = bool | float | str
"""What a remedy sets an option to; for ``powers`` and ``lr`` the factor."""
RETRY = "retry"
"""Key of the number of roll-backs, which enters the seed of the samples (`open_batch_source`)."""
TRIES = 6
"""Roll-backs in a row after which a run ends with exit code 3."""
_LOWEST_RATE = 1e-6
POWERS = ("gan_power", "true_face_power", "face_style_power", "bg_style_power")
_TEXTS = {
    "clipgrad": "gradients are clipped (clipgrad)",
    "powers": "GAN, true face and style powers are halved",
    "lr": "the learning rate is halved",
    "lr_dropout": "learning-rate dropout is on",
}
"""Remedies in their order, for people."""


@dataclass(frozen=True)
class RollBackState:
    """What roll-backs have done to a model; stored with it.

    Attributes
    ----------
    retry : int
        Number of roll-backs of the model; it enters the seed of the samples.
    tries : int
        Roll-backs without a quiet stretch between them.
    until : int
        Iteration of the last collapse.
    remedies : mapping
        What was changed against collapses: options by key, ``powers`` and ``lr`` as factors.
    since : mapping of str to int
        For each remedy the iteration of its collapse.
    undone : tuple of (int, int)
        For each roll-back the iteration it went back to and the one it came from.
    """

    retry: int = 0
    tries: int = 0
    until: int = 0
    remedies: Mapping[str, Setting] = field(default_factory=dict)
    since: Mapping[str, int] = field(default_factory=dict)
    undone: tuple[tuple[int, int], ...] = ()

    @classmethod
    def read(cls, stored: Mapping[str, object]) -> RollBackState:
        """Of `ModelState.run`.

        Raises
        ------
        ModelFileError
        """
        tree = run_record.stored(stored, STORED_AS)
        if tree is None:
            return cls()
        return cls(
            tree["retry"],
            tree["tries"],
            tree["until"],
            dict(tree.get("remedies", {})),
            dict(tree.get("since", {})),
            tuple((start, end) for start, end in tree.get("undone", ())),
        )

    def tree(self) -> dict[str, object]:
        """As JSON values."""
        return {
            "retry": self.retry,
            "tries": self.tries,
            "until": self.until,
            "remedies": dict(self.remedies),
            "since": dict(self.since),
            "undone": [list(each) for each in self.undone],
        }


@dataclass(frozen=True)
class Remedy:
    """One change of options against a collapse.

    Attributes
    ----------
    text : str
        For people.
    key : str
        In `RollBackState.remedies`.
    value : object
        An option's value, or a factor.
    """

    text: str
    key: str
    value: Setting


def next_remedy(options: Options, remedies: Mapping[str, Setting]) -> Remedy | None:
    """The first remedy that is not in force; None if all are.

    Parameters
    ----------
    options : Options
        Of the model, as they are now.
    remedies : mapping
        Those in force.
    """
    known = specs(type(options))
    now = {key: getattr(options, key) for key in known}
    if now.get("clipgrad") is False:
        return Remedy(_TEXTS["clipgrad"], "clipgrad", True)
    if "powers" not in remedies and any(now.get(key) for key in POWERS):
        return Remedy(_TEXTS["powers"], "powers", 0.5)
    if "lr" in known and "lr" not in remedies:
        return Remedy(_TEXTS["lr"], "lr", 0.5)
    if now.get("lr_dropout") == "n":
        return Remedy(_TEXTS["lr_dropout"], "lr_dropout", "y")
    return None


def softened(values: Mapping[str, object], remedies: Mapping[str, Setting]) -> dict[str, object]:
    """Options by key, with remedies applied to those that are there.

    Parameters
    ----------
    values : mapping
        Options by key.
    remedies : mapping
        `RollBackState.remedies`.
    """
    soft = dict(values)
    for key in soft.keys() & remedies.keys() - {"lr"}:
        soft[key] = remedies[key]
    for key in POWERS:
        if key in soft and "powers" in remedies:
            soft[key] = _number(soft[key]) * _number(remedies["powers"])
    if "lr" in soft and "lr" in remedies:
        soft["lr"] = max(_number(soft["lr"]) * _number(remedies["lr"]), _LOWEST_RATE)
    return soft


def _number(value: object) -> float:
    """A number, or one that is written as text, as files and flags give it."""
    return float(value) if isinstance(value, int | float | str) else 0.0


def lifted(
    stored: Mapping[str, object], given: Collection[str]
) -> tuple[dict[str, object], list[str]]:
    """Take back remedies against which the user sets an option now.

    Parameters
    ----------
    stored : mapping
        `ModelState.run`.
    given : collection of str
        Keys of options that are given now.

    Returns
    -------
    (dict, list of str)
        The same without them; notes on those in force and those lifted.
    """
    state = RollBackState.read(stored)
    if not state.remedies:
        return dict(stored), []
    gone = {key for key in state.remedies if key in given}
    if "powers" in state.remedies and not set(POWERS).isdisjoint(given):
        gone.add("powers")
    left = {key: value for key, value in state.remedies.items() if key not in gone}
    told = [
        f"remedy dropped, since the option is set explicitly now: {key}" for key in sorted(gone)
    ]
    now = {**stored, STORED_AS: replace(state, remedies=left).tree()}
    return now, [*told, *remedy_lines(now)]


def remedy_lines(stored: Mapping[str, object]) -> list[str]:
    """The remedies that are in force, each with its reason and how to lift it, for people.

    Parameters
    ----------
    stored : mapping
        `ModelState.run`.
    """
    return [f"{reason}; --set {key}=… lifts that" for key, (_, reason) in in_force(stored).items()]


def in_force(stored: Mapping[str, object]) -> dict[str, tuple[Setting, str]]:
    """The remedies that hold over all phases, each by an option that lifts it.

    Parameters
    ----------
    stored : mapping
        `ModelState.run`.

    Returns
    -------
    dict
        Option → what it is set to (of `POWERS` and ``lr``: its factor) and why.
    """
    state = RollBackState.read(stored)
    return {
        POWERS[0] if key == "powers" else key: (
            value,
            f"{_TEXTS.get(key, key)} after the collapse at iteration "
            f"{state.since.get(key, state.until)}",
        )
        for key, value in state.remedies.items()
    }


Rewind = Callable[[Mapping[str, object], int], Layer | None]
"""Lets a source of requests go back: gets `ModelState.run` and the iteration of the good state,
returns the options that its phase sets."""


def roll_back(
    run: Run,
    place: CheckpointLocation,
    rebuild: Rebuild,
    error: TrainingDiverged,
    rewinds: Sequence[Rewind] = (),
) -> None:
    """Load a good state in this process, and go on from it with a remedy and other samples.

    Weights, slots, loss history, counters and the place in a recipe go back together. The first
    collapse goes back to the last save; another one before `QUIET` iterations are over goes back
    to an older one of the regular snapshots that the model came through.

    Parameters
    ----------
    run : Run
    place : CheckpointLocation
    rebuild : callable
    error : TrainingDiverged
        The collapse.
    rewinds : sequence of callable
        Of the sources of requests; see `Rewind`.

    Raises
    ------
    TrainingDiverged
        There is nothing to go back to, no remedy is left or there were too many tries.
    """
    came_from, settings = run.model.iteration, run.settings.begun()
    way = _way_back(run, place, settings.options, error)
    state = way.state
    iteration, kept = (0, {}) if state is None else (state.iteration, dict(state.run))
    now = way.noted(iteration, came_from)
    kept |= {STORED_AS: now.tree(), RETRY: now.retry}
    kept |= {quarantine.STORED_AS: tree_of(way.faces)} if way.faces else {}
    for rewind in rewinds:
        layer = rewind(kept, iteration)
        if layer is not None:
            of_run = {k: value for k, value in layer.values.items() if k in specs(RunOptions)}
            settings = settings.changed(replace(layer, values=of_run))
    if state is not None:
        known = RollBackState.read(state.run).remedies
        missing = {key: value for key, value in now.remedies.items() if key not in known}
        stored = _options_of(state, type(settings.options))
        origin = f"the save of iteration {iteration}"
        settings = settings.changed(Layer(softened(stored, missing), origin, kind="trusted"))
        state = replace(state, run=kept)
    reason = without_advice(error)
    run.log.say(f"collapse: {reason}")
    _release(run, kept)
    if state is not None:
        run.checkpoint.give_up_others(state.tensors.keys())
    segment = rebuild(settings, state)
    if state is None:  # a new model: what is stored was not there to be read
        segment.leave_out(way.faces, {**kept, **segment.batch_source.run_state()})
    run.begin(segment)
    run.restore(kept)
    count = f", try {now.tries} of {TRIES}" if way.remedy.key else ""
    run.log.say(
        f"rolled back from iteration {came_from} to {iteration}{count}: "
        f"{way.remedy.text}; other samples are drawn"
    )
    for message in run.segment.messages:
        run.log.say(message)
    event = events.RolledBack(iteration, came_from, reason, way.remedy.text, now.retry)
    run.log.emit(event)
    if state is not None:
        run.save()


@dataclass(frozen=True)
class _WayBack:
    """How a collapse is answered.

    Attributes
    ----------
    before : RollBackState
        What roll-backs have done up to now.
    tries : int
        Roll-backs in a row, with this one.
    state : ModelState or None
        The good state; None: a new model, of which nothing is saved yet.
    remedy : Remedy
        Without a key if faces are left out in place of a change of options.
    faces : list of LeftOutFace
        All that are left out from now on.
    """

    before: RollBackState
    tries: int
    state: ModelState | None
    remedy: Remedy
    faces: list[LeftOutFace]

    def noted(self, iteration: int, came_from: int) -> RollBackState:
        """What is stored from now on."""
        before, own = self.before, {}
        if self.remedy.key:
            own = {self.remedy.key: self.remedy.value}
        return RollBackState(
            before.retry + 1,
            self.tries,
            came_from,
            {**before.remedies, **own},
            {**before.since, **dict.fromkeys(own, came_from)},
            (*before.undone, (iteration, came_from)),
        )


def _way_back(
    run: Run, place: CheckpointLocation, options: Options, error: TrainingDiverged
) -> _WayBack:
    """The state to go back to, and what changes; the collapse ends the run if there is none."""
    before = RollBackState.read(run.stored)
    again = bool(before.retry) and run.model.iteration - before.until < QUIET
    faces, guilty = run.faces.left_out_after_collapse(run)
    run.save_is_whole()
    state = _good_state(run, place, older=again and not guilty)
    earlier = before.tries if again else 0
    if guilty:  # each time faces are left out, of which there are only so many: that is no try
        left_out = Remedy(f"left out of training: {listed(guilty)}", "", True)
        return _WayBack(before, earlier, state, left_out, faces)
    remedy = next_remedy(options, before.remedies)
    if earlier >= TRIES:
        raise TrainingDiverged(f"{error} {TRIES} roll-backs in a row have not helped.") from error
    if remedy is None:
        raise TrainingDiverged(f"{error} All remedies are already in use.") from error
    if state is None:
        raise TrainingDiverged(f"{error} Nothing is saved yet to go back to.") from error
    return _WayBack(before, earlier + 1, state, remedy, faces)


def _release(run: Run, kept: Mapping[str, object]) -> None:
    """Free what collapsed, and its snapshots, before anything is built."""
    run.segment.release()
    gc.collect()
    past, came_through = (dict(past_of(each)) for each in (run.stored, kept))
    run.unsaved = False  # nothing of what collapsed is ever saved
    run.stored = {}
    run.faces.forget()
    run.checkpoint.snapshots.drop([name for name in past if name not in came_through])


def _options_of(state: ModelState, cls: type[Options]) -> dict[str, object]:
    """All options of a stored model; those of ours are stored only where they are not default."""
    table = specs(cls)
    defaults = {key: spec.default for key, spec in table.items() if key not in cls.STORED}
    return defaults | {key: value for key, value in state.options.items() if key in table}


def _good_state(run: Run, place: CheckpointLocation, *, older: bool) -> ModelState | None:
    """The last save; or the newest snapshot that the model came through and that is older."""
    last = _read(place.folder, place.name, place.model_class)
    if last is not None and not older:
        return last
    folder = run.snapshot_folder
    for name, iteration in reversed(past_of(run.stored if last is None else last.run)):
        if last is not None and iteration == last.iteration:
            continue
        found = _read(folder / name, place.name, place.model_class)
        if found is not None and not (found.disk is not None and found.disk.changes):
            return found
    return last


def _read(folder: Path, name: str, model_class: str) -> ModelState | None:
    """A model with its weights; None if it cannot be read."""
    inside = [each.name for each in find_models(folder, model_class)]
    if not inside:
        return None
    try:
        state = read_model(folder, name if name in inside else inside[0], model_class)
    except DflTfError:
        return None
    return state if state.tensors else None
