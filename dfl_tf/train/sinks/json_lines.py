"""The log for programs: one JSON object a line.

Each line has `event` (its kind), `time` (seconds since 1970) and the fields of the event. The first
line of a run is of the kind ``log`` and gives the version of this schema: fields may be added
within a version; one that is renamed or removed makes a new one.
"""

from __future__ import annotations

import json
import math
import os
import statistics
import sys
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import IO

from dfl_tf.disk.guarded import parse_json
from dfl_tf.errors import WorkspaceError
from dfl_tf.jobs.events import Closed, Event
from dfl_tf.train.events import Iteration, Start

SCHEMA = 1
LARGEST = 8 << 20
"""Bytes after which a rotated log goes on in a new file."""
KEPT = 8
"""Files of a rotated log, the current one included."""
_TAIL, _LAST = 1 << 18, 20


class JsonLinesLog:
    """One JSON object a line: each iteration and each event. NaN and infinity become null.

    Parameters
    ----------
    path : Path or str
        Appended to. ``-`` is stdout.
    every : int
        Iterations between entries; 0 = each one.
    rotated : bool
        Keep the last `KEPT` files of about `LARGEST` bytes: ``log.jsonl``, ``log.1.jsonl`` and so
        on, the newest first. The file is opened when the training starts: one that is refused
        leaves nothing.

    Raises
    ------
    WorkspaceError
        If the file can not be opened.
    """

    def __init__(self, path: Path | str, every: int = 0, *, rotated: bool = False) -> None:
        self._every, self._rotated = every or 1, rotated
        self._path = None if str(path) == "-" else Path(path)
        self.name = str(path) if rotated else f"--log-json {path}"
        self._stream: IO[str] | None = None
        self._held: list[Event] = []
        self._begun = self._closed = False
        if rotated:
            return
        try:
            self._stream = sys.stdout if self._path is None else self._open(self._path)
        except OSError as error:
            raise WorkspaceError(f"{self.name}: {error.strerror}") from error

    def _open(self, path: Path) -> IO[str]:
        # not through a link: what it leads to is none of ours
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
        flags |= getattr(os, "O_NOFOLLOW", 0) if self._rotated else 0
        return os.fdopen(os.open(path, flags, 0o644), "a", encoding="utf-8")

    def emit(self, event: Event) -> None:
        """Write an event with its local time."""
        if self._closed:
            return
        if isinstance(event, Closed):
            self._closed = True
            if self._path is not None and self._stream is not None:
                self._stream.close()
            return
        if isinstance(event, Iteration) and event.iteration % self._every:
            return
        if self._stream is None:
            assert self._path is not None
            self._held.append(event)
            if not isinstance(event, Start):
                return
            self._stream = self._open(self._path)
            held, self._held = self._held[:-1], []
            for each in held:
                self.emit(each)
        if not self._begun:
            self._begun = True
            self._write("log", {"schema": SCHEMA})
        self._write(event.kind, event.record())
        if self._rotated and self._path is not None and self._stream.tell() >= LARGEST:
            self._stream.close()
            self._rotate(self._path)

    def _write(self, kind: str, record: Mapping[str, object]) -> None:
        assert self._stream is not None
        entry = {"event": kind, "time": round(time.time(), 3), **record}
        self._stream.write(json.dumps(_finite(entry), allow_nan=False, default=str) + "\n")
        self._stream.flush()

    def _rotate(self, path: Path) -> None:
        for number in range(KEPT - 2, -1, -1):
            old = numbered(path, number)
            if old.exists():
                os.replace(old, numbered(path, number + 1))
        self._stream = self._open(path)
        self._begun = False


def numbered(path: Path, number: int) -> Path:
    """A file of a rotated log; 0 is the current one."""
    return path.with_suffix(f".{number}{path.suffix}") if number else path


def log_beside(folder: Path, storage_name: str) -> Path:
    """Where the log of a model lies that each of its runs keeps: ``new_SAEHD_log.jsonl``."""
    return folder / f"{storage_name}_log.jsonl"


def last_seconds(path: Path) -> float | None:
    """The median seconds of the last iterations in a log; None where it tells of none."""
    return usual_seconds(last_entries(path))


def last_entries(path: Path) -> list[dict[str, object]]:
    """What the end of a log tells: objects with a time, in order; nothing without a log."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - _TAIL))
            lines = file.read().splitlines()
    except OSError:
        return []
    found = []
    for line in lines:
        try:
            entry = parse_json(line, what=str(path), kind="log")
        except WorkspaceError:
            continue  # the first one may be cut off, and the last one half written
        if isinstance(entry, dict) and number_in(entry, "time") is not None:
            found.append(entry)
    return found


def number_in(entry: Mapping[str, object], key: str) -> float | None:
    """A number of an entry; None where there is none."""
    value = entry.get(key)
    plain = isinstance(value, int | float) and not isinstance(value, bool)
    return float(value) if plain else None  # type: ignore[arg-type]


def usual_seconds(entries: Iterable[Mapping[str, object]]) -> float | None:
    """The median seconds of the last iterations; None without any."""
    found = [
        ms / 1000
        for entry in entries
        if entry.get("event") == "iteration" and (ms := number_in(entry, "ms")) is not None
    ]
    return statistics.median(found[-_LAST:]) if found else None


def _finite(value: object) -> object:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return value
