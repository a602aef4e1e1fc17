"""Recipes around the fake model: phases, stops, edits. Real models: tests/cli/test_recipe.py."""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dfl_tf.errors import ModelFileError, OptionError
from dfl_tf.formats import read_model
from dfl_tf.jobs.events import Event
from dfl_tf.options import Layer
from dfl_tf.options.recipe import MetricRule, Recipe, Until
from dfl_tf.options.recipe_file import read_recipe
from dfl_tf.train.events import Iteration
from dfl_tf.train.recipe import ChosenRecipe, RecipeSource
from dfl_tf.train.recipe_state import RecipeState, Situation, ended, stand
from dfl_tf.train.trainer import Trainer, TrainResult

from .support.fake_model import FakeModel, check_whole, options
from .support.runs import ListLog, trainer

FIVE = """
phases:
  - {name: warp, set: {random_warp: true}, until: {iterations: 4}}
  - {name: dropout, set: {lr_dropout: y}, until: {at_iteration: 7}}
  - {name: detail, set: {random_warp: false, lr_dropout: n}, until: {iterations: 3}}
  - {name: again, set: {lr_dropout: y}, until: {iterations: 2}}
  - {name: short, set: {preview_every: 5}, until: {iterations: 4}}
"""
ENDS = {"warp": (0, 4), "dropout": (4, 7), "detail": (7, 10), "again": (10, 12), "short": (12, 16)}


class Killed(BaseException):
    """As SIGKILL: nothing is saved after it."""


def recipe(folder: Path, text: str = FIVE) -> Recipe:
    path = folder / "mine.yaml"
    path.write_text(text)
    return read_recipe(path)


def training(folder: Path, found: Recipe, log: ListLog, **run: Any) -> Trainer:
    """A trainer that goes on with the model of a folder, or begins one, by a recipe."""
    state = None
    if (folder / "new_SAEHD_data.dat").exists():
        state = read_model(folder, "new", "SAEHD")
    stored, iteration = ({}, 0) if state is None else (state.run, state.iteration)
    standing = stand(found, stored, iteration)
    layer = found.layer(standing.index).values
    own = {key: layer[key] for key in ("random_warp", "lr_dropout") if key in layer}
    model = FakeModel(options(**own))
    if state is not None:
        model.load_state(state)
    made = trainer(
        folder, model, first=state is None, position=2 * iteration, log=log, no_preview=True,
        **{key: layer[key] for key in ("preview_every",) if key in layer}, **run,
    )  # fmt: skip
    source = RecipeSource(ChosenRecipe(found, standing, (), ()))
    made._sources = (source, *made._sources)
    made.state.restore(stored)
    source.follow(made.state)
    return made


def run(folder: Path, found: Recipe, log: ListLog | None = None, **options: Any) -> TrainResult:
    return training(folder, found, log or ListLog(), **options).run()


def saved(folder: Path) -> Any:
    state = read_model(folder, "new", "SAEHD")
    check_whole(state)
    return state


def same(one: Any, two: Any) -> None:
    assert one.options == two.options
    assert one.loss_history == two.loss_history
    timeless = [
        {**state.run, "recipe": {**state.run["recipe"], "seconds": 0}} for state in (one, two)
    ]
    assert timeless[0] == timeless[1]
    for part, arrays in one.tensors.items():
        for key, array in arrays.items():
            np.testing.assert_array_equal(array, two.tensors[part][key])


def test_phases_one_after_the_other(tmp_path):
    log = ListLog()
    result = run(tmp_path, recipe(tmp_path), log)
    assert (result.exit_code, result.iteration) == (0, 16)
    assert (
        "recipe mine: phase 1 of 5, warp, since iteration 0; ends after 4 iterations" in log.lines
    )
    assert (
        "recipe mine: phase 3 of 5, detail, begins at iteration 7 (dropout ended: iteration 7)"
        in log.lines
    )
    switches = [fields for kind, fields in log.events if kind == "segment"]
    assert [event["iteration"] for event in switches] == [4, 7, 10, 12]
    assert switches[1]["changes"] == {"random_warp": [True, False], "lr_dropout": ["y", "n"]}
    state = RecipeState.read(saved(tmp_path).run["recipe"])
    assert state.finished
    assert {each.name: (each.start, each.end) for each in state.done} == ENDS


@pytest.mark.parametrize(
    "at", [4, *(pytest.param(n, marks=pytest.mark.slow) for n in (1, 3, 5, 12, 15))]
)
def test_stopped_anywhere_and_resumed_it_is_the_same(tmp_path, at):
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    found = recipe(tmp_path)
    run(whole, found)

    def stopping(event: Event) -> None:
        if isinstance(event, Iteration) and event.iteration == at:
            parts.mkdir(exist_ok=True)
            (parts / "new_SAEHD_stop.request").touch()

    result = run(parts, found, ListLog(stopping))
    assert result.iteration == at
    assert run(parts, found).iteration == 16
    same(saved(whole), saved(parts))


@pytest.mark.slow
def test_killed_at_random_moments_it_is_the_same(tmp_path):
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    found = recipe(tmp_path)
    run(whole, found)
    rng, kills = random.Random(0), 0
    for _ in range(200):
        left = rng.randrange(1, 25)

        def killing(event: Event) -> None:
            nonlocal left
            left -= 1
            if left == 0:
                raise Killed

        try:
            made = training(parts, found, ListLog(killing), save_every_iters=2)
            made.run()
            break
        except Killed:
            kills += 1
            made.checkpoint.wait()
    assert kills >= 3
    same(saved(whole), saved(parts))


@pytest.mark.slow
def test_the_change_itself_is_whole(tmp_path):
    """Killed between the two saves of a change, it changes at the next start."""
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    found = recipe(tmp_path)
    run(whole, found)
    made = training(parts, found, ListLog())

    def killing(*values: Any) -> None:
        raise Killed

    made._rebuild = killing
    with pytest.raises(Killed):
        made.run()
    made.checkpoint.wait()
    assert (saved(parts).iteration, saved(parts).run["recipe"]["phase"]) == (4, "warp")
    log = ListLog()
    run(parts, found, log)
    assert log.iterations[0] == 5
    same(saved(whole), saved(parts))


def test_a_plateau_is_decided_by_the_stored_losses(tmp_path, monkeypatch):
    noise = np.random.default_rng(0).normal(1, 0.01, 400)
    step = FakeModel.train_step

    def flat(self: FakeModel, *batches: Any) -> Any:
        self.losses_to_give = {self.iteration + 1: float(noise[self.iteration])}
        return step(self, *batches)

    monkeypatch.setattr(FakeModel, "train_step", flat)
    found = recipe(
        tmp_path,
        """
phases:
  - {name: flat, until: {plateau: {window: 100, most: 150}}}
  - {name: end, set: {lr_dropout: y}, until: {iterations: 3}}
""",
    )

    whole, parts = tmp_path / "whole", tmp_path / "parts"
    log = ListLog()
    run(whole, found, log)
    (line,) = [line for line in log.lines if "begins at" in line]
    assert line.endswith("begins at iteration 110 (flat ended: the losses are flat)")
    for stop in (60, 107, 110, 111, 0):

        def stopping(event: Event, stop: int = stop) -> None:
            if isinstance(event, Iteration) and event.iteration == stop:
                parts.mkdir(exist_ok=True)
                (parts / "new_SAEHD_stop.request").touch()

        run(parts, found, ListLog(stopping))
    same(saved(whole), saved(parts))


def test_any_and_all(tmp_path):
    any_of, all_of = recipe(
        tmp_path,
        """
phases:
  - {name: a, until: {iterations: 5, hours: 1}}
  - {name: b, until: {all: {iterations: 5, hours: 1, metric: {name: ssim, above: 0.5}}}}
""",
    ).phases

    def why(phase: Any, iteration: int, seconds: float, **metrics: float) -> str:
        now = Situation(iteration, np.ones((iteration, 2)), seconds, metrics)
        return ended(phase, 10, now)

    assert why(any_of, 14, 3599) == ""
    assert why(any_of, 15, 0) == "5 iterations"
    assert why(any_of, 11, 3600) == "1 hours"
    assert why(all_of, 15, 3600) == ""
    assert why(all_of, 15, 3600, ssim=0.4) == ""
    assert why(all_of, 15, 3600, ssim=float("nan")) == ""
    assert why(all_of, 15, 3600, ssim=0.6) == "5 iterations, 1 hours, ssim is 0.6000"
    still = replace(any_of, until=Until(metric=MetricRule("jitter", below=0.01)))
    assert why(still, 11, 0, jitter=0.0) == "jitter is 0.0000"


def test_a_finished_recipe_and_one_with_a_phase_added(tmp_path):
    found = recipe(tmp_path)
    run(tmp_path, found)
    standing = stand(found, saved(tmp_path).run, 16)
    assert standing.state.finished
    longer = recipe(
        tmp_path, FIVE + "  - {name: more, set: {lr_dropout: n}, until: {iterations: 2}}"
    )
    log = ListLog()
    assert run(tmp_path, longer, log).iteration == 18
    assert "recipe mine: the recipe was finished and has a new phase: more" in log.lines
    assert RecipeState.read(saved(tmp_path).run["recipe"]).finished


def test_an_edited_recipe(tmp_path):
    done = [
        {"name": "warp", "until": "after 4 iterations", "start": 0, "end": 4},
        {"name": "old", "until": "after 1 iterations", "start": 4, "end": 5},
    ]
    stored = {"recipe": {"recipe": "mine", "phase": "detail", "start": 7, "done": done, "set": {}}}
    standing = stand(recipe(tmp_path), stored, 9)
    assert (standing.index, standing.state.start) == (2, 7)
    assert standing.told == (
        "finished phases that are no longer in the recipe: old",
        "new phases before the current one are skipped: dropout",
        "phase detail sets other values than it began with: lr_dropout, random_warp",
    )
    changed = recipe(tmp_path, FIVE.replace("iterations: 4", "iterations: 9"))
    assert stand(changed, stored, 9).told[0] == (
        "phase warp is finished; that it now ends after 9 iterations "
        "(then: after 4 iterations) changes nothing"
    )
    gone = {"recipe": {**stored["recipe"], "phase": "gone"}}
    standing = stand(recipe(tmp_path), gone, 9)
    assert (standing.state.phase, standing.state.start) == ("dropout", 9)
    assert standing.told[-1] == "phase gone is no longer in the recipe; continuing with dropout"


@pytest.mark.parametrize(
    "tree",
    [7, {}, {"recipe": "a", "phase": 3, "start": 1}, {"recipe": "a", "phase": "b", "start": -1}],
)
def test_a_stored_state_that_is_none(tmp_path, tree):
    with pytest.raises(ModelFileError, match="recipe"):
        stand(recipe(tmp_path), {"recipe": tree}, 3)


def test_a_phase_whose_options_are_refused_ends_the_run_and_saves(tmp_path):
    found = recipe(
        tmp_path,
        "phases:\n- {name: a, until: {iterations: 3}}\n- {name: b, set: {batch_size: 0}}\n",
    )
    with pytest.raises(OptionError, match=r"phase a has ended .* the next one cannot begin"):
        run(tmp_path, found)
    assert saved(tmp_path).iteration == 3


def test_options_that_the_user_gives_are_left_alone(tmp_path):
    found = recipe(tmp_path)
    made = training(tmp_path, found, ListLog())
    source = RecipeSource(ChosenRecipe(found, stand(found, {}, 0), ("lr_dropout",), ()))
    source.follow(made.state)
    assert source._layer(1, 0).values == {"random_warp": True}
    assert isinstance(source._layer(1, 0), Layer)
    assert "recipe mine: set explicitly, so left alone: lr_dropout" in source.begin()
