"""Files of whole lines that grow while long work goes on: what is noted there is done.

`Journal` appends, `read_lines` reads what earlier runs noted, whatever ended them. What a line
says is up to the work; see `extract.journal`, `merge.session` and `facesets.xseg_store`.
"""

from __future__ import annotations

import errno
import os
import stat
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO, NamedTuple

from dfl_tf.disk.durable import sync_folder
from dfl_tf.disk.plain_file import open_plain
from dfl_tf.disk.write_errors import explain_write_errors, not_plain
from dfl_tf.errors import WorkspaceError

_DONE = "What was finished before is kept."
_BLOCK = 1 << 16


def open_journal(path: Path) -> BinaryIO:
    """Open a file for appending whole lines, creating it durably; never through a link.

    Raises
    ------
    WorkspaceError
        There is a link or something else than a plain file, or it cannot be written.
    """
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | getattr(os, "O_BINARY", 0)
    # a pipe without a reader would block in open()
    flags |= getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
    fresh = not os.path.lexists(path)
    try:
        handle = os.open(path, flags, 0o666)
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.ENXIO):
            raise not_plain(path) from None
        with explain_write_errors(path):
            raise
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        os.close(handle)
        raise not_plain(path)
    if fresh:
        with explain_write_errors(path):
            sync_folder(path.parent)
    return os.fdopen(handle, "ab")


class Journal:
    """Whole lines that are appended to a file, and brought to the disk about once a second.

    A line that a power cut takes is work that is done again; a sync for each of thousands of
    faces would cost more than that. Nothing that a line speaks of may be less durable than the
    line: `before_sync` is called first.

    Parameters
    ----------
    path : Path
        See `open_journal`.
    before_sync : callable
        Makes durable what the lines since the last sync speak of.
    hold : bool
        Whether lines are held back until then (they are only true if that is on the disk), or
        are written at once (they can be checked when they are read).
    seconds : float
        Longest time between two syncs while lines come.
    keep : int, optional
        How many bytes of an earlier run's lines stay (`Line.end`); what lies behind is cut off.
    """

    def __init__(
        self,
        path: Path,
        *,
        before_sync: Callable[[], object] = lambda: None,
        hold: bool = False,
        seconds: float = 1.0,
        keep: int | None = None,
    ) -> None:
        self.path = path
        self._file, self._before, self._hold = open_journal(path), before_sync, hold
        self._seconds, self._synced = seconds, time.monotonic()
        self._held: list[bytes] = []
        if keep is not None:
            with explain_write_errors(path, safe=_DONE):
                os.ftruncate(self._file.fileno(), keep)

    def is_at_its_path(self) -> bool:
        """Whether the file is still the one under its name: others may have removed it."""
        try:
            return os.path.samestat(os.fstat(self._file.fileno()), os.stat(self.path))
        except OSError:
            return False

    def append(self, line: bytes) -> None:
        """Add one line, which ends with a newline."""
        self._held.append(line)
        due = time.monotonic() - self._synced >= self._seconds
        if due or not self._hold:
            self.sync(durably=due)

    def sync(self, *, durably: bool = True) -> None:
        """Write the lines that are held."""
        with explain_write_errors(self.path, safe=_DONE):
            if durably:
                self._before()
            self._file.write(b"".join(self._held))
            self._held.clear()
            self._file.flush()
            if durably:
                os.fsync(self._file.fileno())
                self._synced = time.monotonic()

    def close(self) -> None:
        """Sync and close."""
        try:
            self.sync()
        finally:
            self._file.close()


def end_of_lines(path: Path, *, kind: str) -> int:
    """How many bytes of a journal are whole lines; a killed run may have left half a line more.

    Raises
    ------
    WorkspaceError
        It cannot be read; `kind` is as in `read_lines`.
    """
    try:
        with open_plain(path) as file:
            end = file.seek(0, os.SEEK_END)
            while end:
                start = max(0, end - _BLOCK)
                file.seek(start)
                found = file.read(end - start).rfind(b"\n")
                if found >= 0:
                    return start + found + 1
                end = start
            return 0
    except OSError as error:
        reason = error.strerror or str(error)
        raise WorkspaceError(f"{path}: cannot be read as {kind} ({reason}).") from None


class Line(NamedTuple):
    """One line of a journal.

    Attributes
    ----------
    number : int
        From 1 on.
    data : bytes
        Without its end; empty where a power cut left a gap.
    end : int
        Bytes of the file up to its end.
    whole : bool
        False for the last line if it has no end: a killed run, or a power cut, left it.
    """

    number: int
    data: bytes
    end: int
    whole: bool


def read_lines(
    path: Path, *, kind: str, advice: str = "", longest: int = 16 << 20
) -> Iterator[Line]:
    """Read the lines of a journal; none if there is no such file.

    Parameters
    ----------
    path : Path
    kind : str
        What it is for people, with its article: "the journal of an extraction".
    advice : str
        What to do about a file that cannot be read, a whole sentence.
    longest : int
        Bytes of a line; a longer one counts as cut off.

    Raises
    ------
    WorkspaceError
        It cannot be read.
    """
    try:
        with open_plain(path) as file:
            end = 0
            for number, data in enumerate(iter(lambda: file.readline(longest), b""), 1):
                end += len(data)
                # a power cut can leave zeros where the file had grown already
                written = data.rstrip(b"\n")
                gap = not written.strip(b"\0")
                yield Line(number, b"" if gap else written, end, data.endswith(b"\n"))
    except FileNotFoundError:
        return
    except OSError as error:
        reason = error.strerror or str(error)
        raise WorkspaceError(
            f"{path}: cannot be read as {kind} ({reason}). {advice}".rstrip()
        ) from None
