"""Which faces are measured, and as what arrays."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

import dfl_tf
from dfl_tf.data import Faceset
from dfl_tf.disk.left_out import LeftOut
from dfl_tf.errors import FacesetError
from dfl_tf.evaluate.duplicates import share_with_near_duplicate, small_copies
from dfl_tf.evaluate.samples import choose, landmarks_at, load
from dfl_tf.face import FaceType

FACES = Path(dfl_tf.__file__).parent / "demo_data/data_src/aligned"


class Named:
    """A faceset of names only."""

    def __init__(self, names: list[str], source: str = "{}.png") -> None:
        from dfl_tf.data.heldout import FaceOrigin

        self._origins = [FaceOrigin(f"{name}.jpg", source.format(name[:5])) for name in names]

    def origins(self):
        return self._origins

    def name(self, index: int) -> str:
        return self._origins[index].name


def test_pairs_are_next_frames_of_one_clip_with_one_face_each():
    # frame 3 has two faces, 5 is missing, and another clip has frames of the same names
    names = ["00001_0", "00002_0", "00003_0", "00003_1", "00004_0", "00006_0"]
    faces = Named([*names[::-1], "b_00001_0", "b_00002_0"], "{}.png")
    faces._origins[-2:] = [o._replace(source=o.name[2:7] + ".png") for o in faces._origins[-2:]]
    chosen = choose(faces)
    ordered = [faces.name(i)[:-4] for i in chosen.indices]
    assert ordered == ["b_00001_0", "b_00002_0", *names]
    assert list(chosen.follows) == [False, True, False, True, False, False, False, False]


def test_some_of_many_are_spread_in_pairs():
    faces = Named([f"{n:05d}_0" for n in range(1000)])
    chosen = choose(faces, most=20, embedded=5)
    assert len(chosen) == 20
    assert sum(chosen.follows) == 10
    assert min(chosen.indices) == 0
    assert max(chosen.indices) == 999
    assert sum(chosen.embedded) == 5
    assert len(choose(faces, most=2000)) == 1000
    assert not any(choose(faces, most=4).embedded)


def test_faces_are_as_they_are_trained_on_but_not_moved():
    faceset = Faceset.open(FACES).subset(range(6))
    left_out = LeftOut()
    first = list(load(faceset, choose(faceset), 64, FaceType.WHOLE_FACE, left_out=left_out))
    again = list(load(faceset, choose(faceset), 64, FaceType.WHOLE_FACE, left_out=left_out))
    assert len(first) == 6
    assert not left_out.as_dict()
    for one, other in zip(first, again, strict=True):
        np.testing.assert_array_equal(one.image, other.image)
        assert one.digest == other.digest
        assert one.image.shape == (64, 64, 3)
        assert one.mask.shape == (64, 64, 1)
        assert 0.1 < one.mask.mean() < 0.9
    assert len({sample.digest for sample in first}) == 6


def test_a_face_that_cannot_be_read_is_counted_and_breaks_its_pair(monkeypatch):
    faceset = Faceset.open(FACES).subset(range(4))
    damaged = faceset[1]

    def broken() -> bytes:
        raise FacesetError(f"{damaged.name}: it is gone")

    faceset._samples[1] = dataclasses.replace(damaged, read=broken)
    chosen = choose(faceset)
    assert list(chosen.follows) == [False, True, True, True]
    left_out = LeftOut()
    samples = list(load(faceset, chosen, 64, FaceType.WHOLE_FACE, left_out=left_out))
    assert [sample.follows for sample in samples] == [False, False, True]
    assert left_out.skipped == [(damaged.name, "it is gone")]


@pytest.mark.parametrize("face_type", [FaceType.WHOLE_FACE, FaceType.FULL])
def test_landmarks_follow_the_crop(face_type):
    face = Faceset.open(FACES)[0]
    assert face.face_type == FaceType.WHOLE_FACE
    points = landmarks_at(face, 80, face_type)
    nose, eyes = points[30], points[36:48].mean(axis=0)
    assert (points > -20).all()
    assert (points < 100).all()
    assert nose[1] > eyes[1]
    spread = np.ptp(points, axis=0) / np.ptp(face.landmarks, axis=0) * face.shape[0] / 80
    if face_type == face.face_type:
        np.testing.assert_allclose(spread, 1)
        np.testing.assert_allclose((points + 0.5) * face.shape[0] / 80 - 0.5, face.landmarks)
    else:
        assert (spread > 1.05).all()  # less of the head: a larger face


def test_near_duplicates_are_counted():
    rng = np.random.default_rng(0)
    trained = rng.integers(0, 256, (5000, 768), dtype=np.uint8)
    held = trained[[3, 4999]].copy()
    held[0] ^= 1  # one level of 255
    held[1, ::2] += 128
    assert share_with_near_duplicate(held, trained) == 0.5
    assert share_with_near_duplicate(held[:0], trained) == 0
    assert share_with_near_duplicate(held, trained[:0]) == 0
    faceset = Faceset.open(FACES)
    copies = small_copies(faceset, range(8))
    assert copies.shape == (8, 768)
    assert share_with_near_duplicate(copies, copies) == 1
