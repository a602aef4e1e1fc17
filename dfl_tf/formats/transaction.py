"""Writing many files as one: at every moment the set on disk is the old one or the new one.

How a set is saved
------------------
1. Every new file is written beside its place as `<file>.new`, with its SHA-256 taken on the way,
   and fsynced. A fault up to here (full disk, read-only folder, kill) leaves the old set alone.
2. The set that is there is kept: hard links (copies where there are no links) to its files, and
   its manifest, in `<previous>.new/`.
3. The manifest of the new set is written as the *commit record*, atomically and durably. From
   this moment the new set counts: all its bytes are on the disk under one name or the other.
4. Every `<file>.new` is renamed over its file; `<previous>.new` takes the place of `<previous>`;
   at last the commit record is renamed to the manifest, which closes the transaction.

How a set is found again (`resolve`, which changes nothing on disk)
-------------------------------------------------------------------
* Commit record there: each file is taken from `<file>.new` or from its place, whichever has the
  checksum. `recover` finishes the renames before the next save.
* Manifest there, all checksums right: the normal case.
* Some checksums differ. Three causes look alike and must be told apart:
  - *Another program saved* (the legacy trainer ignores our sidecar), or the user copied a whole
    backup over it. Then `data.dat` has changed, every file that training changes has changed, and
    every file loads. That is newer or wanted work: it is accepted with a note, never restored
    away. It gets a manifest at the next save.
  - *A torn save of another program*: it writes `data.dat` last, so data.dat is still ours, or a
    file is missing. That set is mixed.
  - *Damage*: single files do not match, or do not load.
  In the last two cases the faults are named and the kept previous set is used, with a note how
  many iterations that costs. The faulty files are moved to `<previous>`'s sibling `.damaged` at
  the next save, not deleted.
* No manifest: a set of the legacy program; its own rule for `.tmp` leftovers applies
  (`model_legacy`).

References: design decisions 1 and 37, workspace.md 4.3.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from dfl_tf.disk import durable
from dfl_tf.errors import ModelFileError, WorkspaceError
from dfl_tf.formats.manifest import FileEntry, Manifest, read_manifest

NEW = ".new"
MISSING = "is missing"


@dataclass(frozen=True)
class Place:
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
        return self.previous.with_name(self.previous.name + NEW)

    @property
    def damaged(self) -> Path:
        """Where files go that did not belong together."""
        return self.previous.with_name(self.previous.name.removesuffix(".previous") + ".damaged")


@dataclass(frozen=True)
class Resolved:
    """Which files make up the set that counts.

    Attributes
    ----------
    files : dict of str to Path
        File name to where it lies at this moment.
    manifest : Manifest or None
        None for a set without one, or rewritten by another program.
    origin : {"current", "pending", "foreign", "previous"}
        As the manifest says; committed but not yet renamed; of another program; restored.
    notes : list of str
        What the user should know.
    """

    files: dict[str, Path]
    manifest: Manifest | None
    origin: Literal["current", "pending", "foreign", "previous"]
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Rules:
    """What is particular to the files of one format.

    Attributes
    ----------
    data_name : str
        The file that another program writes last.
    loads : callable or None
        Whether the file of a name can be read from a path; None if no other program writes
        such sets.
    optional : callable
        Whether a set may be used without the file of that name (an optimizer's).
    """

    data_name: str
    loads: Callable[[str, Path], bool] | None
    optional: Callable[[str], bool]


# -- finding the set that counts -----------------------------------------------------------------
def resolve(place: Place, rules: Rules) -> Resolved | None:
    """Find the set that counts, changing nothing; None if the place has no records of ours.

    Raises
    ------
    ModelFileError
        Neither the set nor the previous one is whole; names every fault.
    """
    faults: list[str] = []
    pending = _read(place.commit, faults)
    if pending is not None:
        files, wrong = _match(pending, lambda name: _pending_places(place, name))
        if not wrong:
            return Resolved(files, pending, "pending", faults)
        faults += wrong.values()
    current = _read(place.manifest, faults)
    if current is None:
        if not place.manifest.exists() and not place.commit.exists():
            if rules.loads is not None or not place.previous.exists():
                return None
            faults.append(f"{place.manifest.name} {MISSING}")
        if rules.loads is not None and not place.commit.exists():
            note = f"{faults[0]} The files themselves are used without checking them against it"
            return Resolved({}, None, "foreign", [note])
        return _previous(place, pending, faults, rules)
    return _resolve_current(place, current, faults, rules)


def _read(path: Path, faults: list[str]) -> Manifest | None:
    try:
        return read_manifest(path)
    except ModelFileError as error:
        faults.append(str(error))
        return None


def _pending_places(place: Place, name: str) -> list[Path]:
    return [place.folder / (name + NEW), place.folder / name]


def _match(
    manifest: Manifest, places: Callable[[str], list[Path]]
) -> tuple[dict[str, Path], dict[str, str]]:
    """Where each file of a manifest lies, and what is wrong with those that lie nowhere."""
    files: dict[str, Path] = {}
    wrong: dict[str, str] = {}
    for name, entry in manifest.files.items():
        reasons = []
        for path in places(name):
            reason = _compare(path, entry)
            if reason is None:
                files[name] = path
                break
            reasons.append(reason)
        if name not in files and not entry.stale:
            wrong[name] = f"{name} {next((r for r in reasons if r != MISSING), MISSING)}"
    return files, wrong


def _compare(path: Path, entry: FileEntry) -> str | None:
    """Why the file at `path` is not the one of `entry`; None if it is."""
    try:
        size = path.stat().st_size
        if size != entry.size:
            return f"has {size} bytes instead of {entry.size}"
        if durable.sha256_of(path) != entry.sha256:
            return "does not match its checksum"
    except FileNotFoundError:
        return MISSING
    except OSError as error:
        return f"cannot be read ({error.strerror})"
    return None


def _resolve_current(place: Place, current: Manifest, faults: list[str], rules: Rules) -> Resolved:
    def places(name: str) -> list[Path]:
        if current.files[name].stale:
            return [place.folder / name]
        # a file that did not change between two saves is also in the previous set
        return [place.folder / name, place.previous_new / name, place.previous / name]

    files, wrong = _match(current, places)
    if not wrong:
        moved = [name for name, path in files.items() if path.parent != place.folder]
        notes = [
            f"{name} {_compare(place.folder / name, current.files[name])}; it is taken from the "
            "kept previous set, where it is the same"
            for name in moved
        ]
        return Resolved(files, current, "current", [*faults, *notes])
    if _is_foreign(place, current, files, rules):
        note = (
            "the files were saved by another program or copied from a backup since the last save "
            "here; they are taken as they are"
        )
        return Resolved({}, None, "foreign", [*faults, note])
    try:
        return _previous(place, current, [*faults, *wrong.values()], rules)
    except ModelFileError:
        if any(not fault.endswith(MISSING) or not rules.optional(n) for n, fault in wrong.items()):
            raise
        return Resolved(files, current, "current", [*faults, *wrong.values()])


def _is_foreign(
    place: Place, current: Manifest, matching: Mapping[str, Path], rules: Rules
) -> bool:
    """Whether another program has saved the whole set (see the module's text)."""
    if rules.loads is None or rules.data_name in matching or rules.data_name not in current.files:
        return False
    for name, entry in current.files.items():
        path = place.folder / name
        if entry.stale:
            continue
        if not path.is_file():
            # the old program deletes a file before it renames its finished `.tmp`
            path = path.with_name(name + ".tmp")
        if not path.is_file():
            return False
        if matching.get(name) == path:
            if entry.changed:
                return False
        elif not rules.loads(name, path):
            return False
    return True


def _previous(place: Place, newest: Manifest | None, faults: list[str], rules: Rules) -> Resolved:
    escape = f"delete {place.manifest.name} to use the files as they are"
    for folder in (place.previous_new, place.previous):
        kept = _read(folder / "manifest.json", faults)
        if kept is None:
            continue
        files, wrong = _match(kept, _inside(folder))
        if not wrong:
            lost = "an unknown number of" if newest is None else newest.iteration - kept.iteration
            note = (
                f"damaged or mixed set: {'; '.join(faults)}. The last whole set, of iteration "
                f"{kept.iteration}, is used instead; {lost} iterations are lost. The other files "
                f"stay where they are until the next save, then in {place.damaged.name}"
                + (f" (or {escape})" if rules.loads is not None else "")
            )
            return Resolved(files, kept, "previous", [note])
        faults += [f"kept previous set: {fault}" for fault in wrong.values()]
    raise ModelFileError(
        f"{place.manifest}: the files of the model do not belong together: {'; '.join(faults)}. "
        "No whole previous set is kept. Restore a backup"
        + (f", or {escape}." if rules.loads is not None else ".")
    )


def _inside(folder: Path) -> Callable[[str], list[Path]]:
    return lambda name: [folder / name]


# -- saving --------------------------------------------------------------------------------------
def write_set(
    place: Place,
    contents: Mapping[str, durable.Writer],
    describe: Callable[[dict[str, FileEntry]], Manifest],
    *,
    size: int,
    adopt: Callable[[], Manifest | None],
) -> Manifest:
    """Save a set as one transaction.

    Parameters
    ----------
    contents : mapping of file name to writer
    describe : callable
        Makes the manifest from the entries of the written files.
    size : int
        About how many bytes will be written, to refuse early on a full disk.
    adopt : callable
        Makes a manifest for the set that is there without one; None if there is no whole set.

    Raises
    ------
    WorkspaceError
        It cannot be written; the old set is unchanged.
    """
    durable.make_folder(place.folder)
    durable.check_space(place.folder, size)
    with durable.naming_the_fault(place.manifest):
        recover(place)
    try:
        with durable.naming_the_fault(place.folder):
            written = _stage(place, contents)
            old = _keep(place, adopt)
            manifest = describe(_with_history(place, written, old))
            _commit(place, manifest)
    except BaseException:
        # before the commit record is there, nothing of the new set counts
        if not place.commit.exists():
            discard(place)
        raise
    try:
        _finish(place, manifest)
    except OSError as error:
        raise WorkspaceError(
            f"{place.folder}: the model is saved, but its files could not be renamed "
            f"({error.strerror}). They are next to the old ones as *{NEW}; the next start reads "
            "them and the next save puts them in place."
        ) from error
    return manifest


def _stage(place: Place, contents: Mapping[str, durable.Writer]) -> dict[str, FileEntry]:
    written = {}
    for name, content in contents.items():
        path = place.folder / (name + NEW)
        size, digest = durable.write_durably(path, content)
        written[name] = FileEntry(size, digest, path.stat().st_mtime_ns)
    return written


def _with_history(
    place: Place, written: dict[str, FileEntry], old: Manifest | None
) -> dict[str, FileEntry]:
    """Mark what did not change, and carry the files of switched-off options along."""
    before = {} if old is None else dict(old.files)
    entries = {
        name: replace(entry, changed=name not in before or before[name].sha256 != entry.sha256)
        for name, entry in written.items()
    }
    for name, entry in before.items():
        if name not in entries and (place.folder / name).is_file():
            entries[name] = replace(entry, changed=False, stale=True)
    return entries


def _keep(place: Place, adopt: Callable[[], Manifest | None]) -> Manifest | None:
    """Put the set that is there into `<previous>.new`, if it is whole."""
    current: Manifest | None = None
    with contextlib.suppress(ModelFileError):
        current = read_manifest(place.manifest)
    if current is None or not _untouched(place, current):
        try:
            current = adopt()
        except ModelFileError:
            return None
    if current is None:
        return None
    place.previous_new.mkdir()
    for name in current.files:
        if (place.folder / name).is_file():
            _link(place.folder / name, place.previous_new / name)
    record, text = place.previous_new / "manifest.json", current.to_bytes()
    durable.write_durably(record, lambda write: write(text))
    durable.sync_folder(place.previous_new)
    return current


def _untouched(place: Place, manifest: Manifest) -> bool:
    """Whether sizes and times are those of our own save (no checksums: this is each save)."""
    for name, entry in manifest.files.items():
        try:
            status = (place.folder / name).stat()
        except OSError:
            if entry.stale:
                continue
            return False
        if (status.st_size, status.st_mtime_ns) != (entry.size, entry.mtime_ns):
            return False
    return True


def _link(source: Path, target: Path) -> None:
    try:
        os.link(source, target)
    except OSError:
        durable.copy_file(source, target)


def _commit(place: Place, manifest: Manifest) -> None:
    durable.sync_folder(place.folder)
    durable.write_file(place.commit, manifest.to_bytes())


def _finish(place: Place, manifest: Manifest) -> None:
    """From the commit record to a closed transaction. Can be repeated after any interruption."""
    keeps = place.previous_new.exists()
    for name in manifest.files:
        new = place.folder / (name + NEW)
        if not new.exists():
            continue
        if not keeps and (place.folder / name).exists():
            # the set that is there was not whole: set it aside, it may hold something
            place.damaged.mkdir(exist_ok=True)
            os.replace(place.folder / name, place.damaged / name)
        os.replace(new, place.folder / name)
    durable.sync_folder(place.folder)
    if keeps and (place.previous_new / "manifest.json").exists():
        shutil.rmtree(place.previous, ignore_errors=True)
        os.replace(place.previous_new, place.previous)
        durable.sync_folder(place.previous.parent)
    os.replace(place.commit, place.manifest)
    durable.sync_folder(place.manifest.parent)


def recover(place: Place) -> None:
    """Finish a committed transaction, or clear away one that was never committed."""
    try:
        pending = read_manifest(place.commit)
    except ModelFileError:
        # unreadable record: what counts then is what `resolve` finds without it
        _set_aside(place)
        return
    if pending is None:
        discard(place)
        return
    _, wrong = _match(pending, lambda name: _pending_places(place, name))
    if wrong:
        _set_aside(place)
    else:
        _finish(place, pending)


def _set_aside(place: Place) -> None:
    """Put a broken open transaction where it does not count but is not lost."""
    place.damaged.mkdir(exist_ok=True)
    for path in sorted(place.folder.glob(f"*{NEW}")):
        if path.is_file() and place.owns(path.name.removesuffix(NEW)):
            os.replace(path, place.damaged / path.name)
    if place.previous_new.exists() and (place.previous_new / "manifest.json").exists():
        shutil.rmtree(place.previous, ignore_errors=True)
        os.replace(place.previous_new, place.previous)
    os.replace(place.commit, place.damaged / place.commit.name)
    durable.sync_folder(place.folder)


def discard(place: Place) -> None:
    """Remove the leftovers of a save that was never committed."""
    for path in place.folder.glob(f"*{NEW}"):
        if path.is_file() and place.owns(path.name.removesuffix(NEW)):
            durable.remove_quietly(path)
    shutil.rmtree(place.previous_new, ignore_errors=True)
