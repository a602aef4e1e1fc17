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
import shutil
import sys
from collections.abc import Callable, Iterable, Iterator
from contextvars import ContextVar
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from dfl_tf.disk.plain_file import open_plain
from dfl_tf.disk.temporary_names import is_temporary, temporary_name
from dfl_tf.disk.write_errors import explain_write_errors, not_plain
from dfl_tf.errors import WorkspaceError

if TYPE_CHECKING:
    from typing_extensions import Buffer

if sys.platform != "win32":
    import fcntl

Writer = Callable[[Callable[["Buffer"], object]], object]
"""Writes a file's content by calling the function it is given with pieces of it."""

_PIECE = 1 << 20
_FICLONE = 0x40049409
"""Linux: `ioctl` that makes a file a clone of another (btrfs, XFS, bcachefs, ZFS)."""
_cleared: set[str] = set()
_PACED = 4 << 20
_pause: ContextVar[Callable[[], object]] = ContextVar("pause", default=lambda: None)


@contextlib.contextmanager
def pausing(pause: Callable[[], object]) -> Iterator[None]:
    """Context in which the calling thread calls `pause` after each few megabytes of streams.

    Writing beside a computation that may not become slower rests there.
    """
    token = _pause.set(pause)
    try:
        yield
    finally:
        _pause.reset(token)


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
    with explain_write_errors(path):
        file = _create(path.parent, suffix)
    beside = Path(file.name)
    try:
        with explain_write_errors(path):
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
    """Copy a plain file with its times into a new file, and fsync that; see `sync_folder`.

    Where the file system can let two files share their blocks until one of them is changed
    (reflinks), the copy takes no time and no space.
    """
    with open_plain(source) as old, open(target, "xb") as new:
        if not _cloned(old.fileno(), new.fileno()):
            shutil.copyfileobj(old, new, _PIECE)
        status = os.fstat(old.fileno())
        new.flush()
        os.utime(target, ns=(status.st_atime_ns, status.st_mtime_ns))
        os.fsync(new.fileno())


def _cloned(source: int, target: int) -> bool:
    """Let an empty file share the blocks of another; False where that is not possible."""
    if sys.platform != "linux":
        return False
    try:
        fcntl.ioctl(target, _FICLONE, source)
    except OSError:
        return False
    return True


def _stream(file: BinaryIO, content: Writer) -> tuple[int, str]:
    digest, size = hashlib.sha256(), 0
    rest = _pause.get()

    def write(part: Buffer) -> None:
        nonlocal size
        whole = memoryview(part).cast("B")
        for start in range(0, len(whole), _PACED):
            piece = whole[start : start + _PACED]
            file.write(piece)
            digest.update(piece)
            rest()
        size += len(whole)

    content(write)
    return size, digest.hexdigest()


def append_durably(path: Path, size: int, data: bytes | memoryview) -> None:
    """Put `data` behind the first `size` bytes of a file, and fsync it.

    Those first bytes are not touched, whatever happens. What lay behind them (of an append that
    was never recorded) is cut off.
    """
    if path.is_symlink():
        raise not_plain(path)
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
    with explain_write_errors(path, safe="Nothing was changed."):
        _make_folder(path)


def make_folder_for(path: Path) -> None:
    """`make_folder` for the folder of a file that is to be written; messages name the file."""
    with explain_write_errors(path, safe="Nothing was changed."):
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


def move_files(source: Path, target: Path, names: Iterable[str]) -> None:
    """Move files to another folder, in place of those that have their names there.

    Durable at the end; until then a power cut leaves each file in one of the two folders.
    """
    make_folder(target)
    for name in names:
        with explain_write_errors(target / name):
            os.replace(source / name, target / name)
    for folder in (target, source):
        sync_folder(folder)


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


def clear_leftovers(folder: Path) -> list[Path]:
    """Remove what killed runs left under temporary names; looks once a process and folder.

    Returns
    -------
    list of Path
        What was removed.
    """
    place, removed = os.path.abspath(folder), []
    if place in _cleared:
        return []
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
            removed.append(path)
    return removed


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
