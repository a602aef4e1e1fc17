"""Writing a file so that at any moment either the old or the new one is there, whole.

References: workspace.md 4.3, design decisions 1 and 37.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from dfl_tf.disk.plain_file import open_plain
from dfl_tf.errors import WorkspaceError

Writer = Callable[[Callable[[Any], object]], object]
"""Writes a file's content by calling the function it is given with pieces of it."""

_SPARE_BYTES = 1 << 20


def write_file(path: Path, data: bytes) -> None:
    """Put `data` at `path`: written beside, made durable, then swapped in one step.

    Raises
    ------
    WorkspaceError
        The disk is full, the folder read-only or missing. What was at `path` is untouched.
    """
    beside = path.with_name(path.name + ".new")
    try:
        with naming_the_fault(path):
            write_durably(beside, lambda write: write(data))
            os.replace(beside, path)
            sync_folder(path.parent)
    except BaseException:
        remove_quietly(beside)
        raise


def write_durably(path: Path, content: Writer) -> tuple[int, str]:
    """Stream content into `path`, a new file, and fsync it.

    Returns
    -------
    (int, str)
        Size in bytes and SHA-256 in hex of what was written.
    """
    digest = hashlib.sha256()
    size = 0
    # What lies there is a leftover, or a link of a stranger to a file that is not to be touched.
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)
    with open(path, "xb") as file:

        def write(part: Any) -> None:
            nonlocal size
            file.write(part)
            digest.update(part)
            size += memoryview(part).nbytes

        content(write)
        file.flush()
        os.fsync(file.fileno())
    return size, digest.hexdigest()


def sync_folder(folder: Path) -> None:
    """Make renames inside `folder` durable, where the system can (Windows cannot)."""
    if os.name == "nt":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    except OSError as error:
        # some network file systems know no fsync of a folder
        if error.errno not in (errno.EINVAL, errno.EBADF, errno.ENOTSUP):
            raise
    finally:
        os.close(handle)


def sha256_of(path: Path) -> str:
    """SHA-256 of a file in hex."""
    with open_plain(path) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def remove_quietly(path: Path) -> None:
    """Remove a file of ours that may be gone already or may not be removable."""
    with contextlib.suppress(OSError):
        path.unlink()


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


class naming_the_fault(contextlib.AbstractContextManager[None]):
    """Turn an `OSError` into a `WorkspaceError` that names the file and what to do."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if not isinstance(error, OSError):
            return
        advice = {
            errno.ENOSPC: "The disk is full: free some space.",
            errno.EDQUOT: "The disk quota is used up: free some space.",
            errno.EFBIG: "The file would be larger than the system allows.",
            errno.EROFS: "The file system is read-only: choose another folder.",
            errno.EACCES: "Permission denied: make the folder writable or choose another.",
            errno.EPERM: "Permission denied: make the folder writable or choose another.",
            errno.ENOENT: "The folder does not exist.",
        }.get(error.errno or 0, f"{error.strerror or error}.")
        raise WorkspaceError(
            f"{self._path}: cannot be written. {advice} What was there is unchanged."
        ) from error
