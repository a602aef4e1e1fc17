"""Tracks follow one face, and never jump."""

from __future__ import annotations

import random
from dataclasses import replace

import cv2
import numpy as np
import pytest

from dfl_tf.extract.cuts import continued, find_cuts, frame_look
from dfl_tf.extract.records import FrameRecord
from dfl_tf.extract.tracks import assign_tracks, same_faces
from tests.extract.clips import box_at, clip, face_at, look


def tracks_of(frames: list[FrameRecord]) -> list[list[int]]:
    return [[face.track for face in frame.faces] for frame in assign_tracks(frames)]


def test_two_faces_keep_their_tracks_whatever_their_order():
    left, right = face_at(150, 200), face_at(450, 200, 120)
    frames = clip([[right, left], [left, right], [right, left]])
    assert tracks_of(frames) == [[0, 1], [1, 0], [0, 1]]


def test_a_moving_face_is_one_track():
    frames = clip([[face_at(100 + 20 * i, 200, 100 + 2 * i)] for i in range(15)])
    assert tracks_of(frames) == [[0]] * 15


def test_a_face_that_is_missing_once_begins_a_new_track():
    face = face_at(300, 200)
    assert tracks_of(clip([[face], [face], [], [face]])) == [[0], [0], [], [1]]


def test_a_jump_and_a_change_of_size_begin_new_tracks():
    frames = clip([[face_at(100, 200)], [face_at(200, 200)], [face_at(200, 200, 150)]])
    assert tracks_of(frames) == [[0], [1], [2]]


def test_a_missing_frame_ends_a_track():
    frames = clip([[face_at(300, 200)]] * 6)
    del frames[3]
    assert tracks_of(frames) == [[0], [0], [0], [1], [1]]


def test_frames_of_a_longer_step_are_followed():
    frames = clip([[face_at(300, 200)]] * 5, name=lambda i: f"{i * 10:05d}.png")
    assert tracks_of(frames) == [[0]] * 5


@pytest.mark.parametrize("names", [("anna", "bert"), ("a1", "b2"), ("1_1", "2_2"), ("5", "5_1")])
def test_unrelated_images_share_no_track(names: tuple[str, str]):
    frames = clip([[face_at(300, 200)]] * 2, name=lambda i: names[i - 1] + ".jpg")
    assert tracks_of(frames) == [[0], [1]]


def test_frames_of_another_size_end_a_track():
    frames = clip([[face_at(300, 200)]] * 2)
    frames[1] = replace(frames[1], height=720)
    assert tracks_of(frames) == [[0], [1]]


def test_a_track_never_jumps_over_a_cut():
    shades = [look(60 + i % 3) for i in range(5)] + [look(160 + i % 3) for i in range(5)]
    frames = clip([[face_at(300, 200)]] * 10, looks=shades)
    assert tracks_of(frames) == [[0]] * 5 + [[1]] * 5


def test_a_pan_and_noise_are_no_cuts():
    ramp = np.linspace(0, 255, 400).astype(np.uint8)
    pan = [
        frame_look(np.repeat(np.repeat(ramp[None, 25 * i : 25 * i + 100], 80, 0)[..., None], 3, 2))
        for i in range(10)
    ]
    assert not any(find_cuts(pan))
    assert not any(find_cuts([look(100), look(112), look(100)]))
    assert find_cuts([]) == []
    assert find_cuts([b"", look(10), b"", look(200)]) == [False] * 4


def test_cuts_of_real_images_are_found():
    rng = np.random.default_rng(3)
    shots = [cv2.resize(rng.integers(0, 256, (4, 6, 3), np.uint8), (300, 200)) for _ in range(3)]
    looks = []
    for shot in shots:
        for shift in range(4):
            noise = rng.normal(0, 6, shot.shape)
            moved = np.roll(shot, 3 * shift, axis=1) + noise
            looks.append(frame_look(np.clip(moved, 0, 255).astype(np.uint8)))
    assert [i for i, cut in enumerate(find_cuts(looks)) if cut] == [4, 8]


def test_faces_that_pass_each_other_never_swap_tracks():
    """Two faces cross; whoever is tracked at an end, its track holds only its own faces."""
    for speed in (4, 9, 15, 30):
        for apart in (0, 20, 45):
            owners: dict[int, set[str]] = {}
            frames, names = [], []
            for i in range(int(400 / speed)):
                a = face_at(120 + speed * i, 200)
                b = face_at(520 - speed * i, 200 + apart)
                seen = [("a", a), ("b", b)]
                if abs(a.box[0] - b.box[0]) < 50:  # the one behind is hidden
                    seen = seen[:1]
                random.Random(i).shuffle(seen)
                names.append([n for n, _ in seen])
                frames.append([f for _, f in seen])
            for owner, numbers in zip(names, tracks_of(clip(frames)), strict=True):
                for name, number in zip(owner, numbers, strict=True):
                    owners.setdefault(number, set()).add(name)
            assert all(len(found) == 1 for found in owners.values()), (speed, apart)


def test_frames_are_followed_by_their_numbers_in_any_order_of_the_list():
    frames = clip(
        [[face_at(100 + 25 * i, 200)] for i in range(8)], name=lambda i: f"{99_995 + i}.png"
    )
    expected = {f.name: f.faces[0].track for f in assign_tracks(frames)}
    shuffled = frames[:]
    random.Random(1).shuffle(shuffled)
    found = assign_tracks(shuffled)
    assert [f.name for f in found] == [f.name for f in shuffled]
    assert {f.name: f.faces[0].track for f in found} == expected == dict.fromkeys(expected, 0)


def test_boxes_of_no_size_match_nothing():
    point = (5.0, 5.0, 5.0, 5.0)
    assert same_faces([point], [point, box_at(5, 5)]) == [None, None]
    assert same_faces([], [point]) == [None]


def test_no_frame_continues_nothing():
    assert continued([]) == []
    assert assign_tracks([]) == []
