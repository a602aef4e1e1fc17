"""What lies in a model folder, compared with what the last save here wrote. Changes nothing.

The folder belongs to the user: a difference is reported, never repaired. One thing only is ours
to see through: a swap of files that was interrupted half-way, which our own names prove. Then
the finished file beside it (`staged`) counts, unless somebody wrote over its place since.

References: design decision 42.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from dfl_tf.disk.plain_file import open_plain
from dfl_tf.disk.temporary_names import staged
from dfl_tf.errors import ModelFileError
from dfl_tf.formats.models.manifest import FileEntry, Manifest, read_manifest, role_of

_PIECE = 1 << 20

Difference = Literal["missing", "replaced"]


@dataclass(frozen=True)
class ModelLocation:
    """Where the files of one set and its records lie.

    Attributes
    ----------
    folder : Path
        Holds the files.
    manifest, commit : Path
        The sidecar, and the record of an open transaction.
    previous : Path
        Folder of the kept previous set.
    owns : callable
        Whether a file name belongs to this set (a model folder holds several models).
    """

    folder: Path
    manifest: Path
    commit: Path
    previous: Path
    owns: Callable[[str], bool]

    @property
    def previous_new(self) -> Path:
        """The previous set while it is being put together."""
        return staged(self.previous)

    @property
    def replaced(self) -> Path:
        """Holds numbered folders of files that were replaced without being part of a whole set."""
        return self.previous.with_name(self.previous.name.removesuffix(".previous") + ".replaced")


@dataclass(frozen=True)
class Survey:
    """The files of a set as they lie on disk.

    Attributes
    ----------
    record : Manifest or None
        What the last save here wrote; None for a set of another program.
    files : dict of str to Path
        File name to where it lies at this moment.
    entries : dict of str to FileEntry
        What those that were looked into hold now; of unchanged ones as recorded.
    changes : dict of str to {"missing", "replaced"}
        Files of the record that are not as it says. Of parts that are off, only replaced ones.
    notes : list of str
        What the user should know.
    damaged : dict of str to str
        Name of each record that cannot be read, and why.
    """

    record: Manifest | None
    files: dict[str, Path]
    entries: dict[str, FileEntry] = field(default_factory=dict)
    changes: dict[str, Difference] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    damaged: dict[str, str] = field(default_factory=dict)

    def refuse_damaged(self) -> None:
        """Refuse to read a set without knowing what belongs to it.

        Raises
        ------
        ModelFileError
            A record cannot be read.
        """
        if self.damaged:
            raise ModelFileError(damage_text(self.damaged))

    def holds(self, name: str, path: Path, recorded: FileEntry | None, *, look: bool) -> bool:
        """Note where a file lies and, if wanted, what it holds; whether it is not as recorded."""
        self.files[name] = path
        if not look:
            return False
        if not path.is_file():  # a pipe or a device: whoever reads it says so
            return True
        self.entries[name] = now = entry_of(path, recorded)
        return recorded is not None and now.sha256 != recorded.sha256


def damage_text(damaged: Mapping[str, str]) -> str:
    """What records cannot be read, and how to use the files of the model nevertheless."""
    return "\n".join(
        [
            *damaged.values(),
            "It lists the files that belong together and their checksums. To use the files as they "
            f"are, without it: move {' and '.join(damaged)} out of the folder, or train with "
            "--accept-changes, which keeps a copy of it.",
        ]
    )


def survey(place: ModelLocation, others: Iterable[str], reads: Callable[[str], bool]) -> Survey:
    """Compare a set with its record.

    Parameters
    ----------
    others : iterable of str
        Names of files in the folder that may belong to the set without being recorded.
    reads : callable
        Which files will be read: no others are looked into.
    """
    damaged: dict[str, str] = {}
    pending, current = _read(place.commit, damaged), _read(place.manifest, damaged)
    record = pending or current
    found = Survey(record, {}, damaged=damaged)
    for name, entry in (record.files if record else {}).items():
        path = place.folder / name
        if pending is not None and (new := unfinished(place, name, current)) is not None:
            path = new
        if not path.exists():
            if not entry.off:
                found.changes[name] = "missing"
        elif found.holds(name, path, entry if reads(name) else None, look=reads(name)):
            found.changes[name] = "replaced"
    for name in others:
        if name not in found.files and (path := place.folder / name).exists():
            found.holds(name, path, None, look=reads(name))
    return found


def _read(path: Path, damaged: dict[str, str]) -> Manifest | None:
    try:
        return read_manifest(path)
    except ModelFileError as error:
        damaged[path.name] = str(error)
        return None


def unfinished(place: ModelLocation, name: str, before: Manifest | None) -> Path | None:
    """The staged file of a committed save that has still to take its place.

    None if it has, or if another program wrote the file since the interruption: what lies there
    then is neither the set before nor the new one.
    """
    path = place.folder / name
    new = staged(path)
    if not new.is_file():
        return None
    if before is None:
        before = _read(place.previous_new / "manifest.json", {})
    old = None if before is None else before.files.get(name)
    if old is not None and path.is_file() and not is_unchanged(path, old):
        return None
    return new


def entry_of(path: Path, recorded: FileEntry | None = None) -> FileEntry:
    """What a file holds now; the recorded entry, with today's time, if that is still true."""
    status = path.stat()
    if recorded is not None and status.st_size >= recorded.size:
        digest = _sha256(path, recorded.size)
        grows = recorded.role == "history"
        if digest == recorded.sha256 and (grows or status.st_size == recorded.size):
            return replace(recorded, mtime_ns=status.st_mtime_ns)
    role = role_of(path.name) if recorded is None else recorded.role
    return FileEntry(status.st_size, _sha256(path, status.st_size), status.st_mtime_ns, role)


def is_unchanged(path: Path, entry: FileEntry) -> bool:
    """Whether a file is still as recorded; its content is read only if size or time differ."""
    try:
        status = path.stat()
        if (status.st_size, status.st_mtime_ns) == (entry.size, entry.mtime_ns):
            return True
        return entry_of(path, entry).sha256 == entry.sha256
    except OSError:
        return False


def _sha256(path: Path, size: int) -> str:
    digest = hashlib.sha256()
    with open_plain(path) as file:
        while size > 0 and (piece := file.read(min(size, _PIECE))):
            digest.update(piece)
            size -= len(piece)
    return digest.hexdigest()


# -- the kept previous set -------------------------------------------------------------------------
def kept_previous(place: ModelLocation) -> tuple[Path, Manifest] | None:
    """Folder and manifest of the newest kept previous set whose files are there."""
    for folder in (place.previous_new, place.previous):
        kept = _read(folder / "manifest.json", {})
        if kept is not None and all(
            entry.off or (folder / name).is_file() for name, entry in kept.files.items()
        ):
            return folder, kept
    return None


def survey_previous(place: ModelLocation) -> Survey:
    """The kept previous set.

    Raises
    ------
    ModelFileError
        There is none, or its files are not those of its manifest.
    """
    found = kept_previous(place)
    if found is None:
        raise ModelFileError(f"{place.previous}: no previous set is kept. Restore a backup.")
    folder, kept = found
    survey = Survey(kept, {})
    for name, entry in kept.files.items():
        if (folder / name).is_file():
            survey.files[name] = folder / name
            survey.entries[name] = entry_of(folder / name, entry)
    wrong = [name for name, now in survey.entries.items() if now.sha256 != kept.files[name].sha256]
    for name in [name for name in wrong if kept.files[name].role == "history"]:
        wrong.remove(name)  # one file for this set and the next: no weights are lost with it
        survey.changes[name] = "replaced"
        survey.notes.append(f"{name} is not the one that was saved; it is read as far as it goes")
    if wrong:
        raise ModelFileError(
            f"{folder}: the kept previous set is damaged: {', '.join(wrong)} do not match their "
            "checksums. Restore a backup."
        )
    return survey
