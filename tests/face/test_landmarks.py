"""The one check of landmarks: what passes can be aligned, what does not is named."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from dfl_tf.face import FaceType, align_matrix, estimate_pitch_yaw_roll, landmarks_error
from dfl_tf.face.reference_tables import REFERENCE_3D

FACE = REFERENCE_3D[:, :2].astype(np.float64) + 128
LINE = np.linspace(0, 200, 68)


def with_value(value: float) -> np.ndarray:
    points = FACE.copy()
    points[30, 0] = value
    return points


@pytest.mark.parametrize(
    ("points", "error"),
    [
        (FACE[:67], r"shape \(67, 2\)"),
        (None, "array of numbers|shape"),
        ([["x", "y"]] * 68, "array of numbers"),
        (with_value(np.nan), "not finite"),
        (with_value(np.inf), "not finite"),
        (with_value(1e300), "1e\\+300 pixels away"),
        (np.full((68, 2), 50.0), "one place"),
        (FACE * 1e-6, "one place"),
        (np.stack([LINE, LINE], axis=1), "one line"),
        (np.stack([LINE, LINE * 0], axis=1), "one line"),
        (np.stack([LINE, 3 - 2 * LINE], axis=1) + 1e-9, "one line"),
    ],
)
def test_landmarks_that_align_no_face_are_named(points, error):
    import re

    assert re.search(error, landmarks_error(points))


@pytest.mark.parametrize("seed", range(8))
def test_what_passes_gives_finite_matrices_and_a_pose(seed):
    rng = np.random.default_rng(seed)
    turn, scale = rng.uniform(-3, 3), 10 ** rng.uniform(-1, 3)
    rotation = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    squeezed = FACE * (rng.uniform(0.15, 1), 1)  # turned to the side
    points = (squeezed @ rotation.T) * scale + rng.uniform(-5000, 5000, 2)
    assert landmarks_error(points) == ""
    for face_type in (FaceType.HALF, FaceType.WHOLE_FACE, FaceType.HEAD, FaceType.HEAD_NO_ALIGN):
        matrix = align_matrix(points, 256, face_type)
        assert np.isfinite(matrix).all()
        assert np.isfinite(cv2.invertAffineTransform(matrix)).all()
    assert np.isfinite(estimate_pitch_yaw_roll(points, 256)).all()
