"""Records of made-up clips: faces that move as a test says."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from dfl_tf.extract.found import Box
from dfl_tf.extract.records import FrameRecord, RecordedFace
from dfl_tf.face.reference_tables import REFERENCE_2D

# 17 points of a jaw, then the 51 reference points
_JAW = np.stack((np.linspace(0, 1, 17), 0.3 + 0.9 * np.sin(np.linspace(0, np.pi, 17))), axis=1)
FACE = np.concatenate((_JAW, REFERENCE_2D)).astype(np.float64)


def box_at(x: float, y: float, side: float = 100.0) -> Box:
    """A square box around a point."""
    return x - side / 2, y - side / 2, x + side / 2, y + side / 2


def face_at(
    x: float, y: float, side: float = 100.0, *, angle: float = 0.0, score: float = 20.0
) -> RecordedFace:
    """An upright or turned (degrees) face around a point."""
    turn = np.deg2rad(angle)
    matrix = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    points = (FACE - FACE.mean(axis=0)) * side @ matrix.T + (x, y)
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
