"""The opcodes of the pickle machine: one small function each, and the table of them.

References: models.md 5.8; the format is documented in Python's `pickletools`.
"""

from __future__ import annotations

import codecs
import re
import struct
from collections.abc import Callable

import numpy as np

from dfl_tf.formats.pickles.machine import PickleMachine
from dfl_tf.formats.pickles.objects import Damaged, Stop
from dfl_tf.formats.pickles.rows import read_rows

VIEW_FROM = 4096
"""Byte strings at least this long stay views of the file until they are used."""

MAX_INTEGER_BYTES = 64
"""Larger integers are neither read nor written."""

_MAX_TEXT_NUMBER = 80

_FLOAT_LIST = re.compile(rb"(?s:(\x94|q.|r.{4})?\(((?:G.{8}){2,4})e)")
# a list of pairs of numbers: its code after "[" says how Python's (two protocols) and our lists are
# memoized
_POINTS = {
    0x94: re.compile(rb"(?s:\x94\(((?:\]\x94\(G.{8}G.{8}e){2,})e)"),
    0x72: re.compile(rb"(?s:r.{4}\(((?:\]r.{4}\(G.{8}G.{8}e){2,})e)"),
    0x28: re.compile(rb"(?s:\(((?:\]\(G.{8}G.{8}e){2,})e)"),
}
_POINT = {
    code: np.dtype(
        {
            "names": ["index", "x", "y"],
            "formats": ["<u4", ">f8", ">f8"],
            "offsets": [2, size - 18, size - 9],
            "itemsize": size,
        }
    )
    for code, size in ((0x94, 22), (0x72, 26), (0x28, 21))
}
_FLOAT_ROWS = {n: struct.Struct(">" + "xd" * n) for n in range(2, 5)}


_Handler = Callable[[PickleMachine], None]
_FLOAT = struct.Struct(">d")
_UINT16, _INT32 = struct.Struct("<H"), struct.Struct("<i")
_UINT32, _UINT64 = struct.Struct("<I"), struct.Struct("<Q")


def _refuse(machine: PickleMachine) -> None:
    code = machine.view[machine.pos - 1]
    raise Damaged(f"uses opcode 0x{code:02x}, which data files never need")


def _protocol(machine: PickleMachine) -> None:
    version = machine.take(1)[0]
    if version > 5:
        raise Damaged(f"says pickle protocol {version}, the highest known is 5")


def _frame(machine: PickleMachine) -> None:
    (length,) = _UINT64.unpack(machine.take(8))
    if length > len(machine.view) - machine.pos:
        raise Damaged(f"declares a frame of {length} bytes, more than are left")


def _stop(machine: PickleMachine) -> None:
    raise Stop


def _mark(machine: PickleMachine) -> None:
    machine.marks.append(len(machine.stack))
    if len(machine.marks) > 1000:
        raise Damaged("is nested too deeply")


def _constant(value: object) -> _Handler:
    def push(machine: PickleMachine) -> None:
        machine.stack.append(value)

    return push


def _number(form: struct.Struct) -> _Handler:
    size, unpack = form.size, form.unpack_from

    def push(machine: PickleMachine) -> None:
        machine.stack.append(unpack(machine.view, machine.pos)[0])
        machine.pos += size

    return push


def _small_int(machine: PickleMachine) -> None:
    machine.stack.append(machine.view[machine.pos])
    machine.pos += 1


def _long(length_form: struct.Struct | None) -> _Handler:
    def push(machine: PickleMachine) -> None:
        if length_form is None:
            length = machine.take(1)[0]
        else:
            (length,) = length_form.unpack(machine.take(4))
        if length > MAX_INTEGER_BYTES or length < 0:
            raise Damaged(f"holds an integer of {length} bytes")
        machine.stack.append(int.from_bytes(machine.take(length), "little", signed=True))

    return push


def _text_number(parse: Callable[[str], object]) -> _Handler:
    def push(machine: PickleMachine) -> None:
        text = _text(machine)
        if len(text) > _MAX_TEXT_NUMBER:
            raise Damaged("holds a number of too many digits")
        machine.stack.append(parse(text))

    return push


def _parse_int(text: str) -> int | bool:
    return text == "01" if text in ("00", "01") else int(text)


def _parse_long(text: str) -> int:
    return int(text.removesuffix("L"))


def _sized(form: struct.Struct | None, kind: type) -> _Handler:
    """A string with its length in front: `str`, `bytes` or `bytearray`."""

    def push(machine: PickleMachine) -> None:
        if form is None:
            length = machine.take(1)[0]
        else:
            (length,) = form.unpack(machine.take(form.size))
        raw = machine.take(length)
        if kind is str:
            machine.stack.append(str(raw, "utf-8", "surrogatepass"))
        elif length >= VIEW_FROM:
            machine.stack.append(raw)
        else:
            machine.stack.append(bytes(raw))

    return push


def _text(machine: PickleMachine) -> str:
    return str(machine.line(), "utf-8")


def _text_line(machine: PickleMachine) -> None:
    # an array of protocol 0 is one line as long as the array
    line = machine.line(len(machine.view))
    machine.stack.append(codecs.decode(line, "raw-unicode-escape"))


def _points(machine: PickleMachine) -> bool:
    """Read a whole list of pairs of numbers, such as landmarks, as an (n, 2) array.

    The pairs are not objects of their own then: a pickle that refers to one of them fails, and has
    to be read again without this.
    """
    code = machine.view[machine.pos]
    pattern = _POINTS.get(code)
    found = None if pattern is None else pattern.match(machine.data, machine.pos)
    if found is None:
        return False
    start, end = found.span(1)
    rows = np.frombuffer(machine.data, _POINT[code], (end - start) // _POINT[code].itemsize, start)
    first = len(machine.memo)
    if code == 0x72:
        indices = rows["index"]
        outer = int.from_bytes(machine.data[machine.pos + 1 : machine.pos + 5], "little")
        if outer != first or (indices != np.arange(first + 1, first + 1 + len(rows))).any():
            return False
    machine.containers_left -= len(rows)
    machine.container(np.stack([rows["x"], rows["y"]], axis=1).astype(np.float64))
    if code != 0x28:
        machine.memo.append(machine.stack[-1])
        machine.forget(len(rows))
    machine.pos = end + 1
    return True


def _empty_list(machine: PickleMachine) -> None:
    if machine.points and _points(machine):
        return
    if machine.rows and read_rows(machine):
        return
    row = _FLOAT_LIST.match(machine.data, machine.pos)
    if row is None:
        machine.container([])
        return
    # a loss history is mostly this, read in one step: [ memoize ( float float e
    start, end = row.span(2)
    machine.container(list(_FLOAT_ROWS[(end - start) // 9].unpack_from(machine.view, start)))
    memoized = row.group(1)
    if memoized == b"\x94":
        machine.memo.append(machine.stack[-1])
    elif memoized:
        machine.put(int.from_bytes(memoized[1:], "little"))
    machine.pos = end + 1


def _empty_dict(machine: PickleMachine) -> None:
    machine.container({})


def _empty_tuple(machine: PickleMachine) -> None:
    machine.stack.append(())


def _small_tuple(count: int) -> _Handler:
    def push(machine: PickleMachine) -> None:
        values = tuple(machine.stack[-count:])
        if len(values) != count:
            raise Damaged("takes more from the stack than there is")
        machine.refuse_blocks(values)
        del machine.stack[-count:]
        machine.container(values)

    return push


def _tuple(machine: PickleMachine) -> None:
    machine.container(tuple(machine.items()))


def _list(machine: PickleMachine) -> None:
    machine.container(machine.items())


def _dict(machine: PickleMachine) -> None:
    values = machine.items()
    machine.container({})
    machine.store(machine.stack[-1], values)


def _append(machine: PickleMachine) -> None:
    value = machine.stack.pop()
    _list_on_top(machine).append(value)


def _appends(machine: PickleMachine) -> None:
    values = machine.items(blocks=True)
    _list_on_top(machine).extend(values)


def _list_on_top(machine: PickleMachine) -> list[object]:
    target = machine.stack[-1]
    if type(target) is not list:
        raise Damaged("appends to something that is not a list")
    return target


def _set_item(machine: PickleMachine) -> None:
    value = machine.stack.pop()
    key = machine.stack.pop()
    machine.store(machine.stack[-1], [key, value])


def _set_items(machine: PickleMachine) -> None:
    values = machine.items()
    machine.store(machine.stack[-1], values)


def _put_line(machine: PickleMachine) -> None:
    machine.put(int(_text(machine)[:20]))


def _put_byte(machine: PickleMachine) -> None:
    machine.put(machine.take(1)[0])


def _put_long(machine: PickleMachine) -> None:
    machine.put(_UINT32.unpack(machine.take(4))[0])


def _memoize(machine: PickleMachine) -> None:
    machine.memo.append(machine.stack[-1])


def _get_line(machine: PickleMachine) -> None:
    machine.get(int(_text(machine)[:20]))


def _get_byte(machine: PickleMachine) -> None:
    machine.get(machine.take(1)[0])


def _get_long(machine: PickleMachine) -> None:
    machine.get(_UINT32.unpack(machine.take(4))[0])


def _global_line(machine: PickleMachine) -> None:
    module, name = _text(machine), _text(machine)
    machine.stack.append(machine.find_global(module, name))


def _instance_line(machine: PickleMachine) -> None:
    machine.find_global(_text(machine), _text(machine))
    raise Damaged("uses the INST opcode, which data files never need")


def _global_stack(machine: PickleMachine) -> None:
    name, module = machine.stack.pop(), machine.stack.pop()
    if type(name) is not str or type(module) is not str:
        raise Damaged("names a global by something that is not text")
    machine.stack.append(machine.find_global(module, name))


def _call(machine: PickleMachine) -> None:
    args, function = machine.stack.pop(), machine.stack.pop()
    call = getattr(function, "call", None)
    if call is None or type(args) is not tuple:
        raise Damaged(f"calls a {type(function).__name__}")
    machine.container(call(args))


def _new_object(machine: PickleMachine) -> None:
    args, function = machine.stack.pop(), machine.stack.pop()
    new = getattr(function, "new", None)
    if new is None or type(args) is not tuple:
        raise Damaged(f"makes an object of a {type(function).__name__}")
    machine.container(new(args))


def _build(machine: PickleMachine) -> None:
    state = machine.stack.pop()
    target = machine.stack.pop()
    build = getattr(target, "build", None)
    if build is None:
        raise Damaged(f"gives a state to a {type(target).__name__}")
    built = build(state)
    machine.stack.append(built)
    if built is not target:
        # An array takes the place of its shell, which the pickler memoized just before. A shell
        # that stays behind elsewhere is found when the result is finished.
        for index in range(len(machine.memo) - 1, max(-1, len(machine.memo) - 24), -1):
            if machine.memo[index] is target:
                machine.memo[index] = built
                break


def _table() -> list[_Handler]:
    table: list[_Handler] = [_refuse] * 256
    entries: dict[bytes, _Handler] = {
        b"\x80": _protocol, b"\x95": _frame, b".": _stop, b"(": _mark,
        b"N": _constant(None), b"\x88": _constant(True), b"\x89": _constant(False),
        b"G": _number(_FLOAT), b"J": _number(_INT32), b"M": _number(_UINT16), b"K": _small_int,
        b"\x8a": _long(None), b"\x8b": _long(_INT32),
        b"I": _text_number(_parse_int), b"L": _text_number(_parse_long), b"F": _text_number(float),
        b"V": _text_line, b"\x8c": _sized(None, str), b"X": _sized(_UINT32, str),
        b"\x8d": _sized(_UINT64, str), b"C": _sized(None, bytes), b"B": _sized(_UINT32, bytes),
        b"\x8e": _sized(_UINT64, bytes), b"\x96": _sized(_UINT64, bytearray),
        b"]": _empty_list, b"}": _empty_dict, b")": _empty_tuple, b"\x85": _small_tuple(1),
        b"\x86": _small_tuple(2), b"\x87": _small_tuple(3), b"t": _tuple, b"l": _list, b"d": _dict,
        b"a": _append, b"e": _appends, b"s": _set_item, b"u": _set_items,
        b"p": _put_line, b"q": _put_byte, b"r": _put_long, b"\x94": _memoize,
        b"g": _get_line, b"h": _get_byte, b"j": _get_long,
        b"c": _global_line, b"i": _instance_line, b"\x93": _global_stack,
        b"R": _call, b"\x81": _new_object, b"b": _build,
    }  # fmt: skip
    for code, handler in entries.items():
        table[code[0]] = handler
    return table


TABLE = _table()
