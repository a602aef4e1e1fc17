"""Carrying out a recipe: which phase a model is in, when it ends, and what comes then.

The recipe is a source of requests: it asks the trainer for other options, as a file does, and for
nothing else. Where it stands is stored with the model, and what ends a phase is a function of the
stored losses, so that a run that was killed decides as one that was not (phases that end by hours
are exempt).
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from dfl_tf.errors import OptionError, WorkspaceError
from dfl_tf.formats import ModelState
from dfl_tf.formats.sessions.workspace import Workspace
from dfl_tf.models import rates
from dfl_tf.options import Layer, RunOptions, resolve, specs
from dfl_tf.options.inputs import OptionInputs
from dfl_tf.options.recipe import Phase, Recipe
from dfl_tf.options.recipe_check import (
    CheckedPhase,
    check_recipe,
    phase_lines,
    split,
    with_schedule_end,
)
from dfl_tf.options.recipe_file import find_recipe, read_recipe
from dfl_tf.options.schema import Machine
from dfl_tf.train.plateau import is_looked_at
from dfl_tf.train.recipe_state import (
    STORED_AS,
    DonePhase,
    RecipeState,
    Situation,
    Standing,
    begin_phase,
    ended,
    next_phase,
    stand,
)
from dfl_tf.train.requests import Request
from dfl_tf.train.rollback import RollBackState, softened
from dfl_tf.train.run import Run
from dfl_tf.train.snapshots import ended_phase
from dfl_tf.train.time_left import TimeLeft, phase_left, recipe_left
from dfl_tf.train.validation import METRICS


@dataclass(frozen=True)
class ChosenRecipe:
    """A recipe that a run was started with, and where its model stands in it.

    Attributes
    ----------
    recipe : Recipe
    standing : Standing
    overridden : tuple of str
        Options that the user has given otherwise.
    checked : tuple of CheckedPhase
        From the present phase on.
    """

    recipe: Recipe
    standing: Standing
    overridden: tuple[str, ...]
    checked: tuple[CheckedPhase, ...]

    def begun(self, state: ModelState | None) -> ModelState | None:
        """A state with the beginning of its phase as that of its learning rate, if it has none.

        A recipe may have been edited, so that the model begins a phase as it is loaded.
        """
        if state is None:
            return None
        now, before = self.standing.state, state.run.get(STORED_AS)
        known = isinstance(before, dict) and before.get("phase") == now.phase
        if known and rates.START in state.run:
            return state
        return replace(state, run={**state.run, rates.START: now.start})

    def lines(self, iteration: int = 0, each: float | None = None) -> list[str]:
        """The phases for people, those that are finished first, and the time left.

        Parameters
        ----------
        iteration : int
            Of the model.
        each : float, optional
            Seconds of its last iterations.
        """
        done = [
            f"{each.name}: iterations {each.start} to {each.end}, finished"
            for each in self.standing.state.done
        ]
        state, first = self.standing.state, self.standing.index
        if state.finished:
            return [*done, f"recipe {self.recipe.name} is finished"]
        phases = phase_lines(self.checked, state.phase, first=first)
        time = time_line(self.recipe, self.standing, iteration, each)
        return [*done, *phases, *([time] if time else [])]


def time_line(recipe: Recipe, standing: Standing, iteration: int, each: float | None) -> str:
    """How long a recipe still takes, by the last iterations of its model; empty if unknown."""
    if not each or standing.state.finished:
        return ""
    state = standing.state
    present, whole = recipe_left(
        recipe,
        standing.index,
        count=iteration - state.start,
        iteration=iteration,
        seconds=state.seconds,
        each=each,
    )
    told = [left.text() for left in (present, whole) if left.text()]
    ends = f", {whole.text()} in all" if len(told) == 2 else ""
    first = present.text() or f"{present.of} ends when it is good enough"
    return f"time at {each * 1000:.0f} ms an iteration: {first}{ends}"


def missing_faces(
    recipe: Recipe,
    workspace: Workspace,
    *,
    first: int = 0,
    stored: Mapping[str, object] | None = None,
    given: Mapping[str, object] | None = None,
) -> list[str]:
    """Which faces are missing that the phases of a recipe are trained on.

    Parameters
    ----------
    recipe : Recipe
    workspace : Workspace
    first : int
        Number of the phase from which the model goes on.
    stored : mapping, optional
        Options of the model that goes on.
    given : mapping, optional
        Options that win over the recipe.
    """
    errors = []
    for index in range(first, len(recipe.phases)):
        values = {**(stored or {}), **recipe.layer(index).values, **(given or {})}
        pretrain = str(values.get("pretrain", False)).lower() in ("true", "y", "yes", "1")
        faces = workspace.with_faces_of(str(values.get("data") or ""), pretrain=pretrain)
        name = recipe.phases[index].name
        if pretrain and faces.pretrain is None:
            errors.append(f"phase {name}: there are no pretraining faces; give --pretrain-dir")
        try:
            faces.check(("pretrain",) if pretrain else ("src", "dst"))
        except WorkspaceError as error:
            errors.append(f"phase {name}: {error}")
    return errors


def choose_recipe(
    name: str,
    inputs: OptionInputs,
    model_class: str,
    *,
    workspace: Workspace | None = None,
    state: ModelState | None = None,
    stored: Layer | None = None,
    machine: Machine | None = None,
) -> tuple[ChosenRecipe, OptionInputs]:
    """Read a recipe, check all of it, and put what its present phase sets below what is given.

    Parameters
    ----------
    name : str
        A file, or a recipe that is built in.
    inputs : OptionInputs
        What is given now; it wins over the recipe.
    model_class : str
    workspace : Workspace, optional
        Whose faces are looked for, in all phases.
    state : ModelState, optional
        Of a model that goes on.
    stored : Layer, optional
        Its options.
    machine : Machine, optional

    Raises
    ------
    UsageError, OptionError
    ModelFileError
        If the stored state of the recipe cannot be understood.
    """
    recipe = read_recipe(find_recipe(name))
    run, iteration = ({}, 0) if state is None else (state.run, state.iteration)
    standing = stand(recipe, run, iteration)
    every = recipe.keys() | {"lr_end"}  # which a phase has of its own
    known, usual = inputs.resolved_run, RunOptions()
    of_run = every & specs(RunOptions).keys() if known is not None else set()
    changed = {key for key in of_run if getattr(known, key) != getattr(usual, key)}
    overridden = tuple(sorted(every & inputs.keys | changed))
    missing: list[str] = []
    if workspace is not None and not standing.state.finished:
        model = {} if stored is None else stored.values
        now = {key: value for layer in inputs.layers for key, value in layer.values.items()}
        now |= {"data": inputs.run.data} if inputs.run.data else {}
        missing = missing_faces(recipe, workspace, first=standing.index, stored=model, given=now)
    phases = check_recipe(
        recipe,
        model_class,
        stored=stored,
        machine=machine,
        first=standing.index,
        errors_besides=missing,
    )
    layer = with_schedule_end(recipe, standing.index, standing.state.start)
    below = layer.only([key for key in layer.values if key not in overridden])
    remedies = RollBackState.read(run).remedies
    below = replace(below, values=softened(below.values, remedies))
    if known is not None:  # a program's: the phase sets what that has left as it is usually
        _, own = split(below)
        parsed = resolve(RunOptions, [own]).options
        known = replace(known, **{key: getattr(parsed, key) for key in own.values})
    given = replace(inputs, files=(below, *inputs.files), resolved_run=known)
    return ChosenRecipe(recipe, standing, overridden, tuple(phases)), given


class RecipeSource:
    """Asks the trainer for the options of the next phase when the present one has ended.

    Parameters
    ----------
    chosen : ChosenRecipe
        Options that the user has given otherwise are left alone.
    """

    def __init__(self, chosen: ChosenRecipe) -> None:
        self.recipe, standing = chosen.recipe, chosen.standing
        self.state, self._index, self._told = standing.state, standing.index, standing.told
        self._overridden = frozenset(chosen.overridden)
        self._run: Run | None = None
        self._since = time.monotonic()
        self._why = ""
        self._decided = -1

    @property
    def phase(self) -> Phase:
        """The present phase."""
        return self.recipe.phases[self._index]

    def follow(self, run: Run) -> None:
        """Take the place in a run whose model is there: its losses decide, its saves store."""
        self._run, run.phase_left = run, self.left
        self._note()

    def left(self, each: float) -> TimeLeft | None:
        """How long the present phase still takes, from the seconds of an iteration."""
        if self._run is None or self.phase.until.endless:
            return None
        now = int(self._run.model.iteration)
        how = {"count": now - self.state.start, "iteration": now}
        until, seconds = self.phase.until, self._seconds()
        least, most = phase_left(until, seconds=seconds, each=each, **how)
        return TimeLeft(least, most, self.phase.name)

    def begin(self) -> list[str]:
        """Say where the model stands."""
        count, total = self._index + 1, len(self.recipe.phases)
        told = [f"recipe {self.recipe.name}: {line}" for line in self._told]
        if self._overridden:
            listed = ", ".join(sorted(self._overridden))
            told.append(f"recipe {self.recipe.name}: set explicitly, so left alone: {listed}")
        ends = self.phase.until.text()
        told.append(
            f"recipe {self.recipe.name}: phase {count} of {total}, {self.phase.name}, since "
            f"iteration {self.state.start}; {'ends ' + ends if ends else 'it has no end'}"
        )
        self._since = time.monotonic()
        return told

    def pending(self) -> list[Request]:
        """The next phase, or the end, once the present phase has ended."""
        run = self._run
        if run is None:
            return []
        if not self._why and run.model.iteration != self._decided:
            self._decided = run.model.iteration
            self._why = ended(self.phase, self.state.start, self._situation(run))
        self._note()
        if not self._why:
            return []
        following = self._next()
        name = f"recipe {self.recipe.name}"
        kept = None
        if run.model.iteration > self.state.start:
            phase, why = self.phase.name, self._why
            kept = ended_phase(self.recipe.name, phase, run.model.iteration, why)
        if following is None:
            return [Request("stop", name, reason=f"{name} is finished", snapshot=kept)]
        index, state = following
        values = self._layer(index, state.start)
        stored = {STORED_AS: state.tree(), METRICS: {}, rates.START: state.start}
        return [Request("options", name, values, stored=stored, snapshot=kept)]

    def due(self, iteration: int) -> bool:
        """Whether the phase may end with an iteration.

        What a metric decides is known where the quality is measured, for which a step is finished
        anyway.
        """
        until, done = self.phase.until, iteration - self.state.start
        ends = (until.at_iteration, until.iterations and self.state.start + until.iterations)
        return (
            bool(self._why)
            or (until.plateau is not None and is_looked_at(done, until.plateau))
            or (until.hours is not None and self._seconds() >= until.hours * 3600)
            or any(end is not None and iteration >= end for end in ends)
        )

    def answer(self, request: Request, error: str = "") -> None:
        """Go on to the next phase once the trainer has its options."""
        run = self._run
        if run is None or not self._why:
            return
        if request.kind == "stop":
            return
        if error:  # the trainer says so; a phase that cannot begin is no reason to train wrongly on
            raise OptionError(
                f"recipe {self.recipe.name}: phase {self.phase.name} has ended ({self._why}), but "
                f"the next one cannot begin: {error}"
            )
        following = self._next()
        if following is None:
            return
        before, why = self.phase.name, self._why
        self._index, state = following
        self.state = replace(state, start=run.model.iteration)
        self._why, self._decided, self._since = "", run.model.iteration, time.monotonic()
        self._note()
        count, total = self._index + 1, len(self.recipe.phases)
        run.log.say(
            f"recipe {self.recipe.name}: phase {count} of {total}, {self.phase.name}, begins at "
            f"iteration {run.model.iteration} ({before} ended: {why})"
        )

    def rewind(self, stored: Mapping[str, object], iteration: int) -> Layer | None:
        """Go back to the phase of an earlier state; see `RequestSource.rewind`."""
        standing = stand(self.recipe, stored, iteration)
        self.state, self._index = standing.state, standing.index
        self._why, self._decided, self._since = "", -1, time.monotonic()
        return self._layer(self._index, self.state.start)

    def _situation(self, run: Run) -> Situation:
        metrics: Any = run.stored.get(METRICS, {})
        return Situation(run.model.iteration, run.trace.array, self._seconds(), metrics)

    def _seconds(self) -> float:
        return self.state.seconds + time.monotonic() - self._since

    def _next(self) -> tuple[int, RecipeState] | None:
        """Number and state of the phase that follows; None at the end."""
        assert self._run is not None
        done = self._done()
        following = next_phase(self.recipe, self._index, {each.name: each for each in done})
        if following is None:
            return None
        start = self._run.model.iteration
        return following, begin_phase(
            self.recipe, following, replace(self.state, done=done), self._start_of(following, start)
        )

    def _start_of(self, index: int, iteration: int) -> int:
        """Where the count of iterations begins: at 0 if pretraining ends here."""
        pretrained = bool(self.recipe.layer(self._index).values.get("pretrain"))
        goes_on = bool(self.recipe.layer(index).values.get("pretrain"))
        return 0 if pretrained and not goes_on else iteration

    def _done(self) -> tuple[DonePhase, ...]:
        assert self._run is not None
        phase, state = self.phase, self.state
        end = DonePhase(phase.name, phase.until.text(), state.start, self._run.model.iteration)
        return (*state.done, end)

    def _layer(self, index: int, start: int) -> Layer:
        layer = with_schedule_end(self.recipe, index, start)
        kept = {key: v for key, v in layer.values.items() if key not in self._overridden}
        stored = {} if self._run is None else self._run.stored
        return replace(layer, values=softened(kept, RollBackState.read(stored).remedies))

    def _note(self) -> None:
        """Leave the present state where the next save takes it from."""
        assert self._run is not None
        state = replace(self.state, seconds=self._seconds())
        if self._why and self._next() is None:
            state = replace(state, finished=True, done=self._done())
        self._run.stored[STORED_AS] = state.tree()
