"""Running the pickle machine over a pickle: to its end, or to one clear error."""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from dfl_tf.errors import LegacyFormatError
from dfl_tf.formats.pickles.machine import PickleMachine
from dfl_tf.formats.pickles.objects import (
    INERT,
    Damaged,
    PickleObject,
    RowBlock,
    Stop,
    history_of,
)
from dfl_tf.formats.pickles.opcodes import TABLE

if TYPE_CHECKING:
    import mmap

MAX_DEPTH = 48
"""Deepest nesting of containers; genuine files stay below ten."""

_CONTAINERS = frozenset((list, dict, tuple))


def interpret(
    data: bytes | mmap.mmap,
    find_global: Callable[[str, str], object],
    *,
    what: str,
    points: bool = False,
    rows: bool = False,
) -> object:
    """Interpret a pickle up to STOP and return the finished object.

    Parameters
    ----------
    data, find_global, points, rows
        See `PickleMachine`.
    what : str
        Name of the file for messages.

    Raises
    ------
    UnsafePickleError
        The pickle names something that is not allowed.
    LegacyFormatError
        It is damaged, truncated or not a pickle of plain data.
    """
    machine = PickleMachine(data, find_global, points=points, rows=rows)
    try:
        _run(machine)
        if len(machine.stack) != 1 or machine.marks:
            raise Damaged("ends with an unbalanced stack")
        return _Finisher(len(machine.view)).finish(machine.stack[0])
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
        f"{what}: not a readable pickle, {reason} (at byte {machine.pos} of "
        f"{len(machine.view)}). Restore the file from a backup."
    )


def _run(machine: PickleMachine) -> None:
    view, table = machine.view, TABLE
    try:
        while True:
            operation = view[machine.pos]
            machine.pos += 1
            table[operation](machine)
    except Stop:
        return


class _Finisher:
    """Turns views left in the result into bytes, and bounds depth and number of values.

    The walk follows every reference (not every object once), so a few bytes that stand for
    millions of values by sharing ("billion laughs") end here and not in the caller.
    """

    def __init__(self, size: int) -> None:
        self.left = 4 * size + 10_000

    def finish(self, value: Any, depth: int = 0) -> object:
        kind = type(value)
        if kind is memoryview:
            return bytes(value)
        if kind not in _CONTAINERS:
            if kind in INERT or kind is RowBlock:
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
