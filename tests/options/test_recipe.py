from __future__ import annotations

from pathlib import Path

import pytest

from dfl_tf.errors import OptionError, UsageError
from dfl_tf.options import OPTIONS, Layer
from dfl_tf.options.recipe import MetricRule, PlateauRule
from dfl_tf.options.recipe_check import check_recipe, phase_lines
from dfl_tf.options.recipe_file import built_in_recipes, find_recipe, read_recipe


def recipe(folder: Path, text: str):
    path = folder / "mine.yaml"
    path.write_text(text)
    return read_recipe(path)


def errors(folder: Path, text: str) -> str:
    with pytest.raises(OptionError) as caught:
        recipe(folder, text)
    return str(caught.value)


def test_the_example_of_the_issue(tmp_path):
    found = recipe(
        tmp_path,
        "phases:\n  - {name: warp, set: {random_warp: true}, until: {iterations: 50000}}\n",
    )
    (phase,) = found.phases
    assert (found.name, phase.name, dict(phase.set.values)) == (
        "mine", "warp", {"random_warp": True},
    )  # fmt: skip
    assert (phase.until.iterations, phase.until.mode) == (50000, "any")
    assert phase.until.text() == "after 50000 iterations"


def test_every_key_of_a_phase(tmp_path):
    found = recipe(
        tmp_path,
        """
name: long
model: SAEHD
description: all of it
defaults: {set: {ct-mode: rct}, until: {hours: 2}}
phases:
  - name: a
    data: people
    note: first
    set: {pretrain: true, precision: bfloat16}
    until: {all: {plateau: {window: 400, rate: 0.02, alpha: 0.05, least: 500, most: 9000},
                  metric: {name: ssim_dst, above: 0.8}, at_iteration: 700}}
  - {name: b, until: {plateau: true}}
  - {name: c}
""",
    )
    a, b, c = found.phases
    assert a.until.plateau == PlateauRule(window=400, rate=0.02, alpha=0.05, least=500, most=9000)
    assert a.until.metric == MetricRule("ssim_dst", above=0.8)
    assert (a.until.mode, a.until.at_iteration, a.data, a.note) == ("all", 700, "people", "first")
    assert b.until.plateau == PlateauRule()
    assert c.until.hours == 2.0
    assert found.layer(0).values == {
        "ct_mode": "rct", "pretrain": True, "precision": "bfloat16", "data": "people",
    }  # fmt: skip


def test_what_a_phase_has_set_holds_in_those_after_it_but_other_faces_do_not(tmp_path):
    found = recipe(
        tmp_path,
        """
phases:
  - {name: a, set: {lr_dropout: y, random_warp: on}, until: {iterations: 1}, data: people}
  - {name: b, set: {random_warp: off}}
""",
    )
    assert found.layer(1).values == {"lr_dropout": "y", "random_warp": False, "data": ""}


def test_all_errors_are_told_at_once_with_their_lines(tmp_path):
    text = errors(
        tmp_path,
        """phase: []
phases:
  - {name: a, until: {iterations: 0, hours: -1, platea: true}}
  - {name: a, sets: {}, until: {plateau: {window: 3, rate: 2}}}
  - {until: {metric: {above: 1, below: 2}}}
  - 7
  - {name: e, set: {random_warp: {x: 1}}, until: {iterations: 1, all: {hours: 1}}}
""",
    )
    for line in (
        "mine.yaml, line 1: a recipe: unknown key phase",
        "line 3: phase a: until: iterations must be a whole number of 1 or more; received 0",
        "line 3: phase a: until: hours must be above 0; received -1",
        'line 3: phase a: until: unknown key platea; did you mean "plateau"?',
        "two phases have the name a",
        'line 4: phase 2: unknown key sets; did you mean "set"?',
        "line 4: phase a: until: plateau: window must be 100 or more; received 3",
        "line 4: phase a: until: plateau: rate must be 0 or more and below 1; received 2",
        "line 5: phase 3: has no name",
        "phase 3: until: metric: name the metric",
        "phase 3: until: metric: give either above or below",
        "line 6: phase 4 must hold keys with values",
        "line 7: phase e: random_warp must be a single value or a list",
        "line 7: phase e: until: all takes all conditions, none stand beside it",
    ):
        assert line in text, line


@pytest.mark.parametrize("text", ["", "7", "phases: {}", "phases: []", "- a"])
def test_what_is_no_recipe(tmp_path, text):
    assert "phases: must be a list with at least one phase" in errors(tmp_path, text)


@pytest.mark.parametrize("name", sorted(built_in_recipes()))
def test_built_in_recipes_have_no_error(name):
    found = read_recipe(find_recipe(name))
    assert found.name == name
    assert found.model in OPTIONS
    assert found.description
    phases = check_recipe(found, found.model)
    assert len(phases) == len(found.phases) >= 3
    assert not any(phase.until.endless for phase in found.phases)


def test_a_name_that_is_none():
    with pytest.raises(UsageError, match="saehd"):
        find_recipe("saehdd")


def test_checking_names_every_error_of_all_phases(tmp_path):
    found = recipe(
        tmp_path,
        """
model: SAEHD
phases:
  - {name: a, set: {random_wrap: true, batch_size: 0}, until: {at_iteration: 500}}
  - {name: b, set: {ae_dims: 64}, until: {at_iteration: 400}}
  - {name: c, set: {devices: "0"}}
  - {name: d, set: {gan_power: 99}}
""",
    )
    with pytest.raises(OptionError) as caught:
        check_recipe(found, "SAEHD")
    text = str(caught.value)
    for part in (
        'phase a: random_wrap is not an option of SAEHD; did you mean "random_warp"?',
        "phase a: batch_size=0",
        "phase b ends at iteration 400, where a (500) has gone beyond already",
        "phase c: devices applies to a whole run; give it on the command line instead",
        "phase c has no until and never ends, so that d is never reached",
        "phase d: gan_power=99",
    ):
        assert part in text, part
    with pytest.raises(OptionError, match="is for SAEHD, not for AMP"):
        check_recipe(found, "AMP")


def test_an_architecture_cannot_change_after_the_first_phase(tmp_path):
    found = recipe(
        tmp_path,
        """
phases:
  - {name: a, set: {ae_dims: 96}, until: {hours: 1}}
  - {name: b, set: {ae_dims: 64}}
""",
    )
    with pytest.raises(OptionError, match="phase b: ae_dims=64 differs from the model's 96"):
        check_recipe(found, "SAEHD")
    stored = Layer({"ae_dims": 128}, "the model", kind="stored")
    with pytest.raises(OptionError, match="phase a: ae_dims=96 differs from the model's 128"):
        check_recipe(found, "SAEHD", stored=stored)


def test_what_phases_reset(tmp_path):
    found = recipe(
        tmp_path,
        """
phases:
  - {name: many, set: {pretrain: true, archi: df, gan_power: 0}, until: {at_iteration: 900}}
  - {name: two, set: {pretrain: false}, until: {at_iteration: 500}}
  - {name: gan, set: {gan_power: 0.1, adabelief: false}, until: {hours: 1}}
  - {name: other, set: {gan_dims: 32}}
""",
    )
    many, two, gan, other = check_recipe(found, "SAEHD")
    assert many.resets == ()
    assert two.resets == (
        "iteration 0 and an empty loss history: pretraining ends",
        "inter with fresh weights and empty slots: pretraining ends",
    )
    assert gan.resets == (
        "the slots of all optimizers: adabelief is another optimizer",
        "the GAN begins with fresh weights, unless the model has trained it",
    )
    assert other.resets == ("the GAN and its optimizer: its shape changes",)
    lines = phase_lines([many, two], current="two")
    assert lines[0] == "1. many: ends at iteration 900"
    assert "2. two: ends at iteration 500  <- current" in lines
    assert "   sets pretrain=no" in lines
