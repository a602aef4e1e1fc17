from __future__ import annotations

import numpy as np
import pytest

from dfl_tf.data import Batch
from dfl_tf.train.history import channels_last, stored_form, usable_sample


def batches(rng, n=2, side=64):
    shape = (n, side, side)
    image = rng.random_sample((*shape, 3)).astype(np.float32)
    mask = rng.random_sample((*shape, 1)).astype(np.float32)
    return Batch({"image": image, "target": image, "mask": mask, "eyes_mouth": mask})


def test_both_layouts_are_understood():
    batch = batches(np.random.RandomState(0))
    image, mask = batch["image"], batch["mask"]
    np.testing.assert_array_equal(channels_last(image.transpose(0, 3, 1, 2)), image)
    np.testing.assert_array_equal(channels_last(mask.transpose(0, 3, 1, 2)), mask)
    np.testing.assert_array_equal(channels_last(image), image)
    assert channels_last(np.zeros((2, 64, 64))) is None
    assert channels_last(np.zeros((2, 5, 64, 64))) is None
    assert channels_last(np.array([["a"]])) is None


def test_a_stored_sample_that_fits_is_used():
    rng = np.random.RandomState(1)
    like = (batches(rng), batches(rng))
    stored = stored_form((batches(rng), batches(rng)))
    from_gpu = [[array.transpose(0, 3, 1, 2) for array in generator] for generator in stored]
    with_more = [[*generator, generator[3]] for generator in stored]
    for kept in (stored, from_gpu, with_more):
        sample = usable_sample(kept, like)
        assert sample is not None
        assert sample[1].names == like[1].names
        np.testing.assert_array_equal(sample[1]["image"], stored[1][0])


@pytest.mark.parametrize(
    "change",
    [
        lambda s: None,
        lambda s: s[:1],
        lambda s: [s[0], s[1][:3]],
        lambda s: [s[0], [array[:1] for array in s[1]]],
        lambda s: [s[0], [array[:, :32, :32] for array in s[1]]],
        lambda s: [s[0], [s[1][0], s[1][2], s[1][1], s[1][3]]],
        lambda s: [s[0], [None, *s[1][1:]]],
        lambda s: "nonsense",
    ],
)
def test_a_sample_of_other_sizes_is_drawn_again(change):
    rng = np.random.RandomState(2)
    like = (batches(rng), batches(rng))
    assert usable_sample(change(stored_form(like)), like) is None
