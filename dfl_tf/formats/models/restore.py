"""Which kept state of a model is meant, and bringing one back.

A state is kept as a snapshot, a numbered backup, the set before the last save, or a folder of the
user's own. References: design decision 42, workspace.md 6.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from dfl_tf.disk.plain_file import read_plain
from dfl_tf.disk.text import is_plain_name
from dfl_tf.errors import DflTfError, ModelFileError, UsageError
from dfl_tf.formats.models.choose_model import choose_model
from dfl_tf.formats.models.files import (
    ModelLock,
    detect_format,
    find_models,
    name_of,
    prefix_of,
)
from dfl_tf.formats.models.read_write import read_model, write_model
from dfl_tf.formats.models.rescue import backups, basis_now, recover
from dfl_tf.formats.models.snapshots import (
    Snapshot,
    find_snapshot,
    free_name,
    label_of,
    list_snapshots,
    make_snapshot,
    snapshot_folder,
)
from dfl_tf.formats.models.state import ModelState
from dfl_tf.options import KINDS

PREVIOUS = "previous"
"""Means the set before the last save."""
_NAMED = 20


@dataclass(frozen=True)
class KeptState:
    """A state of a model that is kept beside it.

    Attributes
    ----------
    text : str
        What the user calls it.
    folder : Path
        Where its files lie; of the previous set the folder of the model.
    name, model_class : str
        Of the model in that folder.
    previous : bool
        Whether it is the set before the last save.
    snapshot : Snapshot or None
        If it is one.
    """

    text: str
    folder: Path
    name: str
    model_class: str
    previous: bool = False
    snapshot: Snapshot | None = None

    def read(self) -> ModelState:
        """Read all of it; a snapshot has to be as it was made.

        Raises
        ------
        ModelFileError
        """
        if self.snapshot is None:
            return read_model(self.folder, self.name, self.model_class, previous=self.previous)
        try:
            return read_whole(self.folder, self.name, self.model_class)
        except ModelFileError as error:
            raise type(error)(
                f"The snapshot {self.text} is damaged: {error}\nTake another one. To use these "
                "files nevertheless, copy them into the model folder by hand."
            ) from None


def find_kept(directory: Path, name: str, model_class: str, text: str) -> KeptState:
    """The state of a model that is called so.

    Parameters
    ----------
    directory : Path
        Folder of the model.
    name, model_class : str
    text : str
        Number of a backup (``01`` or ``1``), name of a snapshot (``best``: the newest of that
        kind), ``previous``, or a folder with model files.

    Raises
    ------
    ModelFileError
        There is none, or it holds no model of this class; names those that are there.
    """
    if text == PREVIOUS:
        return KeptState(text, directory, name, model_class, previous=True)
    there = {folder.name: folder for folder in backups(directory, name, model_class)}
    snapshot = find_snapshot(directory, name, model_class, text)
    if text.isdecimal() and text.zfill(2) in there:
        folder, snapshot = there[text.zfill(2)], None
    elif snapshot is not None:
        folder = snapshot.folder
    elif text and Path(text).is_dir():
        folder = Path(text)
    else:
        raise ModelFileError(_nothing_of_the_name(directory, name, model_class, text))
    inside = find_models(folder, model_class)
    if not inside:
        raise ModelFileError(f"{folder}: holds no {model_class} model.")
    named = [each for each in inside if each.name == name]
    one = (named or inside)[0]
    return KeptState(text, folder, one.name, model_class, snapshot=snapshot)


def files_of(directory: Path, name: str, model_class: str, text: str) -> tuple[Path, str]:
    """Folder and name of the model to read: the model itself, or the kept state of that name.

    Parameters
    ----------
    directory : Path
        Folder of the model.
    name, model_class : str
    text : str
        See `find_kept`; empty: the model itself.

    Raises
    ------
    ModelFileError
        There is no such state.
    UsageError
        It is the set before the last save, whose files have no folder of their own.
    """
    if not text:
        return directory, name
    if text == PREVIOUS:
        raise UsageError(
            f"--snapshot {PREVIOUS}: the set before the last save can be restored "
            "(dfl-tf model restore --previous) and measured, not used in its place. Name a "
            "snapshot or a backup."
        )
    kept = find_kept(directory, name, model_class, text)
    return kept.folder, kept.name


def _nothing_of_the_name(directory: Path, name: str, model_class: str, text: str) -> str:
    numbers = ", ".join(path.name for path in backups(directory, name, model_class)) or "none"
    every = [each.name for each in list_snapshots(directory, name, model_class)]
    named = ", ".join(every[-_NAMED:]) or "none"
    more = f" and {len(every) - _NAMED} older ones" if len(every) > _NAMED else ""
    return (
        f"{text}: {prefix_of(name, model_class)} in {directory} has no such snapshot or backup, "
        f"and there is no such folder. Backups there: {numbers}; snapshots: {named}{more}."
    )


def newest_kept(directory: Path, name: str, model_class: str) -> KeptState:
    """The newest backup.

    Raises
    ------
    ModelFileError
        There is none; names the snapshots.
    """
    there = backups(directory, name, model_class)
    if there:
        return find_kept(directory, name, model_class, there[0].name)
    every = [each.name for each in list_snapshots(directory, name, model_class)]
    named = ", ".join(every[-_NAMED:])
    advice = f"Name a snapshot by --from: {named}." if every else "There is no snapshot either."
    raise ModelFileError(
        f"{directory}: there is no backup of {prefix_of(name, model_class)}. {advice}"
    )


def with_kept_states(directory: Path) -> list[tuple[str, str]]:
    """Name and class of the models with backups or snapshots, also where the model is gone."""
    found = []
    for each in KINDS:
        for ending in ("_autobackups", "_snapshots"):
            for folder in sorted(directory.glob(f"*{ending}")):
                name = name_of(folder.name.removesuffix(ending), each)
                known = (name, each) in found or not name or not is_plain_name(name)
                if not known and (
                    backups(directory, name, each) or list_snapshots(directory, name, each)
                ):
                    found.append((name, each))
    return sorted(found)


def choose_kept_model(
    directory: Path, name: str | None, model_class: str | None
) -> tuple[str, str]:
    """Name and class of the model that is to be restored: the newest that fits.

    The model itself may be gone, for that is when its backups are needed most.

    Raises
    ------
    ModelFileError
        There is neither such a model nor just one with backups or snapshots.
    """
    if name is not None and model_class is not None:
        return name, model_class
    try:
        found = choose_model(directory, name, model_class)
    except ModelFileError:
        gone = [
            known
            for known in with_kept_states(directory)
            if name in (None, known[0]) and model_class in (None, known[1])
        ]
        if len(gone) != 1:
            named = ", ".join(f"{known} ({kind})" for known, kind in gone) or "none"
            raise ModelFileError(
                f"{directory}: there is no such model. Models with backups or snapshots: "
                f"{named}. Name one by --name and --class."
            ) from None
        return gone[0]
    return found.name, found.model_class


@dataclass(frozen=True)
class Restored:
    """What a restore did.

    Attributes
    ----------
    state : ModelState
        What is there now.
    kept : Path or None
        The snapshot that was made of what was there.
    aside : Path or None
        Where the files were moved of which no snapshot could be made.
    notes : tuple of str
        Why not, and what was cleared away.
    """

    state: ModelState
    kept: Path | None = None
    aside: Path | None = None
    notes: tuple[str, ...] = ()


def restore(directory: Path, name: str, model_class: str, source: KeptState) -> Restored:
    """Bring a kept state back as one transaction; what was there is kept.

    A snapshot ``replaced-N`` is made first of a model that is whole. Of one that is not, or where
    the disk has no room for it, the files are moved aside as they are. The place in a recipe,
    averages, counters and what was measured go back with the weights, since they are part of the
    set; files of parts that the restored state does not have are no part of it any more.

    Raises
    ------
    ModelFileError
        The state is not whole.
    WorkspaceError
        The model is in use, or it cannot be written. Nothing is lost.
    """
    state = source.read()
    kind = detect_format(directory, name, model_class)
    found = detect_format(source.folder, source.name, model_class)
    summary = source.folder / f"{prefix_of(source.name, model_class)}_summary.txt"
    text = None if source.previous else read_summary(summary)
    notes: list[str] = []
    with ModelLock(directory, name, model_class):
        kept = None
        if kind is not None:
            recover(directory, name, model_class)
            kept = _keep(directory, name, model_class, source, notes.append)
        basis = basis_now(directory, name, model_class)
        gone = frozenset(basis.manifest.files)
        basis = replace(basis, drops=gone) if kept else replace(basis, discards=gone, drops=gone)
        saved = write_model(
            directory, name, state, format=kind or found or "same", summary=text, basis=basis
        )
    return Restored(state, kept, saved.aside, tuple(notes))


def _keep(
    directory: Path, name: str, model_class: str, source: KeptState, say: Callable[[str], object]
) -> Path | None:
    """Make a snapshot of a model that is about to be replaced; None if it is not whole."""
    try:
        state = read_whole(directory, name, model_class)
        note = f"replaced by a restore of {source.text}"
        label = replace(label_of(state), kind="replaced", note=note)
        folder = snapshot_folder(directory, name, model_class)
        called = free_name(folder, f"replaced-{state.iteration}")
        made = make_snapshot(directory, name, model_class, called, label, say=say)
    except DflTfError as error:
        say(f"no snapshot was made of what was there: {str(error).splitlines()[0]}")
        return None
    return made.folder


def read_whole(directory: Path, name: str, model_class: str) -> ModelState:
    """Read a model that is as it was saved.

    Raises
    ------
    ModelFileError
        Files of it are not.
    """
    state = read_model(directory, name, model_class)
    if state.disk is not None and state.disk.changes:
        wrong = ", ".join(change.text for change in state.disk.changes.values())
        raise ModelFileError(f"{directory}: the model is not as it was saved: {wrong}.")
    return state


def read_summary(summary: Path) -> str | None:
    """The text of a model's summary; None if there is none."""
    return read_plain(summary).decode("utf-8", "replace") if summary.is_file() else None
