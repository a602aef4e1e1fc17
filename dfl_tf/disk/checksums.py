"""SHA-256 of the files of a folder, in the form of sha256sum, in a file beside the folder.

`aligned.sha256` lies beside `aligned` and lists `aligned/00001.jpg`, so that
`sha256sum -c aligned.sha256` works there. The faces inside of a pak stand in comment lines, which
sha256sum passes over.

Who rewrites files that are listed does it through `Rewriting`, which keeps the list true; moves
(`dfl_tf.disk.moves`) take the lines along. Both survive a kill. A file that did not fit its line
before it was rewritten keeps that line: damage is not made good by writing the file again.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from dfl_tf.disk.durable import remove_quietly, rename, sha256_of, sync_folder, write_file
from dfl_tf.disk.folder_lock import only_writer
from dfl_tf.disk.journal import Journal
from dfl_tf.disk.plain_file import read_plain
from dfl_tf.disk.write_errors import explain_write_errors
from dfl_tf.errors import WorkspaceError

_LIMIT = 1 << 30
_LINE = re.compile(rb"(\\?)([0-9a-fA-F]{64}) [ *](.+)", re.DOTALL)
_ESCAPED = re.compile(rb"\\(.)")
_MOVES = b"# moves "


@dataclass
class Sums:
    """The list of a folder.

    Attributes
    ----------
    files : dict
        Name within the folder (with ``/``) to SHA-256 in hex.
    inside : dict
        Name of a pak to the faces in it, and to the SHA-256 of their image files.
    moves : str
        The last moves that the list has followed.
    """

    files: dict[str, str] = field(default_factory=dict)
    inside: dict[str, dict[str, str]] = field(default_factory=dict)
    moves: str = ""

    def __bool__(self) -> bool:
        return bool(self.files)


def checksum_path(folder: Path) -> Path:
    """Where the list of a folder lies: beside the folder itself, not beside a link to it."""
    folder = folder.resolve()
    return folder.with_name(f"{folder.name}.sha256")


def _journal_path(folder: Path) -> Path:
    folder = folder.resolve()
    return folder.with_name(f".{folder.name}.sha256.journal")


def _next_path(folder: Path) -> Path:
    folder = folder.resolve()
    return folder.with_name(f".{folder.name}.sha256.next")


def digest(data: bytes) -> str:
    """SHA-256 in hex."""
    return hashlib.sha256(data).hexdigest()


# -- the list ------------------------------------------------------------------------------------
def read_sums(folder: Path) -> Sums | None:
    """Read the list of a folder; None if there is none.

    Raises
    ------
    WorkspaceError
        It cannot be read, or a line has another form.
    """
    path = checksum_path(folder)
    try:
        content = read_plain(path, limit=_LIMIT)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise WorkspaceError(f"{path}: cannot be read ({error.strerror}).") from None
    sums, root = Sums(), os.fsencode(folder.resolve().name) + b"/"
    for number, line in enumerate(content.split(b"\n"), start=1):
        if line.startswith(_MOVES):
            sums.moves = line.removeprefix(_MOVES).decode("ascii", "replace")
        elif line.startswith(b"# ") and _LINE.fullmatch(line[2:]):
            value, name = _parsed(line[2:], root, path, number)
            pak, _, face = name.partition(".pak/")
            sums.inside.setdefault(f"{pak}.pak", {})[face] = value
        elif line and not line.startswith(b"#"):
            value, name = _parsed(line, root, path, number)
            sums.files[name] = value
    _apply_journal(folder, sums)
    return sums


def _parsed(line: bytes, root: bytes, path: Path, number: int) -> tuple[str, str]:
    found = _LINE.fullmatch(line)
    name = b"" if found is None else found[3]
    if found is not None and found[1]:
        name = _plain(name)
    if found is None or not name.startswith(root):
        raise WorkspaceError(
            f"{path}, line {number}: is not the SHA-256 of a file in {os.fsdecode(root)}. "
            "Remove the file, or make it again: dfl-tf faceset checksum."
        )
    return found[2].decode().lower(), os.fsdecode(name.removeprefix(root))


def _plain(escaped: bytes) -> bytes:
    return _ESCAPED.sub(lambda m: {b"n": b"\n", b"r": b"\r"}.get(m[1], m[1]), escaped)


def write_sums(folder: Path, sums: Sums) -> None:
    """Write the list of a folder, durably; an empty one is removed."""
    path = checksum_path(folder)
    if sums:
        write_file(path, _content(folder, sums))
        return
    with explain_write_errors(path):
        path.unlink(missing_ok=True)
        sync_folder(path.parent)


def _content(folder: Path, sums: Sums) -> bytes:
    root = os.fsencode(folder.resolve().name) + b"/"
    lines = [_line(value, root + os.fsencode(name)) for name, value in sorted(sums.files.items())]
    lines += [
        b"# " + _line(value, root + os.fsencode(f"{pak}/{face}"))
        for pak, faces in sorted(sums.inside.items())
        for face, value in faces.items()
    ]
    if sums.moves:
        lines.append(_MOVES + sums.moves.encode() + b"\n")
    return b"".join(lines)


def _line(value: str, name: bytes) -> bytes:
    """One line as sha256sum writes it: names with a line break or a backslash are escaped."""
    escaped = name.replace(b"\\", b"\\\\").replace(b"\n", b"\\n").replace(b"\r", b"\\r")
    mark = b"\\" if escaped != name else b""
    return mark + value.encode() + b"  " + escaped + b"\n"


def record(
    folder: Path, names: Iterable[str], *, inside: dict[str, dict[str, str]] | None = None
) -> Sums:
    """Add files to the list of a folder, which is made if there is none.

    Parameters
    ----------
    names : iterable of str
        Files of the folder; their lines are made from what is on the disk now.
    inside : dict, optional
        See `Sums.inside`.

    Raises
    ------
    WorkspaceError
    """
    sums = read_sums(folder) or Sums()
    for name in names:
        with explain_write_errors(folder / name):
            sums.files[name] = sha256_of(folder / name)
    sums.inside |= inside or {}
    write_sums(folder, sums)
    remove_quietly(_journal_path(folder))
    return sums


def add(folder: Path, written: Mapping[str, str]) -> None:
    """Add files that a run wrote, by name and SHA-256; what others rewrote since keeps its line.

    Raises
    ------
    WorkspaceError
    """
    sums = read_sums(folder) or Sums()
    for name, value in written.items():
        if sums.files.get(name, value) != value:
            with explain_write_errors(folder / name):
                if sha256_of(folder / name) != value:
                    continue
        sums.files[name] = value
    if sums:
        write_sums(folder, sums)


def forget(folder: Path, names: Iterable[str]) -> None:
    """Take files that were deleted on purpose out of the list, if there is one."""
    sums = read_sums(folder)
    if sums is None:
        return
    for name in names:
        sums.files.pop(name, None)
        sums.inside.pop(name, None)
    write_sums(folder, sums)


# -- rewriting -----------------------------------------------------------------------------------
class Rewriting:
    """Keeps the list of a folder true while files are rewritten; without a list it does nothing.

    Each new SHA-256 is noted in a journal before the file is replaced, and all of them are
    written into the list at the end. After a kill a file fits its line or its note. Several
    programs may do so at the same time if each of them notes a file and puts it into its place
    within one `folder_lock.only_writer`.

    Parameters
    ----------
    folder : Path

    Attributes
    ----------
    damaged : list of str
        Files that did not fit their line before they were rewritten. They keep the line.

    Examples
    --------
    >>> with Rewriting(folder) as sums:  # doctest: +SKIP
    ...     sums.replace("00001.jpg", old=old, new=new)
    ...     write_file(folder / "00001.jpg", new)
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._sums = read_sums(folder)
        self._journal: Journal | None = None
        self.damaged: list[str] = []

    def __enter__(self) -> Rewriting:
        return self

    def replace(self, name: str, *, old: bytes | str, new: bytes | str) -> None:
        """Note that a file will be replaced; `old` and `new` are its content, or its SHA-256."""
        if self._sums is None or name not in self._sums.files:
            return
        before, after = (v if isinstance(v, str) else digest(v) for v in (old, new))
        if self._journal is None or not self._journal.is_at_its_path():
            self._begin_journal()
        listed = self._sums.files.get(name, before)
        if listed != before and before not in _notes(self._folder).get(name, ()):
            self.damaged.append(name)
            return
        self._sums.files[name] = after
        assert self._journal is not None
        self._journal.append(_line(after, os.fsencode(name)))

    def _begin_journal(self) -> None:
        """Bring what others have noted into the list, and begin a journal of our own."""
        if self._journal is not None:
            self._journal.close()
        self._sums = read_sums(self._folder) or Sums()
        write_sums(self._folder, self._sums)
        remove_quietly(_journal_path(self._folder))
        self._journal = Journal(_journal_path(self._folder))

    def contains(self, pak: str, faces: dict[str, str]) -> None:
        """Note what a pak of the folder contains now."""
        if self._sums is not None and pak in self._sums.files:
            self._sums.inside[pak] = faces

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Write the list, by what is on the disk now."""
        if self._sums is None or self._journal is None:
            return
        self._journal.close()
        with only_writer(self._folder):
            # a file may be named in the journal and not be replaced, since an error came
            sums = read_sums(self._folder)
            if sums is not None:
                sums.inside = self._sums.inside
                write_sums(self._folder, sums)
                remove_quietly(_journal_path(self._folder))


def _notes(folder: Path) -> dict[str, set[str]]:
    """What the journal says of each file: more than once where several programs rewrote it."""
    try:
        content = read_plain(_journal_path(folder), limit=_LIMIT)
    except OSError:
        return {}
    notes: dict[str, set[str]] = {}
    for line in content.split(b"\n")[:-1]:  # the last one may be torn
        found = _LINE.fullmatch(line)
        if found is not None:
            name = _plain(found[3]) if found[1] else found[3]
            notes.setdefault(os.fsdecode(name), set()).add(found[2].decode())
    return notes


def _apply_journal(folder: Path, sums: Sums) -> None:
    """Use the notes of a journal that fit what is on the disk."""
    for name, values in _notes(folder).items():
        try:
            if name in sums.files and (value := sha256_of(folder / name)) in values:
                sums.files[name] = value
        except OSError:
            continue


# -- moves ---------------------------------------------------------------------------------------
def follow(folder: Path, moves: Sequence[tuple[str, str]], token: str) -> None:
    """Take the lines of moved files to their new names and folders; repeated, it does nothing.

    Parameters
    ----------
    folder : Path
        No link.
    moves : sequence of (str, str)
        Old and new place, relative to `folder`: ``name``, ``folder/name`` or ``../folder/name``.
    token : str
        Names these moves.
    """
    beside: dict[str, Path] = {}  # a path for each name, not for each of 100,000 files

    def place_of(name: str) -> tuple[Path, str]:
        if not name.startswith("../"):
            return folder, name
        other, _, rest = name.removeprefix("../").partition("/")
        return beside.setdefault(other, folder.parent / other), rest

    pairs = [(place_of(source), place_of(target)) for source, target in moves]
    places = dict.fromkeys(place for pair in pairs for place, _ in pair)
    lists = {place: read_sums(place) for place in places}
    new = _followed(lists, pairs, token)
    changed = [place for place in lists if lists[place] is not None or new[place]]
    # All are written beside their places first, since each is made from all of the others. One
    # that has its new name tells that this was done; it can be an empty one only at the end.
    if not any(sums is not None and sums.moves == token for sums in lists.values()):
        for place in changed:
            write_file(_next_path(place), _content(place, new[place]))
    ready = [place for place in lists if _next_path(place).exists()]
    for place in sorted(ready, key=lambda place: _next_path(place).stat().st_size, reverse=True):
        following = _next_path(place)
        with explain_write_errors(checksum_path(place)):
            if any(line[:1] != b"#" for line in read_plain(following).splitlines()):
                rename(following, checksum_path(place))
            else:
                checksum_path(place).unlink(missing_ok=True)
                following.unlink()
                sync_folder(following.parent)
        remove_quietly(_journal_path(place))


def _followed(
    lists: Mapping[Path, Sums | None],
    pairs: Sequence[tuple[tuple[Path, str], tuple[Path, str]]],
    token: str,
) -> dict[Path, Sums]:
    """The lists after the moves."""
    old = {place: sums or Sums() for place, sums in lists.items()}
    new = {place: Sums(dict(sums.files), dict(sums.inside), token) for place, sums in old.items()}
    for (place, name), _ in pairs:
        new[place].files.pop(name, None)
        new[place].inside.pop(name, None)
    for (before, source), (after, target) in pairs:
        if source in old[before].files:
            new[after].files[target] = old[before].files[source]
        if source in old[before].inside:
            new[after].inside[target] = old[before].inside[source]
    return new
