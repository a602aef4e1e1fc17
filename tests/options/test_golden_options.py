"""The legacy option dialogue, case by case: values, order, plain types, summary (byte-exact)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from dfl_tf.options import (
    OPTIONS,
    AMPOptions,
    Resolved,
    SAEHDOptions,
    XSegOptions,
    default,
    legacy_layer,
    resolve,
    summary_text,
    to_legacy,
)
from dfl_tf.options.prompts import ask_options

GOLDEN = Path(__file__).parents[1] / "golden" / "options"
CASES = sorted(path.stem for path in GOLDEN.glob("*.json"))

# where the port differs on purpose (README of the goldens): value, or None = the key is gone
DIFFERENT: dict[str, dict[str, Any]] = {
    "saehd_first_run_dfud_rounding": {"ae_dims": 2048, "gan_power": 7.5},
    "saehd_resume_old_options": {"eyes_prio": None, "eyes_mouth_prio": True},
    "quick96_first_run_defaults": {"batch_size": 4},
}


def load(case: str) -> dict[str, Any]:
    data: dict[str, Any] = json.loads((GOLDEN / f"{case}.json").read_text())
    return data


def answer(case: dict[str, Any]) -> Resolved[Any]:
    """Drive the dialogue with the recorded answers; a question takes the first fragment in it."""

    def read(prompt: str) -> str:
        label = prompt.split(" ( ")[0]
        return next((typed for part, typed in case["answers_given"] if part in label), "")

    cls = OPTIONS[case["model_class"]]
    layers = []
    if case["previous_options"]:
        layers.append(
            legacy_layer(cls, case["previous_options"], origin="data.dat", rmsprop_slots=False)
        )
    new = None
    if case["first_run"] or case["override_entered"]:
        answers = ask_options(cls, layers, read=read, say=lambda line: None)
        layers.append(answers.layer)
        new = True if answers.restart else None
    return resolve(cls, layers, new=new)


def expected_options(name: str, case: dict[str, Any]) -> dict[str, Any]:
    expected = case["resulting_options_in_order"] | DIFFERENT.get(name, {})
    return {key: value for key, value in expected.items() if value is not None}


def test_there_are_goldens() -> None:
    assert len(CASES) == 8


@pytest.mark.golden
@pytest.mark.parametrize("name", CASES)
def test_dialogue_gives_the_golden_options_in_order(name: str) -> None:
    case = load(name)
    got = answer(case).legacy()
    expected = expected_options(name, case)
    assert list(got.items()) == list(expected.items())
    assert {type(value) for value in got.values()} <= {bool, int, float, str}
    plain = {"int64": "int", "float64": "float"}
    kinds = {key: plain.get(kind, kind) for key, kind in case["python_types"].items()}
    assert {key: type(got[key]).__name__ for key in got} == {key: kinds[key] for key in got}


@pytest.mark.golden
@pytest.mark.parametrize("name", CASES)
def test_cross_effects_match_the_golden(name: str) -> None:
    case = load(name)
    resolved = answer(case)
    assert resolved.gan_model_changed == bool(case["gan_model_changed"])
    assert resolved.pretrain_just_disabled == bool(case["pretrain_just_disabled"])
    if case["iter_after"] == 0:
        assert resolved.new


@pytest.mark.golden
@pytest.mark.parametrize("name", CASES)
def test_summary_of_the_golden_options_is_byte_exact(name: str) -> None:
    case = load(name)
    options = case["resulting_options_in_order"]
    text = summary_text(case["model_name"], case["iter_after"], options)
    assert text == case["summary_text"]


@pytest.mark.golden
@pytest.mark.parametrize("name", sorted(set(CASES) - set(DIFFERENT)))
def test_summary_of_our_own_result_is_byte_exact(name: str) -> None:
    case = load(name)
    text = summary_text(case["model_name"], case["iter_after"], answer(case).legacy())
    assert text == case["summary_text"]


def read_summary(name: str) -> str:
    return (GOLDEN / "summaries" / name).read_bytes().decode()


@pytest.mark.golden
def test_summary_of_a_genuine_run_is_byte_exact() -> None:
    data = json.loads(read_summary("workspace_tiny_SAEHD.json"))
    layer = legacy_layer(SAEHDOptions, data["options"], origin="data.dat")
    written = resolve(SAEHDOptions, [layer]).legacy()
    assert written == data["options"]
    assert summary_text("tiny_SAEHD", data["iter"], written) == read_summary(
        "workspace_tiny_SAEHD.txt"
    )


TINY = {"resolution": 64, "face_type": "wf", "ae_dims": 8, "e_dims": 4, "d_dims": 4}


@pytest.mark.golden
@pytest.mark.parametrize(
    ("file", "name", "iteration", "options"),
    [
        (
            "mini_AMP.txt",
            "mini_AMP",
            3,
            default(
                AMPOptions,
                **TINY,
                inter_dims=16,
                d_mask_dims=4,
                batch_size=2,
                gan_power=0.1,
                gan_dims=4,
            ),
        ),
        (
            "tiny_SAEHD.txt",
            "tiny_SAEHD",
            2,
            default(
                SAEHDOptions,
                **TINY,
                archi="df-ud",
                d_mask_dims=4,
                eyes_mouth_prio=True,
                true_face_power=0.01,
                clipgrad=True,
                target_iter=1000,
                batch_size=2,
                gan_power=0.1,
                gan_dims=4,
            ),
        ),
        (
            "small_SAEHD.txt",
            "small_SAEHD",
            2,
            default(
                SAEHDOptions,
                **TINY,
                archi="liae-udt",
                d_mask_dims=4,
                adabelief=False,
                lr_dropout="y",
                face_style_power=0.001,
                ct_mode="rct",
                batch_size=2,
            ),
        ),
        ("XSeg.txt", "XSeg", 1, default(XSegOptions, batch_size=2)),
    ],
)
def test_summaries_of_legacy_folders(file: str, name: str, iteration: int, options: Any) -> None:
    assert summary_text(name, iteration, to_legacy(options)) == read_summary(file)
