"""What the file system of a folder does of that on which saves and locks rest.

Network and foreign file systems differ: `dfl-tf doctor --storage FOLDER` tries it there.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

_TAKE = (
    "import fcntl, sys; handle = open(sys.argv[1], 'r+b');"
    "fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)"
)


def check_storage(folder: Path) -> dict[str, str]:
    """Try locks, renames and the rest in a folder of its own inside `folder`.

    Returns
    -------
    dict of str to str
        "yes", or what happened instead, by what was tried.

    Raises
    ------
    OSError
        Nothing can be written there.
    """
    with tempfile.TemporaryDirectory(prefix=".dfl-tf-storage-", dir=folder) as name:
        place = Path(name)
        tried: dict[str, Callable[[Path], str]] = {
            "locks between processes": _locks,
            "new files are made once": _exclusive,
            "a rename replaces a file that is read": _replaces,
            "files and folders can be synced": _syncs,
            "hard links": _links,
            "names differ by letter case": _case,
        }
        found: dict[str, str] = {}
        for what, attempt in tried.items():
            own = place / str(len(found))
            own.mkdir()
            try:
                found[what] = attempt(own) or "yes"
            except (OSError, ImportError) as error:
                found[what] = f"no ({error})"
    found["free"] = f"{shutil.disk_usage(folder).free / 2**30:.1f} GiB"
    return found


def _locks(folder: Path) -> str:
    import fcntl

    path = folder / "lock"
    path.touch()
    command = [sys.executable, "-c", _TAKE, str(path)]
    with path.open("r+b") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if subprocess.run(command, stderr=subprocess.DEVNULL, check=False).returncode == 0:
            return "no: another process gets the same lock"
    if subprocess.run(command, stderr=subprocess.DEVNULL, check=False).returncode != 0:
        return "no: a lock stays when its process has ended"
    return ""


def _exclusive(folder: Path) -> str:
    path = folder / "new"
    for expected in (True, False):
        made = False
        with contextlib.suppress(FileExistsError):
            os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY))
            made = True
        if made is not expected:
            return "no: a second one is made over the first"
    return ""


def _replaces(folder: Path) -> str:
    old, new = folder / "old", folder / "new"
    for path in (old, new):
        with path.open("wb") as file:
            file.write(path.name.encode())
    with old.open("rb") as reader:
        os.replace(new, old)
        if reader.read() != b"old":
            return "no: who reads the old file gets the new one"
    with old.open("rb") as file:
        return "" if file.read() == b"new" else "no: the old content is still there"


def _syncs(folder: Path) -> str:
    with (folder / "file").open("wb") as file:
        file.write(b"content")
        os.fsync(file.fileno())
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
    return ""


def _links(folder: Path) -> str:
    (folder / "one").touch()
    os.link(folder / "one", folder / "two")
    return ""


def _case(folder: Path) -> str:
    (folder / "a").touch()
    return "no: A and a are the same name" if (folder / "A").exists() else ""
