"""Where one frame does not continue another: cuts, missing frames, unrelated images.

Everything that looks at neighboring frames (tracks, smoothing, coverage) asks `continued`.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from itertools import pairwise
from pathlib import PurePath

import cv2
import numpy as np
import numpy.typing as npt

from dfl_tf.disk.frame_order import natural_key
from dfl_tf.extract.found import Image
from dfl_tf.extract.records import FrameRecord

_SIDE = 8
_CUT = 0.06  # mean difference of two small copies in [0, 1], at least
_TIMES_OTHERS = 3.0  # and in differences of the frames around
_AROUND = 2
_GAP = 1.5  # in usual steps from number to number


def frame_look(image: Image) -> bytes:
    """A tiny copy of a frame (h, w, 3) uint8 BGR by which cuts are seen: 192 bytes."""
    return cv2.resize(image, (_SIDE, _SIDE), interpolation=cv2.INTER_AREA).tobytes()


def find_cuts(looks: Sequence[bytes]) -> list[bool]:
    """Find cuts: places where much changes at once, and more than from the frames around.

    Parameters
    ----------
    looks : sequence of bytes
        `frame_look` of frames in their order; empty where it is not known (no cut is seen there).

    Returns
    -------
    list of bool
        Whether there is a cut between a frame and the one before it; False for the first.
    """
    changes = [0.0, *map(_change, looks, looks[1:])][: len(looks)]
    found = []
    for place, change in enumerate(changes):
        before = changes[max(place - _AROUND, 1) : place]
        others = before + changes[place + 1 : place + 1 + _AROUND]
        usual = statistics.median(others) if others else 0.0
        found.append(change > _CUT and change > _TIMES_OTHERS * usual)
    return found


def _change(before: bytes, after: bytes) -> float:
    if len(before) != len(after) or not before:
        return 0.0
    return float(np.abs(_levels(before) - _levels(after)).mean()) / 255


def _levels(look: bytes) -> npt.NDArray[np.float64]:
    return np.frombuffer(look, np.uint8).astype(np.float64)


def frame_order(frames: Sequence[FrameRecord]) -> list[int]:
    """Indices of frames in the order of the numbers in their names."""
    return sorted(
        range(len(frames)),
        key=lambda i: natural_key(PurePath(frames[i].name).stem),
    )


def continued(frames: Sequence[FrameRecord]) -> list[bool]:
    """Say which frames continue the one before: the same shot, no frame missing between them.

    Parameters
    ----------
    frames : sequence of FrameRecord
        In their order (`frame_order`).

    Returns
    -------
    list of bool
        False for the first. Names of frames that follow each other differ in one number only;
        where it grows by more than usual (the median step), frames are missing. The size of
        frames that follow each other is the same.
    """
    steps = [_step(a.name, b.name) for a, b in pairwise(frames)]
    known = [step for step in steps if step]
    usual = statistics.median(known) if known else 1
    cuts = find_cuts([frame.look for frame in frames])
    follows = [
        step is not None
        and 0 < step <= _GAP * usual
        and (a.height, a.width) == (b.height, b.width)
        and not cut
        for step, (a, b), cut in zip(steps, pairwise(frames), cuts[1:], strict=True)
    ]
    return [False, *follows][: len(frames)]


def _step(before: str, after: str) -> int | None:
    """By how much the one number grows in which two names differ; None for unrelated names."""
    (first, _), (second, _) = (natural_key(PurePath(name).stem) for name in (before, after))
    if len(first) != len(second) or first[::2] != second[::2]:
        return None
    pairs = zip(first[1::2], second[1::2], strict=True)
    steps = [int(b) - int(a) for a, b in pairs if a != b]
    return steps[0] if len(steps) == 1 else None
