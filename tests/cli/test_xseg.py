"""`dfl-tf xseg`: what it prints and how it leaves; the work itself is tested in facesets."""

from __future__ import annotations

import json

import pytest

from dfl_tf.jobs import progress

from .support.workspaces import call, files, loose


@pytest.fixture
def faces(tmp_path):
    return loose(tmp_path, 5) / "data_src" / "aligned"


def test_masks_are_counted_and_removed_only_on_demand(faces, capsys):
    before = files(faces)
    code, out, _ = call(capsys, "xseg", "status", faces, "--json")
    assert code == 0
    assert json.loads(out)["masks"] == 5
    code, _, err = call(capsys, "xseg", "remove", faces)
    assert code == 2
    assert "--yes" in err
    assert files(faces) == before
    code, out, _ = call(capsys, "xseg", "remove", faces, "--yes")
    assert (code, out) == (0, "5 of 5 faces: mask removed\n")
    assert json.loads(call(capsys, "xseg", "status", faces, "--json")[1])["masks"] == 0


def test_a_long_run_without_a_terminal_leaves_lines_in_its_log(faces, capsys, monkeypatch):
    assert call(capsys, "xseg", "status", faces)[2] == ""
    monkeypatch.setattr(progress, "SECONDS_BETWEEN_LINES", 0.0)
    _, out, err = call(capsys, "xseg", "status", faces)
    shown = [line.split(" · ")[0] for line in err.splitlines()]
    assert shown == [f"counting {done}/5" for done in range(1, 5)]
    assert "counting" not in out


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (("status", "{0}/absent"), 1, "no such folder"),
        (("fetch", "{0}", "--output", "{0}"), 2, "is where the faces are"),
        (("apply", "{0}", "--model-dir", "{0}"), 2, "no XSeg weights are there"),
        (("apply", "{0}"), 2, "--model-dir"),
    ],
)
def test_wrong_requests_are_one_message_and_change_nothing(faces, capsys, arguments, code, says):
    before = files(faces)
    done, _, err = call(capsys, "xseg", *(a.format(faces) for a in arguments))
    assert done == code
    assert says in err
    assert "Traceback" not in err
    assert files(faces) == before


def test_the_generic_folder_of_an_old_script_falls_back_to_the_named_installation(faces, capsys):
    old = ("xseg", "apply", "--input-dir", faces, "--model-dir", "internal/model_generic_xseg")
    code, _, err = call(capsys, *old)
    assert code == 2
    assert "internal/model_generic_xseg does not exist; using --generic" in err
    assert "--dfl-home" in err


def test_all_that_is_left_out_is_named_on_demand(faces, capsys):
    for number in range(3):
        (faces / f"note{number}.txt").write_text("")
    _, _, err = call(capsys, "xseg", "status", faces)
    assert "note1.txt" not in err
    assert "the same command with --all" in err
    _, _, err = call(capsys, "xseg", "status", faces, "--all")
    assert all(f"note{number}.txt" in err for number in range(3))
