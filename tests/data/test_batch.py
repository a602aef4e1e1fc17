"""Batches: arrays by name, and of which face each sample was made."""

from __future__ import annotations

import numpy as np
import pytest

from dfl_tf.data import Batch, SampleId


def batch() -> Batch:
    arrays = {
        "image": np.stack([np.full((2, 2, 3), i) for i in range(3)]),
        "mask": np.stack([np.full((2, 2, 1), -i) for i in range(3)]),
    }
    return Batch(arrays, tuple(SampleId(10 + i, f"{i}.jpg") for i in range(3)))


def test_arrays_are_found_under_their_names() -> None:
    three = batch()
    assert three.names == ("image", "mask")
    assert (three["image"].shape, three["mask"].shape) == ((3, 2, 2, 3), (3, 2, 2, 1))
    assert three.size == 3
    assert [sample.face for sample in three.samples] == ["0.jpg", "1.jpg", "2.jpg"]


def test_a_name_that_is_not_there_is_told_with_those_that_are() -> None:
    assert "mask" in batch()
    assert "target" not in batch()
    with pytest.raises(KeyError, match="without 'target'; it has image, mask"):
        batch()["target"]


def test_a_batch_has_no_positions() -> None:
    with pytest.raises(KeyError, match="without 0"):
        batch()[0]  # type: ignore[index]
    with pytest.raises(TypeError, match="read by name"):
        list(batch())


def test_rolling_moves_samples_with_their_identity() -> None:
    rolled = batch().rolled(-1)
    assert rolled["image"][:, 0, 0, 0].tolist() == [1, 2, 0]
    assert rolled["mask"][:, 0, 0, 0].tolist() == [-1, -2, 0]
    assert [sample.position for sample in rolled.samples] == [11, 12, 10]
    assert Batch({"image": np.arange(3)}).rolled(1)["image"].tolist() == [2, 0, 1]


def test_other_arrays_leave_the_rest_as_it_is() -> None:
    one = batch()
    other = one.with_arrays(image=one["mask"])
    assert other["image"] is one["mask"]
    assert other["mask"] is one["mask"]
    assert other.samples == one.samples
    assert one["image"].shape[-1] == 3
