"""How long a phase and a recipe still take."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from dfl_tf.options.recipe import MetricRule, PlateauRule, Until
from dfl_tf.options.recipe_check import check_recipe
from dfl_tf.options.recipe_file import read_recipe
from dfl_tf.train.recipe import ChosenRecipe, RecipeSource, time_line
from dfl_tf.train.recipe_state import DonePhase, RecipeState, Standing, stand
from dfl_tf.train.time_left import TimeLeft, earlier, phase_left, recipe_left
from dfl_tf.train.timing import WARM_UP, Timing

PLATEAU = PlateauRule(window=1000, least=3000, most=9000)
RECIPE = """
phases:
  - {name: many, set: {pretrain: true}, until: {at_iteration: 500}}
  - {name: warp, set: {pretrain: false}, until: {plateau: {window: 1000, least: 3000, most: 9000}}}
  - {name: detail, until: {at_iteration: 10000}}
"""


@pytest.mark.parametrize(
    ("until", "left"),
    [
        (Until(iterations=1000), (400.0, 400.0)),
        (Until(iterations=100), (0.0, 0.0)),  # never negative
        (Until(at_iteration=5000), (1500.0, 1500.0)),
        (Until(hours=1), (2600.0, 2600.0)),
        (Until(plateau=PLATEAU), (1400.0, 4400.0)),
        (Until(plateau=PlateauRule(window=1000)), (450.0, None)),  # a window and two more looks
        (Until(plateau=PlateauRule(window=1000, most=600)), (200.0, 200.0)),
        (Until(metric=MetricRule("dst_ssim", above=0.9)), (0.0, None)),
        (Until(iterations=1000, plateau=PLATEAU), (400.0, 400.0)),
        (Until(iterations=1000, plateau=PLATEAU, mode="all"), (1400.0, 4400.0)),
        (Until(iterations=1000, metric=MetricRule("x", above=1.0), mode="all"), (400.0, None)),
        (Until(), (0.0, None)),
    ],
)
def test_what_a_phase_takes(until, left):
    assert phase_left(until, count=200, iteration=2000, seconds=1000.0, each=0.5) == left


def test_the_first_ones_of_a_phase_do_not_count():
    timing = Timing()
    for seconds in (9.0, 3.0, 2.0):
        timing.add(seconds, 0.0, 1)
        assert timing.seconds_per_iteration() is None
    for seconds in (0.2, 0.4, 0.3):
        timing.add(seconds, 0.0, 1)
    assert timing.seconds_per_iteration() == 0.3
    timing.begin_segment()  # another phase is another speed
    for _ in range(1 + WARM_UP):
        timing.add(7.0, 0.0, 1)
        assert timing.seconds_per_iteration() is None
    timing.add(5.0, 0.0, 1)
    assert timing.seconds_per_iteration() == 5.0


def test_what_ends_first():
    phase = TimeLeft(10.0, 20.0, "warp")
    assert earlier(phase, None) == phase
    assert earlier(phase, 5.0) == TimeLeft(5.0, 5.0)
    assert earlier(phase, 15.0) == TimeLeft(10.0, 15.0, "warp")
    assert earlier(TimeLeft(10.0, None, "warp"), 15.0) == TimeLeft(10.0, 15.0, "warp")
    assert earlier(None, -3.0) == TimeLeft(0.0, 0.0)
    assert earlier(None, None) is None


def test_in_words():
    assert TimeLeft(5000.0, 90000.0, "warp").text() == "1h 23m to 1d 01h left in warp"
    assert TimeLeft(60.0, 60.0).text() == "1m 00s left"
    assert TimeLeft(60.0, None, "warp").text() == "1m 00s or more left in warp"
    assert TimeLeft(0.0, None, "warp").text() == ""


def test_of_a_recipe(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text(RECIPE)
    recipe = read_recipe(path)
    how = {"count": 100, "iteration": 100, "seconds": 50.0, "each": 0.5}
    present, whole = recipe_left(recipe, 0, **how)
    assert present == TimeLeft(200.0, 200.0, "many")
    # 400 iterations of many; 3,000 to 9,000 of warp; from those on to iteration 10,000
    assert (whole.least, whole.most) == (200 + 1500 + 500, 200 + 4500 + 3500)
    told = time_line(recipe, stand(recipe, {}, 0), 100, 0.5)
    assert told == "time at 500 ms an iteration: 3m 20s left in many, 36m 40s to 2h 16m left in all"
    assert time_line(recipe, stand(recipe, {}, 0), 100, None) == ""


def test_a_running_recipe_knows(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text(RECIPE)
    recipe = read_recipe(path)
    source = RecipeSource(ChosenRecipe(recipe, stand(recipe, {}, 0), (), ()))
    model = SimpleNamespace(iteration=100)
    run = SimpleNamespace(model=model, stored={}, trace=SimpleNamespace(array=np.ones((100, 2))))
    source.follow(run)
    assert run.phase_left(0.5) == TimeLeft(200.0, 200.0, "many")


def test_the_lines_of_a_plan(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text(RECIPE)
    recipe = read_recipe(path)
    done = (DonePhase("many", "at iteration 500", 0, 500),)
    state = RecipeState("mine", "warp", 0, done=done)
    checked = tuple(check_recipe(recipe, "SAEHD", first=1))
    lines = ChosenRecipe(recipe, Standing(state, 1), (), checked).lines(200, 0.5)
    assert lines[0] == "many: iterations 0 to 500, finished"
    assert lines[1].startswith("2. warp: ends when the losses are flat")
    assert lines[1].endswith("  <- current")
    assert lines[-1].startswith("time at 500 ms an iteration: 23m 20s to 1h 13m left in warp, ")
    over = replace(state, finished=True)
    lines = ChosenRecipe(recipe, Standing(over, 2), (), ()).lines(200, 0.5)
    assert lines == ["many: iterations 0 to 500, finished", "recipe mine is finished"]
