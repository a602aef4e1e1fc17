"""Many equal rows of a pickle at once: the loss history, without an object a row.

A history of millions of iterations is, byte by byte, the same short pattern with other numbers:
`]`, how the list is memoized, its floats, `e`. A run of such rows becomes one `RowBlock`, with
checks that it stands for just these rows; whatever is not of this form is left to the opcodes.
"""

from __future__ import annotations

import re

import numpy as np

from dfl_tf.formats.pickles.machine import PickleMachine
from dfl_tf.formats.pickles.objects import RowBlock

_LIST, _APPENDS = 0x5D, 0x65
_MOST = 1024
# after "[": how it is memoized (two protocols of Python, or not at all, as we write); 1 to 4 floats
_ROW = re.compile(rb"(?s:(\x94|r.{4})?(?:\(((?:G.{8}){1,4})e|(G.{8})a))")


def read_rows(machine: PickleMachine) -> bool:
    """Push a block for the rows that begin before the position; False if there are not several.

    The block ends where a row follows, or the end of the batch: an opcode that would change the
    last of its rows, or refer to it, never finds a block on top.
    """
    match = _ROW.match(machine.data, machine.pos)
    if match is None:
        return False
    size = match.end() - machine.pos + 1
    start = machine.pos - 1
    count = min((len(machine.view) - start) // size, _MOST)
    if count < 2:
        return False
    table = np.frombuffer(machine.data, np.uint8, count * size, start).reshape(count, size)
    memo = match.group(1) or b""
    first = match.start(2 if match.group(2) else 3) - start
    numbers = (size - first) // 9
    fixed = np.ones(size, bool)
    for number in range(numbers):
        fixed[first + 9 * number + 1 : first + 9 * number + 9] = False
    if len(memo) > 1:
        fixed[2:6] = False
    columns = np.flatnonzero(fixed)
    same = (table[:, columns] == table[0, columns]).all(axis=1)
    if len(memo) > 1:
        indices = np.ascontiguousarray(table[:, 2:6]).view("<u4")[:, 0]
        same &= indices == len(machine.memo) + np.arange(count)
    count = count if same.all() else int(same.argmin())
    end = start + count * size
    if end >= len(machine.view) or machine.view[end] not in (_LIST, _APPENDS):
        count -= 1
    if count < 2:
        return False
    cells = table[:count, first : first + 9 * numbers].reshape(count, numbers, 9)[:, :, 1:]
    rows = np.ascontiguousarray(cells).view(">f8")[:, :, 0].astype(np.float64)
    machine.containers_left -= count - 1
    machine.container(RowBlock(rows))
    if memo:
        machine.forget(count)
    machine.pos = start + count * size
    return True
