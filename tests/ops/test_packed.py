import numpy as np
import pytest
from dfl_tf_ops.packed import pack


def soft_mask(side: int) -> np.ndarray:
    """A disk with a soft rim, as a resized mask has one."""
    rows, columns = np.mgrid[0:side, 0:side] - side / 2
    distance = side / 3 - np.hypot(rows, columns)
    return np.clip(distance + 0.5, 0, 1).astype(np.float32)[:, :, None]


def pixels(shape: tuple[int, ...], largest: int = 256) -> np.ndarray:
    levels = np.random.RandomState(3).randint(0, largest, shape).astype(np.uint8)
    return np.divide(levels, np.float32(255), dtype=np.float32)


@pytest.mark.parametrize(
    ("array", "share"),
    [
        (pixels((64, 64, 3)), 0.2501),
        (pixels((33, 35, 3)), 0.251),
        (soft_mask(128), 0.15),
        (np.zeros((32, 32, 1), np.float32), 0.005),
        (np.ones((32, 32, 1), np.float32), 0.005),
        # more in between than runs save, and all of it from bytes
        (pixels((40, 40, 1), 200), 0.2513),
    ],
)
def test_what_is_packed_is_the_same_to_the_bit_and_smaller(array, share):
    packed = pack(array)
    assert packed is not None
    assert packed.nbytes <= share * array.nbytes
    assert packed.shape == array.shape
    np.testing.assert_array_equal(packed.unpack().view(np.uint32), array.view(np.uint32))


def test_every_level_of_a_pixel_is_kept():
    levels = np.divide(np.arange(256, dtype=np.uint8), np.float32(255), dtype=np.float32)
    array = np.tile(levels, 8).reshape(8, 256, 1)
    packed = pack(array)
    assert packed is not None
    np.testing.assert_array_equal(packed.unpack(), array)


@pytest.mark.parametrize("odd", [-0.0, np.nan, np.inf, -0.25, 1.25, 0.5, np.float32(1e-40)])
def test_what_no_byte_stands_for_is_not_lost(odd):
    """A cubic resize overshoots; a sign of 0 or a NaN must come back as well."""
    array = pixels((16, 16, 3), 255)
    array[9, 9, 1] = odd
    packed = pack(array)
    back = array if packed is None else packed.unpack()
    np.testing.assert_array_equal(back.view(np.uint32), array.view(np.uint32))
    flat = np.zeros((16, 16, 1), np.float32)
    flat[3, 4] = odd
    packed = pack(flat)
    assert packed is not None
    np.testing.assert_array_equal(packed.unpack().view(np.uint32), flat.view(np.uint32))


def test_noise_stays_as_it_is():
    assert pack(np.random.RandomState(0).rand(32, 32, 3).astype(np.float32)) is None
