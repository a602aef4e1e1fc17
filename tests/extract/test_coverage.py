"""What an extraction should be looked at for: each kind, as text, JSON and thumbnails."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from dfl_tf.errors import UsageError, WorkspaceError
from dfl_tf.extract.coverage import (
    KINDS,
    face_pose,
    measure_coverage,
    read_redo,
    weak_score,
)
from dfl_tf.extract.records import FrameRecord, RecordedFace
from dfl_tf.extract.thumbnails import WIDTH, coverage_strip, thumbnail
from tests.extract.clips import clip, face_at, look

GOOD = face_at(300, 200)


def found_in(faces: list[list[RecordedFace]], **keys: float) -> dict[str, tuple[int, ...]]:
    return dict(measure_coverage(clip(faces), **keys).found)


def test_steady_faces_are_not_listed():
    faces = [[face_at(200 + 8 * i, 200, 100 + 2 * i, angle=3 * i)] for i in range(10)]
    assert found_in(faces, weak_below=17.0) == {}


@pytest.mark.parametrize(
    ("other", "kind"),
    [
        (face_at(360, 200), "position jumps"),
        (face_at(300, 200, 135), "size jumps"),
        (face_at(300, 200, 72), "size jumps"),
        (face_at(300, 200, angle=30), "angle jumps"),
    ],
)
def test_jumps_are_found_at_the_frame_that_jumps(other: RecordedFace, kind: str):
    assert found_in([[GOOD], [GOOD], [other], [other]]) == {kind: (2,)}


def test_an_angle_that_passes_half_a_turn_is_no_jump():
    faces = [[face_at(300, 200, angle=174 + 4 * i)] for i in range(4)]
    assert found_in(faces) == {}


def test_missing_faces_and_several_faces():
    both = [GOOD, face_at(100, 100)]
    assert found_in([[GOOD], [], [], [GOOD], both, both]) == {
        "no face": (1, 2),
        "several faces": (4, 5),
        "count changes": (1, 3, 4),
    }


def test_each_of_several_faces_is_compared_with_the_nearest():
    left, right = face_at(120, 200), face_at(480, 200, 140)
    assert found_in([[left, right], [right, left]]) == {"several faces": (0, 1)}


def test_weak_scores_are_those_below_the_limit_of_the_detector():
    faces = [[face_at(300, 200, score=score)] for score in (16.9, 17.0, 30.0)]
    assert found_in(faces, weak_below=weak_score("mesh")) == {"weak scores": (0,)}
    assert found_in(faces, weak_below=weak_score("another")) == {}
    assert weak_score("s3fd") == 0.7


def test_faces_that_the_user_gave_are_not_weak():
    frames = clip([[face_at(300, 200, score=1.0)]] * 2)
    frames[0] = replace(frames[0], given=7)
    found = measure_coverage(frames, weak_below=weak_score("mesh")).found
    assert found == {"weak scores": (1,)}


def test_names_in_lines_are_printable():
    (line,) = measure_coverage(clip([[]], name="a\nb{}\x1b.png".format)).lines()
    assert line == r"no face: 1 frame (a\nb1\x1b)"


def test_faces_turned_away():
    faces = [[face_at(300, 200, yaw=yaw)] for yaw in (-80, -75, -40, 0, 40, 75, 80)]
    assert found_in(faces) == {"turned away": (0, 1, 5, 6)}
    assert found_in(faces, turned=90.0) == {}


@pytest.mark.parametrize("yaw", [-50.0, -20.0, 0.0, 20.0, 50.0])
@pytest.mark.parametrize("angle", [0.0, 90.0, 170.0])
def test_the_pose_is_that_of_the_face_in_the_frame(yaw: float, angle: float):
    pose = face_pose(face_at(300, 200, yaw=yaw, angle=angle))
    assert pose is not None
    assert abs(abs(pose[1]) - abs(yaw)) < 12
    assert pose[2] == pytest.approx(angle, abs=6)
    assert face_pose(replace(GOOD, landmarks=None)) is None
    assert face_pose(replace(GOOD, landmarks=np.zeros((68, 2)))) is None


def test_changes_at_a_cut_or_a_gap_are_expected():
    faces = [[GOOD]] * 3 + [[face_at(500, 300, 160)]] * 3
    frames = clip(faces, looks=[look(50)] * 3 + [look(160)] * 3)
    coverage = measure_coverage(frames)
    assert (coverage.found, coverage.cuts) == ({}, (3,))
    del frames[2]
    assert measure_coverage([replace(f, look=b"") for f in frames]).cuts == (2,)


# -- as text and JSON ------------------------------------------------------------------------------
def gaps() -> list[FrameRecord]:
    faces = [[] if i in (3, 4, 5, 9) else [GOOD] for i in range(12)]
    return clip(faces)


def test_text_gives_ranges_by_name():
    lines = measure_coverage(gaps()[::-1]).lines()
    assert lines == [
        "no face: 4 frames (00004–00006, 00010)",
        "count changes: 4 frames (00004, 00007, 00010–00011)",
    ]


def test_many_ranges_are_cut_short_unless_all_are_asked_for():
    frames = clip([[] if i % 2 else [GOOD] for i in range(40)])
    coverage = measure_coverage(frames)
    assert coverage.lines()[0].endswith("00010, 00012 and 14 more)")
    assert coverage.lines(all_of_them=True)[0].endswith("00040)")


def test_json_is_what_redo_takes(tmp_path: Path):
    coverage = measure_coverage(gaps())
    path = tmp_path / "coverage.json"
    path.write_text(json.dumps(coverage.as_dict()), encoding="utf-8")
    assert coverage.as_dict()["findings"][0]["ranges"] == [
        ["00004.png", "00006.png"],
        ["00010.png", "00010.png"],
    ]
    names = read_redo(path)
    assert sorted(names) == [f"{i:05d}.png" for i in (4, 5, 6, 7, 10, 11)]
    assert sorted(names) == [frame.name for frame in coverage.redo]


def test_findings_that_are_no_errors_are_not_done_again(tmp_path: Path):
    coverage = measure_coverage(clip([[GOOD, face_at(100, 100)]] * 3))
    path = tmp_path / "coverage.json"
    path.write_text(json.dumps(coverage.as_dict()), encoding="utf-8")
    with pytest.raises(UsageError, match="names no frame"):
        read_redo(path)


@pytest.mark.parametrize("text", ["", "[]", '{"format": "dfl_tf coverage"}', '{"format": 1}'])
def test_another_file_is_one_clear_error(tmp_path: Path, text: str):
    path = tmp_path / "coverage.json"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(WorkspaceError, match=r"coverage\.json: cannot be read as a coverage"):
        read_redo(path)


def test_no_frames_are_no_findings():
    coverage = measure_coverage([])
    assert coverage.lines() == []
    assert coverage.as_dict()["findings"] == []


# -- as thumbnails ---------------------------------------------------------------------------------
def test_the_strip_has_a_row_a_kind_and_draws_what_was_found():
    frames = gaps()
    coverage = measure_coverage(frames)
    gray = np.full((480, 640, 3), 90, np.uint8)
    strip = coverage_strip(coverage, lambda frame: gray, each=3)
    assert strip is not None
    height = WIDTH * 480 // 640
    assert strip.shape[1] == 3 * (WIDTH + 4) + 4
    assert strip.shape[0] == 2 * (height + 18 + 4) + 4
    assert coverage_strip(coverage, lambda frame: None) is None
    assert coverage_strip(measure_coverage([]), lambda frame: gray) is None


def test_a_thumbnail_shows_box_and_landmarks():
    gray = np.full((480, 640, 3), 90, np.uint8)
    small = thumbnail(gray, [GOOD], 320)
    assert small.shape == (240, 320, 3)
    assert small[75, 150].tolist() == small[125, 127].tolist() == [255, 96, 0]
    green = (small[:, :, 1].astype(int) - small[:, :, 0]) > 60
    rows, columns = np.nonzero(green)
    points = GOOD.landmarks / 2  # type: ignore[operator]
    np.testing.assert_allclose(
        (columns.min(), columns.max()), (points[:, 0].min(), points[:, 0].max()), atol=2
    )
    np.testing.assert_allclose(
        (rows.min(), rows.max()), (points[:, 1].min(), points[:, 1].max()), atol=2
    )
    assert (thumbnail(gray, []) == 90).all()


def test_every_kind_says_what_it_means():
    assert len({kind.name for kind in KINDS}) == len(KINDS)
    assert all(kind.meaning for kind in KINDS)
