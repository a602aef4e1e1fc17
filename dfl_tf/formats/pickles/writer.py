"""Writes pickles that every build of the legacy program opens.

Protocol 3 or 4, arrays under the `numpy.core.multiarray` names (NumPy 2's own pickler writes
`numpy._core`, which NumPy before 1.26 does not have), options as plain Python scalars. Writing is
a stream: an array goes from its own memory to the file, so a model is never held twice.

References: models.md 5.8, data.md 1.4, workspace.md 4.2.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from dfl_tf.formats.loss_history import LossHistory
from dfl_tf.formats.pickles.interpreter import MAX_DEPTH
from dfl_tf.formats.pickles.opcodes import MAX_INTEGER_BYTES
from dfl_tf.formats.pickles.tokens import EnumValue

if TYPE_CHECKING:
    from typing_extensions import Buffer

_BATCH = 1000
_WIDEST = 8


def dumps_legacy(value: object, *, protocol: int = 4) -> bytes:
    """The pickle of `value` as bytes.

    Parameters
    ----------
    value : object
        Nested dict, list, tuple, str, bytes, bool, int, float, None, ndarray, NumPy scalar,
        `EnumValue`. Arrays are written in C order.
    protocol : {3, 4}

    Raises
    ------
    TypeError
        For any other type, for arrays that are not numbers or text, and for what our own reader
        refuses: nesting deeper than `MAX_DEPTH`, integers of more than `MAX_INTEGER_BYTES`.
    """
    parts: list[bytes] = []
    dump_legacy(value, lambda part: parts.append(bytes(part)), protocol=protocol)
    return b"".join(parts)


def dump_legacy(value: object, write: Callable[[Buffer], object], *, protocol: int = 4) -> None:
    """Stream the pickle of `value` to `write` (called with bytes or a view of an array)."""
    if protocol not in (3, 4):
        raise ValueError(f"protocol={protocol}; old programs read 3 and 4")
    writer = _Writer(write, protocol)
    write(bytes((0x80, protocol)))
    writer.save(value)
    writer.flush()
    write(b".")


class _Writer:
    def __init__(self, write: Callable[[Buffer], object], protocol: int) -> None:
        self._write = write
        self._protocol = protocol
        self._small: list[bytes] = []
        self._small_size = 0
        self._memo: dict[object, int] = {}
        self._depth = 0

    def flush(self) -> None:
        self._write(b"".join(self._small))
        self._small.clear()
        self._small_size = 0

    def emit(self, part: bytes) -> None:
        self._small.append(part)
        self._small_size += len(part)
        if self._small_size > 65536:
            self.flush()

    def save(self, value: object) -> None:
        handler = _HANDLERS.get(type(value))
        if handler is not None and type(value) in _CONTAINERS:
            if self._depth > MAX_DEPTH:
                raise TypeError(f"cannot pickle what is nested deeper than {MAX_DEPTH}")
            self._depth += 1
            handler(self, value)
            self._depth -= 1
        elif handler is not None:
            handler(self, value)
        elif isinstance(value, EnumValue):
            self._enum(value)
        elif isinstance(value, np.ndarray):
            self._array(value)
        elif isinstance(value, np.generic):
            self._scalar(value)
        elif isinstance(value, LossHistory):
            self._history(value)
        else:
            raise TypeError(f"cannot pickle a {type(value).__name__} for the legacy program")

    # -- plain values --------------------------------------------------------------------------
    def _none(self, value: None) -> None:
        self.emit(b"N")

    def _bool(self, value: bool) -> None:
        self.emit(b"\x88" if value else b"\x89")

    def _int(self, value: int) -> None:
        if 0 <= value < 256:
            self.emit(b"K" + bytes((value,)))
        elif -(2**31) <= value < 2**31:
            self.emit(b"J" + struct.pack("<i", value))
        else:
            raw = value.to_bytes(value.bit_length() // 8 + 1, "little", signed=True)
            if len(raw) > MAX_INTEGER_BYTES:
                raise TypeError(f"cannot pickle an integer of more than {MAX_INTEGER_BYTES} bytes")
            self.emit(b"\x8a" + bytes((len(raw),)) + raw)

    def _float(self, value: float) -> None:
        self.emit(struct.pack(">cd", b"G", value))

    def _str(self, value: str) -> None:
        raw = value.encode("utf-8", "surrogatepass")
        self.emit(b"X" + struct.pack("<I", len(raw)) + raw)

    def _bytes(self, value: bytes | memoryview) -> None:
        view = memoryview(value)
        size = view.nbytes
        if size < 256:
            self.emit(b"C" + bytes((size,)) + bytes(view))
            return
        if size < 2**32:
            self.emit(b"B" + struct.pack("<I", size))
        else:  # only protocol 4 has this one
            self.emit(b"\x8e" + struct.pack("<Q", size))
        self.flush()
        self._write(view)

    # -- containers ----------------------------------------------------------------------------
    def _tuple(self, value: tuple[object, ...]) -> None:
        if len(value) > 3:
            self.emit(b"(")
        for item in value:
            self.save(item)
        self.emit({0: b")", 1: b"\x85", 2: b"\x86", 3: b"\x87"}.get(len(value), b"t"))

    def _list(self, value: list[object]) -> None:
        self.emit(b"]")
        rows = _float_rows(value)
        for start in range(0, len(value), _BATCH):
            self.emit(b"(")
            if rows is not None:
                self.emit(rows[start : start + _BATCH].tobytes())
            else:
                for item in value[start : start + _BATCH]:
                    self.save(item)
            self.emit(b"e")

    def _history(self, value: LossHistory) -> None:
        """As the list of lists that it equals; made and written piece by piece."""
        if not value.even or not 1 <= value.widths[:1].sum() <= _WIDEST:
            self._list(list(value))
            return
        self.emit(b"]")
        numbers = value.array
        for start in range(0, len(numbers), _BATCH):
            rows = _rows_of(numbers[start : start + _BATCH])
            self.emit(b"(" + rows.tobytes() + b"e")

    def _dict(self, value: dict[object, object]) -> None:
        self.emit(b"}(")
        for key, item in value.items():
            self.save(key)
            self.save(item)
        self.emit(b"u")

    # -- NumPy and enums -----------------------------------------------------------------------
    def _once(self, key: object, make: Callable[[], None]) -> None:
        """Write something the first time, refer to it later."""
        index = self._memo.get(key)
        if index is not None:
            self.emit(b"h" + bytes((index,)))
            return
        make()
        if len(self._memo) < 256:
            index = self._memo[key] = len(self._memo)
            self.emit(b"q" + bytes((index,)))

    def _global(self, module: str, name: str) -> None:
        def make() -> None:
            self.emit(f"c{module}\n{name}\n".encode())

        self._once((module, name), make)

    def _dtype(self, dtype: np.dtype[np.generic]) -> None:
        if dtype.kind not in "biufcSU":
            raise TypeError(f"cannot pickle an array of dtype {dtype} for the legacy program")

        def make() -> None:
            self._global("numpy", "dtype")
            self._tuple((dtype.str[1:], False, True))
            order = "|" if dtype.itemsize == 1 or dtype.kind == "S" else "<"
            sizes = (dtype.itemsize, 4) if dtype.kind == "U" else (dtype.itemsize, 1)
            self.emit(b"R")
            self._tuple(
                (3, order, None, None, None, *(sizes if dtype.kind in "SU" else (-1, -1)), 0)
            )
            self.emit(b"b")

        self._once(dtype.str, make)

    def _array(self, value: npt.NDArray[np.generic]) -> None:
        little = np.asarray(value, dtype=value.dtype.newbyteorder("<"), order="C")
        self._global("numpy.core.multiarray", "_reconstruct")
        self._global("numpy", "ndarray")
        self._tuple((0,))
        self._bytes(b"b")
        self.emit(b"\x87R(")
        self._int(1)
        self._tuple(tuple(int(n) for n in little.shape))
        self._dtype(little.dtype)
        self._bool(False)
        self._bytes(little.reshape(-1).view(np.uint8).data if little.size else b"")
        self.emit(b"tb")

    def _scalar(self, value: np.generic) -> None:
        dtype = value.dtype.newbyteorder("<")
        self._global("numpy.core.multiarray", "scalar")
        self._dtype(dtype)
        self._bytes(np.asarray(value, dtype=dtype).tobytes())
        self.emit(b"\x86R")

    def _enum(self, value: EnumValue) -> None:
        self._global(value.module, value.name)
        self._tuple((int(value),))
        self.emit(b"R")


def _float_rows(value: list[object]) -> npt.NDArray[np.uint8] | None:
    """The pickled rows of a long list of equally short lists of floats (a loss history).

    One row is `]` `(` then `G` and a big-endian float64 each, then `e`; made for the whole list
    at once, because a model's history has hundreds of thousands of rows and is saved each time.
    """
    first = value[0] if len(value) >= 16 else None
    if type(first) is not list or not 1 <= len(first) <= _WIDEST:
        return None
    rows = [row for row in value if type(row) is list and len(row) == len(first)]
    if len(rows) < len(value) or not all(type(item) is float for row in rows for item in row):
        return None
    return _rows_of(np.array(rows))


def _rows_of(values: npt.NDArray[np.float64]) -> npt.NDArray[np.uint8]:
    """The pickled rows of an array, shape (n, width), each as a list."""
    numbers = values.astype(">f8")
    width = values.shape[1]
    rows = np.empty((len(values), 3 + 9 * width), dtype=np.uint8)
    rows[:, 0], rows[:, 1], rows[:, -1] = ord("]"), ord("("), ord("e")
    cells = rows[:, 2:-1].reshape(len(values), width, 9)
    cells[:, :, 0] = ord("G")
    cells[:, :, 1:] = numbers.view(np.uint8).reshape(len(values), width, 8)
    rows[:, 2:-1] = cells.reshape(len(values), -1)
    return rows


_CONTAINERS = frozenset((tuple, list, dict))
_HANDLERS: dict[type, Callable[[_Writer, Any], None]] = {
    type(None): _Writer._none,
    bool: _Writer._bool,
    int: _Writer._int,
    float: _Writer._float,
    str: _Writer._str,
    bytes: _Writer._bytes,
    memoryview: _Writer._bytes,
    tuple: _Writer._tuple,
    list: _Writer._list,
    dict: _Writer._dict,
}
