"""What went wrong while writing, as a message that a user can act on."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
from pathlib import Path

from dfl_tf.disk.temporary_names import is_temporary, staged_for
from dfl_tf.errors import WorkspaceError

UNCHANGED = "What was there is unchanged."
_SPARE_BYTES = 1 << 20

_ADVICE = {
    errno.ENOSPC: "The disk is full: free some space.",
    errno.EDQUOT: "The disk quota is used up: free some space.",
    errno.EFBIG: "The file would be larger than the system allows.",
    errno.EROFS: "The file system is read-only: choose another folder.",
    errno.EACCES: "Permission denied: make the folder writable or choose another.",
    errno.EPERM: "Permission denied: make the folder writable or choose another.",
    errno.ENOENT: "The folder does not exist.",
    errno.EMFILE: "Too many files are open: raise the limit (ulimit -n).",
    errno.EIO: "The disk reports an error: check it, and copy your work to another one.",
}


class explain_write_errors(contextlib.AbstractContextManager[None]):
    """Turn an `OSError` into a `WorkspaceError` that says what, why, what to do and what is safe.

    Parameters
    ----------
    path : Path
        What was to be written.
    safe : str
        A sentence: what the error did not harm.
    """

    def __init__(self, path: Path, *, safe: str = UNCHANGED) -> None:
        self._path, self._safe = path, safe

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, OSError):
            raise write_error(error, self._path, safe=self._safe) from error


def write_error(error: OSError, path: Path, *, safe: str = UNCHANGED) -> WorkspaceError:
    """The message for a failed write of `path`; names another file where that one failed."""
    advice = _ADVICE.get(error.errno or 0, f"{error.strerror or error}.")
    named = os.fsdecode(error.filename) if isinstance(error.filename, str | bytes) else ""
    other = Path(named) if named else path
    if (target := staged_for(other.name)) is not None:
        other = other.with_name(target)
    no_folder = error.errno == errno.ENOTDIR
    if other == path or is_temporary(other.name) or (other == path.parent and not no_folder):
        return WorkspaceError(f"{path}: cannot be written. {advice} {safe}")
    reason = error.strerror or str(error)
    return WorkspaceError(f"{path}: cannot be written, since {other} failed ({reason}). {safe}")


def not_plain(path: Path) -> WorkspaceError:
    """The message for a link or special file where a plain file is to be written."""
    return WorkspaceError(
        f"{path}: is a link or a special file, and a plain file is written there. Remove it."
    )


def check_space(folder: Path, needed: int) -> None:
    """Refuse before the first byte when `needed` bytes do not fit on the disk of `folder`.

    Raises
    ------
    WorkspaceError
    """
    try:
        free = shutil.disk_usage(folder).free
    except OSError:
        return
    if free < needed + _SPARE_BYTES:
        raise WorkspaceError(
            f"{folder}: {free / 2**20:.0f} MiB are free, saving needs "
            f"{(needed + _SPARE_BYTES) / 2**20:.0f} MiB. Free some space; nothing was changed."
        )
