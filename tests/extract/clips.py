"""Records of made-up clips: faces that move as a test says."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from dfl_tf.extract.found import Box
from dfl_tf.extract.records import FrameRecord, RecordedFace
from dfl_tf.face.reference_tables import REFERENCE_3D

HEAD = REFERENCE_3D.astype(np.float64) / 150.0
"""The landmarks of a head one unit wide, (68, 3), around the origin."""


def box_at(x: float, y: float, side: float = 100.0) -> Box:
    """A square box around a point."""
    return x - side / 2, y - side / 2, x + side / 2, y + side / 2


def face_at(
    x: float,
    y: float,
    side: float = 100.0,
    *,
    angle: float = 0.0,
    yaw: float = 0.0,
    score: float = 20.0,
) -> RecordedFace:
    """A face around a point, turned in the frame by `angle` and away by `yaw` degrees."""
    away = np.deg2rad(yaw)
    seen = np.stack((HEAD[:, 0] * np.cos(away) + HEAD[:, 2] * np.sin(away), HEAD[:, 1]), axis=1)
    turn = np.deg2rad(angle)
    matrix = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    points = seen * side @ matrix.T + (x, y)
    return RecordedFace(box_at(x, y, side), score, points, score)


def look(shade: int) -> bytes:
    """The look of a frame of one gray level."""
    return bytes([shade]) * 192


def clip(
    faces: Sequence[Sequence[RecordedFace]],
    *,
    name: Callable[[int], str] = "{:05d}.png".format,
    looks: Sequence[bytes] | None = None,
) -> list[FrameRecord]:
    """Frames of 640x480 pixels, numbered from 1."""
    return [
        FrameRecord(name(i), i, 480, 640, tuple(found), look=looks[i - 1] if looks else b"")
        for i, found in enumerate(faces, start=1)
    ]
