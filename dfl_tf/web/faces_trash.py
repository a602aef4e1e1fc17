"""Taking faces out and putting them back: steps that are noted, each of which can be undone.

Files are moved by `disk.moves`, so a kill in between is completed by the next move in that folder.
Before that a line in the trash folder says what is about to be moved. Whether a step can be undone
is never stored: its files, by name, size and time of change, are where it put them or they are not.
"""

from __future__ import annotations

import contextlib
import json
import os
import threading
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal, TypedDict, cast

from dfl_tf.disk import moves
from dfl_tf.disk.durable import make_folder
from dfl_tf.disk.guarded import parse_json
from dfl_tf.disk.journal import Journal, read_lines
from dfl_tf.disk.moves import Move
from dfl_tf.disk.plain_file import is_safe_name
from dfl_tf.disk.text import printable
from dfl_tf.disk.tree_schema import Array, Integer, Number, Record, Row, Text
from dfl_tf.errors import DflTfError
from dfl_tf.facesets.rearranging import free_name, names_in, take_back
from dfl_tf.web.answers import NotListed, WebError
from dfl_tf.web.context import SiteContext
from dfl_tf.web.faces_listing import FaceListings, ListedFace
from dfl_tf.web.faces_places import FacePlace

FILE = ".dfl_tf-trash.jsonl"
"""In the trash folder: a line for each step."""
WHY = "page: "
"""How the reasons of moves of the page begin."""

_NAME = Text(longest=512, pattern=r"[^/\0]+", form="a file name")
_STEP = Record(
    {
        "id": Text(longest=16, pattern="[0-9a-f]+", form="hexadecimal digits"),
        "what": Text(("trash", "restore")),
        "time": Number(0),
        "files": Array(Row(_NAME, _NAME, Integer(0), Integer())),
        "undoes": Text(longest=16),
    }
)
_LONGEST = 64 << 20
_SHOWN = 200

Moved = tuple[str, str, int, int]
"""Names among the faces and in the trash folder, size, time of change."""


class _StoredStep(TypedDict):
    """A line of the file; of `_STEP`."""

    id: str
    what: Literal["trash", "restore"]
    time: float
    files: list[Moved]
    undoes: str


@dataclass(frozen=True)
class TrashStep:
    """Files that went one way together.

    Attributes
    ----------
    id : str
    what : {"trash", "restore"}
    time : float
        Seconds since 1970.
    files : sequence of (str, str, int, int)
    there : sequence of (str, str, int, int)
        Those that are where the step put them, and that no later step moved there again.
    undoes : str
        The step that this one undid, if it did; else empty.
    """

    id: str
    what: str
    time: float
    files: Sequence[Moved]
    there: Sequence[Moved] = ()
    undoes: str = ""

    def record(self) -> dict[str, object]:
        """For the page."""
        count = len(self.files)
        went = "moved to the trash" if self.what == "trash" else "put back"
        return {
            "id": self.id,
            "what": self.what,
            "text": f"{count} {'face' if count == 1 else 'faces'} {went}",
            "time": self.time,
            "faces": count,
            "undoable": len(self.there),
            "undoes": self.undoes,
            "first": printable(self.files[0][0]) if self.files else "",
        }


class FaceTrash:
    """Moves faces between the folders of a workspace and their trash folders.

    Parameters
    ----------
    context : SiteContext
    listings : FaceListings
    """

    def __init__(self, context: SiteContext, listings: FaceListings) -> None:
        self._context, self._listings = context, listings
        self._lock = threading.Lock()

    def take_out(self, home: FacePlace, numbers: Sequence[int]) -> TrashStep:
        """Move faces to the trash folder.

        Raises
        ------
        NotListed
            One of them was changed or renamed meanwhile; nothing was moved.
        WebError
            The faces are in a pak.
        WorkspaceError
            They cannot be moved.
        """
        with self._lock:
            faces = self._chosen(home, home, numbers)
            self._own_trash(home)
            taken = names_in(home.trash)
            files = [
                (face.name, free_name(face.name, taken), face.size, face.stamp) for face in faces
            ]
            return self._move(home, "trash", files)

    def put_back(self, home: FacePlace, trash: FacePlace, numbers: Sequence[int]) -> TrashStep:
        """Move faces of the trash folder back, under the names that they had.

        Raises
        ------
        NotListed, WebError, WorkspaceError
            See `take_out`.
        """
        with self._lock:
            faces = self._chosen(home, trash, numbers)
            self._own_trash(home)
            before = {file[1:]: file[0] for step in self._read(home) for file in step.files}
            taken = names_in(home.path)
            files = []
            for face in faces:
                name = before.get((face.name, face.size, face.stamp), face.name)
                files.append((free_name(name, taken), face.name, face.size, face.stamp))
            return self._move(home, "restore", files)

    def steps(self, home: FacePlace, *, fresh: bool = False) -> list[TrashStep]:
        """The steps of a folder, the newest first; `fresh` looks at every file again."""
        stored = self._read(home)
        if not stored:
            return []
        places = {"trash": home.trash_place(self._context), "restore": home}
        now = {what: self._files(place, fresh=fresh) for what, place in places.items()}
        found, claimed = [], set[Moved]()
        for step in reversed(stored):
            there = [
                file
                for file in step.files
                if file not in claimed and _at_target(step.what, file) in now[step.what]
            ]
            claimed.update(there)
            found.append(replace(step, there=there))
            if len(found) == _SHOWN:
                break
        return found

    def undo(self, home: FacePlace, wanted: str) -> TrashStep:
        """Undo a step, whichever, as far as its files are where it put them; that is a new step.

        Raises
        ------
        NotListed
            There is no such step, or nothing of it is there any more.
        WebError, WorkspaceError
            See `take_out`.
        """
        with self._lock:
            self._writable(home)
            self._own_trash(home)
            step = next((each for each in self.steps(home, fresh=True) if each.id == wanted), None)
            if step is None or not step.there:
                raise NotListed("step that can be undone")
            back = step.what == "trash"
            taken = names_in(home.path if back else home.trash)
            files = [
                (free_name(name, taken), in_trash, size, stamp)
                if back
                else (name, free_name(in_trash, taken), size, stamp)
                for name, in_trash, size, stamp in step.there
            ]
            return self._move(home, "restore" if back else "trash", files, undoes=step.id)

    def last_of_others(self, home: FacePlace) -> str:
        """What a command moved last in a folder and can be undone; empty if it was the page."""
        try:
            why = moves.last(home.path)
        except DflTfError:
            return ""
        return "" if why is None or why.startswith(WHY) else why

    def undo_others(self, home: FacePlace) -> tuple[str, int]:
        """Undo what `last_of_others` says; gives what it was and how many files are gone since."""
        with self._lock:
            self._own_trash(home)
            if not self.last_of_others(home):
                raise NotListed("step that can be undone")
            why, gone = take_back(home.path)
            return why, len(gone)

    def interrupted(self, home: FacePlace) -> bool:
        """Whether a move was interrupted; files of it are under hidden names."""
        if not self._lock.acquire(blocking=False):
            return False  # one is at work just now
        try:
            plans = (home.path / name for name in (moves.PLAN, moves.PLACING))
            return any(os.path.lexists(plan) for plan in plans)
        finally:
            self._lock.release()

    def finish(self, home: FacePlace) -> str:
        """Complete an interrupted move; gives what it was."""
        with self._lock:
            self._own_trash(home)
            return moves.finish(home.path) or ""

    # -- parts ----------------------------------------------------------------------------------

    def _chosen(
        self, home: FacePlace, place: FacePlace, numbers: Sequence[int]
    ) -> list[ListedFace]:
        self._writable(home)
        repeated = [number for number, count in Counter(numbers).items() if count > 1]
        if not numbers or repeated:
            raise WebError("faces: name each face once, and at least one.")
        listing = self._listings.of(place, fresh=True)
        if listing.pak is not None:
            raise WebError("the faces are in a pak, which is only shown.", 409)
        return listing.chosen(numbers)

    def _writable(self, home: FacePlace) -> None:
        if self._listings.of(home).pak is not None:
            raise WebError("the faces are in a pak, which is only shown.", 409)

    def _own_trash(self, home: FacePlace) -> None:
        """Refuse a trash folder that is a link."""
        trash = home.trash
        if os.path.lexists(trash) and self._context.inside(trash) != trash:
            raise WebError(f"{trash.name}: is a link; files are moved into a folder only.", 409)

    def _files(self, place: FacePlace, *, fresh: bool) -> set[tuple[str, int, int]]:
        """What lies in a folder: names with size and time of change."""
        try:
            listing = self._listings.of(place, fresh=fresh)
        except DflTfError:  # there is none
            return set()
        if listing.pak is None:
            return {(face.name, face.size, face.stamp) for face in listing.faces}
        found = set()
        for name in names_in(place.path):  # a pak hides what lies beside it
            with contextlib.suppress(OSError):
                now = (place.path / name).lstat()
                found.add((name, now.st_size, now.st_mtime_ns))
        return found

    def _move(
        self,
        home: FacePlace,
        what: Literal["trash", "restore"],
        files: Sequence[Moved],
        *,
        undoes: str = "",
    ) -> TrashStep:
        """Note a step, then move its files."""
        step = TrashStep(os.urandom(4).hex(), what, time.time(), files, files, undoes)
        make_folder(home.trash)
        stored = {
            "id": step.id,
            "what": what,
            "time": step.time,
            "files": files,
            "undoes": undoes,
        }
        journal = Journal(home.trash / FILE)
        try:
            journal.append(json.dumps(stored, separators=(",", ":")).encode() + b"\n")
        finally:
            journal.close()
        folder = home.trash.name
        pairs = [(name, f"../{folder}/{in_trash}") for name, in_trash, _, _ in files]
        planned = [Move(a, b) if what == "trash" else Move(b, a) for a, b in pairs]
        moves.move_files(home.path, planned, why=f"{WHY}{what} {len(files)} faces")
        return step

    def _read(self, home: FacePlace) -> list[TrashStep]:
        """All steps, the oldest first; lines that are damaged are left out."""
        steps: list[TrashStep] = []
        try:
            path = self._context.inside(home.trash) / FILE
            self._context.inside(path)
        except DflTfError:
            return steps
        for line in read_lines(path, kind="the steps of a trash folder", longest=_LONGEST):
            if not line.whole or not line.data:
                continue
            try:
                stored: _StoredStep = parse_json(line.data, what=FILE, kind="a step", schema=_STEP)
            except DflTfError:
                continue
            files = [cast("Moved", tuple(file)) for file in stored["files"]]
            if not all(is_safe_name(name) for file in files for name in file[:2]):
                continue
            told = stored["id"], stored["what"], stored["time"], files
            steps.append(TrashStep(*told, undoes=stored["undoes"]))
        return steps


def _at_target(what: str, file: Moved) -> tuple[str, int, int]:
    """The name that a step gave a file, with its size and time of change."""
    name, in_trash, size, stamp = file
    return in_trash if what == "trash" else name, size, stamp
