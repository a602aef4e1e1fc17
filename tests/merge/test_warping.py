"""Working on a part of the frame gives what working on the whole frame gives."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from dfl_tf.face import FaceType, align_matrix
from dfl_tf.merge.pixels import FramePixels, to_bytes
from dfl_tf.merge.warping import Region, Unwarp, crop_region, warp, whole_frame


@pytest.mark.parametrize("channels", [1, 3])
def test_unwarp_equals_the_part_of_the_whole_frame(landmarks, channels):
    rng = np.random.default_rng(1)
    crop = rng.random((64, 64, channels) if channels > 1 else (64, 64)).astype(np.float32)
    matrix = align_matrix(landmarks["B"], 64, FaceType.FULL)
    shape = (256, 288)
    whole = cv2.warpAffine(crop, matrix, shape[::-1], flags=cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP)
    region = crop_region(shape, [(matrix, 64)])
    assert region.shape[0] * region.shape[1] < 0.9 * shape[0] * shape[1]
    part = Unwarp(matrix, region)(crop)
    assert np.abs(part - whole[region.slices]).max() <= 1e-5
    outside = whole.copy()
    outside[region.slices] = 0
    assert not outside.any()


def test_warp_of_a_canvas_equals_warp_of_the_frame(frames, landmarks):
    frame = frames["A"]
    matrix = align_matrix(landmarks["A"], 64, FaceType.HALF)
    region = crop_region(frame.shape, [(matrix, 64)])
    whole = warp(frame.bytes / np.float32(255), matrix, 64)
    part = warp(frame.canvas(region, frame.floats(region)), matrix, 64)
    assert np.array_equal(part, whole)


def test_region_of_a_face_outside_of_the_frame_is_empty(landmarks):
    matrix = align_matrix(landmarks["A"] + 5000, 64, FaceType.FULL)
    region = crop_region((256, 288), [(matrix, 64)])
    assert region.empty
    assert Unwarp(matrix, region)(np.ones((64, 64, 3), np.float32)).size == 0


def test_union_and_position_of_regions():
    a, b = Region(2, 3, 10, 9), Region(5, 1, 20, 6)
    assert a.union(b) == Region(2, 1, 20, 9)
    assert a.within(a.union(b)) == (slice(2, 8), slice(0, 8))
    assert a.union(Region(0, 0, 0, 0)) == a
    assert whole_frame((4, 7)).shape == (4, 7)


def test_bytes_survive_the_way_through_floats():
    values = np.arange(256, dtype=np.uint8).reshape(16, 16)
    frame = FramePixels(values)
    assert frame.gray
    assert np.array_equal(to_bytes(frame.floats(whole_frame((16, 16))))[:, :, 0], values)


def test_frames_of_16_bits_and_with_alpha():
    deep = FramePixels(np.full((2, 2, 3), 65535, np.uint16))
    assert deep.floats(whole_frame((2, 2))).max() == 1
    assert deep.bytes.max() == 255
    assert FramePixels(np.zeros((2, 3, 4), np.uint8)).bytes.shape == (2, 3, 3)


def test_bytes_are_clipped_not_wrapped():
    assert to_bytes(np.array([1.0001, -0.1, 0.5], np.float32)).tolist() == [255, 0, 127]
