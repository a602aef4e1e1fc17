import numpy as np
import pytest
from dfl_tf_ops import sample_draws
from dfl_tf_ops.jit import njit

from dfl_tf.data.augment import draw_warp


@njit
def _drawn(*arguments):
    return sample_draws.draw_warp(*arguments)


@pytest.mark.parametrize("width", [64, 96, 128, 320])
def test_draws_of_a_warp_are_those_of_numpys_generator(width):
    generators = np.empty(625, np.uint32), np.empty(625, np.uint32), np.zeros(2)
    inverse = np.empty((2, 3), np.float32)
    ranges = np.array([-10, 10, 1 / 1.15, 1.15, -0.05, 0.05, -0.05, 0.05])
    cells = set()
    for number in range(200):
        seeds, mirrors = (number * 71009 % 2**31, 2**31 - 1 - number), number % 3 > 0
        wanted = draw_warp(
            width,
            flip=mirrors,
            rng=np.random.RandomState(seeds[0]),
            warp_rng=np.random.RandomState(seeds[1]),
            scale_range=(-0.15, 0.15),
        )
        nodes, cell, mirrored = _drawn(seeds, ranges, width, mirrors, inverse, generators)
        assert (cell, mirrored) == (wanted.cell, wanted.flip)
        np.testing.assert_array_equal(nodes, wanted.nodes())
        np.testing.assert_array_equal(inverse, wanted.inverse)
        cells.add(cell)
    assert len(cells) == 3


def test_the_kernels_agree_with_this_numpy():
    assert sample_draws.agrees()
