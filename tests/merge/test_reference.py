"""The merger equals the straight telling of the specification, over many mixtures of settings."""

from __future__ import annotations

import random

import numpy as np
import pytest

from dfl_tf.face import FaceType
from dfl_tf.merge.colors import ColorDraws
from dfl_tf.merge.compose import merge_face
from dfl_tf.merge.crop import FaceCrop
from dfl_tf.merge.frame import FrameCrops, merge_frame
from dfl_tf.merge.motion import Motion
from dfl_tf.merge.networks import MergeNetworks
from dfl_tf.options import MergeOptions, default
from dfl_tf.options.merge import COLOR_TRANSFER_MODES, MASK_MODES, MODES, SHARPEN_MODES

from .conftest import enhance, segment, swap
from .reference import ReferenceFace, reference_frame

VALUES = {
    "mode": MODES,
    "masked_hist_match": (True, False),
    "hist_match_threshold": (238, 255, 100, 0),
    "mask_mode": MASK_MODES,
    "erode_mask_modifier": (0, 0, 7, 50, -9, -60),
    "blur_mask_modifier": (0, 0, 1, 12, 55, 200),
    "motion_blur_power": (0, 0, 30, 100),
    "output_face_scale": (0, 0, -50, -10, 7, 50),
    "color_transfer_mode": COLOR_TRANSFER_MODES,
    "sharpen_mode": SHARPEN_MODES,
    "blursharpen_amount": (0, 0, 3, -5, -10, -25),
    "super_resolution_power": (0, 0, 0, 40, 100),
    "image_denoise_power": (0, 0, 5, 110),
    "bicubic_degrade_power": (0, 0, 5, 60, 100),
    "color_degrade_power": (0, 0, 0, 40, 100),
}
FACES = (FaceType.HALF, FaceType.MID_FULL, FaceType.FULL, FaceType.WHOLE_FACE, FaceType.HEAD)
NETWORKS = MergeNetworks(swap, 32, segment, enhance)


def mixture(number: int):
    """One value of each setting, a face type, a place of the face and a motion."""
    rng = random.Random(number)
    chosen = {key: rng.choice(values) for key, values in VALUES.items()}
    chosen["mode"] = MODES[number % len(MODES)]
    shift = rng.choice([(0, 0), (0, 0), (-110, 30), (60, -90)])
    scale = rng.choice([1, 1, 1, 0.3, 0.02, 2])
    return chosen, rng.choice(FACES), shift, scale, Motion(rng.choice([0, 4.5, 30]), 33.0)


def moved(points, shift, scale):
    center = points.mean(axis=0)
    return (points - center) * scale + center + shift


@pytest.mark.parametrize("number", range(63))
def test_any_mixture_of_settings_equals_the_reference(frames, landmarks, number):
    chosen, face_type, shift, scale, motion = mixture(number)
    settings, frame = default(MergeOptions, **chosen), frames["AB"[number % 2]]
    points = moved(landmarks["AB"[number % 2]], shift, scale)
    crop = FaceCrop(frame, points, settings, face_type, 32)
    draws = ColorDraws(np.random.RandomState(number))
    (prediction,) = NETWORKS.predictions(crop.network_input[None])
    merged = merge_face(crop, prediction, settings, NETWORKS, motion=motion, draws=draws)
    image, mask = merged.image, merged.mask
    if settings.mode != "raw-predict":
        image = frame.bytes / np.float32(255)
        mask = np.zeros((*frame.shape, 1), np.float32)
        image[merged.region.slices], mask[merged.region.slices] = merged.image, merged.mask
    rotations = ColorDraws(np.random.RandomState(number)).rotations(20)
    wanted, wanted_mask = ReferenceFace(
        frame.bytes,
        points,
        settings,
        face_type,
        NETWORKS,
        np.random.RandomState(number),
        motion,
        rotations,
    ).merged()
    assert np.abs(mask - wanted_mask).max() <= 1e-5
    difference = np.abs(image - wanted)
    most, mean = allowed(settings)
    assert difference.max() <= most
    assert difference.mean() <= mean


def allowed(settings: MergeOptions) -> tuple[float, float]:
    """Largest and mean error, by what a last bit of float32 may grow to."""
    if settings.mode in ("original", "raw-rgb", "raw-predict"):
        return 1e-5, 1e-5
    if settings.color_degrade_power:
        return 1.0, 2e-3  # another palette
    if settings.color_transfer_mode in ("sot-m", "mix-m"):
        return 0.1, 2e-3  # equal colors in another order
    if "seamless" in settings.mode or "hist-match" in settings.mode:
        return 0.02, 1e-5  # a level of the clone, a rank of the histogram
    return 1e-5, 1e-6


def test_several_faces_equal_the_reference(frames, landmarks):
    frame = frames["B"]
    faces = [landmarks["B"], landmarks["B"] + (25, 12), landmarks["B"] - (700, 0)]
    settings = default(MergeOptions, blur_mask_modifier=20, image_denoise_power=50)
    cut = FrameCrops(frame, faces, settings, FaceType.FULL, 32)
    predictions = NETWORKS.predictions(np.stack(cut.network_inputs))
    draws = ColorDraws(np.random.RandomState(0))
    found = merge_frame(cut, predictions, NETWORKS, draws=draws)
    image, mask = reference_frame(
        frame.bytes, faces, settings, FaceType.FULL, NETWORKS, np.random.RandomState(0)
    )
    assert np.abs(found.image.astype(int) - image).max() <= 1
    assert np.abs(found.mask.astype(int) - mask).max() <= 1
