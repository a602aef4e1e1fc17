"""Sort, filter and report by the tracks that an extraction noted."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from dfl_tf.extract.journal import FILE, Extraction, write_journal
from dfl_tf.extract.records import FrameRecord, RecordedFace
from dfl_tf.formats import read_metadata
from tests.formats.samples import make_jpeg

from .support.workspaces import call, files, loose

TRACKS = (2, 0, 0, 2, None, 0)
"""Of the faces in time order; one stands in no journal."""


@pytest.fixture
def faces(tmp_path, monkeypatch) -> Path:
    """Six faces and an image that is none, in another order than they were extracted."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    folder = loose(tmp_path, len(TRACKS)) / "data_src" / "aligned"
    frames = {}
    for number, (path, track) in enumerate(zip(listed(folder), TRACKS, strict=True)):
        known = read_metadata(folder / path)
        box = tuple(map(float, known.source_rect))
        found = () if track is None else (RecordedFace(box, 1.0, None, track=track),)
        name = known.source_filename
        frames[name] = FrameRecord(name, number + 1, 9, 9, found)
        (folder / path).rename(folder / f"face {9 - number}.jpg")
    (folder / "other.jpg").write_bytes(make_jpeg())
    write_journal(folder, Extraction(frames=frames))
    return folder


def listed(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.glob("*.jpg"))


IN_TIME = [f"face {9 - number}.jpg" for number in (0, 3, 1, 2, 5)]
UNKNOWN = ["face 5.jpg", "other.jpg"]


def test_sorting_puts_tracks_together_in_time_order_and_unknown_faces_last(faces, capsys):
    before = files(faces)
    code, out, _ = call(capsys, "faceset", "sort", faces, "--by", "track", "--dry-run", "--json")
    rows = json.loads(out)["faces"]
    assert code == 0
    assert [row["name"] for row in rows] == IN_TIME + UNKNOWN
    assert [row["value"] for row in rows] == [2, 2, 0, 0, 0, None, None]
    assert files(faces) == before
    code, out, _ = call(capsys, "faceset", "sort", faces, "--by", "track")
    assert (code, out.splitlines()[0]) == (
        0,
        "sort by track: 7 faces are kept, 0 go to the trash",
    )
    assert listed(faces) == [f"{number:05d}.jpg" for number in range(7)]
    assert (faces / "00002.jpg").read_bytes() == before["face 8.jpg"]
    # the journal knows them by their new names as well
    code, out, _ = call(capsys, "faceset", "sort", faces, "--by", "track", "--dry-run", "--json")
    assert [row["value"] for row in json.loads(out)["faces"]] == [2, 2, 0, 0, 0, None, None]
    assert call(capsys, "faceset", "sort", faces, "--undo")[0] == 0
    assert {n: d for n, d in files(faces).items() if not n.startswith(".")} == before


@pytest.mark.parametrize(
    ("arguments", "gone", "why"),
    [
        (("--tracks", "0-1,0"), IN_TIME[:2], "tracks"),
        (("--tracks", "2", "--invert"), IN_TIME[:2], "tracks"),
        (("--min-track-length", "3"), IN_TIME[:2], "track length"),
        (("--min-track-length", "2", "--tracks", "2"), IN_TIME[2:], "tracks"),
    ],
)
def test_whole_tracks_go_and_unknown_faces_stay(faces, capsys, arguments, gone, why):
    line = ("faceset", "filter", faces, *arguments)
    code, out, err = call(capsys, *line, "--dry-run", "--json")
    facts = json.loads(out)
    assert code == 0
    assert "faces on no known track, which stay: 2 left out" in err
    assert {row["name"] for row in facts["faces"] if row["why"] == why} == set(gone)
    assert {row["name"]: row["track"] for row in facts["faces"]}["face 9.jpg"] == 2
    assert call(capsys, *line)[0] == 0
    assert sorted([*gone, *listed(faces)]) == sorted(IN_TIME + UNKNOWN)
    assert listed(faces.with_name("aligned_trash")) == sorted(gone)


def test_a_measure_decides_about_a_whole_track(faces, capsys):
    def rows(*arguments):
        line = ("faceset", "filter", faces, "--dry-run", "--json", *arguments)
        found = json.loads(call(capsys, *line)[1])["faces"]
        return [row for row in found if row["name"] in IN_TIME[2:]]

    values = sorted(row["brightness"] for row in rows("--brightness", "0:255"))
    limit = (values[1] + values[2]) / 2  # the median is within, the brightest face is not
    assert [row["stays"] for row in rows("--brightness", f":{limit}")].count(False) == 1
    assert all(row["stays"] for row in rows("--brightness", f":{limit}", "--whole-tracks"))


def test_the_report_counts_tracks_and_shows_the_least_sharp_first(faces, capsys):
    page, numbers = faces.parent / "look.html", faces.parent / "look.json"
    arguments = ("-o", page, "--json", numbers, "--no-identity")
    assert call(capsys, "faceset", "report", faces, *arguments)[0] == 0
    side = json.loads(numbers.read_text())["sides"]["src"]
    tracks = side["tracks"]
    assert (tracks["count"], tracks["without"], tracks["lengths"]["50"]) == (2, 2, 2.5)
    rows = {row["track"]: row for row in tracks["tracks"]}
    assert [row["track"] for row in tracks["tracks"]] == [2, 0]
    assert (rows[0]["faces"], rows[2]["faces"]) == (3, 2)
    assert tracks["least_sharp"] == sorted(rows, key=lambda track: rows[track]["sharpness"])
    worst = rows[tracks["least_sharp"][0]]
    text = page.read_text()
    assert "<td>2, of 2 to 3 faces (median 2.5)<br>2 images on none</td>" in text
    start = text.index("The least sharp tracks of src")
    assert text.index(f"Track {worst['track']}: ", start) == text.index("Track ", start)
    assert f"{worst['first']} to {worst['last']}" in text


@pytest.mark.parametrize("arguments", [("sort", "--by", "track"), ("filter", "--tracks", "1")])
def test_a_folder_without_a_journal_of_its_faces_is_refused(faces, capsys, arguments):
    (faces / FILE).unlink()
    before = files(faces)
    code, _, err = call(capsys, "faceset", arguments[0], faces, *arguments[1:])
    assert code == 1
    assert f"{FILE}: does not exist, so the tracks of the faces are not known" in err
    write_journal(faces, Extraction())
    code, _, err = call(capsys, "faceset", arguments[0], faces, *arguments[1:])
    assert code == 1
    assert f"{FILE}: mentions none of the 7 faces here" in err
    (faces / FILE).unlink()
    assert files(faces) == before


def test_a_report_without_a_journal_says_that_tracks_are_not_known(faces, capsys):
    (faces / FILE).unlink()
    page = faces.parent / "look.html"
    assert call(capsys, "faceset", "report", faces, "-o", page, "--no-identity")[0] == 0
    assert "<td>tracks</td><td>not known</td>" in page.read_text()


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--tracks", "5-3"), "'5-3' is not a track"),
        (("--tracks", "1"), "no face is on 1. Choose of the 2 tracks from 0 to 2"),
        (("--whole-tracks",), "whole tracks need a measure"),
    ],
)
def test_wrong_requests_are_one_message(faces, capsys, arguments, says):
    before = files(faces)
    code, _, err = call(capsys, "faceset", "filter", faces, *arguments)
    assert code == 2
    assert says in err
    assert files(faces) == before
