"""The settings that are being tuned, on disk after each change."""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TypedDict

from dfl_tf.disk.durable import write_file
from dfl_tf.disk.guarded import read_json
from dfl_tf.disk.tree_schema import ANYTHING, Array, Integer, Record, Table, Text
from dfl_tf.errors import DflTfError, UsageError
from dfl_tf.formats.sessions.merge_session import read_merge_session
from dfl_tf.merge.settings import FrameSettings, read_frame_values
from dfl_tf.merge.tuner.timeline import FrameSpan, SettingsTimeline
from dfl_tf.options import Layer, MergeOptions, resolve
from dfl_tf.options.schema import Value
from dfl_tf.options.yaml_file import read_layer

FORMAT, VERSION = "dfl_tf merge tuning", 1
SLOTS = ("A", "B")
CONFIG, FRAME_CONFIG = "merge.yaml", "merge_frames.yaml"

_SEGMENT = Record({"first": Integer(1), "last": Integer(1), "values": Table(ANYTHING)})
_SLOT = Record({"base": Table(ANYTHING), "segments": Array(_SEGMENT)})
_FILE = Record(
    {
        "format": Text((FORMAT,)),
        "version": Integer(VERSION, VERSION),
        "revision": Integer(0),
        "frames": Record({"count": Integer(0), "first": Text(), "last": Text()}),
        "slots": Record({slot: _SLOT for slot in SLOTS}),
    },
    others=ANYTHING,
)


class _PlainSpan(TypedDict):
    first: int
    last: int
    values: dict[str, Value]


class _PlainTimeline(TypedDict):
    base: dict[str, object]
    segments: list[_PlainSpan]


class OutdatedError(DflTfError):
    """Somebody else has changed the settings since they were read."""


@dataclass(frozen=True)
class Tuning:
    """Two sets of settings that can be compared.

    Attributes
    ----------
    slots : mapping of str to SettingsTimeline
        By name in `SLOTS`.
    revision : int
        Counts the changes.
    notes : tuple of str
        What could not be taken over.
    """

    slots: Mapping[str, SettingsTimeline] = field(
        default_factory=lambda: {slot: SettingsTimeline() for slot in SLOTS}
    )
    revision: int = 0
    notes: tuple[str, ...] = ()


class TuningFile:
    """Settings in ``<model>_<class>_merge_tuner.json``, written whole at each change.

    Parameters
    ----------
    path : Path
    frames : sequence of str
        Names of the frames that are there now.
    read_only : bool
        Changes are kept in memory only.

    Raises
    ------
    WorkspaceError, OptionError
        The file is there and cannot be used.
    """

    def __init__(self, path: Path, frames: Sequence[str], *, read_only: bool = False):
        self._path, self._frames, self._read_only = path, tuple(frames), read_only
        self._lock = threading.Lock()
        self._tuning = self._read()

    @property
    def tuning(self) -> Tuning:
        """What holds now."""
        return self._tuning

    def change(
        self,
        slot: str,
        values: Mapping[str, object],
        span: tuple[int, int] | None,
        revision: int,
    ) -> Tuning:
        """Change settings of a slot as `SettingsTimeline.changed` does, and write them.

        Parameters
        ----------
        slot : {"A", "B"}
        values : mapping
        span : (int, int) or None
        revision : int
            That of the settings which the change was made on.

        Raises
        ------
        OutdatedError
            These are not the settings that hold now.
        OptionError, UsageError, WorkspaceError
            A value or the span is wrong, or the file cannot be written.
        """
        if span is not None and span[1] > len(self._frames):
            raise UsageError(f"frames {span[0]}:{span[1]}: there are {len(self._frames)}")
        timeline = self._slot(slot).changed(values, span)
        return self._set(slot, timeline, revision)

    def copy(self, slot: str, to: str, revision: int) -> Tuning:
        """Give one slot the settings of another; errors as in `change`."""
        return self._set(to, self._slot(slot), revision)

    def take(self, slot: str, settings: FrameSettings, revision: int) -> Tuning:
        """Give a slot the settings that files say (`saved_settings`, `session_settings`).

        Errors as in `change`, and OptionError if they are for other frames.
        """
        resolved = settings.resolve([Path(name) for name in self._frames])
        return self._set(slot, SettingsTimeline.of_frames(resolved), revision)

    def agrees(self, slot: str, settings: FrameSettings) -> bool:
        """Whether files (`saved_settings`) give each frame the settings of a slot."""
        timeline = self._slot(slot)
        resolved = settings.resolve([Path(name) for name in self._frames])
        return resolved == [timeline.at(i) for i in range(1, len(self._frames) + 1)]

    def _slot(self, slot: str) -> SettingsTimeline:
        if slot not in SLOTS:
            raise UsageError(f"settings {slot!r}: there are {' and '.join(SLOTS)}")
        return self._tuning.slots[slot]

    def _set(self, slot: str, timeline: SettingsTimeline, revision: int) -> Tuning:
        self._slot(slot)
        with self._lock:
            if revision != self._tuning.revision:
                raise OutdatedError("These settings were changed meanwhile, in another window.")
            slots = {**self._tuning.slots, slot: timeline}
            changed = Tuning(slots, revision + 1)
            if not self._read_only:
                write_file(self._path, self._encoded(changed))
            self._tuning = changed
        return changed

    def _encoded(self, tuning: Tuning) -> bytes:
        content = {
            "format": FORMAT,
            "version": VERSION,
            "revision": tuning.revision,
            "frames": self._frames_now(),
            "slots": {name: as_plain(each) for name, each in tuning.slots.items()},
        }
        # As ASCII: a frame's name need not be UTF-8, and its escapes are read back to the byte.
        return json.dumps(content, indent=1).encode()

    def _frames_now(self) -> dict[str, object]:
        names = self._frames or ("",)
        return {"count": len(self._frames), "first": names[0], "last": names[-1]}

    def _read(self) -> Tuning:
        content = read_json(
            self._path,
            kind="tuned settings of a merge",
            schema=_FILE,
            advice="Move it away to begin with the default settings.",
            missing_ok=True,
        )
        if content is None:
            return Tuning()
        slots = {name: self._timeline(each) for name, each in content["slots"].items()}
        notes: tuple[str, ...] = ()
        then = content["frames"]
        if then != self._frames_now():
            notes = (
                f"These settings were made for {then['count']} frames ({then['first']} … "
                f"{then['last']}); the folder has {len(self._frames)} now. Look whether ranges of "
                "frames still fit.",
            )
        return Tuning(slots, content["revision"], notes)

    def _timeline(self, plain: _PlainTimeline) -> SettingsTimeline:
        base = resolve(MergeOptions, [Layer(plain["base"], self._path.name)]).options
        count = len(self._frames)
        segments = (FrameSpan(**each) for each in plain["segments"])
        there = (replace(s, last=min(s.last, count)) for s in segments if s.first <= count)
        return SettingsTimeline(base, tuple(there)).checked()


def as_plain(timeline: SettingsTimeline) -> dict[str, object]:
    """Return a timeline as values for JSON."""
    segments = [
        {"first": s.first, "last": s.last, "values": dict(s.values)} for s in timeline.segments
    ]
    return {"base": asdict(timeline.base), "segments": segments}


def save_settings(timeline: SettingsTimeline, folder: Path) -> list[Path]:
    """Write the files with which ``dfl-tf merge`` gives each frame these settings.

    Parameters
    ----------
    timeline : SettingsTimeline
    folder : Path

    Returns
    -------
    list of Path
        `CONFIG`, and `FRAME_CONFIG` if some frames have settings of their own, or an older file
        says that they have. Files of these names are replaced.

    Raises
    ------
    WorkspaceError
        They cannot be written.
    """
    texts = {CONFIG: timeline.config()}
    if timeline.segments or (folder / FRAME_CONFIG).exists():
        texts[FRAME_CONFIG] = timeline.frame_config()
    for name, text in texts.items():
        write_file(folder / name, text.encode())
    return [folder / name for name in texts]


def saved_settings(folder: Path) -> FrameSettings:
    """Read the files that `save_settings`, or a user, has written.

    Raises
    ------
    OptionError
        There are none, or they cannot be used.
    """
    frames = folder / FRAME_CONFIG
    return FrameSettings(
        config=(read_layer(folder / CONFIG),),
        frames=read_frame_values(frames) if frames.is_file() else {},
        frames_origin=FRAME_CONFIG,
    )


def session_settings(path: Path) -> FrameSettings:
    """Read the settings of a ``<model>_merger_session.dat`` of DeepFaceLab.

    Raises
    ------
    LegacyFormatError, UnsafePickleError
        It cannot be used.
    """
    return FrameSettings(session=read_merge_session(path))
