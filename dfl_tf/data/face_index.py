"""What was learned about the files of a large faceset, remembered between runs.

Uniform yaw and XSeg training must know something of every face before the first batch: to read the
metadata of tens of thousands of files takes minutes, to list them with their dates a second.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from dfl_tf_ops.process import user_cache

from dfl_tf.disk.durable import make_folder_for, write_file
from dfl_tf.disk.guarded import MAX_BYTES, parse_json
from dfl_tf.disk.plain_file import read_plain
from dfl_tf.disk.tree_schema import Array, Boolean, Integer, Number, Row, Text
from dfl_tf.errors import DflTfError, WorkspaceError

_log = logging.getLogger(__name__)

_VERSION = 3  # of the file, and of how yaw is estimated
_FACTS = (Number(), Boolean(), Boolean(), Text(), Text(), Boolean(), Integer(0), Text())
_ROWS = Array(Row(Text(), Integer(0), Integer(), *_FACTS))
"""Name, stamp and facts of each face."""

Stamp = tuple[int, int]
"""Size in bytes and time of the last change in nanoseconds: another one means another content."""


class FaceFacts(NamedTuple):
    """What choosing a face needs to know of it.

    Attributes
    ----------
    yaw : float
        Radians, as `FaceSample.pitch_yaw_roll` estimates it.
    polygons : bool
        Whether a mask was drawn by hand that encloses anything.
    masked : bool
        Whether an XSeg mask is applied.
    reason : str
        Why the file is not a usable face; empty if it is one.
    kind : str
        What it is counted as then.
    empty_label : bool
        Whether polygons were drawn that enclose nothing.
    face_type : int
        Value of its `FaceType`.
    source : str
        Name of the frame that the face was cut from; empty where it is not known.
    """

    yaw: float = 0.0
    polygons: bool = False
    masked: bool = False
    reason: str = ""
    kind: str = ""
    empty_label: bool = False
    face_type: int = 2
    source: str = ""


class FaceIndex:
    """Facts by name, for the files that are still as they were.

    Parameters
    ----------
    path : Path
        The folder or pak.
    stamps : mapping of str to (int, int)
        What is there now. Facts of files that are gone or have another stamp are forgotten.

    Notes
    -----
    The file lies in the user's cache (``$XDG_CACHE_HOME/dfl_tf/facesets``), never among the faces.
    It carries the SHA-256 of its content: a damaged or foreign one is as good as none.
    """

    def __init__(self, path: Path, stamps: Mapping[str, Stamp]) -> None:
        self._file = _cache_file(path)
        self._stamps = dict(stamps)
        self._new = 0
        self._facts = {
            name: facts
            for name, (stamp, facts) in _read(self._file).items()
            if self._stamps.get(name) == stamp
        }

    def __len__(self) -> int:
        return len(self._facts)

    def get(self, name: str) -> FaceFacts | None:
        """Return what is known of a file."""
        return self._facts.get(name)

    def put(self, name: str, facts: FaceFacts) -> None:
        """Remember what was found in a file; not of one that was not there in the beginning."""
        if name in self._stamps and self._facts.get(name) != facts:
            self._facts[name] = facts
            self._new += 1

    def save(self) -> None:
        """Write what is new; a cache that cannot be written is only logged."""
        if not self._new:
            return
        rows = [[name, *self._stamps[name], *facts] for name, facts in self._facts.items()]
        content = json.dumps(rows, separators=(",", ":")).encode()
        head = f"{_VERSION} {hashlib.sha256(content).hexdigest()}\n".encode()
        if self._file is None:
            return
        try:
            make_folder_for(self._file)
            write_file(self._file, head + content)
        except (DflTfError, OSError) as error:
            _log.warning("the index of faces is not kept: %s", error)
            return
        self._new = 0


def _cache_file(path: Path) -> Path | None:
    root = user_cache()
    key = hashlib.sha256(os.fsencode(path.resolve())).hexdigest()[:32]
    return None if root is None else root / "facesets" / f"{key}.json"


def _read(file: Path | None) -> dict[str, tuple[Stamp, FaceFacts]]:
    if file is None:
        return {}
    try:
        data = read_plain(file, limit=MAX_BYTES)
    except FileNotFoundError:
        return {}
    except OSError as error:
        return _made_again(f"{file}: {error.strerror or error}")
    head, _, content = data.partition(b"\n")
    if head != f"{_VERSION} {hashlib.sha256(content).hexdigest()}".encode():
        return _made_again(f"{file}: it is damaged, or of another version")
    try:
        rows = parse_json(content, what=str(file), kind="an index of faces", schema=_ROWS)
    except WorkspaceError as error:
        return _made_again(str(error))
    return {name: ((size, time), FaceFacts(*facts)) for name, size, time, *facts in rows}


def _made_again(reason: str) -> dict[str, tuple[Stamp, FaceFacts]]:
    _log.warning("the index of faces is made again (%s)", reason)
    return {}
