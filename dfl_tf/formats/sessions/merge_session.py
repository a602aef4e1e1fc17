"""The session file of the legacy interactive merger, for reading only.

References: merge.md 7.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path, PureWindowsPath
from typing import SupportsFloat

import numpy as np
import numpy.typing as npt

from dfl_tf.errors import LegacyFormatError
from dfl_tf.formats.faces.face_metadata import points_array
from dfl_tf.formats.models.legacy import plain
from dfl_tf.formats.pickles.objects import Damaged, PickleObject
from dfl_tf.formats.pickles.safe_pickle import load_file

_PROCESSOR = ("merger.InteractiveMergerSubprocessor", "InteractiveMergerSubprocessor")


@dataclass(frozen=True)
class SessionFrame:
    """One frame of a session.

    Attributes
    ----------
    filepath : str
        As stored, with the separators of the machine that stored it.
    filename : str
        Its last component.
    landmarks : list of ndarray, shape (68, 2), float64
        The faces of the frame, in frame pixels.
    motion_power, motion_deg : float
    config : dict or None
        The attributes of its merge configuration (merge.md 2, legacy names); None if it has none
        of its own.
    done : bool
    """

    filepath: str
    filename: str
    landmarks: list[npt.NDArray[np.float64]]
    motion_power: float
    motion_deg: float
    config: dict[str, object] | None
    done: bool


@dataclass(frozen=True)
class LegacyMergeSession:
    """A stored session.

    Attributes
    ----------
    frames : list of SessionFrame
    remaining, finished : list of int
        Indices into `frames`, in order.
    model_iteration : int
        The model's iteration when it was stored.
    """

    frames: list[SessionFrame]
    remaining: list[int]
    finished: list[int]
    model_iteration: int


def read_merge_session(path: Path) -> LegacyMergeSession:
    """Read `<model>_merger_session.dat`.

    Raises
    ------
    UnsafePickleError
        It names something else than the classes of such a session.
    LegacyFormatError
        It is damaged or has not the form of a session.
    """
    stored = load_file(path, more=SESSION_TOKENS)
    try:
        if not isinstance(stored, dict):
            raise TypeError(f"a {type(stored).__name__}, not a dictionary")
        frames = [_frame(record) for record in stored["frames"]]
        remaining = _indices(stored["frames_idxs"], len(frames))
        finished = _indices(stored["frames_done_idxs"], len(frames))
        iteration = _whole(stored["model_iter"])
    except (
        KeyError,
        TypeError,
        ValueError,
        AttributeError,
        IndexError,
        OverflowError,
    ) as error:
        raise LegacyFormatError(
            f"{path}: does not have the form of a merger session ({type(error).__name__}: "
            f"{str(error)[:120]}). Start the merge without it."
        ) from None
    return LegacyMergeSession(frames, remaining, finished, iteration)


def _indices(value: Iterable[object], count: int) -> list[int]:
    indices = [_whole(index) for index in value]
    if any(not 0 <= index < count for index in indices):
        raise ValueError("an index lies outside the frames")
    return indices


def _whole(value: object) -> int:
    if not isinstance(value, int | np.integer) or isinstance(value, bool):
        raise TypeError(f"{str(value)[:40]} is not a whole number")
    return int(value)


def _finite(value: SupportsFloat | str | None) -> float:
    number = float(value or 0.0)
    if not math.isfinite(number):
        raise ValueError(f"{number} is not a finite number")
    return number


def _frame(record: PickleObject) -> SessionFrame:
    attributes = record.attributes
    info = attributes["frame_info"].attributes
    path = info["filepath"]
    if not isinstance(path, str):
        raise TypeError("a file path is not text")
    config = attributes.get("cfg")
    return SessionFrame(
        filepath=path,
        filename=PureWindowsPath(path).name,
        landmarks=[points_array(face, 68) for face in info.get("landmarks_list") or []],
        motion_power=_finite(info.get("motion_power")),
        motion_deg=_finite(info.get("motion_deg")),
        config=None if config is None else plain(dict(config.attributes)),
        done=bool(attributes.get("is_done", False)),
    )


# -- the foreign classes ---------------------------------------------------------------------------
class _Class:
    """A known class: makes records, or holds one known nested class."""

    def __init__(self, name: str, nested: _Class | None = None) -> None:
        self.name, self.nested = name, nested

    def new(self, args: tuple[object, ...]) -> PickleObject:
        return PickleObject(self.name)

    def call(self, args: tuple[object, ...]) -> PickleObject:
        return PickleObject(self.name)


class _GetAttribute:
    """Answers the one question that a session asks `getattr`; never the real one."""

    def call(self, args: tuple[object, ...]) -> _Class:
        if len(args) == 2 and args[0] is _PROCESSOR_CLASS and args[1] == "Frame":
            assert _PROCESSOR_CLASS.nested is not None
            return _PROCESSOR_CLASS.nested
        raise Damaged("asks for an attribute that sessions never need")


class _PathClass:
    """Joins the parts of a path to text; no path of this machine is made."""

    def __init__(self, separator: str) -> None:
        self._separator = separator

    def call(self, args: tuple[object, ...]) -> str:
        parts = [part for part in args if isinstance(part, str)]
        if len(parts) < len(args):
            raise Damaged("makes a path of something that is not text")
        first, *rest = parts or [""]
        if rest and first.endswith(self._separator):
            first = first[: -len(self._separator)]
        return self._separator.join([first, *rest])


_PROCESSOR_CLASS = _Class("InteractiveMergerSubprocessor", nested=_Class("Frame"))
SESSION_TOKENS: dict[tuple[str, str], object] = {
    _PROCESSOR: _PROCESSOR_CLASS,
    (_PROCESSOR[0], "InteractiveMergerSubprocessor.Frame"): _PROCESSOR_CLASS.nested,
    ("builtins", "getattr"): _GetAttribute(),
    ("__builtin__", "getattr"): _GetAttribute(),
    ("merger.FrameInfo", "FrameInfo"): _Class("FrameInfo"),
    ("merger.MergerConfig", "MergerConfigMasked"): _Class("MergerConfigMasked"),
    ("pathlib", "PosixPath"): _PathClass("/"),
    ("pathlib", "PurePosixPath"): _PathClass("/"),
    ("pathlib", "WindowsPath"): _PathClass("\\"),
    ("pathlib", "PureWindowsPath"): _PathClass("\\"),
}
