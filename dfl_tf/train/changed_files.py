"""Files of a model that the user or another program changed: what a training makes of them.

References: design decisions 28 and 42.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from dfl_tf.errors import ModelFileError, ModelFilesChanged
from dfl_tf.formats.models.rescue import basis_now, file_of, previous_set, ways_back
from dfl_tf.formats.models.state import FileChange, ModelState
from dfl_tf.formats.models.survey import damage_text
from dfl_tf.formats.models.transaction import Basis
from dfl_tf.options import RunOptions


def judge_files(
    folder: Path, name: str, state: ModelState, needed: Collection[str], run: RunOptions
) -> list[str]:
    """Refuse files that nobody has decided on; say what is taken or starts empty.

    Parameters
    ----------
    needed : collection of str
        Parts that the options of this run use: files of no others matter.
    run : RunOptions
        Holds what the user decided: `reinit`, `accept_changes`, `use_previous`.

    Returns
    -------
    list of str
        For the log.

    Raises
    ------
    ModelFileError
        Files cannot be read.
    ModelFilesChanged
        Files are missing, or were replaced while data.dat is the one that was saved.
    """
    if state.disk is None:
        return []
    if state.disk.damaged and not run.accept_changes:
        ways = ways_back(folder, name, state.model_class)
        raise ModelFileError("\n".join([damage_text(state.disk.damaged), *ways]))
    changes = {
        part: change
        for part, change in state.disk.changes.items()
        if (part in needed and part not in run.reinit) or part == change.file
    }
    unreadable = {part: c for part, c in changes.items() if c.kind == "unreadable"}
    parts = {part: change for part, change in unreadable.items() if part != change.file}
    if parts:
        raise ModelFileError("\n".join(_unreadable(folder, name, state, parts)))
    notes = [
        f"warning: {error} The files are used as they are, without it (--accept-changes)"
        for error in state.disk.damaged.values()
    ]
    undecided: dict[str, FileChange] = {}
    for part, change in changes.items():
        if change.kind == "missing" and part.endswith("_opt"):
            notes.append(f"warning: {change.text}; its slots start empty")
        elif not run.accept_changes or (change.kind == "missing" and part != change.file):
            undecided[part] = change
        else:
            notes.append(f"{change.text}; it is used as it is (--accept-changes)")
    if undecided:
        raise ModelFilesChanged("\n".join(_choice(folder, name, state, undecided)))
    return [*notes, *_ages(state, [part for part in needed if part not in run.reinit])]


def _unreadable(
    folder: Path, name: str, state: ModelState, changes: dict[str, FileChange]
) -> list[str]:
    return [
        *(change.text for change in changes.values()),
        f"To start over with these parts only: --reinit {','.join(changes)}",
        *ways_back(folder, name, state.model_class),
    ]


def _choice(
    folder: Path, name: str, state: ModelState, changes: dict[str, FileChange]
) -> list[str]:
    parts = [part for part, change in changes.items() if part != change.file]
    lines = [
        f"{folder}: {', '.join(change.text for change in changes.values())} "
        f"(compared with the save of iteration {state.iteration} here). Choose:",
    ]
    if parts:
        lines.append(f"  --reinit {','.join(parts)}  reinitializes these parts")
    if any(c.kind != "missing" or part == c.file for part, c in changes.items()):
        lines.append("  --accept-changes  uses the files as they are")
    kept = previous_set(folder, name, state.model_class)
    if kept is not None:
        lines.append(f"  --use-previous  returns to the kept save of iteration {kept.iteration}")
    else:
        lines += [f"  {way}" for way in ways_back(folder, name, state.model_class)]
    return lines


def _ages(state: ModelState, parts: Sequence[str]) -> list[str]:
    assert state.disk is not None
    until = state.disk.trained_until
    known = {part: until[part] for part in parts if part in state.tensors and part in until}
    return ages(known, state.iteration)


def ages(trained_until: Mapping[str, int | None], iteration: int) -> list[str]:
    """One line for all parts that were last trained at the same earlier iteration.

    Parameters
    ----------
    trained_until : mapping of part to int or None
    iteration : int
        Of the model.
    """
    older: dict[int | None, list[str]] = {}
    for part, until in trained_until.items():
        if until != iteration:
            older.setdefault(until, []).append(part)
    lines = []
    for until, names in older.items():
        named = ", ".join(names)
        if until is None:
            lines.append(
                f"{named}: kept while switched off; it is not known when it was last trained"
            )
        elif until < iteration:
            lines.append(
                f"{named}: {iteration - until} iterations behind (last trained at {until})"
            )
        else:
            lines.append(f"{named}: last trained at iteration {until}, before the count was reset")
    return lines


def basis_for(
    folder: Path, name: str, state: ModelState | None, model_class: str, run: RunOptions
) -> Basis:
    """What the first save of the run takes the place of, and which files it moves aside."""
    if state is None or state.disk is None or run.use_previous:
        basis = basis_now(folder, name, model_class)
        return replace(basis, whole=False) if run.use_previous else basis
    files = frozenset(file_of(folder, name, model_class, part) for part in run.reinit)
    return Basis(state.disk.present, state.disk.whole, files.union(state.disk.damaged))
