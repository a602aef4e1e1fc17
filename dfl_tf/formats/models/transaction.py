"""Writing many files as one: at every moment the set on disk is the old one or the new one.

How a set is saved
------------------
1. Every new file is written beside its place under a name of ours (`staged`), with its
   SHA-256 taken on the way, and fsynced. A history that only grows is appended to in place: its
   old length and checksum still describe the old set. A error up to here (full disk, read-only
   folder, kill) leaves the old set alone.
2. The set that is there is kept: hard links (copies where there are no links) to its files, and
   its manifest, in the staged folder of `<previous>`. What is given up without being part of a
   whole set is linked into a numbered folder of `<replaced>/`, which nothing of ours ever empties.
3. The manifest of the new set is written as the *commit record*, atomically and durably. From
   this moment the new set counts: all its bytes are on the disk under one name or the other.
4. Every staged file is renamed over its file, and the staged folder over `<previous>`; at last
   the commit record is renamed to the manifest, which closes the transaction.

`survey` says what lies in a folder; `recover` finishes step 4 after an interruption, or clears
away what was never committed. Nothing else is repaired: the folder belongs to the user.

References: design decisions 1, 42, 49 and 52, workspace.md 4.3.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from dfl_tf.disk import durable
from dfl_tf.disk.temporary_names import staged, staged_for
from dfl_tf.disk.write_errors import check_space, explain_write_errors
from dfl_tf.errors import ForeignChange, ModelFileError, WorkspaceError
from dfl_tf.formats.models.manifest import FileEntry, Manifest, read_manifest, role_of
from dfl_tf.formats.models.survey import ModelLocation, entry_of, is_unchanged, unfinished

_CARRIED = ("network", "optimizer", "average", "recipe")
"""Roles of files that stay with the set while their part is switched off."""


@dataclass(frozen=True)
class Basis:
    """The files that a save takes the place of, as they were when the model was read or saved.

    Attributes
    ----------
    manifest : Manifest
    whole : bool
        Whether they may be kept as the previous set. If not, what the save overwrites is moved
        aside, and an older previous set stays.
    discards : frozenset of str
        Names of files whose content is given up: moved aside in any case.
    drops : frozenset of str
        Names of files that are no part of the set any more unless they are written: those of parts
        that an earlier state of the model does not have. They go when the save is whole.
    """

    manifest: Manifest
    whole: bool = True
    discards: frozenset[str] = frozenset()
    drops: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Saved:
    """A finished save: what the next one builds on, and where replaced files were moved to."""

    basis: Basis
    aside: Path | None = None


@dataclass(frozen=True)
class Contents:
    """What is to be written.

    Attributes
    ----------
    files : mapping of file name to writer
    histories : mapping of file name to bytes
        Whole content of files that only grow as a rule.
    size : int
        About how many bytes, to refuse early on a full disk.
    iteration : int
    """

    files: Mapping[str, durable.Writer]
    histories: Mapping[str, bytes]
    size: int
    iteration: int

    @property
    def names(self) -> list[str]:
        """Names of all files."""
        return [*self.files, *self.histories]


def write_set(
    place: ModelLocation,
    contents: Contents,
    describe: Callable[[dict[str, FileEntry]], Manifest],
    *,
    basis: Basis | None,
    adopt: Callable[[], Basis],
) -> Saved:
    """Save a set as one transaction.

    Parameters
    ----------
    describe : callable
        Makes the manifest from the entries of all files.
    basis : Basis or None
        What the caller believes to be there. None: whatever is there is replaced.
    adopt : callable
        Makes the basis in that case.

    Raises
    ------
    ForeignChange
        The files are not those of `basis`; nothing was changed.
    WorkspaceError
        It cannot be written; the old set is unchanged.
    """
    durable.make_folder(place.folder)
    check_space(place.folder, contents.size)
    with explain_write_errors(place.manifest):
        finished = recover(place)
    old = adopt() if basis is None else basis
    if finished is not None and not changes_since(place, Basis(finished), contents.names):
        old = Basis(finished)  # our own last save, which could not be closed at the time
    aside: Path | None = None
    try:
        with explain_write_errors(place.folder):
            _refuse_change(place, old, contents.names)
            written = _stage(place, contents, old.manifest)
            if old.whole:
                _keep(place, old.manifest)
            aside = _move_aside(place, old, contents.names)
            manifest = describe(written | _switched_off(place, old, written))
            gone = sorted(name for name in old.drops - manifest.files.keys() if place.owns(name))
            manifest = replace(manifest, gone=tuple(gone))
            _refuse_change(place, old, contents.names)
            _commit(place, manifest)
    except BaseException:
        # before the commit record is there, nothing of the new set counts
        if not place.commit.exists():
            discard(place)
            if aside is not None:
                shutil.rmtree(aside, ignore_errors=True)
        raise
    try:
        _finish(place, manifest, old.manifest)
    except OSError as error:
        raise WorkspaceError(
            f"{place.folder}: the model is saved, but its files could not be renamed "
            f"({error.strerror}). They are next to the old ones as "
            f"{staged(Path('*')).name}; the next start reads them and the next save puts "
            "them in place."
        ) from error
    return Saved(Basis(manifest), aside)


def changes_since(place: ModelLocation, basis: Basis, names: Iterable[str]) -> list[str]:
    """How the files differ from `basis`, for people; `names` are those that would be written."""
    recorded = basis.manifest.files
    found = []
    for name, entry in recorded.items():
        if not (place.folder / name).is_file():
            found += [] if entry.off else [f"{name} was deleted"]
        elif not is_unchanged(place.folder / name, entry):
            found.append(f"{name} was rewritten")
    new = [name for name in names if name not in recorded and (place.folder / name).is_file()]
    return found + [f"{name} was added" for name in new]


def _refuse_change(place: ModelLocation, basis: Basis, names: Iterable[str]) -> None:
    found = changes_since(place, basis, names)
    if found:
        raise ForeignChange(
            f"{place.folder}: the model was changed by another program or by hand since "
            f"iteration {basis.manifest.iteration}: {', '.join(found)}."
        )


def _stage(place: ModelLocation, contents: Contents, old: Manifest) -> dict[str, FileEntry]:
    written = {}
    for name, content in contents.files.items():
        path = staged(place.folder / name)
        size, digest = durable.write_durably(path, content)
        time, role = path.stat().st_mtime_ns, role_of(name)
        written[name] = FileEntry(size, digest, time, role, contents.iteration)
    for name, data in contents.histories.items():
        path, before = place.folder / name, old.files.get(name)
        if before is not None and _continues(path, before, data):
            durable.append_durably(path, before.size, data[before.size :])
        else:
            path = staged(place.folder / name)
            durable.write_durably(path, partial(_all_at_once, data))
        digest = hashlib.sha256(data).hexdigest()
        time = path.stat().st_mtime_ns
        written[name] = FileEntry(len(data), digest, time, "history", contents.iteration)
    return written


def _all_at_once(data: bytes, write: Callable[[bytes], object]) -> object:
    return write(data)


def _continues(path: Path, before: FileEntry, data: bytes) -> bool:
    """Whether `data` goes on where the file at `path` ended when it was recorded."""
    if path.is_symlink():  # another place than the user sees
        return False
    same = hashlib.sha256(memoryview(data)[: before.size]).hexdigest() == before.sha256
    return same and len(data) >= before.size and is_unchanged(path, before)


def _switched_off(
    place: ModelLocation, old: Basis, written: Mapping[str, FileEntry]
) -> dict[str, FileEntry]:
    """The files of parts that are not in use now: they stay, each with its iteration."""
    return {
        name: replace(entry, off=True)
        for name, entry in old.manifest.files.items()
        if name not in written
        and name not in old.drops
        and entry.role in _CARRIED
        and (place.folder / name).is_file()
    }


def _keep(place: ModelLocation, current: Manifest) -> None:
    """Put the set that is there into the staged folder of the previous set."""
    durable.make_folder(place.previous_new)
    for name in current.files:
        if (place.folder / name).is_file():
            _link(place.folder / name, place.previous_new / name)
    record, text = place.previous_new / "manifest.json", current.to_bytes()
    durable.write_durably(record, lambda write: write(text))
    durable.sync_folder(place.previous_new)


def _move_aside(place: ModelLocation, old: Basis, names: Iterable[str]) -> Path | None:
    """Link what is given up into a numbered folder; None if there is nothing."""
    chosen = old.discards if old.whole else old.discards.union(names)
    there = sorted(name for name in chosen if (place.folder / name).is_file())
    if not there:
        return None
    folder = _next_aside(place)
    for name in there:
        _link(place.folder / name, folder / name)
    durable.sync_folder(folder)
    return folder


def _next_aside(place: ModelLocation) -> Path:
    durable.make_folder(place.replaced)
    taken = [int(path.name) for path in place.replaced.iterdir() if path.name.isdecimal()]
    folder = place.replaced / f"{max(taken, default=0) + 1:02d}"
    durable.make_folder(folder)
    return folder


def _link(source: Path, target: Path) -> None:
    try:
        os.link(source, target)
    except OSError:
        durable.copy_file(source, target)


def _commit(place: ModelLocation, manifest: Manifest) -> None:
    durable.sync_folder(place.folder)
    durable.write_file(place.commit, manifest.to_bytes())


def _finish(place: ModelLocation, manifest: Manifest, before: Manifest | None) -> None:
    """From the commit record to a closed transaction. Can be repeated after any interruption.

    `before` is the set that it takes the place of: what another program has written since, stays.
    """
    for name in manifest.files:
        new = staged(place.folder / name)
        if new.exists():
            os.replace(new, place.folder / name)
    for name in manifest.gone:
        entry = None if before is None else before.files.get(name)
        if entry is not None and place.owns(name) and is_unchanged(place.folder / name, entry):
            (place.folder / name).unlink()
    durable.sync_folder(place.folder)
    _replace_previous(place)
    os.replace(place.commit, place.manifest)
    durable.sync_folder(place.manifest.parent)


def _replace_previous(place: ModelLocation) -> None:
    if (place.previous_new / "manifest.json").exists():
        shutil.rmtree(place.previous, ignore_errors=True)
        os.replace(place.previous_new, place.previous)
        durable.sync_folder(place.previous.parent)


def recover(place: ModelLocation) -> Manifest | None:
    """Finish a committed transaction, or clear away one that was never committed.

    A committed file over whose place another program has written is moved aside instead.

    Returns
    -------
    Manifest or None
        What was finished.
    """
    try:
        pending = read_manifest(place.commit)
    except ModelFileError:
        # unreadable: it is not known which files belong to it
        _give_up(place, _staged(place))
        _replace_previous(place)
        os.replace(place.commit, _next_aside(place) / place.commit.name)
        durable.sync_folder(place.folder)
        return None
    if pending is None:
        discard(place)
        return None
    try:
        current = read_manifest(place.manifest)
    except ModelFileError:
        current = None
    overtaken = [
        name
        for name in pending.files
        if staged(place.folder / name).is_file() and not unfinished(place, name, current)
    ]
    _give_up(place, overtaken)
    _finish(place, pending, current)
    return pending


def _staged(place: ModelLocation) -> list[str]:
    """Names of the files of this set that lie there staged."""
    found = [staged_for(path.name) for path in place.folder.iterdir() if path.is_file()]
    return sorted(name for name in found if name is not None and place.owns(name))


def _give_up(place: ModelLocation, names: Sequence[str]) -> None:
    """Move staged files that do not count any more where they are not lost."""
    if names:
        folder = _next_aside(place)
        for name in names:
            os.replace(staged(place.folder / name), folder / name)
        durable.sync_folder(folder)


def discard(place: ModelLocation) -> None:
    """Remove the leftovers of a save that was never committed."""
    for name in _staged(place):
        durable.remove_quietly(staged(place.folder / name))
    shutil.rmtree(place.previous_new, ignore_errors=True)


def torn_basis(
    manifest: Manifest,
    folder: Path,
    owns: Callable[[str], bool],
    discards: frozenset[str] = frozenset(),
) -> Basis:
    """A basis of whatever files lie in `folder`, none of which can be relied on."""
    files = sorted(folder.iterdir()) if folder.is_dir() else []
    entries = {
        path.name: entry_of(path)
        for path in files
        if path.is_file()
        and path.suffix != ".json"
        and staged_for(path.name) is None
        and owns(path.name)
    }
    return Basis(replace(manifest, files=entries), whole=False, discards=discards)
