"""The log of a model as it grows, read once and in bounds.

A log can have any size: of a large one each line that is rare (saves, roll-backs, other options) is
read, and of its iterations as many as can be drawn, evenly spread; its end is read whole.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from io import BufferedReader
from pathlib import Path

from dfl_tf.disk.guarded import parse_json
from dfl_tf.disk.plain_file import open_plain
from dfl_tf.errors import DflTfError
from dfl_tf.train.sinks.json_lines import KEPT, numbered

ROWS = 6_000
"""Iterations that are read of what was there before."""
EVENTS = 5_000
"""Other lines that are read of it, at most."""
WHOLE = 2 << 20
"""Bytes up to which all is read."""
TAIL = 256 << 10
"""Bytes at the end that are always read whole."""
CHUNK = 1 << 20
LONGEST = 1 << 20
"""Bytes of a line; a longer one is none of ours."""

_ITERATION = b'{"event": "iteration"'
_FREQUENT = (_ITERATION, b'{"event": "message"')
_RARE = re.compile(rb'\n\{"event": "(?!iteration"|message")[^\n]*')

Entry = dict[str, object]
Resolve = Callable[[Path], Path]


class LogReader:
    """Reads what is new in a log and the files it was continued in.

    Parameters
    ----------
    path : Path
        The current file.
    resolve : callable
        Gives the file that a path stands for, or raises what is a `DflTfError`.
    """

    def __init__(self, path: Path, resolve: Resolve) -> None:
        self._path, self._resolve = path, resolve
        self._read_to: dict[tuple[int, int], int] = {}

    def entries(self) -> Iterator[Entry]:
        """Whole lines that were added since the last call, in order; all at the first one."""
        files = [file for number in range(KEPT - 1, -1, -1) if (file := self._open(number))]
        try:
            known = {_key(file): self._start(file) for file in files}
            unread = sum(_size(file) - known[_key(file)] for file in files)
            picker = _Picker(0 if unread <= WHOLE else max(1, unread // ROWS))
            self._read_to = known
            for file in files:
                yield from self._of_file(file, picker, last=file is files[-1])
        finally:
            for file in files:
                file.close()

    def _open(self, number: int) -> BufferedReader | None:
        try:
            return open_plain(self._resolve(numbered(self._path, number)))
        except (DflTfError, OSError):
            return None

    def _start(self, file: BufferedReader) -> int:
        """Where reading goes on; 0 for a new file, or one that was written over."""
        start = self._read_to.get(_key(file), 0)
        return start if start <= _size(file) else 0

    def _of_file(self, file: BufferedReader, picker: _Picker, *, last: bool) -> Iterator[Entry]:
        key = _key(file)
        end = _size(file)
        whole_from = end - TAIL if last else end
        file.seek(self._read_to[key])
        rest = b""
        while chunk := file.read(CHUNK):
            data = rest + chunk
            cut = data.rfind(b"\n") + 1
            rest = data[cut:]
            done = self._read_to[key] + cut
            for line in picker.picked(data, cut, whole=done > whole_from):
                entry = _parsed(line)
                if entry is not None:
                    yield entry
            self._read_to[key] = done
            if len(rest) > LONGEST:
                self._read_to[key], rest = done + len(rest), b""


class _Picker:
    """Chooses which lines are parsed.

    Parameters
    ----------
    bytes_each : int
        One iteration is taken of so many bytes; 0 takes all lines.
    """

    def __init__(self, bytes_each: int) -> None:
        self._each = bytes_each
        self._events = 0

    def picked(self, data: bytes, end: int, *, whole: bool) -> list[bytes]:
        """Of the lines before a place that is the start of one, those that are parsed, in order."""
        if whole or not self._each:
            return data[:end].split(b"\n")
        found = {}
        for match in _RARE.finditer(data, 0, end):
            if self._events >= EVENTS:
                break
            self._events += 1
            found[match.start() + 1] = match[0][1:]
        first = data[: data.find(b"\n")] if end else b""
        if not first.startswith(_FREQUENT):
            found[0] = first
        for place in range(0, end, self._each):
            start = data.find(b"\n", place) + 1 if place else 0
            line = data[start : data.find(b"\n", start)]
            if start < end and line.startswith(_ITERATION):
                found[start] = line
        return [found[start] for start in sorted(found)]


def _parsed(line: bytes) -> Entry | None:
    if not line.startswith(b"{") or len(line) > LONGEST:
        return None
    try:
        entry = parse_json(line, what="the log", kind="log")
    except DflTfError:
        return None
    return entry if isinstance(entry, dict) else None


def _key(file: BufferedReader) -> tuple[int, int]:
    status = os.fstat(file.fileno())
    return status.st_dev, status.st_ino


def _size(file: BufferedReader) -> int:
    return os.fstat(file.fileno()).st_size
