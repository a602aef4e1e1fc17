"""A pickle machine that can build plain data and nothing else.

Python's own unpickler calls whatever a file names, allocates what a file declares and runs
`__setstate__` of real objects. Model and face files come from strangers, so this module has its
own small interpreter of the opcodes instead: containers, strings, numbers and calls of *tokens*
(`pickle_tokens`), which are inert objects of ours that stand for the few allowed names.

What it holds against a hostile file:

* sizes are compared with the bytes that are there before anything is copied;
* memo indices, stack items and containers are bounded by the length of the file;
* large byte strings stay views of the file until an array is made from them;
* dictionary keys are text or whole numbers only (hashing a deeply nested tuple would crash);
* nesting depth and the number of values behind shared references are checked at the end;
* opcodes that only hand-made pickles use (persistent ids, the extension registry, `INST`, `OBJ`,
  stack juggling, sets) are refused.

References: models.md 5.8, data.md 1.6.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable, Iterable
from typing import Any, Protocol

from dfl_tf.errors import LegacyFormatError
from dfl_tf.formats.pickle_opcodes import TABLE, Damaged, Stop
from dfl_tf.formats.pickle_rows import RowBlock, history_of

MAX_DEPTH = 48
"""Deepest nesting of containers; genuine files stay below ten."""

_NEWLINE = re.compile(rb"\n")
_LONGEST_LINE = 65536


class Token(Protocol):
    """Stands for an allowed global. Its methods decide what a call or a state may do."""

    def call(self, args: tuple[Any, ...]) -> Any:
        """REDUCE: make an object from `args`."""

    def new(self, args: tuple[Any, ...]) -> Any:
        """NEWOBJ: make an empty object."""


class Buildable:
    """An object that waits for its state (BUILD); `build` returns what takes its place."""

    def build(self, state: Any) -> Any:
        """Take the state."""
        raise NotImplementedError


class PickleMachine:
    """One run over one pickle.

    Parameters
    ----------
    data : bytes-like
        The pickle. May be a memory map; must stay alive as long as the result is not finished.
    find_global : callable
        `(module, name) -> Token`, raises `UnsafePickleError` for what is not allowed.
    what : str
        Name of the file for messages.
    points : bool
        Read lists of pairs of numbers as (n, 2) float64 arrays, at once.
    rows : bool
        Read long lists of rows of floats that are entries of the outermost dictionary as
        `LossHistory`. A pickle with such rows anywhere else fails and has to be read without this.
    """

    def __init__(
        self,
        data: Any,
        find_global: Callable[[str, str], Token],
        *,
        what: str,
        points: bool = False,
        rows: bool = False,
    ) -> None:
        self.data = data
        self.view = memoryview(data)
        self.find_global = find_global
        self.what = what
        self.points = points
        self.rows = rows
        self.pos = 0
        self.stack: list[Any] = []
        self.marks: list[int] = []
        self.memo: list[Any] = []
        self.containers_left = 20_000 + len(self.view) // 6

    def run(self) -> Any:
        """Interpret up to STOP and return the finished object.

        Raises
        ------
        UnsafePickleError
            The pickle names something that is not allowed.
        LegacyFormatError
            It is damaged, truncated or not a pickle of plain data.
        """
        try:
            self._interpret()
            if len(self.stack) != 1 or self.marks:
                raise Damaged("ends with an unbalanced stack")
            return _Finisher(len(self.view)).finish(self.stack[0])
        except Damaged as error:
            reason = str(error)
        except (IndexError, struct.error):
            reason = "truncated or malformed"
        except (
            ValueError,
            TypeError,
            KeyError,
            OverflowError,
            MemoryError,
            RecursionError,
        ) as error:
            reason = f"malformed ({type(error).__name__}: {str(error)[:120]})"
        raise LegacyFormatError(
            f"{self.what}: not a readable pickle, {reason} (at byte {self.pos} of "
            f"{len(self.view)}). Restore the file from a backup."
        )

    def _interpret(self) -> None:
        view, table = self.view, TABLE
        try:
            while True:
                operation = view[self.pos]
                self.pos += 1
                table[operation](self)
        except Stop:
            return

    # -- reading -------------------------------------------------------------------------------
    def take(self, count: int) -> memoryview:
        """`count` bytes at the position, only if they are there."""
        start = self.pos
        if count < 0 or count > len(self.view) - start:
            raise Damaged(f"declares {count} bytes where {len(self.view) - start} are left")
        self.pos = start + count
        return self.view[start : self.pos]

    def line(self, limit: int = _LONGEST_LINE) -> memoryview:
        """The bytes up to the next newline (protocols 0 and 1)."""
        start = self.pos
        found = _NEWLINE.search(self.data, start, min(len(self.view), start + limit))
        if found is None:
            raise Damaged("a text line has no end")
        self.pos = found.end()
        return self.view[start : found.start()]

    # -- stack and memo ------------------------------------------------------------------------
    def items(self, *, blocks: bool = False) -> list[Any]:
        """Pop everything above the last mark; blocks of rows only for a list."""
        start = self.marks.pop()
        if start > len(self.stack):
            raise Damaged("takes more from the stack than there is")
        values = self.stack[start:]
        del self.stack[start:]
        if not blocks:
            self.refuse_blocks(values)
        return values

    def refuse_blocks(self, values: Iterable[Any]) -> None:
        """A block stands for several values, which only the items of a list may do."""
        if self.rows and any(type(value) is RowBlock for value in values):
            raise Damaged("holds rows of numbers where they are not expected")

    def container(self, value: Any) -> None:
        """Push a new container; their number is bounded by the size of the file."""
        self.containers_left -= 1
        if self.containers_left < 0:
            raise Damaged("holds more containers than a file of this size can need")
        self.stack.append(value)

    def put(self, index: int) -> None:
        """Memoize the top of the stack."""
        memo = self.memo
        value = self.stack[-1]
        if index == len(memo):
            memo.append(value)
            return
        if index < 0 or index > 2 * self.pos:
            raise Damaged(f"memo index {index} is out of proportion")
        if index > len(memo):
            memo.extend([_EMPTY] * (index - len(memo) + 1))
        memo[index] = value

    def forget(self, count: int) -> None:
        """Memoize entries that cannot be referred to."""
        self.memo.extend([_EMPTY] * count)

    def get(self, index: int) -> None:
        """Push a memoized value."""
        value = self.memo[index] if index >= 0 else _EMPTY
        if value is _EMPTY:
            raise Damaged(f"memo entry {index} does not exist")
        self.stack.append(value)

    def store(self, target: Any, keys_and_values: list[Any]) -> None:
        """Set items of a dictionary."""
        if type(target) is not dict or len(keys_and_values) % 2:
            raise Damaged("sets items of something that is no dictionary")
        for key in keys_and_values[::2]:
            if not isinstance(key, str | int):
                raise Damaged(f"a dictionary key is a {type(key).__name__}, not text")
        target.update(zip(keys_and_values[::2], keys_and_values[1::2], strict=True))


_EMPTY = object()


class _Finisher:
    """Turns views left in the result into bytes, and bounds depth and number of values.

    The walk follows every reference (not every object once), so a few bytes that stand for
    millions of values by sharing ("billion laughs") end here and not in the caller.
    """

    def __init__(self, size: int) -> None:
        self.left = 4 * size + 10_000

    def finish(self, value: Any, depth: int = 0) -> Any:
        kind = type(value)
        if kind is memoryview:
            return bytes(value)
        if kind not in _CONTAINERS:
            if kind in _INERT or kind is RowBlock:
                raise Damaged(f"holds a bare {value}")
            if isinstance(value, PickleObject):
                self.finish(value.attributes, depth + 1)
            return value
        if depth > MAX_DEPTH:
            raise Damaged(f"is nested deeper than {MAX_DEPTH}")
        self.left -= len(value) + 1
        if self.left < 0:
            raise Damaged("stands for more values than a file of this size can need")
        if depth == 1 and kind is list and any(type(item) is RowBlock for item in value):
            history = history_of(value)
            if history is None:
                raise Damaged("holds rows of numbers and other things in one list")
            self.left -= len(history) + len(history.values)
            return history
        if kind is tuple:
            return tuple(self.finish(item, depth + 1) for item in value)
        pairs = value.items() if kind is dict else enumerate(value)
        replaced = []
        for key, item in pairs:
            if type(item) is not float:
                finished = self.finish(item, depth + 1)
                if finished is not item:
                    replaced.append((key, finished))
        for key, finished in replaced:
            value[key] = finished
        return value


class PickleObject(Buildable):
    """An instance of a known foreign class: its name and its attributes, no behavior.

    Attributes
    ----------
    class_name : str
    attributes : dict
    """

    def __init__(self, class_name: str) -> None:
        self.class_name = class_name
        self.attributes: dict[str, Any] = {}

    def build(self, state: Any) -> PickleObject:
        """Take attributes; `(None, slots)` is how objects with slots say it."""
        parts = state if isinstance(state, tuple) else (state,)
        for part in parts:
            if part is not None:
                self.attributes.update(part)
        return self

    def __repr__(self) -> str:
        return f"PickleObject({self.class_name}, {len(self.attributes)} attributes)"


_CONTAINERS = frozenset((list, dict, tuple))
_INERT: set[type] = set()


def inert(cls: type) -> type:
    """Class decorator: such an object may not be left in a result."""
    _INERT.add(cls)
    return cls
