"""The journal of an extraction: what was done with which options, one line a frame.

It lies in the folder of faces. A line is written when the faces that it speaks of are durable, so
whatever ends a run, the next one goes on behind the last line. At the end of a run the journal is
written whole, in the order of the frames: it is the same however often the run was interrupted.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import NotRequired, TypedDict

import numpy as np

from dfl_tf.disk.durable import sync_folder, write_stream
from dfl_tf.disk.guarded import parse_json
from dfl_tf.disk.journal import Journal, end_of_lines, read_lines
from dfl_tf.disk.tree_schema import (
    ANYTHING,
    Array,
    Boolean,
    Integer,
    Number,
    Optional,
    Record,
    Row,
    Text,
)
from dfl_tf.errors import WorkspaceError
from dfl_tf.extract.records import FrameRecord, RecordedFace

FILE = "extraction.jsonl"
LOCK = ".dfl_tf-extraction.lock"
WRITING = "extracts faces, or puts one by hand,"
"""A file that whoever writes the journal locks (`disk.lock_file`), and what that process does."""
FORMAT, VERSION = "dfl_tf extraction", 1

_KIND = "the journal of an extraction"
_ADVICE = "--overwrite starts over."
_DECIMALS = 3

_POINTS = Array(Row(Number(), Number()))
_FACE = Record(
    {
        "box": Row(Number(), Number(), Number(), Number()),
        "score": Number(),
        "landmarks": Optional(_POINTS),
        "landmark_score": Number(),
        "file": Text(),
        "sha256": Text(),
        "dropped": Text(),
        "track": Integer(),
    },
    {"by_hand": Boolean()},
)
_FRAME = Record(
    {
        "name": Text(),
        "number": Integer(1),
        "size": Row(Integer(0), Integer(0)),
        "rotation": Integer(0),
        "stamp": Row(Integer(0), Integer(0), Integer(0)),
        "run": Integer(0),
        "given": Integer(0),
        "look": Text(longest=1024, pattern="[A-Za-z0-9+/=]*", form="base64"),
        "faces": Array(_FACE),
    },
    {"removed": Array(_FACE)},
)
_RUN = Record(
    {
        "settings": Record({}, others=ANYTHING),
        "source": Record({}, others=ANYTHING),
        "redo": Boolean(),
    }
)
_LINE = Record(
    optional={
        "format": Text((FORMAT,)),
        "version": Integer(0),
        "run": _RUN,
        "frame": _FRAME,
        "found": _FRAME,
        "again": _FRAME,
    }
)


class StoredRun(TypedDict):
    """A run as the journal has it (`_RUN`)."""

    settings: Mapping[str, object]
    source: Mapping[str, object]
    redo: bool


class _StoredFace(TypedDict):
    box: list[float]
    score: float
    landmarks: list[list[float]] | None
    landmark_score: float
    file: str
    sha256: str
    dropped: str
    track: int
    by_hand: NotRequired[bool]


class _StoredFrame(TypedDict):
    name: str
    number: int
    size: list[int]
    rotation: int
    stamp: list[int]
    run: int
    given: int
    look: str
    faces: list[_StoredFace]
    removed: NotRequired[list[_StoredFace]]


@dataclass
class Extraction:
    """What a journal says.

    Attributes
    ----------
    runs : list of StoredRun
        Options, detector and landmarker of every run, with its source; the last one counts that
        was not there to extract some frames again.
    frames : dict of str to FrameRecord
        Finished frames by name.
    found : dict of str to FrameRecord
        Frames that were looked at, with the landmarks as they were found; of extractions with
        ``--smooth`` only, where faces are stored after that.
    again : dict of str to FrameRecord
        Frames that are to be extracted again, as they were before.
    """

    runs: list[StoredRun] = field(default_factory=list)
    frames: dict[str, FrameRecord] = field(default_factory=dict)
    found: dict[str, FrameRecord] = field(default_factory=dict)
    again: dict[str, FrameRecord] = field(default_factory=dict)

    @property
    def records(self) -> list[FrameRecord]:
        """Finished frames, by number."""
        return sorted(self.frames.values(), key=_place)

    @property
    def last_run(self) -> StoredRun | None:
        """The run whose options hold for the folder."""
        return next((run for run in reversed(self.runs) if not run["redo"]), None)

    def enter(self, run: StoredRun) -> int:
        """Number of a run, which is that of an equal one where that holds still."""
        known = self.runs if run["redo"] else [self.last_run]
        if run not in known:
            self.runs.append(run)
        return len(self.runs) - 1 - self.runs[::-1].index(run)

    def repeat(self, names: Iterable[str]) -> None:
        """Take frames for unfinished."""
        for name in names:
            self.found.pop(name, None)
            if name in self.frames:
                self.again[name] = self.frames.pop(name)

    def lines(self) -> Iterator[dict[str, object]]:
        """The lines of the journal, in the order of the frames."""
        yield {"format": FORMAT, "version": VERSION}
        for run in self.runs:
            yield {"run": run}
        for key, records in (
            ("found", self.found),
            ("again", self.again),
            ("frame", self.frames),
        ):
            for record in sorted(records.values(), key=_place):
                yield {key: _as_dict(record)}


class ExtractionJournal:
    """The journal of a folder while a run goes on.

    Parameters
    ----------
    folder : Path
        Of the faces.
    content : Extraction
        What earlier runs did.
    before_sync : callable
        Makes the faces durable of which the lines speak.
    """

    def __init__(
        self, folder: Path, content: Extraction, *, before_sync: Callable[[], object]
    ) -> None:
        self.path = folder / FILE
        self.content = content
        # whole, since a killed run may have left half a line at its end
        write_journal(folder, content)
        self._lines = Journal(self.path, before_sync=before_sync, hold=True)

    def note(self, record: FrameRecord) -> None:
        """Note a finished frame."""
        self.content.frames[record.name] = record
        self.content.again.pop(record.name, None)
        self._append({"frame": _as_dict(record)})

    def note_found(self, record: FrameRecord) -> None:
        """Note a frame whose faces are known, but not stored yet."""
        self.content.found[record.name] = record
        self._append({"found": _as_dict(record)})

    def close(self) -> None:
        """Make the lines durable."""
        self._lines.close()

    def finish(self) -> None:
        """Close, and write the journal whole and in order."""
        self.close()
        write_journal(self.path.parent, self.content)

    def _append(self, line: dict[str, object]) -> None:
        self._lines.append(_encoded(line))


def write_journal(folder: Path, content: Extraction) -> None:
    """Write the journal of a folder whole.

    Raises
    ------
    WorkspaceError
        It cannot be written.
    """

    def write(put: Callable[[bytes], object]) -> None:
        for line in content.lines():
            put(_encoded(line))

    write_stream(folder / FILE, write)


def append_record(folder: Path, record: FrameRecord) -> None:
    """Add the finished frame to the journal of a folder, durably.

    Whoever calls it has the folder for itself (`LOCK`), and has made the
    faces durable.

    Raises
    ------
    WorkspaceError
        It cannot be written.
    """
    path = folder / FILE
    sync_folder(folder)
    lines = Journal(path, keep=end_of_lines(path, kind=_KIND))
    lines.append(_encoded({"frame": _as_dict(record)}))
    lines.close()


def digest_of(record: FrameRecord) -> str:
    """A checksum of all that is known of a frame: who changes it says what the change is based on.

    Returns
    -------
    str
        16 hexadecimal digits.
    """
    return hashlib.sha256(_encoded({"frame": _as_dict(record)})).hexdigest()[:16]


def read_journal(folder: Path) -> Extraction | None:
    """Read the journal of a folder of faces; None if there is none.

    Raises
    ------
    WorkspaceError
        It is not a journal that this version reads.
    """
    path = folder / FILE
    if not os.path.lexists(path):
        return None
    content = Extraction()
    for line in read_lines(path, kind=_KIND, advice=_ADVICE):
        if line.whole and line.data:
            _take(content, line.data, f"{path}, line {line.number}")
    return content


def rounded(record: FrameRecord) -> FrameRecord:
    """The record as the journal keeps it: thousandths of pixels, scores to six digits."""
    return replace(record, faces=tuple(_rounded(face) for face in record.faces))


def _rounded(face: RecordedFace) -> RecordedFace:
    points = face.landmarks
    return replace(
        face,
        box=tuple(round(float(side), _DECIMALS) for side in face.box),  # type: ignore[arg-type]
        score=round(float(face.score), 6),
        landmarks=None if points is None else np.round(points, _DECIMALS),
        landmark_score=round(float(face.landmark_score), 6),
    )


def _take(content: Extraction, line: bytes, what: str) -> None:
    tree = parse_json(line, what=what, kind=_KIND, schema=_LINE, advice=_ADVICE)
    ((key, value),) = list(tree.items())[:1]
    if key == "format" and tree["version"] != VERSION:
        raise WorkspaceError(
            f"{what}: version {tree['version']} of the journal is unknown (this program reads "
            f"{VERSION}). {_ADVICE}"
        )
    if key == "run":
        content.runs.append(value)
    elif key == "frame":
        content.frames[value["name"]] = _as_record(value)
        content.again.pop(value["name"], None)
    elif key == "found":
        content.found[value["name"]] = _as_record(value)
    elif key == "again":
        content.again[value["name"]] = _as_record(value)


def _place(record: FrameRecord) -> tuple[int, str]:
    return record.number, record.name


def _encoded(line: dict[str, object]) -> bytes:
    # as ASCII: a frame's name need not be UTF-8, and its escapes are read back to the byte
    return (json.dumps(line, separators=(",", ":")) + "\n").encode()


def _as_dict(record: FrameRecord) -> _StoredFrame:
    stored: _StoredFrame = {
        "name": record.name,
        "number": record.number,
        "size": [record.height, record.width],
        "rotation": record.rotation,
        "stamp": list(record.stamp),
        "run": record.run,
        "given": record.given,
        "look": base64.b64encode(record.look).decode(),
        "faces": [_face_as_dict(face) for face in record.faces],
    }
    if record.removed:
        stored["removed"] = [_face_as_dict(face) for face in record.removed]
    return stored


def _face_as_dict(face: RecordedFace) -> _StoredFace:
    stored: _StoredFace = {
        "box": list(face.box),
        "score": face.score,
        "landmarks": None if face.landmarks is None else face.landmarks.tolist(),
        "landmark_score": face.landmark_score,
        "file": face.file,
        "sha256": face.sha256,
        "dropped": face.dropped,
        "track": face.track,
    }
    if face.by_hand:
        stored["by_hand"] = True
    return stored


def _as_face(tree: _StoredFace) -> RecordedFace:
    left, top, right, bottom = tree["box"]
    points = tree["landmarks"]
    return RecordedFace(
        box=(left, top, right, bottom),
        score=tree["score"],
        landmarks=None if points is None else np.array(points, dtype=np.float64).reshape(-1, 2),
        landmark_score=tree["landmark_score"],
        file=tree["file"],
        sha256=tree["sha256"],
        dropped=tree["dropped"],
        track=tree["track"],
        by_hand=tree.get("by_hand", False),
    )


def _as_record(tree: _StoredFrame) -> FrameRecord:
    height, width = tree["size"]
    size, modified, checksum = tree["stamp"]
    return FrameRecord(
        name=tree["name"],
        number=tree["number"],
        height=height,
        width=width,
        faces=tuple(_as_face(face) for face in tree["faces"]),
        rotation=tree["rotation"],
        stamp=(size, modified, checksum),
        run=tree["run"],
        given=tree["given"],
        look=base64.b64decode(tree["look"]),
        removed=tuple(_as_face(face) for face in tree.get("removed", ())),
    )
