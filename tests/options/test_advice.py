"""Every remark: when it is made, and beside what it is not."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from dfl_tf.options import OPTIONS, effective, from_mapping
from dfl_tf.options.advice import RULES, FacesSeen, RunFacts, remarks
from dfl_tf.options.recipe_check import check_recipe
from dfl_tf.options.recipe_file import built_in_recipes, read_recipe

LAST = {"random_warp": False, "lr_dropout": "y", "clipgrad": True}
"""Options of a model near its end."""
OLD = {"new": False, "iteration": 300_000}
MASKED = FacesSeen(masks=True, mask_model="a wf")
OTHER = FacesSeen(masks=True, mask_model="b wf")
BARE = FacesSeen(masks=False)
FLAT = {"iteration": 200_000, "standstill": 50_000, "new": False}


def situation(model: str = "SAEHD", given: dict[str, Any] | None = None, **facts: Any) -> RunFacts:
    """A situation of some options, as training uses them."""
    quiet = {"archi": "liae-u"} if model == "SAEHD" else {}
    options, _ = from_mapping(OPTIONS[model], quiet | (given or {}), origin="t")
    values = dataclasses.asdict(effective(options).options)
    whole: dict[str, Any] = {
        "samples_per_step": options.batch_size,
        "way_back": True,
        "stored": {},
    } | facts
    return RunFacts(options=values, **whole)


CASES: dict[str, tuple[RunFacts, RunFacts, str]] = {
    "gan-with-warp": (
        situation(given={"gan_power": 0.01}, **OLD),
        situation(given={"gan_power": 0.01, **LAST}, **OLD),
        "random warp is on",
    ),
    "gan-young": (
        situation(given={"gan_power": 0.01, **LAST}, iteration=19_999, new=False),
        situation(given={"gan_power": 0.01, **LAST}, iteration=20_000, new=False),
        "It has 19,999 iterations.",
    ),
    "gan-before-dropout": (
        situation(given={"gan_power": 0.01, **LAST, "lr_dropout": "n"}, **OLD),
        situation(given={"gan_power": 0.01, **LAST, "lr_dropout": "cpu"}, **OLD),
        "train with lr_dropout=y",
    ),
    "gan-high": (
        situation(given={"gan_power": 0.11, **LAST}, **OLD),
        situation(given={"gan_power": 0.1, **LAST}, **OLD),
        "Set gan_power=0.01",
    ),
    "true-face-high": (
        situation(given={"archi": "df-u", "true_face_power": 0.011, **LAST}, **OLD),
        situation(given={"archi": "df-u", "true_face_power": 0.01, **LAST}, **OLD),
        "between 0.001 and 0.01",
    ),
    "true-face-with-warp": (
        situation(given={"archi": "df-u", "true_face_power": 0.01}, **OLD),
        situation(given={"archi": "df-u", "true_face_power": 0.01, **LAST}, **OLD),
        "until random warp is off",
    ),
    "face-style-high": (
        situation(given={"face_style_power": 0.2, **LAST}, **OLD),
        situation(given={"face_style_power": 0.1, "bg_style_power": 4.0, **LAST}, **OLD),
        "between 0.001 and 0.1",
    ),
    "style-without-clipgrad": (
        situation(given={"bg_style_power": 2.0}, **OLD),
        situation(given={"bg_style_power": 2.0, "clipgrad": True}, **OLD),
        "Set clipgrad=yes",
    ),
    "no-way-back": (
        situation(way_back=False),
        situation(given={"clipgrad": True}, way_back=False),
        "does not recover",
    ),
    "warp-again": (
        situation(stored={"random_warp": False}, **OLD),
        situation(stored={"random_warp": True}, **OLD),
        "reused for a new dst",
    ),
    "d-not-pretrained": (
        situation(given={"archi": "df-ud"}),
        situation(given={"archi": "df-ud"}, new=False),
        "must be pretrained",
    ),
    "pretrain-left-on": (
        situation(given={"pretrain": True}, has_pair=True, new=False, iteration=500_000),
        situation(given={"pretrain": True}, has_pair=False, new=False, iteration=500_000),
        "Set pretrain=no",
    ),
    "no-masks": (
        situation(given={"face_type": "wf"}, src=BARE, dst=MASKED),
        situation(given={"face_type": "f"}, src=BARE, dst=BARE),
        "Without masks: src.",
    ),
    "two-mask-models": (
        situation(given={"face_type": "head"}, src=MASKED, dst=OTHER),
        situation(given={"face_type": "head"}, src=MASKED, dst=MASKED),
        "one and the same XSeg model",
    ),
    "few-profiles": (
        situation(src=FacesSeen(profiles=0.05), dst=FacesSeen(profiles=0.2)),
        situation(src=FacesSeen(profiles=0.1), dst=FacesSeen(profiles=0.2)),
        "5% of src",
    ),
    "even-light-hsv": (
        situation(given={"random_hsv_power": 0.05}, light_spread=2.0),
        situation(given={"random_hsv_power": 0.05}, light_spread=9.0),
        "varies by 2.0 of 255",
    ),
    "one-color-ct": (
        situation(given={"ct_mode": "rct"}, light_spread=1.0, color_distance=4.0),
        situation(given={"ct_mode": "rct"}, light_spread=1.0, color_distance=25.0),
        "Set ct_mode=none",
    ),
    "small-batch": (
        situation(given={"batch_size": 2}, samples_per_step=2),
        situation(given={"batch_size": 2}, samples_per_step=8),
        "--accumulate 4",
    ),
    "uncovered-poses": (
        situation(uncovered=0.05),
        situation(uncovered=0.04),
        "5% of dst looks where no src face does",
    ),
    "no-progress": (
        situation(**FLAT),
        situation(**{**FLAT, "standstill": 0}),
        "Next: lr_dropout=y with random warp still on",
    ),
    "inter-below-ae": (
        situation("AMP", {"inter_dims": 64, "ae_dims": 128}),
        situation("AMP", {"inter_dims": 128, "ae_dims": 128}),
        "should not be less",
    ),
    "sot-merge": (
        RunFacts(options={"color_transfer_mode": "sot-m"}, stored={}, frames=1000),
        RunFacts(options={"color_transfer_mode": "sot-m"}, stored={}, frames=999),
        "1,000 frames",
    ),
}  # fmt: skip


def test_every_rule_has_a_case() -> None:
    assert [rule.name for rule in RULES] == list(CASES)


@pytest.mark.parametrize("name", CASES)
def test_it_is_made_there_and_not_beside(name: str) -> None:
    there, beside, part = CASES[name]
    assert part in remarks(there)[name]
    assert name not in remarks(beside)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name)
def test_each_has_a_reason_and_says_what_to_do(rule: Any) -> None:
    assert rule.what.endswith(".")
    assert rule.why.endswith(".")
    assert rule.cure.endswith(".") or rule.figure


@pytest.mark.parametrize(
    ("given", "facts", "name"),
    [
        ({"face_type": "wf", "masked_training": False}, {"src": BARE}, "no-masks"),
        ({"face_type": "wf", "pretrain": True}, {"src": BARE}, "no-masks"),
        ({"uniform_yaw": True}, {"src": FacesSeen(profiles=0.05), "dst": MASKED}, "few-profiles"),
        ({"pretrain": True}, {"uncovered": 0.5}, "uncovered-poses"),
        ({"gan_power": 1.0, "pretrain": True}, {}, "gan-with-warp"),
        ({"archi": "liae-u", "face_style_power": 0.0}, {}, "style-without-clipgrad"),
        ({"true_face_power": 0.5}, {}, "true-face-high"),  # liae has none
        ({"ct_mode": "rct"}, {"color_distance": 4.0, "light_spread": 9.0}, "one-color-ct"),
        ({"face_type": "wf"}, {"src": FacesSeen(masks=True), "dst": OTHER}, "two-mask-models"),
    ],
)
def test_what_does_not_apply_is_not_said(
    given: dict[str, Any], facts: dict[str, Any], name: str
) -> None:
    assert name not in remarks(situation(given=given, **facts))


def test_blurred_surroundings_need_one_mask_model_whatever_the_face_type() -> None:
    there = situation(given={"face_type": "f", "blur_out_mask": True}, src=MASKED, dst=OTHER)
    assert "two-mask-models" in remarks(there)


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"lr_dropout": "y"}, "Next: random_warp=no"),
        ({"random_warp": False}, "Next: lr_dropout=y, for detail"),
        ({"random_warp": False, "lr_dropout": "y"}, "gan_power=0.01 as the last step"),
        (LAST | {"gan_power": 0.01}, "compare the snapshots"),
        ({"pretrain": True}, "set pretrain=no"),
    ],
)
def test_a_standstill_names_the_next_phase(given: dict[str, Any], told: str) -> None:
    assert told in remarks(situation(given=given, **FLAT))["no-progress"]


@pytest.mark.parametrize("model", ["Quick96", "XSeg"])
def test_classes_without_these_options_get_no_remark(model: str) -> None:
    assert remarks(situation(model, way_back=False)) == {}


def test_a_merge_of_common_settings_gets_no_remark() -> None:
    values = {"color_transfer_mode": "rct"}
    assert remarks(RunFacts(options=values, stored={}, frames=100_000)) == {}


@pytest.mark.parametrize("name", built_in_recipes())
def test_our_own_recipes_follow_the_advice(name: str) -> None:
    recipe = read_recipe(built_in_recipes()[name])
    found = set()
    for phase in check_recipe(recipe, recipe.model):
        values = dataclasses.asdict(effective(phase.options).options)
        found |= set(remarks(RunFacts(options=values, stored={}, **OLD)))
    assert found <= {"no-way-back"}  # a recipe keeps snapshots, which the options do not say
