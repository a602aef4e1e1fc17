"""Filtering by measures, and near duplicates."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from dfl_tf.errors import UsageError
from dfl_tf.facesets.filter import Limits, near_duplicates_of, plan_filter
from dfl_tf.facesets.measure_cache import MeasureCache
from dfl_tf.facesets.rearranging import rearrange, take_back
from dfl_tf.facesets.sorting import MeasuredFaces
from tests.formats.samples import make_face, make_jpeg


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    faces = tmp_path / "aligned"
    faces.mkdir()
    for index in range(4):
        (faces / f"{index}.jpg").write_bytes(make_face(index))
    (faces / "other.jpg").write_bytes(make_jpeg())
    return faces


def measured(thumbnails: np.ndarray, **facts: list[float]) -> MeasuredFaces:
    """Faces with these thumbnails; all else alike unless it is given."""
    count = len(thumbnails)
    return MeasuredFaces(
        names=[str(i) for i in range(count)],
        is_face=np.ones(count, bool),
        columns={
            "thumbnail": thumbnails.astype(np.float64),
            "source_rect_size": np.array(facts.get("size", [1.0] * count)),
            "blur": np.array(facts.get("sharpness", [1.0] * count)),
        },
        labeled=np.array(facts.get("labeled", [0.0] * count), bool),
        pixels=np.array(facts.get("pixels", [1.0] * count), np.int64),
    )


def levels(*values: float) -> np.ndarray:
    return np.repeat(np.array(values)[:, None], 768, axis=1)


@pytest.mark.parametrize("count", [40, 1500])
def test_each_removed_face_lies_within_the_threshold_of_one_that_stays(count: int) -> None:
    rng = np.random.default_rng(count)
    points = rng.integers(0, 40, (count, 1)) + rng.normal(0, 0.5, (count, 768))
    faces = measured(points, sharpness=list(rng.random(count)))
    found = near_duplicates_of(faces, range(count), 3.0)
    stays = set(range(count)) - set(found)
    assert stays
    assert found
    for i, (twin, distance) in found.items():
        assert twin in stays
        assert distance == pytest.approx(np.sqrt(np.mean((points[i] - points[twin]) ** 2)))
        assert distance <= 3.0
    ordered = sorted(stays)
    for number, i in enumerate(ordered):
        others = points[ordered[number + 1 :]]
        assert not (np.sqrt(((others - points[i]) ** 2).mean(axis=1)) <= 3.0).any()


def test_polygons_then_size_then_pixels_then_sharpness_decide_which_one_stays() -> None:
    same = levels(5, 5, 5, 5, 5)
    facts = {
        "labeled": [0, 0, 0, 1, 0],
        "size": [1, 1, 1, 0.5, 9],
        "pixels": [1, 2, 1, 1, 1],
        "sharpness": [0.9, 0.1, 0.2, 0.1, 0.1],
    }
    left, stayed = list(range(5)), []
    while left:
        found = near_duplicates_of(measured(same, **facts), left, 0.0)
        (best,) = set(left) - set(found)
        stayed.append(best)
        left.remove(best)
    assert stayed == [3, 4, 1, 0, 2]


def test_a_threshold_includes_its_own_value_and_is_not_negative() -> None:
    assert near_duplicates_of(measured(levels(5, 8)), [0, 1], 3.0) == {1: (0, 3.0)}
    assert near_duplicates_of(measured(levels(5, 8)), [0, 1], 2.99) == {}
    with pytest.raises(UsageError, match="0 or more"):
        near_duplicates_of(measured(levels(5)), [0], -1.0)


def test_faces_outside_of_the_ranges_go_and_come_back(folder: Path) -> None:
    everything = plan_filter(folder, [Limits("brightness")], cache=MeasureCache(None))
    values = everything.faces.columns["brightness"]
    limit = float(np.sort(values)[2])
    plan = plan_filter(folder, [Limits("brightness", low=limit)], cache=MeasureCache(None))
    gone = plan.rearrangement.trash
    assert gone == [n for n, v in zip(plan.faces.names, values, strict=True) if v < limit]
    assert [row["why"] for row in plan.rows() if not row["stays"]] == ["brightness"] * 2
    before = sorted(path.name for path in folder.iterdir())
    rearrange(plan.rearrangement)
    assert sorted(p.name for p in (folder.parent / "aligned_trash").iterdir()) == gone
    take_back(folder)
    assert sorted(path.name for path in folder.iterdir()) == before
    inverted = plan_filter(
        folder, [Limits("brightness", low=limit)], invert=True, cache=MeasureCache(None)
    )
    assert set(inverted.rearrangement.trash) == set(plan.faces.names) - set(gone)


def test_an_image_without_the_number_stays_and_is_counted(folder: Path) -> None:
    plan = plan_filter(folder, [Limits("yaw", 300, 301)], cache=MeasureCache(None))
    assert [name for name, _ in plan.rearrangement.kept] == ["other.jpg"]
    assert "images without yaw, which stay: 1 left out (other.jpg)" in plan.left_out.lines()


def test_units_are_those_that_users_think_in() -> None:
    faces = measured(levels(1))
    faces.columns["yaw"] = np.array([math.pi / 6])  # type: ignore[index]
    faces.columns["source_rect_size"][0] = 400
    assert Limits("yaw").values(faces)[0] == pytest.approx(30)
    assert Limits("size").values(faces)[0] == 20


@pytest.mark.parametrize(
    ("measure", "text"), [("yaw", "30"), ("yaw", "5:1"), ("yaw", "a:b"), ("yaw", "nan:")]
)
def test_a_range_has_two_ends(measure: str, text: str) -> None:
    with pytest.raises(UsageError, match="is not a range"):
        Limits.parse(measure, text)


def test_measures_that_are_no_numbers_are_refused() -> None:
    assert Limits.parse("yaw", "-30:") == Limits("yaw", -30.0)
    for name in ("sharpness", "color_histogram"):
        with pytest.raises(UsageError, match="there is no measure"):
            Limits.parse(name, "1:2")
    with pytest.raises(UsageError, match="nothing to filter by"):
        plan_filter(Path(), cache=MeasureCache(None))
