"""Reading untrusted pickles, listing what a pickle names, and writing what old programs read.

Reading never uses Python's unpickler (see `machine`). The short list of names is that of
models.md 5.8 and data.md 1.6; anything else is refused by name and nothing is run.

References: models.md 5.8, data.md 1.6, workspace.md 4.2.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from dfl_tf.disk.plain_file import map_plain
from dfl_tf.disk.text import printable
from dfl_tf.errors import DflTfError, LegacyFormatError, UnsafePickleError
from dfl_tf.formats.pickles.interpreter import interpret
from dfl_tf.formats.pickles.objects import PickleObject
from dfl_tf.formats.pickles.tokens import ALLOWED, EnumValue
from dfl_tf.formats.pickles.writer import dump_legacy, dumps_legacy

if TYPE_CHECKING:
    import mmap

__all__ = [
    "EnumValue",
    "PickleAudit",
    "PickleObject",
    "audit",
    "dump_legacy",
    "dumps_legacy",
    "load_file",
    "loads",
]

Tokens = Mapping[tuple[str, str], object]


def loads(
    data: bytes | mmap.mmap,
    *,
    what: str,
    more: Tokens | None = None,
    points: bool = False,
    rows: bool = False,
) -> object:
    """The object that a pickle holds, if it is made of plain data only.

    Parameters
    ----------
    data : bytes-like
        The pickle (protocols 0 to 5). Bytes after its end are ignored, as Python does.
    what : str
        File name (and place in it) for messages.
    more : mapping, optional
        Further `(module, name) -> token` for one kind of file (`merge_session`).
    points : bool
        Lists of pairs of numbers may come back as (n, 2) float64 arrays: many times faster where
        there are thousands of faces with their landmarks.
    rows : bool
        Long lists of rows of floats in the outermost dictionary may come back as `LossHistory`,
        which equals the list: no object a row is made of millions of them.

    Returns
    -------
    object
        dict, list, tuple, str, bytes, int, float, bool, None, ndarray, NumPy scalar, `EnumValue`.
        Arrays own their memory, are C-ordered, writable and of native byte order.

    Raises
    ------
    UnsafePickleError
        A name that is not on the short list, or an array of objects or records.
    LegacyFormatError
        Damaged, truncated, or declares more than is there.

    References
    ----------
    models.md 5.8, data.md 1.6.
    """

    def find(module: str, name: str) -> object:
        token = ALLOWED.get((module, name)) or (more or {}).get((module, name))
        if token is None:
            raise UnsafePickleError(
                f"{what}: names {_printable(module)}.{_printable(name)}, which data of this kind "
                "never needs. Nothing of it was run; do not use a file from this source."
            )
        return token

    try:
        if points or rows:
            with contextlib.suppress(LegacyFormatError):
                return interpret(data, find, what=what, points=points, rows=rows)
        return interpret(data, find, what=what)
    except UnsafePickleError as error:
        if str(error).startswith(f"{what}: "):
            raise
        raise UnsafePickleError(f"{what}: {error}") from None


def load_file(path: Path, *, more: Tokens | None = None, rows: bool = False) -> object:
    """`loads` of a whole file, memory-mapped so that a big file is not held twice.

    Raises
    ------
    LegacyFormatError
        Also when the file is missing, unreadable or empty.
    """
    try:
        data = map_plain(path)
    except OSError as error:
        raise LegacyFormatError(f"{path}: cannot be read ({error.strerror}).") from None
    if not data:
        raise LegacyFormatError(f"{path}: is empty. Restore it from a backup.")
    return loads(data, what=str(path), more=more, rows=rows)


@dataclass
class PickleAudit:
    """What a pickle names, found without making anything of it.

    Attributes
    ----------
    globals : list of str
        `module.name`, in order of first appearance.
    refused : list of str
        Those that are not on the short list.
    problem : str
        Why the pickle could not be followed to its end; empty if it could.
    """

    globals: list[str] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    problem: str = ""


class _Opaque:
    """Takes the place of every global and everything made by one."""

    def call(self, args: tuple[object, ...]) -> _Opaque:
        return self

    def new(self, args: tuple[object, ...]) -> _Opaque:
        return self

    def build(self, state: object) -> _Opaque:
        return self


def audit(
    data: bytes | mmap.mmap, *, what: str = "pickle", more: Tokens | None = None
) -> PickleAudit:
    """List the globals of a pickle and judge them; nothing is called or allocated.

    Parameters
    ----------
    data, what, more
        As for `loads`.
    """
    result = PickleAudit()
    opaque = _Opaque()

    def find(module: str, name: str) -> object:
        full = f"{_printable(module)}.{_printable(name)}"
        if full not in result.globals:
            result.globals.append(full)
            if (module, name) not in ALLOWED and (module, name) not in (more or {}):
                result.refused.append(full)
        return opaque

    try:
        interpret(data, find, what=what)
    except DflTfError as error:
        result.problem = str(error)
    return result


def _printable(text: str) -> str:
    return printable(text[:80])
