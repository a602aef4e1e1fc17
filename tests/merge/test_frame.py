"""Whole frames: one face against a plain reference, several faces, none, odd inputs."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from dfl_tf.face import FaceType, align_matrix, hull_mask
from dfl_tf.merge.motion import Motion
from dfl_tf.merge.networks import MergeNetworks
from dfl_tf.merge.pixels import FramePixels
from dfl_tf.options.merge import MASK_MODES, MODES

from .conftest import swap

FACE = FaceType.WHOLE_FACE


def reference_overlay(frame, points, size=32):
    """Overlay without color transfer on the whole frame, straight from merge.md 3 and 4."""
    height, width = frame.shape
    image = frame.bytes / np.float32(255)
    cubic, back = cv2.INTER_CUBIC, cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP
    matrix = align_matrix(points, size, FACE)
    target = np.clip(cv2.warpAffine(image, matrix, (size, size), flags=cubic), 0, 1)
    (face,), (mask,), (target_mask,) = swap(target[None])
    work = mask * target_mask[:, :, 0]
    work[work < 1 / 255] = 0
    work = np.clip(cv2.resize(work, (4 * size, 4 * size), interpolation=cubic), 0, 1)
    fine = align_matrix(points, 4 * size, FACE)
    alpha = np.clip(cv2.warpAffine(work, fine, (width, height), flags=back), 0, 1)[:, :, None]
    alpha[alpha < 1 / 255] = 0
    pasted = np.clip(cv2.warpAffine(face, matrix, (width, height), flags=back), 0, 1)
    return image * (1 - alpha) + pasted * alpha, alpha


@pytest.mark.parametrize("name", ["A", "B"])
def test_overlay_equals_the_whole_frame_reference(merged, frames, landmarks, name):
    found = merged(frames[name], [landmarks[name]], color_transfer_mode="none")
    image, mask = reference_overlay(frames[name], landmarks[name])
    assert np.abs(found.image.astype(int) - (image * 255).astype(np.uint8)).max() <= 1
    assert np.abs(found.mask.astype(int) - (mask[:, :, 0] * 255).astype(np.uint8)).max() <= 1
    assert found.mask.max() > 200


@pytest.mark.parametrize("mode", MODES)
def test_every_mode_changes_only_what_the_mask_covers(merged, frames, landmarks, mode):
    found = merged(frames["A"], [landmarks["A"]], mode=mode, blur_mask_modifier=8)
    if mode == "raw-predict":
        assert found.image.shape == (32, 32, 3)
        return
    assert found.image.shape == (*frames["A"].shape, 3)
    if mode == "original":
        assert np.array_equal(found.image, frames["A"].bytes)
    elif mode == "raw-rgb":
        assert not np.array_equal(found.image, frames["A"].bytes)
    else:
        # Where the mask rounds to 0 a trace of the face may still move a value by one.
        change = np.abs(found.image.astype(int) - frames["A"].bytes)
        assert change[found.mask == 0].max() <= 1
        assert change[found.mask > 128].mean() > 5


@pytest.mark.parametrize("mask_mode", MASK_MODES)
def test_mask_modes_give_nested_masks(merged, frames, landmarks, mask_mode):
    full = merged(frames["A"], [landmarks["A"]], mode="original", mask_mode="full").mask
    mask = merged(frames["A"], [landmarks["A"]], mode="original", mask_mode=mask_mode).mask
    assert mask.max() > 100
    # Cubic sampling rings at the edges of binary masks.
    assert (mask.astype(int) - full).max() <= 16


def test_dst_mask_is_the_hull_of_the_landmarks(merged, frames, landmarks):
    mask = merged(frames["A"], [landmarks["A"]], mode="original", mask_mode="dst").mask
    hull = hull_mask(frames["A"].shape, landmarks["A"])[:, :, 0]
    assert np.mean((mask > 127) == (hull > 0.5)) > 0.97


def test_frame_without_face_is_copied_and_its_mask_is_black(merged, frames):
    found = merged(frames["A"], [])
    assert np.array_equal(found.image, frames["A"].bytes)
    assert found.mask.shape == frames["A"].shape
    assert not found.mask.any()


def test_gray_frame_without_face_stays_gray(merged, frames):
    gray = np.ascontiguousarray(frames["A"].bytes[:, :, 1])
    assert np.array_equal(merged(FramePixels(gray), []).image, gray)


def test_gray_frame_with_face_becomes_color(merged, frames, landmarks):
    gray = FramePixels(np.ascontiguousarray(frames["A"].bytes[:, :, 1]))
    assert merged(gray, [landmarks["A"]]).image.shape == (*gray.shape, 3)


def test_raw_predict_without_face_is_black_at_network_size(merged, frames):
    found = merged(frames["A"], [], mode="raw-predict")
    assert found.image.shape == (32, 32, 3)
    assert found.mask.shape == (32, 32)
    assert not found.image.any()


def test_two_faces_are_laid_over_each_other_in_order(merged, frames, landmarks):
    first, second = landmarks["A"], landmarks["A"] + (40, 10)
    options = {"color_transfer_mode": "none"}
    both = merged(frames["A"], [first, second], **options)
    image_1, mask_1 = reference_overlay(frames["A"], first)
    image_2, mask_2 = reference_overlay(frames["A"], second)
    wanted = image_1 * (1 - mask_2) + image_2 * mask_2
    assert np.abs(both.image.astype(int) - (wanted * 255).astype(np.uint8)).max() <= 1
    mask = np.clip(mask_1 + mask_2, 0, 1)[:, :, 0]
    assert np.abs(both.mask.astype(int) - (mask * 255).astype(np.uint8)).max() <= 1


def test_too_small_a_mask_leaves_the_frame_unchanged(merged, frames, landmarks):
    point = (landmarks["A"] - landmarks["A"].mean(0)) * 0.01 + 100
    found = merged(frames["A"], [point])
    assert np.array_equal(found.image, frames["A"].bytes)


def test_face_outside_of_the_frame_leaves_it_unchanged(merged, frames, landmarks):
    found = merged(frames["A"], [landmarks["A"] + 4000])
    assert np.array_equal(found.image, frames["A"].bytes)
    assert not found.mask.any()


def test_face_across_the_border_of_the_frame(merged, frames, landmarks):
    moved = landmarks["A"] - (landmarks["A"][:, 0].mean(), 0)
    for mode in ("overlay", "seamless"):
        found = merged(frames["A"], [moved], mode=mode)
        assert found.mask[:, 0].any()


def test_degraded_frames_change_everywhere(merged, frames, landmarks):
    found = merged(frames["A"], [landmarks["A"]], image_denoise_power=100)
    outside = found.mask == 0
    assert (found.image != frames["A"].bytes)[outside].mean() > 0.2


def test_motion_blur_softens_the_face(merged, frames, landmarks):
    options = {"color_transfer_mode": "none", "motion_blur_power": 100}
    sharp = merged(frames["A"], [landmarks["A"]], **options).image
    moved = merged(frames["A"], [landmarks["A"]], motion=Motion(20, 0), **options).image
    inside = merged(frames["A"], [landmarks["A"]], mode="original").mask > 200
    detail = [cv2.Laplacian(image, cv2.CV_64F)[inside].var() for image in (moved, sharp)]
    assert detail[0] < 0.9 * detail[1]


@pytest.mark.parametrize("mode", ["idt-m", "sot-m", "mix-m"])
def test_random_color_transfers_repeat_with_their_seed(merged, frames, landmarks, mode):
    options = {"color_transfer_mode": mode}
    one = merged(frames["A"], [landmarks["A"]], seed=7, **options).image
    same = merged(frames["A"], [landmarks["A"]], seed=7, **options).image
    other = merged(frames["A"], [landmarks["A"]], seed=8, **options).image
    assert np.array_equal(one, same)
    assert not np.array_equal(one, other)


def test_missing_networks_are_an_error(merged, frames, landmarks):
    bare = MergeNetworks(swap, 32)
    with pytest.raises(ValueError, match=r"XSeg-prd needs networks\.segment"):
        merged(frames["A"], [landmarks["A"]], nets=bare, mask_mode="XSeg-prd")
    with pytest.raises(ValueError, match=r"needs networks\.enhance"):
        merged(frames["A"], [landmarks["A"]], nets=bare, super_resolution_power=10)
