"""Long work that one process at a time may do in a folder: a file there is locked meanwhile."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path

from dfl_tf.disk.write_errors import explain_write_errors
from dfl_tf.errors import UsageError


@contextlib.contextmanager
def locked_file(path: Path, *, doing: str) -> Iterator[None]:
    """Lock a file until the end of the block, for this process; it is made, and stays.

    The system releases the lock of a process that is killed. Where a file system knows no locks,
    and on Windows, nothing is locked.

    Parameters
    ----------
    path : Path
        In a folder that is there.
    doing : str
        What the process does that has it, for the message: "extracts faces".

    Raises
    ------
    UsageError
        Another process has it.
    WorkspaceError
        The file cannot be made.
    """
    if sys.platform == "win32":
        yield
        return
    import fcntl

    with explain_write_errors(path):
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK, 0o666)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UsageError(
                f"{path.parent}: another process {doing} there; try again when it has ended."
            ) from None
        except OSError:  # some network disks
            pass
        yield
    finally:
        os.close(handle)
