"""Landmarks become steady, do not lag, and do not leave their track."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import replace

import cv2
import numpy as np
import numpy.typing as npt
import pytest

from dfl_tf.extract.found import Detection, Image, Landmarks
from dfl_tf.extract.records import FrameRecord
from dfl_tf.extract.smoothing import jitters, smooth_points, smooth_tracks, steady_landmarks
from dfl_tf.extract.tracks import assign_tracks
from tests.extract.clips import HEAD, box_at, clip, face_at, look

Floats = npt.NDArray[np.float64]

FRAMES = 60
TIME = np.arange(FRAMES, dtype=np.float64)[:, None, None]
STILL = np.repeat(HEAD[None, :, :2] * 100 + 200, FRAMES, axis=0)


def noise(scale: float = 0.5, seed: int = 5) -> Floats:
    return np.random.default_rng(seed).normal(0, scale, STILL.shape)


def jitter(points: Floats, truth: Floats) -> float:
    """Mean change from frame to frame that the truth does not have, in pixels."""
    return float(np.linalg.norm(np.diff(points - truth, axis=0), axis=-1).mean())


def lag(points: Floats, truth: Floats) -> float:
    """How far points lie behind a moving truth, in pixels along its way."""
    way = np.gradient(truth, axis=0)
    way /= np.linalg.norm(way, axis=-1, keepdims=True)
    return float(((truth - points) * way).sum(axis=-1).mean())


# -- the filter ------------------------------------------------------------------------------------
def test_a_still_face_becomes_steady():
    before = jitter(STILL + noise(), STILL)
    after = jitter(smooth_points(STILL + noise()), STILL)
    assert after < before / 3


@pytest.mark.parametrize("speed", [0.3, 3.0, 12.0])
def test_a_face_that_moves_evenly_or_ever_faster_does_not_lag(speed: float):
    for way in (speed * TIME, speed * TIME + 0.02 * speed * TIME**2):
        truth = STILL + way * np.array((1.0, 0.5))
        np.testing.assert_allclose(smooth_points(truth), truth, atol=1e-6)
        found = smooth_points(truth + noise())
        assert abs(lag(found, truth)) < 0.05
        assert jitter(found, truth) < jitter(truth + noise(), truth) / 3


def test_a_swinging_face_does_not_lag():
    truth = STILL + 40 * np.sin(TIME / 6) * np.array((1.0, 0.3))
    found = smooth_points(truth + noise(0.3))
    shifts = {}
    for frames in (-1, 0, 1):
        shifted = np.roll(truth, frames, axis=0)[5:-5]
        shifts[frames] = float(np.abs(found[5:-5] - shifted).mean())
    assert shifts[0] < shifts[1] / 5
    assert shifts[0] < shifts[-1] / 5
    assert abs(lag(found[5:-5], truth[5:-5])) < 0.05


def test_time_can_run_backwards():
    points = STILL + np.cumsum(noise(2.0), axis=0)
    np.testing.assert_allclose(smooth_points(points[::-1])[::-1], smooth_points(points), atol=1e-9)


def test_a_blink_stays():
    truth = STILL.copy()
    truth[30:33, 36:48, 1] += np.array([4.0, 8.0, 4.0])[:, None]
    found = smooth_points(truth + noise(0.3))
    assert (found[31, 36:48, 1] - STILL[31, 36:48, 1]).mean() > 8 - 3.5 * 0.3


def test_short_tracks_are_left_as_they_are():
    points = (STILL + noise())[:4]
    assert smooth_points(points) is points
    for length in (5, 6, 7, 8):
        assert smooth_points((STILL + noise())[:length]).shape == (length, 68, 2)


# -- along tracks ----------------------------------------------------------------------------------
def trembling(count: int = 24, **keys: object) -> list[FrameRecord]:
    rng = np.random.default_rng(2)
    frames = clip([[face_at(300, 200)] for _ in range(count)], **keys)  # type: ignore[arg-type]
    return [
        replace(
            frame,
            faces=tuple(
                replace(face, landmarks=face.landmarks + rng.normal(0, 0.5, (68, 2)))
                for face in frame.faces
                if face.landmarks is not None
            ),
        )
        for frame in frames
    ]


def points_of(frames: Sequence[FrameRecord]) -> Floats:
    return np.stack([frame.faces[0].landmarks for frame in frames])  # type: ignore[arg-type]


def test_each_side_of_a_cut_is_filtered_alone():
    looks = [look(50)] * 12 + [look(150)] * 12
    frames = assign_tracks(trembling(looks=looks))
    found = points_of(smooth_tracks(frames))
    for part in (slice(0, 12), slice(12, 24)):
        np.testing.assert_array_equal(found[part], smooth_points(points_of(frames)[part]))


@pytest.mark.parametrize("kind", ["cut", "gap", "missing", "track"])
def test_nothing_is_filtered_across_a_break_whatever_the_tracks_say(kind: str):
    looks = [look(50)] * 12 + [look(150 if kind == "cut" else 50)] * 12
    frames = [
        replace(frame, faces=(replace(frame.faces[0], track=0),))
        for frame in trembling(looks=looks)
    ]
    if kind == "gap":
        del frames[11]
    if kind == "missing":
        frames[11] = replace(frames[11], faces=())
    if kind == "track":
        frames[12:] = [
            replace(frame, faces=(replace(frame.faces[0], track=1),)) for frame in frames[12:]
        ]
    far = [
        replace(
            frame,
            faces=tuple(replace(f, landmarks=f.landmarks + 500) for f in frame.faces),  # type: ignore[operator]
        )
        if frame.number > 12
        else frame
        for frame in frames
    ]
    first = slice(0, 11)
    np.testing.assert_array_equal(
        points_of(smooth_tracks(frames)[first]), points_of(smooth_tracks(far)[first])
    )


def test_frames_that_the_user_gave_are_not_changed():
    frames = assign_tracks(trembling())
    frames[8] = replace(frames[8], given=1)
    found = smooth_tracks(frames)
    assert found[8].faces[0].landmarks is frames[8].faces[0].landmarks
    assert found[9].faces[0].landmarks is not frames[9].faces[0].landmarks


def test_the_order_of_the_list_does_not_matter():
    frames = assign_tracks(trembling())
    expected = {f.name: f.faces[0].landmarks for f in smooth_tracks(frames)}
    random.Random(4).shuffle(frames)
    for frame in smooth_tracks(frames):
        np.testing.assert_array_equal(frame.faces[0].landmarks, expected[frame.name])


def test_faces_without_track_or_landmarks_are_left_alone():
    frames = trembling()
    assert points_of(smooth_tracks(frames)).tolist() == points_of(frames).tolist()
    bare = [replace(f, faces=(replace(f.faces[0], landmarks=None, track=0),)) for f in frames]
    assert all(f.faces[0].landmarks is None for f in smooth_tracks(bare))


# -- over crops ------------------------------------------------------------------------------------
class Corners:
    """A landmarker that finds the marked corners of a drawn face, with an error of the crop's own.

    It answers in whole pixels of a grid over the box, as heat maps do.
    """

    name, version = "corners", ""

    def __init__(self, cell: float = 8.0) -> None:
        self.cell, self.calls = cell, 0

    def find(self, image: Image, detections: Sequence[Detection]) -> list[Landmarks | None]:
        self.calls += 1
        return [self._one(image, detection) for detection in detections]

    def _one(self, image: Image, detection: Detection) -> Landmarks | None:
        ys, xs = np.nonzero(image[:, :, 2] > 128)
        if not len(xs):
            return None
        turn = cv2.minAreaRect(np.stack((xs, ys), axis=1).astype(np.float32))
        center = np.array(turn[0])
        start = np.array(detection.box[:2])
        snapped = start + np.round((center - start) / self.cell) * self.cell
        return Landmarks(HEAD[:, :2] * 100 + snapped, 2.0)


def drawn(x: float, y: float) -> Image:
    image = np.zeros((480, 640, 3), np.uint8)
    center = round(x * 16), round(y * 16)
    cv2.circle(image, center, 10 * 16, (0, 0, 255), -1, cv2.LINE_AA, 4)
    return image


def test_the_mean_over_crops_is_steadier_than_one_answer():
    one, many = [], []
    rng = np.random.default_rng(1)
    for i in range(24):
        x, y = 300 + 0.7 * i, 200 + 0.3 * i
        away = rng.uniform(-3, 3, 2)  # boxes of detectors tremble
        image, box = drawn(x, y), box_at(x + away[0], y + away[1], 171)
        view = Detection(box, 1.0)
        first = Corners().find(image, [view])[0]
        assert first is not None
        steady = steady_landmarks(image, box, first, Corners())
        one.append(first.points.mean(axis=0) - (x, y))
        many.append(steady.points.mean(axis=0) - (x, y))
    assert np.std(many, axis=0).max() < np.std(one, axis=0).max() / 2
    assert steady.score == 2.0


def test_jitters_are_balanced_and_the_same_each_time():
    for count in (4, 8, 16):
        found = jitters(count)
        assert found == jitters(count)
        assert sum(j.x for j in found) == pytest.approx(0)
        assert sum(j.y for j in found) == pytest.approx(0)
        assert math.prod(j.scale for j in found) == pytest.approx(1)
        assert sum(j.angle for j in found) == pytest.approx(0)


def test_where_most_crops_give_nothing_the_first_landmarks_stay():
    first = Landmarks(HEAD[:, :2] * 100 + 300)
    black = np.zeros((480, 640, 3), np.uint8)
    assert steady_landmarks(black, box_at(300, 300), first, Corners()) is first
    far = steady_landmarks(drawn(340, 300), box_at(300, 300), first, Corners())
    assert far is first
    assert steady_landmarks(black, (5, 5, 5, 5), first, Corners()) is first


@pytest.mark.parametrize("quarter", [0, 1, 2, 3])
def test_a_lying_face_is_shown_upright_with_its_own_box(quarter: int):
    class Upright:
        name, version = "upright", ""

        def find(self, image: Image, detections: Sequence[Detection]) -> list[Landmarks | None]:
            left, top, right, bottom = detections[0].box
            assert bottom - top > 1.9 * (right - left)
            assert image.shape == (512, 512, 3)
            points = HEAD[:, :2] * 100 + 256
            return [Landmarks(points)]

    turn = np.linalg.matrix_power(np.array(((0.0, -1.0), (1.0, 0.0))), quarter)
    width, height = ((60, 120), (120, 60))[quarter % 2]
    box = (320 - width / 2, 240 - height / 2, 320 + width / 2, 240 + height / 2)
    scale = 3 * 120 / 512
    first = Landmarks((HEAD[:, :2] * 100 * scale) @ turn.T + (320, 240))
    steady = steady_landmarks(np.zeros((480, 640, 3), np.uint8), box, first, Upright())
    np.testing.assert_allclose(steady.points, first.points, atol=0.6)
