"""The one way to write: at any moment, also after a power cut, the old or the new is there, whole.

Every new file begins under a temporary name that is created exclusively beside its place, so
neither a link nor a file of the user is ever written through. It is fsynced, renamed over its
place, and the folder is fsynced. Temporary names are recognisable (`is_temporary`), and the file
stays locked while it is written: what a killed run left is removed when the next one writes into
that folder, what a running one writes is not.

References: workspace.md 4.3, design decisions 1 and 37.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import re
import secrets
import shutil
import stat
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

from dfl_tf.disk.plain_file import open_plain
from dfl_tf.errors import WorkspaceError

if sys.platform != "win32":
    import fcntl

Writer = Callable[[Callable[[Any], object]], object]
"""Writes a file's content by calling the function it is given with pieces of it."""

UNCHANGED = "What was there is unchanged."
_DONE = "What was finished before is kept."
_SPARE_BYTES = 1 << 20
_PIECE = 1 << 20
_TEMPORARY = re.compile(r"\.dfl_tf-[0-9a-f]{16}(\.\w+)?")
_STAGED = ".dfl_tf-new"
_cleared: set[str] = set()


# -- whole files ---------------------------------------------------------------------------------
def write_file(path: Path, data: bytes) -> None:
    """Put `data` at `path`, durably and in one step.

    Raises
    ------
    WorkspaceError
        The disk is full, the folder read-only or missing. What was at `path` is untouched.
    """
    with replacing(path) as file:
        file.write(data)


def write_stream(path: Path, content: Writer) -> tuple[int, str]:
    """Put streamed content at `path`, durably and in one step.

    Returns
    -------
    (int, str)
        Size in bytes and SHA-256 in hex of what was written.

    Raises
    ------
    WorkspaceError
        As `write_file`.
    """
    with replacing(path) as file:
        return _stream(file, content)


@contextlib.contextmanager
def replacing(path: Path, *, suffix: str = ".tmp", sync: bool = True) -> Iterator[BinaryIO]:
    """Give a new, empty file that takes the place of `path` when all went well.

    Parameters
    ----------
    path : Path
        A link there is replaced; the file that it points to is not touched.
    suffix : str
        Of the temporary name, for writers that choose a format by it. Such a writer opens
        `file.name` itself; what it wrote is fsynced as well.
    sync : bool
        False if the caller makes the entry of the folder durable for a group of files
        (`sync_folder`); the content always is before the rename.

    Raises
    ------
    WorkspaceError
        It cannot be written; nothing is left of the attempt and `path` is untouched.
    """
    with naming_the_fault(path):
        file = _create(path.parent, suffix)
    beside = Path(file.name)
    try:
        with naming_the_fault(path):
            with file:
                yield file
                file.flush()
                os.fsync(file.fileno())
                if os.name != "nt":  # the lock is held until the name is no longer temporary
                    os.replace(beside, path)
            if os.name == "nt":
                os.replace(beside, path)
            if sync:
                sync_folder(path.parent)
    except BaseException as error:
        remove_quietly(beside)
        # whoever read the file under its temporary name knew no other
        error.args = tuple(
            arg.replace(beside.name, path.name) if isinstance(arg, str) else arg
            for arg in error.args
        )
        raise


def write_durably(path: Path, content: Writer) -> tuple[int, str]:
    """Stream content into `path`, a new file of a transaction, and fsync it.

    A leftover or a link under that name is removed first. The caller makes the folder's entry
    durable.

    Returns
    -------
    (int, str)
        Size in bytes and SHA-256 in hex of what was written.
    """
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)
    with open(path, "xb") as file:
        written = _stream(file, content)
        file.flush()
        os.fsync(file.fileno())
    return written


def copy_file(source: Path, target: Path) -> None:
    """Copy a plain file with its times into a new file, and fsync that; see `sync_folder`."""
    with open_plain(source) as old, open(target, "xb") as new:
        shutil.copyfileobj(old, new, _PIECE)
        status = os.fstat(old.fileno())
        new.flush()
        os.utime(target, ns=(status.st_atime_ns, status.st_mtime_ns))
        os.fsync(new.fileno())


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
            raise _not_plain(path) from None
        with naming_the_fault(path):
            raise
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        os.close(handle)
        raise _not_plain(path)
    if fresh:
        with naming_the_fault(path):
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
    """

    def __init__(
        self,
        path: Path,
        *,
        before_sync: Callable[[], object] = lambda: None,
        hold: bool = False,
        seconds: float = 1.0,
    ) -> None:
        self.path = path
        self._file, self._before, self._hold = open_journal(path), before_sync, hold
        self._seconds, self._synced = seconds, time.monotonic()
        self._held: list[bytes] = []

    def append(self, line: bytes) -> None:
        """Add one line, which ends with a newline."""
        self._held.append(line)
        due = time.monotonic() - self._synced >= self._seconds
        if due or not self._hold:
            self.sync(durably=due)

    def sync(self, *, durably: bool = True) -> None:
        """Write the lines that are held."""
        with naming_the_fault(self.path, safe=_DONE):
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


def _not_plain(path: Path) -> WorkspaceError:
    return WorkspaceError(
        f"{path}: is a link or a special file, and a plain file is written there. Remove it."
    )


def _stream(file: BinaryIO, content: Writer) -> tuple[int, str]:
    digest, size = hashlib.sha256(), 0

    def write(part: Any) -> None:
        nonlocal size
        file.write(part)
        digest.update(part)
        size += memoryview(part).nbytes

    content(write)
    return size, digest.hexdigest()


def append_durably(path: Path, size: int, data: bytes | memoryview) -> None:
    """Put `data` behind the first `size` bytes of a file, and fsync it.

    Those first bytes are not touched, whatever happens. What lay behind them (of an append that
    was never recorded) is cut off.
    """
    if path.is_symlink():
        raise _not_plain(path)
    with open(path, "r+b") as file:
        file.truncate(size)
        file.seek(size)
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


# -- folders -------------------------------------------------------------------------------------
def make_folder(path: Path, *, follow: bool = True) -> None:
    """Make a folder, and those above it that are missing; their entries are durable.

    Parameters
    ----------
    follow : bool
        Whether `path` may be a link to a folder that is there. False for every name that comes
        from a file and not from the user.

    Raises
    ------
    WorkspaceError
        It cannot be made, or is something else.
    """
    if not follow and path.is_symlink():
        raise WorkspaceError(
            f"{path}: is a link to another folder, and nothing is written through it. Remove it, "
            "or put a real folder there."
        )
    with naming_the_fault(path, safe="Nothing was changed."):
        _make_folder(path)


def make_folder_for(path: Path) -> None:
    """`make_folder` for the folder of a file that is to be written; messages name the file."""
    with naming_the_fault(path, safe="Nothing was changed."):
        _make_folder(path.parent)


def _make_folder(path: Path) -> None:
    if path.is_dir():
        return
    if path.parent != path:
        _make_folder(path.parent)
    with contextlib.suppress(FileExistsError):
        os.mkdir(path)
    if not path.is_dir():
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(path))
    sync_folder(path.parent)


@contextlib.contextmanager
def filling_folder(parent: Path) -> Iterator[Path]:
    """Give a new folder in `parent` under a temporary name; removed again if anything fails.

    The caller fills it with durable files (`copy_file`, `write_file`), then calls `sync_tree` and
    gives it its name with `rename`, still inside of the context: it is locked that long.
    """
    clear_leftovers(parent)
    folder = parent / temporary_name()
    os.mkdir(folder)
    handle = _lock(folder)
    try:
        yield folder
    except BaseException:
        # What a full disk took in is given back: the next save needs it.
        shutil.rmtree(folder, ignore_errors=True)
        raise
    finally:
        if handle is not None:
            os.close(handle)


_NO_LINKS = (errno.EPERM, errno.ENOTSUP, errno.ENOSYS, errno.EMLINK, errno.EXDEV)


def link_into(source: str | Path, target: str | Path) -> bool:
    """Give a file a further name in another folder; False where it only has the new one now.

    A rename between two folders is one step on most file systems, not on all: a power cut could
    keep the end of the old name without the new one. With two names, the old one can go when the
    new one is on the disk. Where there are no hard links, the file is renamed.
    """
    try:
        os.link(source, target, follow_symlinks=False)
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        os.rename(source, target)
        return False
    return True


def move_into(source: Path, target: Path) -> None:
    """Move a file to another folder; a power cut leaves it in one of the two, or in both."""
    if link_into(source, target):
        sync_folder(target.parent)
        source.unlink()
    else:
        sync_folder(target.parent)


def rename(source: Path, target: Path) -> None:
    """Rename a file or folder; the next step begins when that is durable."""
    os.replace(source, target)
    sync_folder(target.parent)
    if source.parent != target.parent:
        sync_folder(source.parent)


def remove_folder(path: Path) -> None:
    """Remove a folder with its content; a power cut leaves it whole or without its name."""
    doomed = path.with_name(temporary_name())
    rename(path, doomed)
    shutil.rmtree(doomed, ignore_errors=True)


def sync_tree(folder: Path) -> None:
    """`sync_folder` for a folder and all below it, the innermost first."""
    for inner, _, _ in os.walk(folder, topdown=False):
        sync_folder(Path(inner))


def sync_folder(folder: Path) -> None:
    """Make new names, renames and removals inside `folder` durable (Windows cannot)."""
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


# -- temporary names -----------------------------------------------------------------------------
def temporary_name(suffix: str = ".tmp") -> str:
    """A name that nobody has yet; hidden, so that no listing of faces or frames shows it."""
    return f".dfl_tf-{secrets.token_hex(8)}{suffix}"


def is_temporary(name: str) -> bool:
    """Whether a name is one of `temporary_name`."""
    return _TEMPORARY.fullmatch(name) is not None


def staged(path: Path) -> Path:
    """Where a file or folder of a transaction lies, whole, before it takes its place.

    A fixed name, since the next start has to find it; of a form that no user gives a file.
    """
    return path.with_name(f".{path.name}{_STAGED}")


def staged_for(name: str) -> str | None:
    """The name whose place a file called `name` is to take; None if that is no staged file."""
    if name.startswith(".") and name.endswith(_STAGED):
        return name[1:].removesuffix(_STAGED) or None
    return None


def _create(folder: Path, suffix: str) -> BinaryIO:
    clear_leftovers(folder)
    while True:
        file = open(folder / temporary_name(suffix), "x+b")  # noqa: SIM115 - the caller closes it
        if sys.platform == "win32":
            return file
        with contextlib.suppress(OSError):  # a file system without locks
            fcntl.flock(file, fcntl.LOCK_EX)
        if os.fstat(file.fileno()).st_nlink:
            return file
        file.close()  # another program took it for a leftover before it was locked


def _lock(path: Path) -> int | None:
    """An open and locked handle; None if it is in use, or nothing can be locked there."""
    if sys.platform == "win32":
        return None
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return None
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(handle)
        return None
    return handle


def clear_leftovers(folder: Path) -> None:
    """Remove what killed runs left under temporary names; looks once a process and folder."""
    place = os.path.abspath(folder)
    if place in _cleared:
        return
    _cleared.add(place)
    with contextlib.suppress(OSError), os.scandir(folder) as entries:
        for path in [Path(entry.path) for entry in entries if is_temporary(entry.name)]:
            if sys.platform == "win32":
                remove_quietly(path)  # fails while it is open
                continue
            handle = _lock(path)
            if handle is None:
                continue
            try:
                if path.is_dir():
                    shutil.rmtree(path, ignore_errors=True)
                else:
                    remove_quietly(path)
            finally:
                os.close(handle)


# -- the rest ------------------------------------------------------------------------------------
def sha256_of(path: Path) -> str:
    """SHA-256 of a file in hex."""
    with open_plain(path) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def read_back(path: Path) -> bytes:
    """All bytes of a plain file that was written and fsynced before, from the disk if possible.

    Raises
    ------
    OSError
        As `open_plain`.
    """
    with open_plain(path) as file:
        if hasattr(os, "posix_fadvise"):  # let the system forget what it has in memory
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        return file.read()


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


class naming_the_fault(contextlib.AbstractContextManager[None]):
    """Turn an `OSError` into a `WorkspaceError` that says what, why, what to do and what is safe.

    Parameters
    ----------
    path : Path
        What was to be written.
    safe : str
        A sentence: what the fault did not harm.
    """

    def __init__(self, path: Path, *, safe: str = UNCHANGED) -> None:
        self._path, self._safe = path, safe

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, OSError):
            raise fault_of(error, self._path, safe=self._safe) from error


def fault_of(error: OSError, path: Path, *, safe: str = UNCHANGED) -> WorkspaceError:
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
