"""`dfl-tf faceset sort` as a user meets it."""

from __future__ import annotations

import csv
import io
import json
import os
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from dfl_tf.cli.faceset import command
from dfl_tf.errors import UsageError
from tests.formats.samples import make_face, make_jpeg


def run(*arguments: object) -> Result:
    result = CliRunner().invoke(command, ["sort", *(str(a) for a in arguments)])
    assert result.exit_code == 0, (result.output, result.exception)
    return result


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    faces = tmp_path / "aligned"
    faces.mkdir()
    for index in range(3):
        (faces / f"{index}.jpg").write_bytes(make_face(index))
    (faces / "other.jpg").write_bytes(make_jpeg())
    return faces


def names(folder: Path) -> list[str]:
    return sorted(name for name in os.listdir(folder) if not name.startswith("."))


def test_the_number_that_is_kept_is_said_first_and_undo_takes_it_back(folder: Path) -> None:
    shown = run(folder, "--by", "face-yaw").stdout.splitlines()
    trash = folder.parent / "aligned_trash"
    assert shown[0] == f"sort by face-yaw: 3 faces are kept, 1 go to the trash ({trash})"
    assert names(folder) == ["00000.jpg", "00001.jpg", "00002.jpg"]
    assert names(trash) == ["other.jpg"]
    assert run(folder, "--undo").stdout == "undone: sort by face-yaw\n"
    assert names(folder) == ["0.jpg", "1.jpg", "2.jpg", "other.jpg"]


def test_a_dry_run_prints_the_numbers_in_three_forms_and_changes_nothing(folder: Path) -> None:
    before = sorted(os.listdir(folder))
    table = run(folder, "--by", "hue", "--dry-run").stdout
    assert "new_name   name" in table
    printed = run(folder, "--by", "hue", "--dry-run", "--csv").stdout
    rows = list(csv.DictReader(io.StringIO(printed)))
    facts = json.loads(run(folder, "--by", "hue", "--dry-run", "--json").stdout)
    assert [row["name"] for row in rows] == [row["name"] for row in facts["faces"]]
    assert float(rows[0]["hue"]) == facts["faces"][0]["hue"] >= facts["faces"][1]["hue"]
    assert (facts["kept"], facts["trash"]) == (4, 0)
    assert sorted(os.listdir(folder)) == before


def test_an_interrupted_run_is_completed_by_any_command(folder: Path) -> None:
    plan = {"why": "sort by blur", "token": "ab12", "moves": [["0.jpg", "5.jpg"]]}
    (folder / ".dfl_tf-moves.json").write_text(json.dumps(plan))
    result = CliRunner().invoke(command, ["status", str(folder)])
    assert "sort by blur had been interrupted; it is complete now" in result.stderr
    assert names(folder) == ["1.jpg", "2.jpg", "5.jpg", "other.jpg"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "--by METHOD is missing"),
        (("--by", "blur", "--target", "5"), "--target is for final and final-fast, not for blur"),
        (("--by", "final", "--dissimilar"), "--dissimilar is for absdiff"),
    ],
)
def test_options_that_do_not_fit_are_refused(
    folder: Path, arguments: tuple[str, ...], message: str
) -> None:
    result = CliRunner().invoke(command, ["sort", str(folder), *arguments])
    assert isinstance(result.exception, UsageError)
    assert message in str(result.exception)


def test_methods_and_their_old_names_are_listed(folder: Path) -> None:
    shown = run("--methods").stdout
    assert "blur: sharpest first" in shown
    assert "final-by-size: the same as final-fast" in shown
    assert "3 faces are kept" in run(folder, "--by", "final-by-blur", "--dry-run").stdout


def test_names_without_a_second_face_leave_everything(folder: Path) -> None:
    result = run(folder, "--by", "oneface")
    assert "recover-names" in result.stderr
    assert names(folder) == ["0.jpg", "1.jpg", "2.jpg", "other.jpg"]
