"""Where a model stands in a recipe: what is stored with it, and when a phase has ended.

Both are functions of stored values, so that a run that was killed decides as one that was not.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from dfl_tf.formats.models import run_record
from dfl_tf.options.recipe import Phase, Recipe
from dfl_tf.train.plateau import has_plateaued

STORED_AS: Final = "recipe"
"""Key of the recipe's state in `ModelState.run`."""


@dataclass(frozen=True)
class DonePhase:
    """A phase that has ended.

    Attributes
    ----------
    name, until : str
    start, end : int
        Iterations of the model, counted from its last reset.
    """

    name: str
    until: str
    start: int
    end: int


@dataclass(frozen=True)
class RecipeState:
    """Where a model stands in a recipe; stored with the model.

    Attributes
    ----------
    recipe : str
        Name of the recipe.
    phase : str
        The present phase.
    start : int
        Iteration at which it began.
    seconds : float
        Training in it before this run.
    done : tuple of DonePhase
    finished : bool
        Whether the last phase has ended.
    set : mapping
        What the present phase was begun with, by key.
    """

    recipe: str
    phase: str
    start: int = 0
    seconds: float = 0.0
    done: tuple[DonePhase, ...] = ()
    finished: bool = False
    set: Mapping[str, object] = field(default_factory=dict)

    @classmethod
    def read(cls, tree: Any) -> RecipeState:
        """Of `ModelState.run`.

        Raises
        ------
        ModelFileError
            If it is not what `tree` of this class writes.
        """
        run_record.stored({STORED_AS: tree}, STORED_AS)
        done = tuple(DonePhase(**each) for each in tree.get("done", ()))
        return cls(
            recipe=tree["recipe"],
            phase=tree["phase"],
            start=tree["start"],
            seconds=float(tree.get("seconds", 0.0)),
            done=done,
            finished=bool(tree.get("finished", False)),
            set=dict(tree.get("set", {})),
        )

    def tree(self) -> dict[str, object]:
        """As JSON values."""
        return {
            "recipe": self.recipe,
            "phase": self.phase,
            "start": self.start,
            "seconds": round(self.seconds, 3),
            "done": [vars(each) for each in self.done],
            "finished": self.finished,
            "set": {key: plain(value) for key, value in self.set.items()},
        }


def plain(value: object) -> object:
    """A value as JSON gives it back."""
    return list(value) if isinstance(value, tuple) else value


@dataclass(frozen=True)
class Standing:
    """A state of a model, fitted to a recipe that may have been edited since.

    Attributes
    ----------
    state : RecipeState
    index : int
        Of the present phase in the recipe.
    told : tuple of str
        How the recipe differs from the one that the model was trained with.
    """

    state: RecipeState
    index: int
    told: tuple[str, ...] = ()


def stand(recipe: Recipe, stored: Mapping[str, object], iteration: int) -> Standing:
    """Where a model goes on in a recipe.

    Parameters
    ----------
    recipe : Recipe
    stored : mapping
        `ModelState.run` of the model; empty if it is new.
    iteration : int
        Of the model.

    Raises
    ------
    ModelFileError
        If the stored state cannot be understood.
    """
    if STORED_AS not in stored:
        return Standing(begin_phase(recipe, 0, RecipeState(recipe.name, ""), iteration), 0)
    state = RecipeState.read(stored[STORED_AS])
    told: list[str] = []
    if state.recipe != recipe.name:
        told.append(f"the model was trained by recipe {state.recipe}; phases are matched by name")
    done = {each.name: each for each in state.done}
    for phase in recipe.phases:
        before = done.get(phase.name)
        if before is not None and before.until != phase.until.text():
            told.append(
                f"phase {phase.name} is finished; that it now ends {phase.until.text()} "
                f"(then: {before.until}) changes nothing"
            )
    gone = [name for name in done if recipe.index(name) is None]
    if gone:
        told.append(f"finished phases that are no longer in the recipe: {', '.join(gone)}")
    index = recipe.index(state.phase)
    if state.finished or index is None:
        return _not_in_a_phase(recipe, state, iteration, told)
    missed = [p.name for p in recipe.phases[:index] if p.name not in done]
    if missed:
        told.append(f"new phases before the current one are skipped: {', '.join(missed)}")
    now = recipe.layer(index).values
    changed = sorted(
        key
        for key in now.keys() | state.set.keys()
        if plain(now.get(key)) != plain(state.set.get(key))
    )
    if changed:
        told.append(
            f"phase {state.phase} sets other values than it began with: {', '.join(changed)}"
        )
    state = replace(state, recipe=recipe.name, set=dict(now))
    return Standing(state, index, tuple(told))


def _not_in_a_phase(
    recipe: Recipe, state: RecipeState, iteration: int, told: list[str]
) -> Standing:
    """Where a model goes on whose recipe was finished, or has lost its phase."""
    following = next_phase(recipe, -1, {each.name: each for each in state.done})
    if following is None:
        if not state.finished:
            told.append(f"phase {state.phase} is no longer in the recipe; it continues to its end")
        ended = replace(state, recipe=recipe.name, finished=True)
        return Standing(ended, len(recipe.phases) - 1, tuple(told))
    name = recipe.phases[following].name
    told.append(
        f"the recipe was finished and has a new phase: {name}"
        if state.finished
        else f"phase {state.phase} is no longer in the recipe; continuing with {name}"
    )
    return Standing(begin_phase(recipe, following, state, iteration), following, tuple(told))


def begin_phase(recipe: Recipe, index: int, state: RecipeState, iteration: int) -> RecipeState:
    """The state of a model that begins a phase."""
    phase = recipe.phases[index]
    return RecipeState(
        recipe.name, phase.name, iteration, 0.0, state.done, set=dict(recipe.layer(index).values)
    )


def next_phase(recipe: Recipe, index: int, done: Mapping[str, DonePhase]) -> int | None:
    """The first phase after `index` that is not finished."""
    rest = range(index + 1, len(recipe.phases))
    return next((each for each in rest if recipe.phases[each].name not in done), None)


@dataclass(frozen=True)
class Situation:
    """What decides whether a phase ends.

    Attributes
    ----------
    iteration : int
    losses : ndarray, shape (iterations, losses), float64
        The history, as much of it as there is.
    seconds : float
        Training in this phase.
    metrics : mapping of str to float
        What was last measured on held-out faces, in this phase.
    """

    iteration: int
    losses: NDArray[np.float64]
    seconds: float = 0.0
    metrics: Mapping[str, float] = field(default_factory=dict)


def ended(phase: Phase, start: int, now: Situation) -> str:
    """Why a phase ends now; empty if it goes on.

    Parameters
    ----------
    phase : Phase
    start : int
        Iteration at which it began.
    now : Situation
    """
    until, count = phase.until, now.iteration - start
    reasons: list[str] = []
    if until.iterations is not None:
        reasons.append(f"{count} iterations" if count >= until.iterations else "")
    if until.at_iteration is not None:
        reached = now.iteration >= until.at_iteration
        reasons.append(f"iteration {now.iteration}" if reached else "")
    if until.hours is not None:
        reasons.append(f"{until.hours:g} hours" if now.seconds >= until.hours * 3600 else "")
    if until.plateau is not None:
        flat = count > 0 and has_plateaued(now.losses[-count:], until.plateau)
        most = until.plateau.most
        why = f"at most {most} iterations" if most and count >= most else "the losses are flat"
        reasons.append(why if flat else "")
    if until.metric is not None:
        value = now.metrics.get(until.metric.name)
        holds = until.metric.holds(value)
        reasons.append(f"{until.metric.name} is {value:.4f}" if holds else "")
    met = [reason for reason in reasons if reason]
    if until.mode == "all":
        return ", ".join(met) if reasons and len(met) == len(reasons) else ""
    return met[0] if met else ""
