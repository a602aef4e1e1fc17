"""A pickle machine that can build plain data and nothing else.

Python's own unpickler calls whatever a file names, allocates what a file declares and runs
`__setstate__` of real objects. Model and face files are untrusted, so this module has its
own small interpreter of the opcodes instead: containers, strings, numbers and calls of *tokens*
(`tokens`), which are inert objects of ours that stand for the few allowed names.

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
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from dfl_tf.formats.pickles.objects import Damaged, RowBlock

if TYPE_CHECKING:
    import mmap

_NEWLINE = re.compile(rb"\n")
_LONGEST_LINE = 65536


class PickleMachine:
    """The state of one run over one pickle: position, stack and memo.

    Parameters
    ----------
    data : bytes-like
        The pickle. May be a memory map; must stay alive as long as the result is not finished.
    find_global : callable
        `(module, name) -> token`, raises `UnsafePickleError` for what is not allowed. A token is
        called by its method `call(args)` (REDUCE) and makes an empty object by `new(args)`
        (NEWOBJ); one with neither is only ever an argument.
    points : bool
        Read lists of pairs of numbers as (n, 2) float64 arrays, at once.
    rows : bool
        Read long lists of rows of floats that are entries of the outermost dictionary as
        `LossHistory`. A pickle with such rows anywhere else fails and has to be read without this.
    """

    def __init__(
        self,
        data: bytes | mmap.mmap,
        find_global: Callable[[str, str], object],
        *,
        points: bool = False,
        rows: bool = False,
    ) -> None:
        self.data = data
        self.view = memoryview(data)
        self.find_global = find_global
        self.points = points
        self.rows = rows
        self.pos = 0
        self.stack: list[object] = []
        self.marks: list[int] = []
        self.memo: list[object] = []
        self.containers_left = 20_000 + len(self.view) // 6

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
    def items(self, *, blocks: bool = False) -> list[object]:
        """Pop everything above the last mark; blocks of rows only for a list."""
        start = self.marks.pop()
        if start > len(self.stack):
            raise Damaged("takes more from the stack than there is")
        values = self.stack[start:]
        del self.stack[start:]
        if not blocks:
            self.refuse_blocks(values)
        return values

    def refuse_blocks(self, values: Iterable[object]) -> None:
        """A block stands for several values, which only the items of a list may do."""
        if self.rows and any(type(value) is RowBlock for value in values):
            raise Damaged("holds rows of numbers where they are not expected")

    def container(self, value: object) -> None:
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

    def store(self, target: object, keys_and_values: list[object]) -> None:
        """Set items of a dictionary."""
        if type(target) is not dict or len(keys_and_values) % 2:
            raise Damaged("sets items of something that is not a dictionary")
        for key in keys_and_values[::2]:
            if not isinstance(key, str | int):
                raise Damaged(f"a dictionary key is a {type(key).__name__}, not text")
        target.update(zip(keys_and_values[::2], keys_and_values[1::2], strict=True))


_EMPTY = object()
