"""Faces like one person and unlike another: distances, thresholds, whole tracks."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

import dfl_tf
from dfl_tf.data.identity import Embedder
from dfl_tf.errors import UsageError
from dfl_tf.facesets.likeness import (
    NO_FACE,
    SEVERAL,
    decide,
    propose_threshold,
    reference_vectors,
)
from dfl_tf.formats import read_pak

DEMO = Path(dfl_tf.__file__).parent / "demo_data" / "data_src" / "aligned"


class MeanColor(Embedder):
    name, key, length, scale = "mean color", "color", 3, 0.6

    def vector(self, face):
        return face.image.mean(axis=(0, 1)) / 255


def column(*values: float) -> np.ndarray:
    return np.array(values, float)[:, None]


def test_faces_within_the_threshold_of_any_wanted_image_are_kept():
    made = decide(column(0, 0.5, 2, 5.1), like=column(0, 5), scale=0.6)
    assert list(made.kept) == [True, True, False, True]
    assert 0.5 < made.threshold < 2
    assert made.threshold == made.proposed


def test_a_face_nearer_to_an_unwanted_image_is_dropped():
    made = decide(column(0, 0.3, 0.5), like=column(0), unlike=column(0.5), scale=0.6)
    assert list(made.kept) == [True, False, False]


def test_with_unwanted_images_only_all_others_stay():
    made = decide(column(0, 0.2, 3), unlike=column(0), scale=0.6)
    assert list(made.kept) == [False, False, True]
    assert np.isnan(made.like).all()


def test_a_track_is_kept_or_dropped_as_a_whole():
    vectors = column(0.1, 0.2, 2.0, 2.0, 2.1, 0.3, 0.0)
    tracks = [7, 7, 7, 8, 8, 8, -1]
    made = decide(vectors, like=column(0), scale=0.6, tracks=tracks)
    assert list(made.kept) == [True] * 3 + [False] * 3 + [True]
    assert made.like[2] == pytest.approx(0.2)


def test_faces_without_a_vector_are_not_kept():
    vectors = column(0, np.nan, 0)
    assert list(decide(vectors, like=column(0), scale=0.6).kept) == [True, False, True]
    assert list(decide(vectors, unlike=column(9), scale=0.6).kept) == [True, False, True]


def test_the_proposed_threshold_is_in_the_widest_gap_near_the_usual_distance():
    assert propose_threshold(np.array([0.1, 0.40, 0.45, 0.75, 0.8, 2]), 0.6) == pytest.approx(0.6)
    assert propose_threshold(np.array([0.4, 0.5, 0.52, 0.83]), 0.6) == pytest.approx(0.675)
    assert propose_threshold(np.array([0.1, 1.5, np.nan]), 0.6) == 0.6
    given = decide(column(0, 0.5), like=column(0), scale=0.6, threshold=0.4)
    assert list(given.kept) == [True, False]
    assert "threshold of 0.40; proposed" in given.lines()[-1]


def test_references_come_from_images_and_folders(tmp_path):
    pak = read_pak(DEMO / "faceset.pak")
    folder = tmp_path / "some"
    folder.mkdir()
    for index in range(2):
        (folder / pak[index].filename).write_bytes(pak.jpeg(index))
    plain = tmp_path / "plain.png"
    cv2.imwrite(str(plain), np.full((80, 80, 3), 90, np.uint8))
    landmarks = pak[0].metadata.landmarks
    vectors, left_out = reference_vectors(
        [folder, plain], MeanColor(), landmarks_of=lambda image: [landmarks, landmarks * 2]
    )
    assert vectors.shape == (3, 3)
    assert list(left_out.by_kind()) == [SEVERAL]
    vectors, left_out = reference_vectors([folder, plain], MeanColor())
    assert len(vectors) == 2
    assert list(left_out.by_kind()) == [NO_FACE]


def test_references_that_show_nobody_are_an_error(tmp_path):
    with pytest.raises(UsageError, match="there is no such image"):
        reference_vectors([tmp_path / "absent.jpg"], MeanColor())
    (tmp_path / "broken.png").write_bytes(b"\x89PNG")
    with pytest.raises(UsageError, match=r"no face was found in .*\n.*broken\.png"):
        reference_vectors([tmp_path], MeanColor())
