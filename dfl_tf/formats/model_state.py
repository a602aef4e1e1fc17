"""Everything a model is, as plain NumPy, and reading and writing it in either format.

References: models.md 5, workspace.md 3 and 4, design decisions 1, 2, 7, 28, 37.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from dfl_tf.disk import durable
from dfl_tf.errors import DflTfError, ModelFileError
from dfl_tf.formats.manifest import Manifest, role_of
from dfl_tf.formats.model_files import ModelFormat, detect_format, find_models, prefix_of
from dfl_tf.formats.survey import ModelLocation, Survey

if TYPE_CHECKING:
    from dfl_tf.formats.transaction import Basis, Saved

_log = logging.getLogger(__name__)
_ATTEMPTS = 5


@dataclass(frozen=True, kw_only=True)
class ModelState:
    """A model at rest.

    Attributes
    ----------
    model_class : str
        "SAEHD", "AMP", "Quick96" or "XSeg".
    iteration : int
        Finished iterations.
    options : dict
        The stored legacy dictionary with plain Python values, order kept, unknown keys included.
    loss_history : sequence of sequences of float
        One entry an iteration; its length may differ from `iteration`. A read model has a
        `LossHistory`, which equals a list of lists.
    tensors : dict of part to dict of key to ndarray
        Part = file stem ("encoder", "src_dst_opt", "XSeg_256"); key exactly as in the file
        ("down1/downs_0/conv1/weight:0"); order as in the file. Optimizers hold "iters:0", an
        int64 scalar.
    extra : dict
        Other entries of data.dat, carried along: "sample_for_preview", "choosed_gpu_indexes",
        what forks add.
    run : dict
        JSON-able; how the run stood (seed, stream positions). Empty for a set of another program.
    notes : tuple of str
        What reading found that the user should know (rewritten elsewhere, an unreadable record).
    disk : DiskState or None
        How the files compare with the last save here; None for a state that was not read.
    """

    model_class: str
    iteration: int
    options: dict[str, Any]
    loss_history: Sequence[Sequence[float]]
    tensors: dict[str, dict[str, Any]]
    extra: dict[str, Any] = field(default_factory=dict)
    run: dict[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    disk: DiskState | None = None


@dataclass(frozen=True)
class FileChange:
    """What happened to the file of a part since the last save here.

    Attributes
    ----------
    file : str
    kind : {"missing", "replaced", "unreadable"}
    text : str
        The same for people.
    """

    file: str
    kind: Literal["missing", "replaced", "unreadable"]
    text: str


@dataclass(frozen=True)
class DiskState:
    """The files that a state was read from, beside what the last save here wrote.

    Attributes
    ----------
    record : Manifest or None
        Of that save; None for a set of another program.
    present : Manifest
        The files as they lay there, for the comparison before the next save.
    changes : mapping of str to FileChange
        By part; of the history and other entries by file name.
    used : frozenset of str or None
        Parts that the last save here had in use; None without a record.
    trained_until : mapping of part to int or None
        The iteration of files that are as recorded; None if that is not known.
    foreign : bool
        Whether `data.dat` is another one: another program trained on, or options were edited.
    damaged : mapping of file name to str
        Records of ours (manifest, commit record) that cannot be read, with the fault.
    whole : bool
        Whether nothing but optimizers is missing, nothing unreadable, every file in its place.
    """

    record: Manifest | None
    present: Manifest
    changes: Mapping[str, FileChange]
    used: frozenset[str] | None
    trained_until: Mapping[str, int | None]
    foreign: bool
    whole: bool
    damaged: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        found: Survey,
        manifest: Manifest,
        *,
        folder: Path,
        unreadable: Mapping[str, str],
        part_of: Callable[[str], str | None],
        foreign: bool = False,
    ) -> DiskState:
        """Turn what a survey says of files into what is to be said of parts."""
        texts = {"missing": "is missing", "replaced": "is not the one that was saved"}
        changes: dict[str, FileChange] = {}
        for file, kind in found.changes.items():
            if not (foreign and kind == "replaced"):
                changes[part_of(file) or file] = FileChange(file, kind, f"{file} {texts[kind]}")
        for file, text in unreadable.items():
            changes[part_of(file) or file] = FileChange(file, "unreadable", text)
        places = {name: folder / name for name in found.files}
        moved = [
            f
            for f, path in found.files.items()
            if path not in (places[f], durable.staged(places[f]))
        ]
        entries = {file: entry for file, entry in found.entries.items() if file not in moved}
        lost = [file for file, kind in found.changes.items() if kind == "missing"]
        broken = unreadable or moved or any(role_of(file) != "optimizer" for file in lost)
        recorded = {} if found.record is None else found.record.files
        parts = {file: part for file in recorded if (part := part_of(file)) is not None}
        return cls(
            record=found.record,
            present=replace(manifest, files=entries, snapshot=""),
            changes=changes,
            used=None
            if found.record is None
            else frozenset(part for file, part in parts.items() if not recorded[file].off),
            trained_until={
                part: recorded[file].iteration
                for file, part in parts.items()
                if file in entries and entries[file].sha256 == recorded[file].sha256
            },
            foreign=foreign,
            whole=not broken,
            damaged=found.damaged,
        )


@dataclass(frozen=True)
class Reading:
    """What of a model is read, and how.

    Attributes
    ----------
    only : collection of str or None
        Parts to read; no other file is looked into, so that a native model comes without its
        loss history. None: all.
    tolerant : bool
        Note parts that cannot be read in `DiskState.changes` instead of raising.
    previous : bool
        Read the kept previous set instead.
    """

    only: Collection[str] | None = None
    tolerant: bool = False
    previous: bool = False

    @property
    def wants_history(self) -> bool:
        """Whether the losses are read where they lie in a file of their own."""
        return self.only is None

    def wants(self, part: str) -> bool:
        """Whether a part is read."""
        return self.only is None or part in self.only


def read_model(
    directory: str | Path,
    name: str,
    model_class: str,
    *,
    only: Collection[str] | None = None,
    format: ModelFormat | None = None,
    tolerant: bool = False,
    previous: bool = False,
) -> ModelState:
    """Read a model as it lies there; nothing on disk is changed.

    Files that differ from the last save here are taken as they are, each with a note. Whoever
    trains on asks `ModelState.disk` and decides (`train.changed_files`).

    Parameters
    ----------
    directory : str or Path
        Folder of model files.
    name, model_class : str
    only, tolerant, previous
        See `Reading`.
    format : {"legacy", "native"}, optional
        Which form to read if both are there; default the newer one.

    Raises
    ------
    ModelFileError
        There is no such model (names those that are there), or a file that is read cannot be:
        it is named, with the previous set and the backups that could take its place.
    LegacyFormatError, UnsafePickleError
        The same where a file is damaged or names what it may not.
    """
    from dfl_tf.formats import model_legacy, model_native
    from dfl_tf.formats.model_rescue import place_of, ways_back

    directory = Path(directory)
    found = format or detect_format(directory, name, model_class)
    if found is None:
        raise ModelFileError(_not_found(directory, name, model_class))
    reader = model_native.read if found == "native" else model_legacy.read
    place = place_of(directory, name, model_class, found)
    state, fault = None, None
    for _ in range(_ATTEMPTS):
        before = _records(place)
        try:
            state = reader(directory, name, model_class, Reading(only, tolerant, previous))
            fault = None
        except (DflTfError, OSError) as error:
            fault = error
        if _records(place) == before:  # else a save by another process moved files meanwhile
            break
        time.sleep(0.1)
    if isinstance(fault, ModelFileError) and not previous:
        raise type(fault)("\n".join([str(fault), *ways_back(directory, name, model_class)]))
    if fault is not None:
        raise fault
    assert state is not None
    assert state.disk is not None
    notes = [*state.notes, *([] if previous else _notes(state.disk, tolerant=tolerant))]
    for note in notes:
        _log.warning("%s: %s", prefix_of(name, model_class), note)
    return replace(state, notes=tuple(notes))


def _records(place: ModelLocation) -> list[tuple[int, int, int] | None]:
    """What changes when a save by another process moves the files that are being read."""
    found: list[tuple[int, int, int] | None] = []
    for path in (place.commit, place.manifest):
        try:
            status = path.stat()
        except OSError:
            found.append(None)
        else:
            found.append((status.st_ino, status.st_size, status.st_mtime_ns))
    return found


def _notes(disk: DiskState, *, tolerant: bool) -> list[str]:
    changes = [] if tolerant else [change.text for change in disk.changes.values()]
    notes = [", ".join(changes)] if changes else []
    if disk.foreign and disk.record is not None:
        notes.insert(
            0,
            f"data.dat is not the one that the save of iteration {disk.record.iteration} here "
            "wrote: another program trained on, or files were edited or copied from a backup. "
            "The files are taken as they are",
        )
    return notes


def _not_found(directory: Path, name: str, model_class: str) -> str:
    prefix = prefix_of(name, model_class)
    others = [f"{m.name} ({m.model_class})" for m in find_models(directory)]
    if not directory.is_dir():
        return f"{directory}: there is no such folder."
    there = f"Models there: {', '.join(others[:20])}." if others else "No model is there."
    return f"{directory}: there is no model {prefix}. {there}"


def write_model(
    directory: str | Path,
    name: str,
    state: ModelState,
    *,
    format: Literal["same"] | ModelFormat = "same",
    summary: str | None = None,
    default_options: Mapping[str, Any] | None = None,
    basis: Basis | None = None,
    snapshot: str = "",
) -> Saved:
    """Write a model as one transaction: at any moment the old or the new set is there, whole.

    Parameters
    ----------
    directory : str or Path
        Folder of model files; made if it is not there.
    name : str
    state : ModelState
        Its class decides the names of the files.
    format : {"same", "legacy", "native"}
        "same": as it is there; legacy for a new one.
    summary : str, optional
        Text of `summary.txt` (models.md 5.9).
    default_options : mapping, optional
        Written to `<CLASS>_default_options.dat`: what the newest new model of the class began
        with (options.md 1).
    basis : Basis, optional
        The files as they were when the model was read or saved last; by default whatever is there
        is replaced, kept as the previous set if it is whole and moved aside if not.
    snapshot : str
        Why this set lies beside its model, if it does.

    Returns
    -------
    Saved
        Its `basis` is for the next save.

    Raises
    ------
    ForeignChange
        The files are not those of `basis`; nothing was written.
    WorkspaceError
        Disk full, folder read-only, … The old set is unchanged.
    """
    from dfl_tf.formats import model_legacy, model_native

    directory = Path(directory)
    prefix = prefix_of(name, state.model_class)
    kind = format if format != "same" else detect_format(directory, name, state.model_class)
    if kind == "native":
        saved = model_native.write(directory, name, state, basis, snapshot)
    else:
        saved = model_legacy.write(directory, name, state, basis, snapshot)
    if default_options is not None:
        path = directory / f"{state.model_class}_default_options.dat"
        durable.write_file(path, model_legacy.options_bytes(default_options))
    if summary is not None:
        durable.write_file(directory / f"{prefix}_summary.txt", summary.encode("utf-8"))
    return saved
