"""`dfl-tf recipe`; carrying one out is in tests/train/test_recipe.py."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from dfl_tf.cli.main import run
from dfl_tf.options.recipe_file import built_in_recipes


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
    assert "No such file" in said(capsys, 2, "check", str(tmp_path / "none.yaml"))[1]
