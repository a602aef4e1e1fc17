"""`dfl-tf faceset filter`: measures and persons through the command, whole tracks."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from dfl_tf.data import identity
from dfl_tf.extract.journal import Extraction, write_journal
from dfl_tf.extract.records import FrameRecord, RecordedFace
from dfl_tf.formats import read_metadata

from .support.workspaces import call, files, loose

PLACES = (0.0, 0.1, 5.0, 5.1, 9.0)
"""Where the faces lie; 0.6 is the usual distance of one person."""


@pytest.fixture
def faces(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    folder = loose(tmp_path, len(PLACES)) / "data_src" / "aligned"
    shown = {}
    for path, place in zip(sorted(folder.glob("*.jpg")), PLACES, strict=True):
        shown[cv2.imread(str(path)).tobytes()] = place

    def vector(self, face):
        result = np.zeros(128)
        result[0] = shown[face.image.tobytes()]
        return result

    monkeypatch.setattr(identity.DlibEmbedder, "ready", lambda self: None)
    monkeypatch.setattr(identity.DlibEmbedder, "vector", vector)
    return folder


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.glob("*.jpg"))


def track(folder: Path, tracks: list[int]) -> None:
    """A journal that says which track each face is on."""
    frames = {}
    for number, (name, one) in enumerate(zip(names(folder), tracks, strict=True), start=1):
        known = read_metadata(folder / name)
        face = RecordedFace(tuple(map(float, known.source_rect)), 1.0, None, file=name, track=one)
        frames[known.source_filename] = FrameRecord(known.source_filename, number, 9, 9, (face,))
    write_journal(folder, Extraction(frames=frames))


def test_only_the_person_of_an_image_stays_and_undo_brings_the_others_back(faces, capsys):
    before, first = files(faces), names(faces)[0]
    code, out, err = call(capsys, "faceset", "filter", faces, "--like", faces / first)
    assert (code, err) == (0, "")
    assert "distances to --like: 0.00 to 9.00" in out
    assert "2 of 5 faces by a threshold of 0.60; proposed: 0.60" in out
    assert names(faces) == sorted(before)[:2]
    assert len(names(faces.with_name("aligned_trash"))) == 3
    assert call(capsys, "faceset", "filter", faces, "--undo")[0] == 0
    assert {n: d for n, d in files(faces).items() if n.endswith(".jpg")} == before


def test_the_distances_are_printed_for_programs_too(faces, capsys):
    line = ("faceset", "filter", faces, "--like", faces / names(faces)[2], "--dry-run")
    line += ("--not-like", faces / names(faces)[3], "--like-threshold", "7")
    code, out, _ = call(capsys, *line, "--json")
    facts = json.loads(out)
    assert (code, facts["threshold"], facts["proposed"]) == (0, 7, 0.6)
    assert [row["to_like"] for row in facts["faces"]] == pytest.approx([5, 4.9, 0, 0.1, 4])
    assert [row["stays"] for row in facts["faces"]] == [True, True, True, False, False]
    code, out, _ = call(capsys, *line, "--csv")
    assert [row["why"] for row in csv.DictReader(io.StringIO(out))] == ["", "", "", *["person"] * 2]


def test_a_track_stays_or_goes_as_a_whole_whatever_its_files_are_called(faces, capsys):
    track(faces, [0, 0, 0, 1, 1])
    like = faces.with_name("like.jpg")
    like.write_bytes((faces / names(faces)[0]).read_bytes())
    for number, name in enumerate(names(faces)):
        (faces / name).rename(faces / f"renamed {number}.jpg")
    code, _, err = call(capsys, "faceset", "filter", faces, "--like", like)
    assert (code, err) == (0, "")
    assert names(faces) == ["renamed 0.jpg", "renamed 1.jpg", "renamed 2.jpg"]


def test_a_person_and_a_measure_are_combined_and_inverted(faces, capsys):
    line = ("faceset", "filter", faces, "--not-like", faces / names(faces)[0], "--yaw", "-90:90")
    code, out, _ = call(capsys, *line, "--dry-run", "--json", "--invert")
    rows = json.loads(out)["faces"]
    assert code == 0
    assert [row["stays"] for row in rows] == [True, True, False, False, False]
    assert rows[2]["why"] == "yaw person"


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--like", "absent.jpg"), "absent.jpg: there is no such image or folder"),
        (
            ("--like-threshold", "0.5", "--yaw", "0:1"),
            "--like-threshold is for --like and --not-like",
        ),
        ((), "there is nothing to filter by"),
        (("--measure", "yaw"), "'yaw' is not NAME=A:B"),
    ],
)
def test_wrong_requests_are_one_message_and_move_nothing(faces, capsys, arguments, says):
    before = files(faces)
    code, _, err = call(capsys, "faceset", "filter", faces, *arguments)
    assert code == 2
    assert says in err
    assert files(faces) == before
