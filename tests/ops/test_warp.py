import cv2
import numpy as np
import pytest
from dfl_tf_ops.reference.warp import dense_grid as reference_grid
from dfl_tf_ops.warp import dense_grid

# width and cell: cells that divide the width, odd cells, and widths that no cell divides
SIZES = [(64, 32), (64, 8), (128, 16), (72, 9), (96, 48), (160, 20), (100, 12), (130, 16)]


def nodes_of(width: int, cell: int) -> np.ndarray:
    count = width // cell + 1
    nodes = np.tile(np.linspace(0, width, count), (count, 1))
    noise = np.random.RandomState(width + cell).uniform(-1, 1, size=(count - 2, count - 2))
    nodes[1:-1, 1:-1] += 0.4 * cell * noise
    return nodes


@pytest.mark.parametrize(("width", "cell"), SIZES)
def test_grid_is_that_of_the_resize_it_replaces(width, cell):
    nodes = nodes_of(width, cell)
    half = cell // 2
    resized = cv2.resize(nodes, (width + cell, width + cell), interpolation=cv2.INTER_LINEAR)
    expected = resized[half : width + cell - half, half : width + cell - half]
    map_x, map_y = dense_grid(nodes, width, cell)
    assert map_x.dtype == map_y.dtype == np.float32
    np.testing.assert_allclose(map_x, expected, atol=1e-5)
    np.testing.assert_array_equal(map_y, map_x.T)
    assert map_x.flags.c_contiguous
    assert map_y.flags.c_contiguous


@pytest.mark.parametrize(("width", "cell"), SIZES)
def test_grid_equals_its_reference(width, cell):
    nodes = nodes_of(width, cell)
    for fast, plain in zip(
        dense_grid(nodes, width, cell), reference_grid(nodes, width, cell), strict=True
    ):
        np.testing.assert_allclose(fast, plain, atol=1e-5)


def test_grid_without_displacement_is_nearly_the_identity():
    nodes = np.tile(np.linspace(0, 64, 9), (9, 1))
    map_x, _ = dense_grid(nodes, 64, 8)
    # The nodes reach `width`, one past the last pixel, so positions run half a pixel ahead.
    np.testing.assert_allclose(map_x[0], np.arange(64) + 0.5, atol=1e-5)


def test_wrong_grids_are_refused():
    with pytest.raises(ValueError, match=r"received \(3, 4\)"):
        dense_grid(np.zeros((3, 4)), 64, 32)
    with pytest.raises(ValueError, match="cell must be"):
        dense_grid(np.zeros((3, 3)), 64, 0)
