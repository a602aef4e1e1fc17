"""Settings over ranges of frames: changed, kept on disk, written for `dfl-tf merge`."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import pytest

from dfl_tf.errors import DflTfError, OptionError, UsageError, WorkspaceError
from dfl_tf.formats.sessions.merge_session import read_merge_session
from dfl_tf.merge.tuner.timeline import FrameSpan, SettingsTimeline
from dfl_tf.merge.tuner.tuning_file import (
    CONFIG,
    FRAME_CONFIG,
    OutdatedError,
    TuningFile,
    save_settings,
    saved_settings,
    session_settings,
)
from dfl_tf.options import MergeOptions, default

SESSION = Path(__file__).resolve().parents[1] / "golden" / "formats" / "sample_merger_session.dat"
NAMES = [f"{i:05d}.png" for i in range(1, 11)]


def spans(timeline):
    return [(s.first, s.last, dict(s.values)) for s in timeline.segments]


def test_a_setting_of_all_frames_leaves_those_with_their_own():
    timeline = (
        SettingsTimeline()
        .changed({"mode": "seamless"}, (3, 5))
        .changed({"mode": "hist-match"}, None)
    )
    modes = [timeline.at(frame).mode for frame in (1, 2, 3, 5, 6)]
    assert modes == ["hist-match", "hist-match", "seamless", "seamless", "hist-match"]
    again = timeline.changed({"mode": None}, None)
    assert (again.at(1).mode, again.at(4).mode) == ("overlay", "seamless")


@pytest.mark.parametrize(
    ("span", "expected"),
    [
        ((1, 2), [(1, 2, {"b": 9}), (3, 4, {"e": 1}), (7, 8, {"e": 2})]),
        ((2, 3), [(2, 2, {"b": 9}), (3, 3, {"e": 1, "b": 9}), (4, 4, {"e": 1}), (7, 8, {"e": 2})]),
        ((4, 7), [(3, 3, {"e": 1}), (4, 4, {"e": 1, "b": 9}), (5, 6, {"b": 9}),
                  (7, 7, {"e": 2, "b": 9}), (8, 8, {"e": 2})]),
        ((1, 10), [(1, 2, {"b": 9}), (3, 4, {"e": 1, "b": 9}), (5, 6, {"b": 9}),
                   (7, 8, {"e": 2, "b": 9}), (9, 10, {"b": 9})]),
        ((5, 6), [(3, 4, {"e": 1}), (5, 6, {"b": 9}), (7, 8, {"e": 2})]),
    ],
)  # fmt: skip
def test_a_range_changes_what_lies_in_it_and_nothing_else(span, expected):
    names = {"e": "erode_mask_modifier", "b": "blur_mask_modifier"}
    start = SettingsTimeline().changed({names["e"]: 1}, (3, 4)).changed({names["e"]: 2}, (7, 8))
    changed = start.changed({names["b"]: 9}, span)
    assert spans(changed) == [
        (first, last, {names[key]: value for key, value in values.items()})
        for first, last, values in expected
    ]
    for frame in range(1, 12):
        inside = span[0] <= frame <= span[1]
        assert changed.at(frame).blur_mask_modifier == 9 * inside
        assert changed.at(frame).erode_mask_modifier == start.at(frame).erode_mask_modifier
    assert changed.changed({names["b"]: None}, span) == start


def test_equal_neighbors_are_one_segment():
    timeline = SettingsTimeline()
    for frame in (2, 4, 3):
        timeline = timeline.changed({"erode_mask_modifier": 5}, (frame, frame))
    assert spans(timeline) == [(2, 4, {"erode_mask_modifier": 5})]


@pytest.mark.parametrize(
    ("values", "span", "text"),
    [
        ({"mode": "overlaid"}, None, 'did you mean "overlay"?'),
        ({"blur_mask_modifier": 401}, (1, 2), r"outside 0 … 400 \(from frames 1:2\)"),
        ({"nose": 1}, (1, 2), "nose"),
        ({"morph": 0.5}, (1, 2), "frames 1:2: morph is one value for all frames"),
        ({"mode": "original"}, (3, 2), "frames 3:2: give the first and the last one"),
    ],
)
def test_wrong_changes_are_refused(values, span, text):
    with pytest.raises(OptionError, match=text):
        SettingsTimeline().changed(values, span)


def test_the_most_common_settings_are_those_of_all_frames():
    usual, other = default(MergeOptions, mode="seamless"), default(MergeOptions)
    timeline = SettingsTimeline.of_frames([other, usual, usual, usual, other, other])
    assert timeline.base == usual or timeline.base == other
    assert [timeline.at(i) for i in range(1, 7)] == [other, usual, usual, usual, other, other]
    assert len(timeline.segments) in (1, 2)


def test_files_say_the_same_to_a_merge(tmp_path):
    timeline = (
        SettingsTimeline()
        .changed({"mode": "hist-match", "masked_hist_match": False}, None)
        .changed({"erode_mask_modifier": -12}, (2, 4))
        .changed({"color_transfer_mode": "mix-m"}, (4, 9))
    )
    written = save_settings(timeline, tmp_path)
    assert [path.name for path in written] == [CONFIG, FRAME_CONFIG]
    found = saved_settings(tmp_path).resolve([Path(name) for name in NAMES])
    assert found == [timeline.at(i) for i in range(1, 11)]
    file = TuningFile(tmp_path / "t.json", NAMES)
    assert not file.agrees("A", saved_settings(tmp_path))
    file.take("A", saved_settings(tmp_path), 0)
    assert file.agrees("A", saved_settings(tmp_path))
    # No older file of single frames may go on to hold.
    assert [path.name for path in save_settings(SettingsTimeline(), tmp_path)] == [
        CONFIG,
        FRAME_CONFIG,
    ]
    assert file.agrees("B", saved_settings(tmp_path))


def test_one_file_is_enough_where_no_frame_differs(tmp_path):
    assert [path.name for path in save_settings(SettingsTimeline(), tmp_path)] == [CONFIG]
    assert saved_settings(tmp_path).resolve([Path("1.png")]) == [MergeOptions()]


def test_each_change_is_on_disk(tmp_path):
    path = tmp_path / "new_SAEHD_merge_tuner.json"
    file = TuningFile(path, NAMES)
    assert not path.exists()
    file.change("A", {"mode": "seamless"}, None, 0)
    file.change("A", {"erode_mask_modifier": 3}, (2, 5), 1)
    file.copy("A", "B", 2)
    tuning = file.change("B", {"erode_mask_modifier": None}, (2, 5), 3)
    assert tuning.revision == 4
    again = TuningFile(path, NAMES).tuning
    assert again.revision == 4
    assert dict(again.slots) == dict(tuning.slots)
    assert spans(again.slots["A"]) == [(2, 5, {"erode_mask_modifier": 3})]
    assert spans(again.slots["B"]) == []
    assert again.notes == ()


def test_a_change_of_older_settings_is_refused(tmp_path):
    path = tmp_path / "t.json"
    file = TuningFile(path, NAMES)
    file.change("A", {"mode": "seamless"}, None, 0)
    before = path.read_bytes()
    with pytest.raises(OutdatedError, match="changed meanwhile"):
        file.change("A", {"mode": "original"}, None, 0)
    with pytest.raises(UsageError, match="there are 10"):
        file.change("A", {"mode": "original"}, (9, 11), 1)
    with pytest.raises(UsageError, match="A and B"):
        file.copy("A", "C", 1)
    assert path.read_bytes() == before
    assert file.tuning.slots["A"].base.mode == "seamless"


def test_read_only_writes_nothing(tmp_path):
    file = TuningFile(tmp_path / "t.json", NAMES, read_only=True)
    assert file.change("A", {"mode": "seamless"}, None, 0).slots["A"].base.mode == "seamless"
    assert not list(tmp_path.iterdir())


def test_other_frames_are_said(tmp_path):
    path = tmp_path / "t.json"
    TuningFile(path, NAMES).change("A", {"erode_mask_modifier": 3}, (2, 9), 0)
    tuning = TuningFile(path, NAMES[:6]).tuning
    assert "made for 10 frames (00001.png … 00010.png); the folder has 6" in tuning.notes[0]
    assert spans(tuning.slots["A"]) == [(2, 6, {"erode_mask_modifier": 3})]


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("format", "something else"),
        ("version", 2),
        ("revision", -1),
        ("slots", {}),
        ("slots", {"A": {"base": {}, "segments": [{"first": 0, "last": 1, "values": {}}]}}),
    ],
)
def test_a_damaged_file_is_named_and_left(tmp_path, key, value):
    path = tmp_path / "t.json"
    TuningFile(path, NAMES).change("A", {"mode": "seamless"}, None, 0)
    content = json.loads(path.read_text()) | {key: value}
    path.write_text(json.dumps(content))
    with pytest.raises(WorkspaceError, match=r"t\.json.*Move it away"):
        TuningFile(path, NAMES)
    assert json.loads(path.read_text()) == content


def test_wrong_values_in_the_file_are_named(tmp_path):
    path = tmp_path / "t.json"
    TuningFile(path, NAMES).change("A", {"mode": "seamless"}, None, 0)
    path.write_text(path.read_text().replace("seamless", "seamles"))
    with pytest.raises(DflTfError, match="seamles"):
        TuningFile(path, NAMES)


def test_a_legacy_session_becomes_a_timeline(tmp_path):
    session = read_merge_session(SESSION)
    names = [frame.filename for frame in session.frames]
    settings = session_settings(SESSION)
    file = TuningFile(tmp_path / "t.json", names)
    timeline = file.take("B", settings, 0).slots["B"]
    expected = settings.resolve([Path(name) for name in names])
    assert [timeline.at(i + 1) for i in range(len(names))] == expected
    assert len({repr(asdict(each)) for each in expected}) > 1, "the sample says nothing else"
    with pytest.raises(OptionError, match="same frames"):
        TuningFile(tmp_path / "u.json", NAMES).take("A", settings, 0)


def test_segments_of_nothing_are_not_kept():
    timeline = SettingsTimeline(segments=(FrameSpan(2, 3, {"erode_mask_modifier": 1}),))
    assert timeline.changed({"erode_mask_modifier": None}, (1, 4)) == SettingsTimeline()
