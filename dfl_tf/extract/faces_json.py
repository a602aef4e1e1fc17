"""Faces as JSON, to exchange with any other tool: ``--write-faces`` and ``--faces``.

The document is described by ``docs/faces.schema.json``, which is made of the schema here.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePath
from typing import Required, TypedDict

import numpy as np

from dfl_tf.disk.durable import replacing
from dfl_tf.disk.guarded import read_json
from dfl_tf.disk.left_out import LeftOut
from dfl_tf.disk.tree_schema import (
    ANYTHING,
    Array,
    Integer,
    Number,
    Optional,
    Record,
    Row,
    Text,
)
from dfl_tf.errors import WorkspaceError
from dfl_tf.extract.cuts import frame_order
from dfl_tf.extract.records import FrameRecord, GivenFace, RecordedFace
from dfl_tf.face import landmarks_error
from dfl_tf.face.masks import FARTHEST

FORMAT = "dfl_tf faces"
VERSION = 1

_KIND = "a file of faces"
_LIMIT = 512 << 20
_ADVICE = "docs/faces.schema.json describes the file."
_PLACE = Number(-FARTHEST, FARTHEST)
_NAME = Text(longest=1024)
_TOOL = Record({"name": _NAME}, {"version": _NAME}, others=ANYTHING)

FACE = Record(
    {},
    {
        "box": Optional(Row(_PLACE, _PLACE, _PLACE, _PLACE)),
        "landmarks": Optional(Row(*[Row(_PLACE, _PLACE)] * 68)),
        "score": Optional(Number()),
        "landmark_score": Optional(Number()),
        "track": Optional(Integer(-1)),
        "dropped": Text(),
    },
    others=ANYTHING,
)
FRAME = Record(
    {"faces": Array(FACE, longest=10_000)},
    {
        "name": _NAME,
        "number": Integer(0),
        "width": Optional(Integer(1)),
        "height": Optional(Integer(1)),
    },
    others=ANYTHING,
)
SCHEMA = Record(
    {"format": Text((FORMAT,)), "version": Integer(VERSION, VERSION), "frames": Array(FRAME)},
    {
        "source": Optional(
            Record({"name": _NAME}, {"frames": Integer(0), "sha256": _NAME}, others=ANYTHING)
        ),
        "detector": Optional(_TOOL),
        "landmarker": Optional(_TOOL),
        "written_by": _NAME,
    },
    others=ANYTHING,
)
"""What the reader accepts; `schema_document` says the same as JSON Schema."""


@dataclass(frozen=True)
class Tool:
    """A detector or landmarker, by name and version."""

    name: str
    version: str = ""


@dataclass(frozen=True)
class Source:
    """What the frames came from.

    Attributes
    ----------
    name : str
        File name of the video, or name of the folder of frames.
    frames : int
        How many it has.
    sha256 : str
        Of the video file in hex; empty where it is not known.
    """

    name: str
    frames: int = 0
    sha256: str = ""


@dataclass(frozen=True, eq=False)
class GivenFrame:
    """A frame of a file of faces.

    Attributes
    ----------
    name : str
        File name of the frame with or without its suffix; empty if it has only a number.
    number : int or None
        Place of the frame, from 1 (see `FrameRecord`).
    faces : tuple of GivenFace
        None at all: the frame has no face.
    width, height : int or None
        Of the frame in pixels, where the file says it.
    """

    name: str
    number: int | None
    faces: tuple[GivenFace, ...]
    width: int | None = None
    height: int | None = None


@dataclass(frozen=True, eq=False)
class FacesFile:
    """The content of a file of faces.

    Attributes
    ----------
    path : Path
    frames : tuple of GivenFrame
    source : Source or None
    detector, landmarker : Tool or None
    dropped : tuple of str
        Frames with a face that is marked as dropped, one for each such face; they are left out.
    """

    path: Path
    frames: tuple[GivenFrame, ...]
    source: Source | None = None
    detector: Tool | None = None
    landmarker: Tool | None = None
    dropped: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class GivenFaces:
    """Which faces are given for which frames.

    Attributes
    ----------
    by_name : dict
        File name of a frame → its faces; frames that the file does not name are absent.
    left_out : LeftOut
        Frames of the file that are not there, and faces that it marks as dropped.
    """

    by_name: dict[str, tuple[GivenFace, ...]] = field(default_factory=dict)
    left_out: LeftOut = field(default_factory=LeftOut)


def read_faces(path: Path) -> FacesFile:
    """Read a file of faces.

    Raises
    ------
    WorkspaceError
        It is no such file; the text names file, frame and key.
    """
    tree = read_json(path, kind=_KIND, schema=SCHEMA, limit=_LIMIT, advice=_ADVICE)
    errors: list[str] = []
    dropped: list[str] = []
    frames = tuple(_frame(entry, i, errors, dropped) for i, entry in enumerate(tree["frames"]))
    errors += _given_twice(frames)
    if errors:
        more = f"; and {len(errors) - 3} more" if len(errors) > 3 else ""
        raise WorkspaceError(
            f"{path}: cannot be read as {_KIND}: {'; '.join(errors[:3])}{more}. {_ADVICE}"
        )
    source = tree.get("source")
    return FacesFile(
        path,
        frames,
        source and Source(source["name"], source.get("frames", 0), source.get("sha256", "")),
        _tool(tree.get("detector")),
        _tool(tree.get("landmarker")),
        tuple(dropped),
    )


def match_faces(file: FacesFile, frames: Iterable[tuple[str, int]]) -> GivenFaces:
    """Find the frames that a file of faces speaks of.

    Parameters
    ----------
    file : FacesFile
    frames : iterable of (str, int)
        File name and number of every frame of the source (not only of those to be extracted).

    Returns
    -------
    GivenFaces
        A frame is found by its name, else by its name without suffix, else, where the file gives
        no name, by its number.

    Raises
    ------
    WorkspaceError
        A name and a number are of different frames, or two entries are of one frame.
    """
    known = list(frames)
    names = {name: name for name, _ in reversed(known)}
    stems = {PurePath(name).stem: name for name, _ in reversed(known)}
    numbers = {number: name for name, number in reversed(known)}
    places = dict(known)
    given = GivenFaces()
    for called in file.dropped:
        given.left_out.add(f"faces marked as dropped in {file.path.name}", called)
    for frame in file.frames:
        if frame.name:
            name = names.get(frame.name) or stems.get(PurePath(frame.name).stem)
        else:
            name = numbers.get(frame.number or 0)
        if name is None:
            given.left_out.add(f"frames of {file.path.name} that are not there", _called(frame))
            continue
        if frame.name and frame.number is not None and places[name] != frame.number:
            raise WorkspaceError(
                f"{file.path}: frame {frame.name}: number is {frame.number}, but {name} is frame "
                f"{places[name]} of the source. Correct it, or leave the numbers out."
            )
        if name in given.by_name:
            raise WorkspaceError(f"{file.path}: frame {name} is given twice")
        given.by_name[name] = frame.faces
    return given


def write_faces(
    path: Path,
    frames: Sequence[FrameRecord],
    *,
    source: Source | None = None,
    detector: Tool | None = None,
    landmarker: Tool | None = None,
    written_by: str = "dfl_tf",
) -> None:
    """Write all faces of an extraction, in the order of the frames; a line a frame.

    Parameters
    ----------
    path : Path
        Replaced in one step.
    frames : sequence of FrameRecord
        In any order. Frames without a face are written, too: read back, they have none.
    source, detector, landmarker, written_by
        Where the faces come from; `written_by` is program and version.

    Raises
    ------
    WorkspaceError
        The file cannot be written.
    """
    head = {
        "format": FORMAT,
        "version": VERSION,
        "written_by": written_by,
        "source": source
        and {"name": source.name, "frames": source.frames, "sha256": source.sha256},
        "detector": _tool_tree(detector),
        "landmarker": _tool_tree(landmarker),
    }
    lines = (json.dumps(_frame_tree(frames[i])) for i in frame_order(frames))
    with replacing(path) as file:
        start = json.dumps(head, indent=1)[:-2]  # without its end: the frames come one by one
        file.write(f'{start},\n "frames": ['.encode())
        for i, line in enumerate(lines):
            file.write(f"{',' if i else ''}\n  {line}".encode())
        file.write(b"\n ]\n}\n")


class _StoredFace(TypedDict, total=False):
    box: list[float] | None
    landmarks: list[list[float]] | None
    dropped: str


class _StoredFrame(TypedDict, total=False):
    name: str
    number: int
    width: int | None
    height: int | None
    faces: Required[list[_StoredFace]]


def _frame(entry: _StoredFrame, place: int, errors: list[str], dropped: list[str]) -> GivenFrame:
    name, number = entry.get("name", ""), entry.get("number")
    kept = [(i, _face(face)) for i, face in enumerate(entry["faces"]) if not face.get("dropped")]
    faces = tuple(face for _, face in kept)
    frame = GivenFrame(name, number, faces, entry.get("width"), entry.get("height"))
    dropped += [_called(frame)] * (len(entry["faces"]) - len(kept))
    if not name and number is None:
        errors.append(f"frames[{place}] lacks name and number; give one of them")
    for i, face in kept:
        error = _face_error(face)
        if error:
            errors.append(f"frames[{place}] ({_called(frame)}): faces[{i}]{error}")
    return frame


def _face(face: _StoredFace) -> GivenFace:
    box, points = face.get("box"), face.get("landmarks")
    return GivenFace(
        None if box is None else (box[0], box[1], box[2], box[3]),
        None if points is None else np.array(points, dtype=np.float64),
    )


def _face_error(face: GivenFace) -> str:
    if face.box is None and face.landmarks is None:
        return " has neither box nor landmarks; give one of them"
    if face.box is not None:
        left, top, right, bottom = face.box
        if right <= left or bottom <= top:
            return f".box is {list(face.box)}; it must be left, top, right, bottom in this order"
    if face.landmarks is not None:
        error = landmarks_error(face.landmarks)
        if error:
            return f".landmarks cannot be used: {error}"
    return ""


def _given_twice(frames: Sequence[GivenFrame]) -> list[str]:
    seen: dict[str | int, int] = {}
    errors = []
    for i, frame in enumerate(frames):
        key = frame.name or frame.number
        if key is not None and seen.setdefault(key, i) != i:
            errors.append(
                f"frames[{i}] ({_called(frame)}) is given twice: also frames[{seen[key]}]"
            )
    return errors


def _called(frame: GivenFrame) -> str:
    return frame.name or f"number {frame.number}"


def _tool(tree: dict[str, str] | None) -> Tool | None:
    return None if tree is None else Tool(tree["name"], tree.get("version", ""))


def _tool_tree(tool: Tool | None) -> dict[str, str] | None:
    return None if tool is None else {"name": tool.name, "version": tool.version}


def _frame_tree(frame: FrameRecord) -> dict[str, object]:
    return {
        "name": frame.name,
        "number": frame.number,
        "width": frame.width,
        "height": frame.height,
        "faces": [_face_tree(face) for face in frame.faces],
    }


def _face_tree(face: RecordedFace) -> dict[str, object]:
    points = face.landmarks
    tree = {
        "box": [round(float(side), 3) for side in face.box],
        "score": round(float(face.score), 4),
        "landmarks": None if points is None else points.round(3).tolist(),
        "landmark_score": round(float(face.landmark_score), 4),
        "track": face.track,
    }
    return {**tree, "dropped": face.dropped} if face.dropped else tree
