"""Tracks: which faces of consecutive frames are one face, by overlap and size alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from dfl_tf.extract.cuts import continued, frame_order
from dfl_tf.extract.found import Box
from dfl_tf.extract.records import FrameRecord

Floats = npt.NDArray[np.float64]

_OVERLAP = 0.4  # intersection over union of a face in two frames, at least
_GROWTH = 1.4  # of a side from frame to frame, at most
_RIVAL = 0.5  # overlap with any other face, in overlaps with its own


def assign_tracks(frames: Sequence[FrameRecord]) -> list[FrameRecord]:
    """Give every face the number of its track.

    A track is a face through consecutive frames. It ends at a cut, at a missing frame, where the
    face is not found or changes its size at once, and wherever it is in doubt which of two faces
    it is: faces that pass each other get new numbers, and never each other's.

    Parameters
    ----------
    frames : sequence of FrameRecord
        In any order; the frames are followed in the order of the numbers in their names.

    Returns
    -------
    list of FrameRecord
        The frames as they were given, with `track` of each face set. Tracks are numbered from 0
        in the order in which they begin; faces that begin in one frame in the order of the faces.
    """
    order = frame_order(frames)
    ordered = [frames[i] for i in order]
    tracks: list[list[int]] = []
    count = 0
    for place, follows in enumerate(continued(ordered)):
        here: list[int] = []
        before = ordered[place - 1].faces if follows else ()
        same = same_faces([f.box for f in before], [f.box for f in ordered[place].faces])
        for origin in same:
            if origin is None:
                here.append(count)
                count += 1
            else:
                here.append(tracks[-1][origin])
        tracks.append(here)
    numbered = dict(zip(order, tracks, strict=True))
    return [
        replace(
            frame,
            faces=tuple(
                replace(face, track=track)
                for face, track in zip(frame.faces, numbered[i], strict=True)
            ),
        )
        for i, frame in enumerate(frames)
    ]


def same_faces(before: Sequence[Box], after: Sequence[Box]) -> list[int | None]:
    """For each box of a frame, the index of the same face in the frame before; None without doubt.

    Parameters
    ----------
    before, after : sequence of boxes
        Left, top, right, bottom in frame pixels.

    Returns
    -------
    list of int or None
        No index stands twice.
    """
    if not before or not after:
        return [None] * len(after)
    old, new = np.asarray(before, np.float64), np.asarray(after, np.float64)
    overlap = box_overlaps(new, old)
    found: list[int | None] = []
    for i, row in enumerate(overlap):
        j = int(row.argmax())
        rivals = max(_second(row, j), _second(overlap[:, j], i))
        alike = row[j] >= _OVERLAP and rivals <= _RIVAL * row[j] and _growth(old[j], new[i])
        found.append(j if alike else None)
    return found


def box_overlaps(boxes: Floats, others: Floats) -> Floats:
    """Intersection over union of each box with each of the others.

    Parameters
    ----------
    boxes, others : ndarray, shapes (n, 4) and (m, 4), float64
        Left, top, right, bottom in pixels.

    Returns
    -------
    ndarray, shape (n, m), float64 in [0, 1]
    """
    low = np.maximum(boxes[:, None, :2], others[None, :, :2])
    high = np.minimum(boxes[:, None, 2:], others[None, :, 2:])
    shared = np.clip(high - low, 0, None).prod(axis=-1)
    areas = np.abs((boxes[:, 2:] - boxes[:, :2]).prod(axis=1))
    other_areas = np.abs((others[:, 2:] - others[:, :2]).prod(axis=1))
    union = areas[:, None] + other_areas[None] - shared
    return np.divide(shared, union, out=np.zeros_like(shared), where=union > 0)


def _second(values: Floats, best: int) -> float:
    return float(np.delete(values, best).max(initial=0.0))


def _growth(before: Floats, after: Floats) -> bool:
    ratio = np.sqrt((after[2:] - after[:2]).prod() / (before[2:] - before[:2]).prod())
    return bool(1 / _GROWTH <= ratio <= _GROWTH)
