"""`dfl-tf recipe`; carrying one out is in tests/train/test_recipe.py."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from dfl_tf.cli.main import run
from dfl_tf.options import RunOptions
from dfl_tf.options.inputs import OptionInputs
from dfl_tf.options.recipe_file import built_in_recipes
from dfl_tf.train.recipe import choose_recipe


def said(capsys: pytest.CaptureFixture[str], code: int, *words: str) -> tuple[str, str]:
    assert run(["recipe", *words]) == code
    captured = capsys.readouterr()
    return captured.out, captured.err


def test_list_names_every_built_in_recipe(capsys):
    out, _ = said(capsys, 0, "list")
    assert [line.split()[0] for line in out.splitlines()[:-1]] == list(built_in_recipes())
    rows = json.loads(said(capsys, 0, "list", "--json")[0])
    assert rows[-1]["phases"] == ["warp", "warp-dropout", "detail", "detail-dropout", "gan"]


def test_show_prints_the_file(capsys):
    assert said(capsys, 0, "show", "draft")[0] == built_in_recipes()["draft"].read_text()
    assert "saehd" in said(capsys, 2, "show", "sahed")[1]


def test_check_says_what_each_phase_sets_and_resets(capsys):
    out, _ = said(capsys, 0, "check", "pretrain")
    assert out.startswith("recipe pretrain for SAEHD: 6 phases, no error\n")
    assert "   resets iteration 0 and an empty loss history: pretraining ends\n" in out
    facts = json.loads(said(capsys, 0, "check", "pretrain", "--json")[0])
    assert facts["phases"][0]["set"] == {"pretrain": True}
    assert facts["seconds_per_iteration"] is None


def test_check_tells_every_error_at_once(tmp_path: Path, capsys):
    path = tmp_path / "bad.yaml"
    path.write_text(
        "phases:\n- {name: a, set: {random_wrap: 1}}\n- {name: b, set: {batch_size: 0}}\n"
    )
    _, err = said(capsys, 2, "check", str(path))
    for part in ("3 errors", "random_wrap is not an option", "batch_size=0", "never reached"):
        assert part in err
    assert "is for SAEHD, not for AMP" in said(capsys, 2, "check", "draft", "--model", "amp")[1]
    assert "there is no such file" in said(capsys, 1, "check", str(tmp_path / "none.yaml"))[1]


def test_faces_of_later_phases_are_looked_for(tmp_path: Path, capsys):
    path = tmp_path / "mine.yaml"
    path.write_text(
        """
phases:
  - {name: warp, until: {iterations: 5}}
  - {name: other, data: elsewhere, until: {iterations: 5}}
  - {name: many, set: {pretrain: true}, data: people, until: {at_iteration: 9}}
  - {name: end, set: {pretrain: false, batch_size: 0}}
"""
    )
    for side in ("data_src", "data_dst"):
        (tmp_path / "work" / side / "aligned").mkdir(parents=True)
    _, err = said(capsys, 2, "check", str(path), str(tmp_path / "work"))
    for part in ("phase other: missing: ", "elsewhere/data_src/aligned", "phase many: missing: ",
                 "people (faces for pretraining)", "phase end: batch_size=0"):  # fmt: skip
        assert part in err
    assert "phase warp" not in err
    assert run(["train", str(tmp_path / "work"), "--recipe", str(path)]) == 2
    assert "phase many: missing: " in capsys.readouterr().err
    path.write_text("phases:\n- {name: many, set: {pretrain: true}}\n")
    _, err = said(capsys, 2, "check", str(path), str(tmp_path / "work"))
    assert "phase many: there are no pretraining faces; give --pretrain-dir" in err


def test_a_program_s_options_win_over_a_recipe(tmp_path: Path):
    path = tmp_path / "mine.yaml"
    path.write_text("phases:\n- {name: a, set: {preview_every: 7, save_every_iters: 3}}\n")
    for given, expected in (
        ({}, (True, 7, 3)),
        ({"on_collapse": "stop", "preview_every": 9}, (False, 9, 3)),
    ):
        options = RunOptions(recipe=str(path), **given)
        inputs = OptionInputs.of_program({}, "a test", options)
        chosen, below = choose_recipe(str(path), inputs, "SAEHD")
        found = below.run
        assert (found.rolls_back, found.preview_every, found.save_every_iters) == expected
        assert chosen.overridden == (("preview_every",) if given else ())
    assert not RunOptions().rolls_back
    assert RunOptions(on_collapse="rollback").rolls_back
