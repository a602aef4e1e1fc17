"""How the files of a model are called, which models a folder holds, and one trainer per model.

References: models.md 5.1, 5.4, workspace.md 3, 9.
"""

from __future__ import annotations

import contextlib
import os
import platform
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from dfl_tf.disk import durable, plain_file
from dfl_tf.disk.text import is_plain_name
from dfl_tf.errors import UsageError, WorkspaceError
from dfl_tf.options import KINDS

ModelFormat = Literal["legacy", "native"]

NATIVE_SUFFIXES = (".safetensors", ".rows", ".json")
"""Of the files in a native model's folder."""

_OWNER = 256  # bytes of a lock file that are looked at
_PART = re.compile(r"[A-Za-z0-9_]{1,64}")


@dataclass(frozen=True)
class FoundModel:
    """A model in a folder.

    Attributes
    ----------
    name : str
        The user's name for it, underscores included; `XSeg` for an XSeg model, which has none.
    model_class : str
    format : {"legacy", "native"}
    modified : float
        Time of its last save, seconds since 1970.
    """

    name: str
    model_class: str
    format: ModelFormat
    modified: float


def check_name(name: str, model_class: str) -> None:
    """Refuse a class that does not exist and a name that could not be a file name.

    Raises
    ------
    UsageError
    """
    if model_class not in KINDS:
        raise UsageError(f"model class {model_class!r} is unknown; there are {', '.join(KINDS)}.")
    if not KINDS[model_class].named:
        return
    bad = any(c in name for c in '/\\\0:*?"<>|') or not is_plain_name(name)
    if not name or bad or name.startswith(".") or len(name) > 120:
        raise UsageError(
            f"model name {name!r} cannot be used in file names; take letters, digits, blanks, "
            "dots and dashes."
        )


def prefix_of(name: str, model_class: str) -> str:
    """What all file names of a model start with: `<name>_<CLASS>`, or `XSeg`."""
    check_name(name, model_class)
    return f"{name}_{model_class}" if KINDS[model_class].named else model_class


def name_of(prefix: str, model_class: str) -> str:
    """The name of the model whose file names start with `prefix`; empty if it is of no such class.

    The name of a class without names is that of the class.
    """
    if not KINDS[model_class].named:
        return model_class if prefix == model_class else ""
    name = prefix.removesuffix(f"_{model_class}")
    return "" if name == prefix else name


def part_file(name: str, model_class: str, part: str) -> str:
    """File name of a part, e.g. `new_SAEHD_encoder.npy`, `XSeg_256.npy`."""
    if not KINDS[model_class].named:  # its parts have the class in their names
        return f"{part}.npy"
    return f"{prefix_of(name, model_class)}_{part}.npy"


def part_of(file_name: str, name: str, model_class: str) -> str | None:
    """The part that a file of this model holds; None for any other file."""
    prefix = prefix_of(name, model_class)
    if not file_name.startswith(prefix + "_") or not file_name.endswith(".npy"):
        return None
    part = file_name.removesuffix(".npy")
    if KINDS[model_class].named:
        part = part.removeprefix(prefix + "_")
    rest = file_name.removeprefix(prefix + "_")
    if any(f"{each}_" in rest for each in KINDS):  # of a model whose name begins with ours
        return None
    return part if _PART.fullmatch(part) else None


def native_folder(directory: Path, name: str, model_class: str) -> Path:
    """Where the native form of a model lies."""
    return directory / f"{prefix_of(name, model_class)}.dfl"


def find_models(directory: str | Path, model_class: str | None = None) -> list[FoundModel]:
    """The models in a folder, the newest first.

    A name is everything before `_<CLASS>_data.dat`, so names with underscores are found whole
    (the legacy program cuts them at the first one).

    Parameters
    ----------
    directory : str or Path
        Folder of model files; one that is not there holds none.
    model_class : str, optional
        Only models of this class.

    Returns
    -------
    list of FoundModel

    References
    ----------
    models.md 5.1, workspace.md 3.1.
    """
    directory = Path(directory)
    classes = tuple(KINDS) if model_class is None else (model_class,)
    found: dict[tuple[str, str, ModelFormat], float] = {}
    try:
        entries = sorted(directory.iterdir())
    except OSError:
        return []
    for entry in entries:
        for each in classes:
            match = _recognize(entry, each)
            if match is not None:
                name, kind, modified = match
                key = (name, each, kind)
                found[key] = max(modified, found.get(key, 0.0))
    models = [FoundModel(*key, modified) for key, modified in found.items()]
    return sorted(models, key=lambda model: (-model.modified, model.name, model.format))


def _recognize(entry: Path, model_class: str) -> tuple[str, ModelFormat, float] | None:
    """Name, format and time if `entry` shows that a model of this class is here."""
    kind: ModelFormat = "legacy"
    stem: str | None = None
    # a torn set may lack its data.dat: the sidecar, an open save or a leftover also tell
    for ending in ("_data.dat", "_data.dat.tmp", ".manifest.json", ".commit.json"):
        if entry.name.endswith(ending):
            stem = entry.name.removesuffix(ending)
    if entry.suffix == ".dfl" and entry.is_dir():
        kind, stem = "native", entry.stem
        records = ("manifest.json", "commit.json", ".previous/manifest.json")
        if not any((entry / name).exists() for name in records):
            return None
    if stem is None:
        return None
    name = name_of(stem, model_class)
    if not name or name.startswith(".") or not is_plain_name(name):
        return None
    marker = entry / "manifest.json" if kind == "native" else entry
    for shown in (marker, entry):
        with contextlib.suppress(OSError):
            return name, kind, shown.stat().st_mtime
    return None  # a link that leads nowhere


def detect_format(directory: Path, name: str, model_class: str) -> ModelFormat | None:
    """The form in which a model is there; the newer one if it is there in both; None if new."""
    prefix_of(name, model_class)
    for model in find_models(directory, model_class):
        if model.name == name or not KINDS[model_class].named:
            return model.format
    return None


def model_files(directory: Path, name: str, model_class: str) -> list[Path]:
    """The files of a model that a backup has to copy: parts, data, summary and checksums.

    Of a native model they lie in its `.dfl` folder; keep that folder in the copy.

    References
    ----------
    workspace.md 6.
    """
    prefix = prefix_of(name, model_class)
    if detect_format(directory, name, model_class) == "native":
        inside = native_folder(directory, name, model_class)
        files = [p for p in sorted(inside.iterdir()) if p.suffix in NATIVE_SUFFIXES]
        files = [p for p in files if p.name != "commit.json"]
    else:
        parts = [(part_of(p.name, name, model_class), p) for p in directory.iterdir()]
        named = [(part, path) for part, path in parts if part is not None]
        order = KINDS[model_class].part_key
        files = [path for part, path in sorted(named, key=lambda pair: order(pair[0]))]
        files += [directory / f"{prefix}_data.dat", directory / f"{prefix}.manifest.json"]
    files.append(directory / f"{prefix}_summary.txt")
    return [path for path in files if path.is_file()]


def lock_file(directory: Path, name: str, model_class: str) -> Path:
    """Where a training of a model keeps its lock."""
    return directory / f"{prefix_of(name, model_class)}.lock"


def owner_of(lock: Path) -> tuple[int, str] | None:
    """The process that a lock file names, and its host; None if it names none."""
    try:
        pid, _, host = (
            plain_file.read_plain(lock)[:_OWNER].decode("utf-8", "replace").strip().partition(" ")
        )
    except OSError:
        return None
    return (int(pid), host) if pid.isdecimal() else None


def is_left_over(lock: Path) -> bool:
    """Whether a lock file is of a process of this host that has ended.

    One of another host may be of a training there; nothing is said of it.
    """
    owner = owner_of(lock)
    return owner is not None and owner[1] == platform.node() and not _is_alive(owner[0])


class ModelLock:
    """Keeps two trainers from one model: a context manager around `<prefix>.lock`.

    The file holds the number of the process and the name of its host.

    The system's file lock decides, so the leftover of a killed trainer does not block; where the
    file system knows no locks, a living process of that pid does.

    Raises
    ------
    WorkspaceError
        Another process has the model, or the folder cannot be written.

    References
    ----------
    workspace.md 9.
    """

    def __init__(self, directory: Path, name: str, model_class: str) -> None:
        self.path = lock_file(directory, name, model_class)
        self._handle: int | None = None

    def __enter__(self) -> ModelLock:
        try:
            durable.make_folder(self.path.parent)
            # not through a link: its target would be overwritten with our pid
            flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0)
            handle = os.open(self.path, flags, 0o644)
        except OSError as error:
            if self.path.is_symlink():
                raise WorkspaceError(
                    f"{self.path}: is a link, where this program makes a lock file. Remove it."
                ) from None
            raise WorkspaceError(
                f"{self.path.parent}: the model folder cannot be written ({error.strerror}). "
                "Choose a writable folder."
            ) from None
        owner = os.read(handle, _OWNER).decode("utf-8", "replace").strip().replace(" ", " on ")
        if not self._acquire(handle, owner):
            os.close(handle)
            raise WorkspaceError(
                f"{self.path}: this model is in use by process {owner or 'unknown'}. Stop that "
                "training first, or train under another name."
            )
        os.ftruncate(handle, 0)
        os.lseek(handle, 0, os.SEEK_SET)
        os.write(handle, f"{os.getpid()} {platform.node()}\n".encode())
        self._handle = handle
        return self

    @staticmethod
    def _acquire(handle: int, owner: str) -> bool:
        try:
            import fcntl

            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        except (ImportError, OSError):
            pid = owner.partition(" ")[0]
            return not (pid.isdigit() and int(pid) != os.getpid() and _is_alive(int(pid)))
        return True

    def __exit__(self, *_: object) -> None:
        if self._handle is not None:
            with contextlib.suppress(OSError):
                self.path.unlink()
            os.close(self._handle)
            self._handle = None


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True
