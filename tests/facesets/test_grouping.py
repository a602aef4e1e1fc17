"""Groups of persons: what complete linkage promises, and what faces of one frame mean."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.distance import cdist

from dfl_tf.facesets.grouping import group_faces, threshold_of


def persons(count: int, each: int, *, spread: float = 0.1, seed: int = 0) -> np.ndarray:
    """`each` vectors around each of `count` centers, taking turns; shape (count * each, 128)."""
    rng = np.random.Generator(np.random.PCG64(seed))
    centers = rng.normal(size=(count, 128))
    centers /= np.linalg.norm(centers, axis=1, keepdims=True)
    noise = rng.normal(size=(each, count, 128)) * spread / np.sqrt(128)
    return (centers + noise).reshape(-1, 128)


def members(grouping) -> list[list[int]]:
    return [sorted(group.members) for group in grouping.groups]


def test_persons_are_told_apart_and_the_largest_group_comes_first():
    vectors = np.concatenate([persons(3, 4), persons(3, 4)[:1]])
    grouping = group_faces(vectors, threshold=0.6)
    assert members(grouping) == [[0, 3, 6, 9, 12], [1, 4, 7, 10], [2, 5, 8, 11]]
    assert list(grouping.numbers) == [1, 2, 3] * 4 + [1]
    first = grouping.groups[0]
    assert first.distances == sorted(first.distances)
    assert first.distances[0] == 0
    assert first.nearest in (2, 3)
    assert first.nearest_distance > 0.6


def test_no_two_faces_of_a_group_are_farther_apart_than_the_threshold():
    vectors = persons(2, 40, spread=0.5)
    grouping = group_faces(vectors, threshold=0.68)
    assert len(grouping.groups) > 2
    for group in grouping.groups:
        largest = cdist(vectors[group.members], vectors[group.members]).max()
        assert largest <= 0.68
        assert group.spread == pytest.approx(largest)


def test_two_faces_of_one_frame_are_never_one_person():
    vectors = persons(1, 4, spread=0.01)
    boxes = np.array([(0, 0, 10, 10), (50, 0, 60, 10), (0, 0, 10, 10), (50, 0, 60, 10)], float)
    frames = ["1.png", "1.png", "2.png", "2.png"]
    grouping = group_faces(vectors, threshold=0.6, frames=frames, boxes=boxes)
    assert all(len(group.members) == 2 for group in grouping.groups)
    assert all({0, 1} - set(group.members) for group in grouping.groups)


def test_a_copy_of_a_face_is_no_second_person():
    vectors = persons(1, 2, spread=0.01)
    boxes = np.array([(0, 0, 10, 10), (1, 0, 11, 10)], float)
    grouping = group_faces(vectors, threshold=0.6, frames=["1.png"] * 2, boxes=boxes)
    assert members(grouping) == [[0, 1]]


def test_faces_without_a_known_frame_may_be_one_person():
    vectors = persons(1, 3, spread=0.01)
    grouping = group_faces(vectors, threshold=0.6, frames=["", "", ""])
    assert members(grouping) == [[0, 1, 2]]


def test_beyond_the_exact_number_the_rest_is_assigned_to_the_groups_of_a_sample():
    vectors = persons(3, 40)
    newcomer = persons(1, 2, seed=9)
    vectors = np.concatenate([vectors[:61], newcomer, vectors[61:]])
    whole = group_faces(vectors, threshold=0.6)
    sampled = group_faces(vectors, threshold=0.6, exact=30)
    assert (whole.sampled, sampled.sampled) == (0, 30)
    assert {tuple(m) for m in members(sampled)} == {tuple(m) for m in members(whole)}


def test_assignment_keeps_faces_of_one_frame_apart():
    vectors = persons(1, 8, spread=0.01)
    frames = [f"{i // 2}.png" for i in range(8)]
    boxes = np.array([(0, 0, 10, 10), (50, 0, 60, 10)] * 4, float)
    grouping = group_faces(vectors, threshold=0.6, frames=frames, boxes=boxes, exact=3)
    assert sorted(i for group in grouping.groups for i in group.members) == list(range(8))
    for group in grouping.groups:
        assert len({frames[i] for i in group.members}) == len(group.members)


def test_faces_without_a_vector_are_in_no_group():
    vectors = persons(1, 3)
    vectors[1] = np.nan
    grouping = group_faces(vectors, threshold=0.6)
    assert members(grouping) == [[0, 2]]
    assert list(grouping.numbers) == [1, 0, 1]
    assert group_faces(vectors[1:2], threshold=0.6).groups == []


def test_strictness_makes_the_threshold_smaller():
    assert threshold_of(0.5, 0.6) == pytest.approx(0.6)
    assert threshold_of(1.0, 0.6) == pytest.approx(0.3)
    assert threshold_of(0.0, 0.6) == pytest.approx(0.9)
