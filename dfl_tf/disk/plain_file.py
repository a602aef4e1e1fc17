"""Untrusted files, and names: plain files only, never a pipe, a device or an endless link.

A model folder from elsewhere may hold a named pipe (reading waits forever) or a link to
`/dev/zero` (reading never ends). Both are refused here before the first byte.
"""

from __future__ import annotations

import errno
import mmap
import os
import stat
from collections.abc import Iterable
from io import BufferedReader
from pathlib import Path


def open_plain(path: Path) -> BufferedReader:
    """Open a file for reading if it is a plain file (or a link to one).

    Raises
    ------
    OSError
        As `open` does, or because it is not a regular file.
    """
    # a pipe without a writer would block in open(); O_NONBLOCK changes nothing for plain files
    flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    handle = os.open(path, flags)
    try:
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            raise OSError(errno.EINVAL, "it is not a regular file", str(path))
        return os.fdopen(handle, "rb")
    except BaseException:
        os.close(handle)
        raise


def read_plain(path: Path, *, limit: int | None = None) -> bytes:
    """All bytes of a plain file.

    Raises
    ------
    OSError
        See `open_plain`; or it holds more than `limit` bytes.
    """
    with open_plain(path) as file:
        size = os.fstat(file.fileno()).st_size
        if limit is not None and size > limit:
            raise OSError(errno.EFBIG, f"it has {size} bytes, at most {limit} are read", str(path))
        return file.read()


def version_of(path: Path) -> tuple[int, ...]:
    """What tells a file (or folder) from the one that stands in its place later; () without one."""
    try:
        status = os.stat(path)
    except OSError:
        return ()
    return status.st_ino, status.st_size, status.st_mtime_ns


def lies_in(path: Path, folders: Iterable[Path]) -> Path | None:
    """Where a file or folder really is, if that is in one of some folders, wherever links lead.

    None if it is elsewhere, or missing.
    """
    try:
        real = Path(os.path.realpath(path, strict=True))
    except (OSError, ValueError):
        return None
    return real if any(real.is_relative_to(os.path.realpath(each)) for each in folders) else None


def path_or_content(path: Path) -> str | bytes:
    """What opens a file in a library that takes UTF-8 paths only: else the whole file.

    Raises
    ------
    OSError
        See `open_plain`.
    """
    try:
        str(path).encode()
    except UnicodeEncodeError:
        return read_plain(path)
    return str(path)


def map_plain(path: Path) -> mmap.mmap | bytes:
    """A plain file as memory without reading it; `b""` for an empty one.

    Raises
    ------
    OSError
        See `open_plain`.
    """
    with open_plain(path) as file:
        if os.fstat(file.fileno()).st_size == 0:
            return b""
        return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)


def is_safe_name(name: object) -> bool:
    """Whether `name` is one component of a path that a disk takes (no separator, dot-dot, NUL).

    Any other bytes are a name, UTF-8 or not; who shows it escapes what must not be shown.
    """
    if not isinstance(name, str) or name in ("", ".", ".."):
        return False
    try:
        size = len(os.fsencode(name))
    except UnicodeEncodeError:  # half of a pair of UTF-16, from a pickle
        return False
    return size <= 255 and not any(character in name for character in "/\\\0:")
