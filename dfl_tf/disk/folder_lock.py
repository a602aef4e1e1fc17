"""One at a time: who reads a file of a folder, changes it and puts it back, and who moves files."""

from __future__ import annotations

import contextlib
import os
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

_held = threading.local()


@contextlib.contextmanager
def only_writer(folder: Path) -> Iterator[None]:
    """Context that one thread of one process has at a time, for a folder.

    Whoever writes a file again that it has just read would undo what another program wrote between
    the two. A thread may enter it again from inside. The system releases the lock of a process that
    is killed. Where a file system knows no locks, and on Windows, nothing is locked.
    """
    held = _held.__dict__.setdefault("folders", [])
    name = os.path.realpath(folder)
    if name in held:
        yield
        return
    handle = _locked(folder)
    held.append(name)
    try:
        yield
    finally:
        held.remove(name)
        if handle is not None:
            os.close(handle)


def _locked(folder: Path) -> int | None:
    if sys.platform == "win32":
        return None
    import fcntl

    handle = None
    try:
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        fcntl.flock(handle, fcntl.LOCK_EX)
    except OSError:  # a network file system; a missing folder is said by who reads in it
        if handle is not None:
            os.close(handle)
        return None
    return handle
