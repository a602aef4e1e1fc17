"""`dfl-tf faceset group`: what it prints, writes and moves; grouping has tests of its own."""

from __future__ import annotations

import csv
import json

import cv2
import numpy as np
import pytest

from dfl_tf.data import identity
from dfl_tf.facesets import grouping

from .support.workspaces import call, files, loose


@pytest.fixture
def faces(tmp_path, monkeypatch):
    """Five faces, of which the last two "are" another person."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    folder = loose(tmp_path, 5) / "data_src" / "aligned"
    names = sorted(path.name for path in folder.glob("*.jpg"))
    shown = {(folder / name).read_bytes(): number // 3 for number, name in enumerate(names)}
    by_image = {cv2.imdecode(np.frombuffer(d, np.uint8), 1).tobytes(): n for d, n in shown.items()}

    def vector(self, face):
        result = np.zeros(128)
        result[by_image[face.image.tobytes()]] = 1
        return result

    monkeypatch.setattr(identity.DlibEmbedder, "ready", lambda self: None)
    monkeypatch.setattr(identity.DlibEmbedder, "vector", vector)
    return folder


def test_groups_are_a_table_and_a_sheet_and_nothing_is_moved(faces, capsys):
    before = files(faces)
    code, out, err = call(capsys, "faceset", "group", faces)
    assert (code, err) == (0, "")
    lines = out.splitlines()
    assert lines[1].split()[:2] == ["1", "3"]
    assert lines[2].split()[:2] == ["2", "2"]
    sheet = faces.with_name("aligned_groups.jpg")
    assert cv2.imread(str(sheet)).shape[1] > 300
    with open(faces.with_name("aligned_groups.csv")) as stream:
        rows = list(csv.DictReader(stream))
    assert [row["group"] for row in rows] == ["1", "1", "1", "2", "2"]
    assert files(faces) == before


def test_keeping_a_group_moves_the_others_to_the_trash_and_undo_brings_them_back(faces, capsys):
    before = files(faces)
    code, out, _ = call(capsys, "faceset", "group", faces, "--keep", "2", "--dry-run", "--json")
    assert code == 0
    assert len(json.loads(out)["trash"]) == 3
    assert files(faces) == before
    code, out, _ = call(capsys, "faceset", "group", faces, "--keep", "2")
    assert code == 0
    assert len(list(faces.glob("*.jpg"))) == 2
    assert len(list(faces.with_name("aligned_trash").glob("*.jpg"))) == 3
    assert "--undo" in out
    assert call(capsys, "faceset", "group", faces, "--undo")[0] == 0
    assert {n: d for n, d in files(faces).items() if str(n).endswith(".jpg")} == before


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (("--keep", "3"), 2, "--keep 3: there is no such group; groups are 1 to 2"),
        (("--strictness", "2"), 2, "--strictness"),
        (("--embedder", "absent.onnx"), 1, "absent.onnx"),
        (("--sheet", "look.gif"), 2, "look.gif"),
    ],
)
def test_wrong_requests_are_one_message_and_move_nothing(faces, capsys, arguments, code, says):
    before = files(faces)
    done, _, err = call(capsys, "faceset", "group", faces, *arguments)
    assert done == code
    assert says in err
    assert "Traceback" not in err
    assert files(faces) == before


def test_a_folder_without_faces_is_said(tmp_path, capsys, faces):
    empty = tmp_path / "empty"
    empty.mkdir()
    code, _, err = call(capsys, "faceset", "group", empty)
    assert code == 2
    assert "nobody to group" in err


def test_a_second_call_looks_at_no_face_again(faces, capsys, monkeypatch):
    first = call(capsys, "faceset", "group", faces)

    def never(self, face):
        raise AssertionError("a face was looked at again")

    monkeypatch.setattr(identity.DlibEmbedder, "vector", never)
    assert call(capsys, "faceset", "group", faces) == first


@pytest.mark.parametrize(
    "line", [("group",), ("sort", "--by", "identity", "--dry-run"), ("report", "-o", "page.html")]
)
def test_a_sample_in_place_of_all_pairs_is_said_once(faces, capsys, monkeypatch, line):
    monkeypatch.chdir(faces.parent)
    monkeypatch.setitem(grouping.group_faces.__kwdefaults__, "exact", 3)
    code, _, err = call(capsys, "faceset", line[0], faces, *line[1:])
    assert code == 0
    said = [text for text in err.splitlines() if text.startswith("more than 3 faces: a sample")]
    assert len(said) == 1
    if line[0] == "report":
        assert (faces.parent / "page.html").read_text().count(said[0]) == 1
