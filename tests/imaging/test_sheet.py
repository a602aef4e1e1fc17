"""Grids of images: exact places, captions that fit, batches side by side."""

from __future__ import annotations

import numpy as np
import pytest

from dfl_tf.imaging import sheet, side_by_side, tiled


@pytest.fixture
def image():
    return np.random.default_rng(3).random((48, 48, 3), dtype=np.float32)


def test_sheet_places_images_and_captions(image):
    gray = np.full((24, 24), 200, dtype=np.uint8)
    made = sheet([[image, None], [gray]], captions=[["one", ""], ["grün"]], cell=48, gap=2)
    assert made.dtype == np.uint8
    assert made.shape == (2 + 2 * (18 + 48 + 2), 2 + 2 * (48 + 2), 3)
    np.testing.assert_array_equal(made[20:68, 2:50], (image * 255).astype(np.uint8))
    assert (made[90:130, 4:48] == 200).all()
    assert (made[20:68, 52:100] == 32).all()
    assert made[2:20, 2:50].max() > 100


def test_sheet_without_images_is_refused():
    with pytest.raises(ValueError, match="at least one"):
        sheet([[None]])


def test_a_long_caption_is_made_smaller_before_it_is_cut():
    black = np.zeros((8, 160, 3), np.uint8)

    def caption(text):
        return sheet([[black]], captions=[[text]], background=0)[4:22, 4:164]

    long = caption("seamless-hist-match / learned-prd")
    assert (long[:, -12:] > 100).any()  # its end is there
    assert (caption("W" * 400)[:, -12:] > 100).any()


def test_images_edge_to_edge_keep_their_dtype():
    first, second, third = (np.full((2, width, 1), width, np.uint16) for width in (3, 1, 4))
    made = tiled([[first, second], [third]])
    assert made.dtype == np.uint16
    assert made[..., 0].tolist() == [[3, 3, 3, 1]] * 2 + [[4] * 4] * 2


def test_batches_side_by_side_have_a_row_a_sample():
    faces = np.arange(2 * 2 * 2 * 3, dtype=np.float32).reshape(2, 2, 2, 3)
    masks = np.ones((2, 2, 2, 1), np.float32)
    made = side_by_side([faces, masks])
    assert (made.shape, made.dtype) == ((4, 4, 3), np.float32)
    np.testing.assert_array_equal(made[2:, :2], faces[1])
    assert (made[:, 2:] == 1).all()
