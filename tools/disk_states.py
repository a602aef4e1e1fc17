"""Record what an operation asks of the disk, and make the states that a power cut may leave.

The model is that of POSIX, which is stricter than any one file system: until a file is fsynced its
content may be the old one, the new one or a part of it; until a folder is fsynced each of the
names that were made, changed or removed in it may or may not be there, in any order. Two names
that one rename changes in one folder change together; in two folders each by itself.
"""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import os
import random
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

CALLS = ("replace", "rename", "link", "unlink", "remove", "mkdir", "rmdir", "symlink", "truncate")
_ALL_SUBSETS = 5
_SAMPLES = 24

Name = tuple[int, str]
Entries = dict[Name, int]


@dataclass(frozen=True)
class Change:
    """Names of one folder that change together; None = the name is gone."""

    names: tuple[tuple[Name, int | None], ...]


@dataclass(frozen=True)
class Content:
    """What a file holds, and when it was written."""

    data: bytes
    mtime_ns: int


@dataclass
class Point:
    """A moment at which the power may fail: what is on the disk, and what may be.

    Attributes
    ----------
    durable : Entries
    pending : list of Change
        In the order in which they were made.
    safe, seen : dict of inode to Content
        What each file holds for sure, and what it held for the program.
    at_end : bool
        Whether the operation had returned.
    """

    durable: Entries
    pending: list[Change]
    safe: dict[int, Content]
    seen: dict[int, Content]
    at_end: bool = False


@dataclass
class Recorder:
    """Watches a folder while an operation runs in this process.

    The folder is looked at before and after each call that changes names, so files that other
    libraries make are found as well.
    """

    root: Path
    operations: int = 0
    points: list[Point] = field(default_factory=list)
    folders: set[int] = field(default_factory=set)
    links: dict[int, str] = field(default_factory=dict)
    _open: dict[int, int] = field(default_factory=dict)

    @contextlib.contextmanager
    def watching(self) -> Iterator[None]:
        """Record everything that happens inside of the context."""
        entries, contents = self._look()
        self._entries, self._durable = entries, dict(entries)
        self._safe, self._seen = dict(contents), contents
        self._pending: list[Change] = []
        real = {name: getattr(os, name) for name in (*CALLS, "fsync")}
        for name in CALLS:
            setattr(os, name, self._around(real[name]))
        os.fsync = self._sync(real["fsync"])
        try:
            yield
            self._observe(together=False)
            self._cut(at_end=True)
        finally:
            for name, function in real.items():
                setattr(os, name, function)
            for handle in self._open.values():
                os.close(handle)
            self._open.clear()

    def _around(self, real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            self._observe(together=False)
            result = real(*args, **kwargs)
            self._observe(together=True)
            self.operations += 1
            return result

        return call

    def _sync(self, real: Callable[[int], None]) -> Callable[[Any], None]:
        def call(handle: Any) -> None:
            self._observe(together=False)
            self._cut()
            real(handle)
            self.operations += 1
            number = os.fstat(handle if isinstance(handle, int) else handle.fileno()).st_ino
            if number in self.folders:
                for change in [c for c in self._pending if c.names[0][0][0] == number]:
                    _apply(self._durable, change)
                    self._pending.remove(change)
            elif number in self._seen:
                self._safe[number] = self._seen[number]

        return call

    def _cut(self, *, at_end: bool = False) -> None:
        point = Point(
            dict(self._durable), list(self._pending), dict(self._safe), dict(self._seen), at_end
        )
        self.points.append(point)

    def _observe(self, *, together: bool) -> None:
        entries, contents = self._look()
        self._seen |= contents
        changed = [
            (name, entries.get(name))
            for name in {**self._entries, **entries}
            if self._entries.get(name) != entries.get(name)
        ]
        by_folder: dict[object, list[tuple[Name, int | None]]] = {}
        for number, (name, target) in enumerate(changed):
            by_folder.setdefault(name[0] if together else number, []).append((name, target))
        self._pending += [Change(tuple(names)) for names in by_folder.values()]
        self.operations += 0 if together else len(by_folder)
        self._entries = entries

    def _look(self) -> tuple[Entries, dict[int, Content]]:
        entries: Entries = {}
        contents: dict[int, Content] = {}
        waiting = [self.root]
        while waiting:
            folder = waiting.pop()
            number = self._keep(folder)
            self.folders.add(number)
            for entry in os.scandir(folder):
                path = Path(entry.path)
                if entry.is_symlink():
                    entries[number, entry.name] = child = entry.inode()
                    self.links[child] = os.readlink(path)
                    continue
                entries[number, entry.name] = child = self._keep(path)
                if entry.is_dir():
                    waiting.append(path)
                else:
                    status = path.stat()
                    contents[child] = Content(path.read_bytes(), status.st_mtime_ns)
        return entries, contents

    def _keep(self, path: Path) -> int:
        """The inode; held open, so that its number is not used again."""
        number = os.lstat(path).st_ino
        if number not in self._open and stat.S_ISREG(mode := os.lstat(path).st_mode) | stat.S_ISDIR(
            mode
        ):
            self._open[number] = os.open(path, os.O_RDONLY)
        return number


def _apply(entries: Entries, change: Change) -> None:
    for name, target in change.names:
        if target is None:
            entries.pop(name, None)
        else:
            entries[name] = target


# -- states --------------------------------------------------------------------------------------
def _choices(count: int, rng: random.Random) -> Iterator[tuple[bool, ...]]:
    """Which of `count` pending changes reached the disk."""
    if count <= _ALL_SUBSETS:
        yield from itertools.product((False, True), repeat=count)
        return
    for number in range(count + 1):
        yield tuple(i < number for i in range(count))  # in order
    for number in range(count):
        yield tuple(i != number for i in range(count))  # one was dropped
        yield tuple(i == number for i in range(count))  # one came before the others
    for _ in range(_SAMPLES):
        yield tuple(rng.random() < 0.5 for _ in range(count))


def _contents(point: Point) -> Iterator[dict[int, Content]]:
    """What the files may hold: unsynced content lost, torn, or there."""
    dirty = [n for n, content in point.seen.items() if point.safe.get(n) != content]
    yield point.seen
    if not dirty:
        return
    empty = Content(b"", 0)
    lost = {n: point.safe.get(n, empty) for n in dirty}
    torn, zeros = {}, {}
    for number in dirty:
        data, old = point.seen[number].data, lost[number].data
        # what was only appended cannot harm what was synced before it
        kept = len(old) if data.startswith(old) else 0
        half = data[: kept + (len(data) - kept) // 2]
        torn[number] = Content(half, point.seen[number].mtime_ns)
        zeros[number] = Content(data[:kept] + bytes(len(data) - kept), point.seen[number].mtime_ns)
    for other in (lost, torn, zeros):
        yield point.seen | other
    if len(dirty) > 1:
        for number in dirty:
            yield point.seen | {number: torn[number]}


@dataclass(frozen=True)
class State:
    """A folder as it may be found after a power cut."""

    names: tuple[tuple[str, int], ...]
    files: dict[int, Content]
    folders: frozenset[int]
    links: dict[int, str]
    at_end: bool

    def write(self, target: Path) -> None:
        """Make it under `target`, an empty folder."""
        made: dict[int, Path] = {}
        for name, number in self.names:
            path = target / name
            if number in self.folders:
                path.mkdir()
            elif number in self.links:
                path.symlink_to(self.links[number])
            elif number in made:
                os.link(made[number], path)
            else:
                content = self.files[number]
                path.write_bytes(content.data)
                os.utime(path, ns=(content.mtime_ns, content.mtime_ns))
                made[number] = path

    def digest(self) -> bytes:
        """Equal for equal folders."""
        whole = hashlib.sha256(repr((self.names, self.at_end)).encode())
        for _, number in self.names:
            if number in self.files:
                whole.update(hashlib.sha256(self.files[number].data).digest())
        return whole.digest()


def states(recorder: Recorder, *, most: int, seed: int = 0) -> list[State]:
    """The different states that a cut at any moment may leave; a sample if there are more."""
    rng = random.Random(seed)
    root = recorder.root.stat().st_ino
    found: dict[bytes, State] = {}
    for point in recorder.points:
        for choice in _choices(len(point.pending), rng):
            entries = dict(point.durable)
            for change, there in zip(point.pending, choice, strict=True):
                if there:
                    _apply(entries, change)
            names = tuple(_names(entries, recorder.folders, root, ""))
            for files in _contents(point):
                state = State(
                    names, files, frozenset(recorder.folders), recorder.links, point.at_end
                )
                found.setdefault(state.digest(), state)
    kept = list(found.values())
    if len(kept) <= most:
        return kept
    ends = [state for state in kept if state.at_end]
    return ends[:most] + rng.sample([s for s in kept if not s.at_end], max(0, most - len(ends)))


def _names(entries: Entries, folders: set[int], at: int, prefix: str) -> Iterator[tuple[str, int]]:
    for (folder, name), target in sorted(entries.items()):
        if folder != at:
            continue
        yield prefix + name, target
        if target in folders:
            yield from _names(entries, folders, target, f"{prefix}{name}/")
