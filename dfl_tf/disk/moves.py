"""Moving many files as one step that survives a kill, and can be undone.

How it is done
--------------
1. The plan, every file with the place it goes to, is written durably into a hidden file.
2. Every file is renamed to a temporary name beside its target. (Targets may be the names of other
   files of the plan, so nothing can go straight to its place.) From another folder it is linked
   there first, and loses its old name when that is on the disk.
3. The plan is marked as *placing*; from then on a temporary name means "goes to its target".
4. Every temporary file is renamed to its target, the lists of checksums of the folders follow, and
   the plan becomes the record that `undo` reads.

After an interruption `finish` completes what was begun: in step 2 a file is either where it was or
at its temporary name, in step 4 at its temporary name or at its target, so the disk tells.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TypedDict

from dfl_tf.disk.checksums import follow
from dfl_tf.disk.durable import link_into, make_folder, rename, sync_folder, write_file
from dfl_tf.disk.folder_lock import only_writer
from dfl_tf.disk.guarded import read_json
from dfl_tf.disk.tree_schema import Array, Record, Row, Text
from dfl_tf.disk.write_errors import explain_write_errors
from dfl_tf.errors import WorkspaceError

PLAN = ".dfl_tf-moves.json"
PLACING = ".dfl_tf-moves-placing.json"
DONE = ".dfl_tf-moves-done.json"

_LIMIT = 512 << 20
_NAMED = 5
_SCHEMA = Record({"why": Text(), "token": Text(), "moves": Array(Row(Text(), Text()))})
_ADVICE = "Remove it if the files are where they should be."


@dataclass(frozen=True)
class Move:
    """One file and where it goes; both paths are relative to the folder of the plan."""

    source: str
    target: str


@dataclass(frozen=True)
class _Plan:
    folder: Path
    why: str
    token: str
    moves: tuple[Move, ...]

    # as text, and made once: there may be 100,000 of them
    @cached_property
    def sources(self) -> list[str]:
        """Where the files are."""
        return [os.path.join(self.folder, move.source) for move in self.moves]

    @cached_property
    def targets(self) -> list[str]:
        """Where they go."""
        return [os.path.join(self.folder, move.target) for move in self.moves]

    @cached_property
    def between(self) -> list[str]:
        """Where they wait between the two renames: hidden, beside their targets."""
        return [
            os.path.join(os.path.dirname(target), f".{self.token}-{number}.moving")
            for number, target in enumerate(self.targets)
        ]

    @cached_property
    def folders(self) -> list[Path]:
        """All folders that the plan touches."""
        names = {os.path.dirname(path) for path in (*self.sources, *self.targets)}
        return sorted(map(Path, names))


def move_files(
    folder: Path, moves: Sequence[Move] | Callable[[], Sequence[Move]], *, why: str
) -> None:
    """Move files within a folder and its neighbors, all or (after a kill) at the next call.

    Parameters
    ----------
    folder : Path
        Holds the plan; an interrupted earlier one is completed first.
    moves : sequence of Move, or a function that returns one
        A target may be the source of another move. Folders of targets exist. The function is
        called when no other program changes the folder: for who has to look once more.
    why : str
        What this is, for the message after an interruption: "sort by blur".

    Raises
    ------
    WorkspaceError
        A source is missing, a target is taken or named twice, a folder is on another disk, or a
        file cannot be renamed. Checked before anything is moved; a later error leaves a plan that
        the next call completes.
    """
    with only_writer(folder):  # what is rewritten under its old name is not moved meanwhile
        _finish(folder)
        wanted = moves() if callable(moves) else moves
        moves = [move for move in wanted if move.source != move.target]
        plan = _Plan(folder, why, os.urandom(6).hex(), tuple(moves))
        _check(plan)
        if not moves:
            return
        write_file(folder / PLAN, _content(plan))
        _step_aside(plan)
        _place(plan)


def finish(folder: Path) -> str | None:
    """Complete a plan that was interrupted.

    Returns
    -------
    str or None
        What it was; None if there was none.

    Raises
    ------
    WorkspaceError
        The plan cannot be read, or a file cannot be renamed.
    """
    with only_writer(folder):
        return _finish(folder)


def _finish(folder: Path) -> str | None:
    plan = _read(folder / PLAN)
    if plan is not None:
        _step_aside(plan)
        _place(plan)
        return plan.why
    plan = _read(folder / PLACING)
    if plan is not None:
        _place(plan, marked=True)
        return plan.why
    return None


def last(folder: Path) -> str | None:
    """What was moved last and can be undone; None if there is nothing.

    Raises
    ------
    WorkspaceError
        Its record cannot be read.
    """
    plan = _read(folder / DONE)
    return None if plan is None else plan.why


def undo(folder: Path) -> tuple[str, list[str]]:
    """Move the files of the last plan back.

    Returns
    -------
    (str, list of str)
        What was undone, and the files that are gone since and could not be moved back.

    Raises
    ------
    WorkspaceError
        There is nothing to undo, or other files have taken the old places.
    """
    finish(folder)
    plan = _read(folder / DONE)
    if plan is None:
        raise WorkspaceError(f"{folder}: nothing was moved here that could be undone.")
    back = [Move(move.target, move.source) for move in plan.moves]
    lost = {path for path in plan.targets if not os.path.lexists(path)}
    gone = [move.source for move, path in zip(back, plan.targets, strict=True) if path in lost]
    there = [move for move, path in zip(back, plan.targets, strict=True) if path not in lost]
    for place in {os.path.dirname(os.path.join(plan.folder, move.target)) for move in there}:
        make_folder(Path(place))  # one that was left empty may be gone
    move_files(folder, there, why=f"undo of {plan.why}")
    with explain_write_errors(folder / DONE):
        (folder / DONE).unlink(missing_ok=True)
        sync_folder(folder)
    return plan.why, gone


def _content(plan: _Plan) -> bytes:
    moves = [[move.source, move.target] for move in plan.moves]
    # as ASCII: names of files need not be UTF-8
    return json.dumps({"why": plan.why, "token": plan.token, "moves": moves}).encode()


class _Stored(TypedDict):
    why: str
    token: str
    moves: list[tuple[str, str]]


def _read(path: Path) -> _Plan | None:
    content: _Stored | None = read_json(
        path, kind="a plan of moves", schema=_SCHEMA, limit=_LIMIT, advice=_ADVICE, missing_ok=True
    )
    if content is None:
        return None
    moves = tuple(Move(source, target) for source, target in content["moves"])
    plan = _Plan(path.parent, content["why"], content["token"], moves)
    for move in moves:
        for name in (move.source, move.target):
            parts = name.split("/")
            inside = all(parts) and not {".", ".."}.intersection(parts[1:])
            if not inside or parts[0] == "." or len(parts) > 3 or os.path.isabs(name):
                raise WorkspaceError(
                    f"{path}: {name!a} is not a valid path in a plan of moves. {_ADVICE}"
                )
    if not plan.token.isalnum():
        raise WorkspaceError(f"{path}: cannot be read as a plan of moves: token. {_ADVICE}")
    return plan


def _check(plan: _Plan) -> None:
    errors: list[str] = []
    sources, targets = set(plan.sources), Counter(plan.targets)
    errors += [
        f"{move.source} does not exist"
        for move, path in zip(plan.moves, plan.sources, strict=True)
        if not os.path.lexists(path)
    ]
    errors += [f"{target} is the target of {n} files" for target, n in targets.items() if n > 1]
    errors += [
        f"{target} exists already"
        for target in targets
        if target not in sources and os.path.lexists(target)
    ]
    if errors:
        more = f"; and {len(errors) - _NAMED} more" if len(errors) > _NAMED else ""
        raise WorkspaceError(
            f"{plan.folder}: the files cannot be moved: {'; '.join(errors[:_NAMED])}{more}. "
            "Nothing was moved."
        )
    with explain_write_errors(plan.folder, safe="Nothing was moved."):
        disks = {os.stat(folder).st_dev for folder in plan.folders}
        if len(disks) > 1:
            named = ", ".join(str(folder) for folder in plan.folders)
            raise WorkspaceError(
                f"{named}: these folders are on different disks, and files are only moved within "
                "one. Nothing was moved. Work on a copy instead (--copy-to, where there is one)."
            )


def _step_aside(plan: _Plan) -> None:
    crossing: list[str] = []
    for source, between in zip(plan.sources, plan.between, strict=True):
        with _Naming(source):
            if os.path.dirname(source) == os.path.dirname(between):
                if not os.path.lexists(between):
                    os.rename(source, between)
            elif os.path.lexists(between) or link_into(source, between):
                crossing.append(source)
    _sync(plan)
    for source in crossing:
        with _Naming(source), contextlib.suppress(FileNotFoundError):
            os.unlink(source)
    if crossing:
        _sync(plan)
    with _Naming(plan.folder / PLACING):
        rename(plan.folder / PLAN, plan.folder / PLACING)


def _place(plan: _Plan, *, marked: bool = False) -> None:
    for between, target in zip(plan.between, plan.targets, strict=True):
        with _Naming(target):
            try:
                os.rename(between, target)
            except FileNotFoundError:
                if not marked:  # before an interruption every file is at its temporary name
                    raise
    _sync(plan)
    follow(plan.folder.resolve(), [(m.source, m.target) for m in plan.moves], plan.token)
    with explain_write_errors(plan.folder / DONE, safe="The files are where they should be."):
        rename(plan.folder / PLACING, plan.folder / DONE)


class _Naming:  # a generator would take twice as long, and files are many
    """Say which file an error is about."""

    __slots__ = ("_path",)

    def __init__(self, path: str | Path) -> None:
        self._path = path

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, OSError):
            with explain_write_errors(Path(self._path), safe="The next call completes the moves."):
                raise error


def _sync(plan: _Plan) -> None:
    for folder in plan.folders:
        with _Naming(folder):
            sync_folder(folder)
