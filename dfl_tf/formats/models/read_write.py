"""Reading and writing a model in either format: the one way in and out.

References: models.md 5, workspace.md 3 and 4, design decisions 1, 2, 7, 28, 37.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Literal

from dfl_tf.disk import durable
from dfl_tf.disk.plain_file import version_of
from dfl_tf.errors import DflTfError, ModelFileError
from dfl_tf.formats.models import legacy, native
from dfl_tf.formats.models.files import ModelFormat, detect_format, find_models, prefix_of
from dfl_tf.formats.models.rescue import place_of, ways_back
from dfl_tf.formats.models.run_record import check_run
from dfl_tf.formats.models.state import DiskState, ModelState, Reading
from dfl_tf.formats.models.survey import ModelLocation
from dfl_tf.formats.models.transaction import Basis, Saved

_log = logging.getLogger(__name__)
_ATTEMPTS = 5


def read_model(
    directory: str | Path,
    name: str,
    model_class: str,
    *,
    only: Collection[str] | None = None,
    format: ModelFormat | None = None,
    tolerant: bool = False,
    previous: bool = False,
    say: Callable[[str], None] | None = None,
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
    say : callable, optional
        Gets each note; by default they are logged as warnings.

    Raises
    ------
    ModelFileError
        There is no such model (names those that are there), or a file that is read cannot be:
        it is named, with the previous set and the backups that could take its place.
    LegacyFormatError, UnsafePickleError
        The same where a file is damaged or names what it may not.
    """
    directory = Path(directory)
    found = format or detect_format(directory, name, model_class)
    if found is None:
        raise ModelFileError(_not_found(directory, name, model_class))
    reader = native.read if found == "native" else legacy.read
    place = place_of(directory, name, model_class, found)
    state, problem = None, None
    for _ in range(_ATTEMPTS):
        before = _records(place)
        try:
            state = reader(directory, name, model_class, Reading(only, tolerant, previous))
            problem = None
        except (DflTfError, OSError) as error:
            problem = error
        if _records(place) == before:  # else a save by another process moved files meanwhile
            break
        time.sleep(0.1)
    if isinstance(problem, ModelFileError) and not previous:
        raise type(problem)("\n".join([str(problem), *ways_back(directory, name, model_class)]))
    if problem is not None:
        raise problem
    assert state is not None
    assert state.disk is not None
    notes = [*state.notes, *([] if previous else _notes(state.disk, tolerant=tolerant))]
    for note in notes:
        (say or _log.warning)(f"{prefix_of(name, model_class)}: {note}")
    return replace(state, notes=tuple(notes))


def _records(place: ModelLocation) -> list[tuple[int, ...]]:
    """What changes when a save by another process moves the files that are being read."""
    return [version_of(path) for path in (place.commit, place.manifest)]


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
    there = f"Models there: {', '.join(others[:20])}." if others else "There are no models."
    return f"{directory}: there is no model {prefix}. {there}"


def write_model(
    directory: str | Path,
    name: str,
    state: ModelState,
    *,
    format: Literal["same"] | ModelFormat = "same",
    summary: str | None = None,
    default_options: Mapping[str, object] | None = None,
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
    ModelFileError
        `state.run` holds what could not be read again.
    """
    check_run(state.run)
    directory = Path(directory)
    prefix = prefix_of(name, state.model_class)
    kind = format if format != "same" else detect_format(directory, name, state.model_class)
    if kind == "native":
        saved = native.write(directory, name, state, basis, snapshot)
    else:
        saved = legacy.write(directory, name, state, basis, snapshot)
    if default_options is not None:
        path = directory / f"{state.model_class}_default_options.dat"
        durable.write_file(path, legacy.options_bytes(default_options))
    if summary is not None:
        durable.write_file(directory / f"{prefix}_summary.txt", summary.encode("utf-8"))
    return saved
