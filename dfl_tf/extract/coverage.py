"""What to look at after an extraction: frames without a face, jumps, weak and turned faces."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePath

import numpy as np
import numpy.typing as npt

from dfl_tf.disk.guarded import read_json
from dfl_tf.disk.text import printable
from dfl_tf.disk.tree_schema import ANYTHING, Array, Boolean, Integer, Record, Text
from dfl_tf.errors import UsageError
from dfl_tf.extract.cuts import continued, frame_order
from dfl_tf.extract.records import FrameRecord, RecordedFace
from dfl_tf.face import (
    FaceType,
    align_matrix,
    estimate_pitch_yaw_roll,
    landmarks_error,
    transform_points,
)

FORMAT = "dfl_tf coverage"
VERSION = 1

TURNED = 60.0
"""Degrees from the front; beyond, landmarks of the far side are a guess."""

_MOVED = 0.5  # of a face's size from frame to frame
_GREW = 1.3
_TILTED = 25.0  # degrees
_POSE_SIZE = 256
_RANGES_SHOWN = 6

# Scores below which detectors are often wrong; their scales are their own (extract.md 2.3, 8.5).
_WEAK = {"mesh": 17.0, "s3fd": 0.7}


@dataclass(frozen=True)
class Kind:
    """Something to look at.

    Attributes
    ----------
    name : str
        In text and JSON.
    meaning : str
    redo : bool
        Whether ``--redo`` takes such frames.
    """

    name: str
    meaning: str
    redo: bool


KINDS = (
    Kind("no face", "no face was found", True),
    Kind("several faces", "more than one face was found", False),
    Kind("count changes", "another number of faces than in the frame before", True),
    Kind("position jumps", "a face moves by more than half its size from frame to frame", True),
    Kind("size jumps", "a face grows or shrinks by more than 30 % from frame to frame", True),
    Kind("angle jumps", "a face turns in the frame by more than 25 degrees at once", True),
    Kind("weak scores", "the detector is not sure of a face", True),
    Kind("turned away", f"a face is turned by more than {TURNED:.0f} degrees", False),
)
_NAMES = tuple(kind.name for kind in KINDS)


@dataclass(frozen=True, eq=False)
class Coverage:
    """What was noticed in the frames of an extraction.

    Attributes
    ----------
    frames : tuple of FrameRecord
        In the order of the numbers in their names.
    found : dict of str to tuple of int
        Name of a kind → places in `frames`, rising; kinds of which there is nothing are absent.
    cuts : tuple of int
        Places at which a new shot begins, or after which frames are missing; not the first.
    """

    frames: tuple[FrameRecord, ...]
    found: Mapping[str, tuple[int, ...]]
    cuts: tuple[int, ...]

    @cached_property
    def redo(self) -> list[FrameRecord]:
        """Frames that ``--redo`` takes from the JSON."""
        places = {i for kind in KINDS if kind.redo for i in self.found.get(kind.name, ())}
        return [self.frames[i] for i in sorted(places)]

    def ranges(self, kind: str) -> list[tuple[FrameRecord, FrameRecord]]:
        """First and last frame of each uninterrupted range of a kind."""
        ranges: list[list[int]] = []
        for place in self.found.get(kind, ()):
            if ranges and ranges[-1][1] == place - 1:
                ranges[-1][1] = place
            else:
                ranges.append([place, place])
        return [(self.frames[first], self.frames[last]) for first, last in ranges]

    def lines(self, *, all_of_them: bool = False) -> list[str]:
        """One line a kind: how many frames, and which, as ranges."""
        lines = []
        for kind in KINDS:
            places = self.found.get(kind.name)
            if not places:
                continue
            ranges = [_range_text(*ends) for ends in self.ranges(kind.name)]
            shown = ranges if all_of_them else ranges[:_RANGES_SHOWN]
            more = f" and {len(ranges) - len(shown)} more" if len(shown) < len(ranges) else ""
            frames = "1 frame" if len(places) == 1 else f"{len(places)} frames"
            lines.append(f"{kind.name}: {frames} ({', '.join(shown)}{more})")
        return lines

    def as_dict(self) -> dict[str, object]:
        """The same as JSON; ``--redo`` takes the frames of findings whose `redo` is true."""
        return {
            "format": FORMAT,
            "version": VERSION,
            "frames": len(self.frames),
            "cuts": [self.frames[i].name for i in self.cuts],
            "findings": [
                {
                    "kind": kind.name,
                    "meaning": kind.meaning,
                    "redo": kind.redo,
                    "count": len(self.found[kind.name]),
                    "ranges": [[a.name, b.name] for a, b in self.ranges(kind.name)],
                    "frames": [self.frames[i].name for i in self.found[kind.name]],
                }
                for kind in KINDS
                if kind.name in self.found
            ],
        }


def weak_score(detector: str) -> float:
    """Score below which a face of a detector is listed as weak; -inf for unknown detectors."""
    return _WEAK.get(detector, -math.inf)


def measure_coverage(
    frames: Sequence[FrameRecord], *, weak_below: float = -math.inf, turned: float = TURNED
) -> Coverage:
    """Find the frames of an extraction that are worth a look.

    Changes and jumps are those from a frame to the next of the same shot; at a cut, and where
    frames are missing, they are expected.

    Parameters
    ----------
    frames : sequence of FrameRecord
        In any order.
    weak_below : float
        Score of the detector; see `weak_score`.
    turned : float
        Degrees.
    """
    ordered = [frames[i] for i in frame_order(frames)]
    follows = continued(ordered)
    checks: dict[str, Callable[[FrameRecord], bool]] = {
        "no face": lambda frame: not frame.faces,
        "several faces": lambda frame: len(frame.faces) > 1,
        # faces that the user gave, or has put there, have no score
        "weak scores": lambda frame: (
            not frame.given
            and any(face.score < weak_below and not face.by_hand for face in frame.faces)
        ),
        "turned away": lambda frame: any(_turn(face) > turned for face in frame.faces),
    }
    found: dict[str, list[int]] = {name: [] for name in _NAMES}
    for place, frame in enumerate(ordered):
        kinds = [name for name, holds in checks.items() if holds(frame)]
        if follows[place]:
            kinds += _changes(ordered[place - 1].faces, frame.faces)
        for name in kinds:
            found[name].append(place)
    return Coverage(
        tuple(ordered),
        {name: tuple(places) for name, places in found.items() if places},
        tuple(i for i, goes_on in enumerate(follows) if i and not goes_on),
    )


_REDO = Record(
    {
        "format": Text((FORMAT,)),
        "version": Integer(VERSION, VERSION),
        "findings": Array(
            Record({"frames": Array(Text(longest=1024)), "redo": Boolean()}, others=ANYTHING)
        ),
    },
    others=ANYTHING,
)


def read_redo(path: Path) -> list[str]:
    """Names of the frames that a coverage in JSON wants to be extracted again, each once.

    Raises
    ------
    WorkspaceError
        It is no such file.
    UsageError
        It names no frame.
    """
    tree = read_json(path, kind="a coverage of frames", schema=_REDO)
    wanted = [f["frames"] for f in tree["findings"] if f["redo"]]
    names = list(dict.fromkeys(name for frames in wanted for name in frames))
    if not names:
        raise UsageError(
            f"{path}: names no frame to extract again; findings whose redo is false are not taken"
        )
    return names


def face_pose(face: RecordedFace) -> tuple[float, float, float] | None:
    """Pitch, yaw and roll of a face in degrees; None without landmarks that make a face.

    Roll is the angle of the face in the frame, pitch and yaw are relative to the camera.
    """
    points = face.landmarks
    if points is None or landmarks_error(points):
        return None
    matrix = align_matrix(points, _POSE_SIZE, FaceType.FULL)
    pitch, yaw, _ = estimate_pitch_yaw_roll(transform_points(points, matrix), _POSE_SIZE)
    return math.degrees(pitch), math.degrees(yaw), _tilt(points)


def _turn(face: RecordedFace) -> float:
    """By how many degrees a face looks away from the camera, to a side or up and down."""
    pose = face_pose(face)
    return 0.0 if pose is None else max(abs(pose[0]), abs(pose[1]))


def _changes(before: Sequence[RecordedFace], after: Sequence[RecordedFace]) -> list[str]:
    if len(before) != len(after):
        return ["count changes"]
    kinds = set()
    for face in after:
        other = min(before, key=lambda old: _distance(old, face))
        if _distance(other, face) > _MOVED * _size(other):
            kinds.add("position jumps")
        ratio = _size(face) / max(_size(other), 1e-9)
        if not 1 / _GREW <= ratio <= _GREW:
            kinds.add("size jumps")
        if other.landmarks is not None and face.landmarks is not None:
            turn = _tilt(face.landmarks) - _tilt(other.landmarks)
            if abs(math.remainder(turn, 360)) > _TILTED:
                kinds.add("angle jumps")
    return [name for name in _NAMES if name in kinds]


def _corners(face: RecordedFace) -> npt.NDArray[np.float64]:
    return np.asarray(face.box, np.float64).reshape(2, 2)


def _distance(face: RecordedFace, other: RecordedFace) -> float:
    return float(np.linalg.norm(_corners(face).mean(axis=0) - _corners(other).mean(axis=0)))


def _size(face: RecordedFace) -> float:
    return math.sqrt(max(float(np.ptp(_corners(face), axis=0).prod()), 0.0))


def _tilt(points: npt.NDArray[np.float64]) -> float:
    dx, dy = points[45] - points[36]  # outer corners of the eyes
    return math.degrees(math.atan2(dy, dx))


def _range_text(first: FrameRecord, last: FrameRecord) -> str:
    ends = (printable(PurePath(frame.name).stem) for frame in (first, last))
    return "–".join(dict.fromkeys(ends))
