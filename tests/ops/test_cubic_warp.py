import threading

import cv2
import numpy as np
import pytest
from dfl_tf_ops.cubic_warp import warp
from dfl_tf_ops.reference.warp import warp as reference_warp

BORDERS = {False: cv2.BORDER_CONSTANT, True: cv2.BORDER_REPLICATE}


def random_image(height: int, width: int, seed: int = 0) -> np.ndarray:
    """Values beyond [0, 1] too, as cubic resizes leave them."""
    return np.random.RandomState(seed).uniform(-0.1, 1.1, (height, width, 3)).astype(np.float32)


def maps_of(size: int, reach: float = 6.0) -> tuple[np.ndarray, np.ndarray]:
    """Positions in the image and well outside of it."""
    rng = np.random.RandomState(size)
    x, y = np.meshgrid(np.arange(size), np.arange(size))
    shifts = rng.uniform(-reach, reach, (2, size, size))
    return (x + shifts[0]).astype(np.float32), (y + shifts[1]).astype(np.float32)


def matrix_of(size: int) -> np.ndarray:
    matrix = cv2.getRotationMatrix2D((size // 2, size // 2), 9.0, 0.9)
    matrix[:, 2] += (0.12 * size, -0.04 * size)
    return matrix


@pytest.mark.parametrize("with_maps", [True, False])
@pytest.mark.parametrize("with_matrix", [True, False])
@pytest.mark.parametrize("replicate", [True, False])
@pytest.mark.parametrize(("flip", "clip"), [(False, False), (True, True)])
def test_equals_its_reference(with_maps, with_matrix, replicate, flip, clip):
    if not (with_maps or with_matrix):
        with pytest.raises(ValueError, match="maps or matrix"):
            warp(random_image(8, 8), size=8)
        return
    image = random_image(40, 40)
    given = {
        "maps": maps_of(40) if with_maps else None,
        "matrix": matrix_of(40) if with_matrix else None,
        "size": 40,
        "replicate": replicate,
        "flip": flip,
        "clip": clip,
    }
    expected = reference_warp(image, **given)
    actual = warp(image, **given)
    assert actual.shape == (40, 40, 3)
    assert actual.dtype == np.float32
    # positions are rounded to float32: noise of a slope of 2 a pixel, 40 pixels
    np.testing.assert_allclose(actual, expected, atol=3e-5)
    if clip:
        assert actual.min() == 0
        assert actual.max() == 1


@pytest.mark.parametrize("size", [1, 2, 3, 5, 64, 130])
@pytest.mark.parametrize("replicate", [True, False])
def test_equals_the_passes_of_opencv(size, replicate):
    image, maps, matrix = random_image(size, size), maps_of(size), matrix_of(size)
    expected = cv2.remap(image, *maps, cv2.INTER_CUBIC)
    np.testing.assert_allclose(warp(image, maps=maps, size=size), expected, atol=3e-6)
    expected = cv2.warpAffine(
        expected, matrix, (size, size), flags=cv2.INTER_CUBIC, borderMode=BORDERS[replicate]
    )
    actual = warp(image, maps=maps, matrix=matrix, size=size, replicate=replicate)
    np.testing.assert_allclose(actual, expected, atol=3e-6)


def test_images_need_not_be_square_nor_as_large_as_the_maps():
    image, maps = random_image(20, 33), maps_of(48, reach=12.0)
    expected = cv2.remap(image, *maps, cv2.INTER_CUBIC)
    np.testing.assert_allclose(warp(image, maps=maps, size=48), expected, atol=3e-6)
    # cells of odd width give maps one pixel larger than the result
    np.testing.assert_allclose(warp(image, maps=maps, size=47), expected[:47, :47], atol=3e-6)
    flipped = warp(image, maps=maps, size=47, flip=True)
    np.testing.assert_allclose(flipped, expected[:47, 46::-1], atol=3e-6)
    moved = cv2.warpAffine(expected, matrix_of(48), (30, 30), flags=cv2.INTER_CUBIC)
    actual = warp(image, maps=maps, matrix=matrix_of(48), size=30)
    np.testing.assert_allclose(actual, moved, atol=3e-6)


def test_whole_positions_give_the_image_itself():
    image = random_image(16, 16)
    x, y = np.meshgrid(np.arange(16.0), np.arange(16.0))
    maps = (x.astype(np.float32), y.astype(np.float32))
    np.testing.assert_array_equal(warp(image, maps=maps, size=16), image)
    np.testing.assert_array_equal(warp(image, matrix=np.eye(2, 3), size=16), image)
    shifted = warp(image, matrix=np.array([[1.0, 0, 3], [0, 1, -2]]), size=16, replicate=True)
    np.testing.assert_array_equal(shifted[:14, 3:], image[2:, :13])
    np.testing.assert_array_equal(shifted[:14, 0], image[2:, 0])
    np.testing.assert_array_equal(shifted[15, 3:], image[15, :13])


def test_places_outside_and_places_that_are_no_number():
    image = random_image(12, 12)
    maps = [np.full((12, 12), value, np.float32) for value in (5.0, 5.0)]
    maps[0][0] = [np.nan, np.inf, -np.inf, 1e30, -1e30, -2, 13, 12.99, -1.5, 1e9, -1e9, 5]
    maps[1][1] = maps[0][0]
    actual = warp(image, maps=(maps[0], maps[1]), size=12)
    assert np.isfinite(actual).all()
    for row in actual[:2]:
        np.testing.assert_array_equal(row[:7], 0)
        np.testing.assert_array_equal(row[9:11], 0)
        np.testing.assert_array_equal(row[11], image[5, 5])
        assert (row[7:9] != 0).any()


def test_values_that_are_no_number_stay_where_they_are():
    image = random_image(16, 16)
    image[4, 5] = np.nan
    moved = warp(image, matrix=np.array([[1.0, 0, 0.5], [0, 1, 0.5]]), size=16, clip=True)
    assert np.isnan(moved[3:7, 4:8]).all()
    assert np.isnan(moved).sum() == 4 * 4 * 3


def test_scratch_memory_does_not_leak_from_one_call_into_the_next():
    small, large = random_image(24, 24, 1), random_image(64, 64, 2)
    given = {"matrix": matrix_of(24), "size": 24}
    before = warp(small, maps=maps_of(24), **given)
    warp(np.full_like(large, np.nan), maps=maps_of(64), matrix=matrix_of(64), size=64)
    np.testing.assert_array_equal(warp(small, maps=maps_of(24), **given), before)
    kept = before.copy()
    warp(large, maps=maps_of(64), matrix=matrix_of(64), size=64)
    np.testing.assert_array_equal(before, kept)


def test_threads_do_not_share_their_scratch_memory():
    images = [random_image(48, 48, seed) for seed in range(4)]
    given = {"maps": maps_of(48), "matrix": matrix_of(48), "size": 48}
    expected = [warp(image, **given) for image in images]
    wrong: list[int] = []

    def work(number: int) -> None:
        for _ in range(200):
            if not np.array_equal(warp(images[number], **given), expected[number]):
                wrong.append(number)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_inputs_are_not_written_to():
    image, maps = random_image(20, 20), maps_of(20)
    copies = [array.copy() for array in (image, *maps)]
    for array in (image, *maps):
        array.flags.writeable = False
    warp(image, maps=maps, matrix=matrix_of(20), size=20)
    for array, copy in zip((image, *maps), copies, strict=True):
        np.testing.assert_array_equal(array, copy)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"image": np.zeros((8, 8), np.float32)}, "image must be"),
        ({"image": np.zeros((8, 8, 4), np.float32)}, "image must be"),
        ({"image": np.zeros((8, 8, 3))}, "float64"),
        ({"image": np.zeros((0, 8, 3), np.float32)}, "image must be"),
        ({"size": 0}, "size must be positive"),
        ({"size": 9}, "at least"),
        ({"maps": (np.zeros((8, 8), np.float32), np.zeros((8, 9), np.float32))}, "at least"),
        ({"maps": (np.zeros((8, 8)), np.zeros((8, 8)))}, "maps must be float32"),
        ({"matrix": np.eye(3)}, r"\(2, 3\)"),
    ],
)
def test_wrong_inputs_are_refused(change, message):
    given = {"image": random_image(8, 8), "maps": maps_of(8), "size": 8} | change
    with pytest.raises(ValueError, match=message):
        warp(given.pop("image"), **given)
