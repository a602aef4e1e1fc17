"""The safetensors format: a JSON header and raw little-endian arrays. It cannot run code.

Our own small reader and writer, because order and scalars matter here: tensors keep the order of
the dictionary, arrays without dimensions stay scalars, and writing streams each array from its
own memory.

References: the format's public description (8 bytes header length, header, data).
"""

from __future__ import annotations

import json
import math
import mmap
import struct
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, TypedDict, TypeVar

import numpy as np

from dfl_tf.disk.guarded import parse_json
from dfl_tf.disk.plain_file import map_plain
from dfl_tf.disk.tree_schema import Array, Integer, Record, Row, Table, Text
from dfl_tf.errors import ModelFileError

if TYPE_CHECKING:
    from typing_extensions import Buffer

    from dfl_tf.formats.models.tensor import Tensor

_NAMES = {
    "bool": "BOOL",
    "uint8": "U8",
    "int8": "I8",
    "uint16": "U16",
    "int16": "I16",
    "uint32": "U32",
    "int32": "I32",
    "uint64": "U64",
    "int64": "I64",
    "float16": "F16",
    "float32": "F32",
    "float64": "F64",
}
_DTYPES = {code: np.dtype(name).newbyteorder("<") for name, code in _NAMES.items()}
_TENSOR = Record(
    {
        "dtype": Text(tuple(_DTYPES)),
        "shape": Array(Integer(0, 2**48), longest=16),
        "data_offsets": Row(Integer(0), Integer(0)),
    }
)
_HEADER = Record({}, {"__metadata__": Table(Text())}, others=_TENSOR)
MAX_HEADER = 16 << 20
"""Longer headers are neither read nor written: as JSON they take some 20 times their size in
memory, and a tensor needs about 150 bytes."""


def dump(tensors: Mapping[str, Tensor], write: Callable[[Buffer], object]) -> None:
    """Stream arrays of any shape to `write` in the order of the mapping.

    Raises
    ------
    TypeError
        For a dtype that the format does not have.
    ModelFileError
        The names need more than `MAX_HEADER` bytes; nothing was written.
    """
    header: dict[str, object] = {}
    offset = 0
    for key, value in tensors.items():
        array = np.asarray(value)
        if array.dtype.name not in _NAMES:
            raise TypeError(f"{key}: safetensors holds no {array.dtype} arrays")
        header[key] = {
            "dtype": _NAMES[array.dtype.name],
            "shape": list(array.shape),
            "data_offsets": [offset, offset + array.nbytes],
        }
        offset += array.nbytes
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)
    if len(text) > MAX_HEADER:
        raise ModelFileError(
            f"the names of {len(header)} arrays need {len(text)} bytes; a safetensors header holds "
            f"{MAX_HEADER}."
        )
    write(struct.pack("<Q", len(text)))
    write(text)
    for value in tensors.values():
        array = np.asarray(value)
        little = np.asarray(array, dtype=array.dtype.newbyteorder("<"), order="C")
        if little.size:
            write(little.reshape(-1).view(np.uint8).data)


def load(path: Path) -> dict[str, Tensor]:
    """All arrays of a file, any shape, in the order of their data; scalars as NumPy scalars.

    Raises
    ------
    ModelFileError
        Damaged or truncated: sizes, offsets and shapes are checked against the file before
        anything is copied.
    """
    return _read(path, partial(_parse, what=str(path)))


def check(path: Path) -> None:
    """Check header, sizes and offsets of a file without copying an array.

    Raises
    ------
    ModelFileError
    """
    _read(path, partial(_entries, what=str(path)))


_R = TypeVar("_R")


def _read(path: Path, parse: Callable[[mmap.mmap], _R]) -> _R:
    try:
        data = map_plain(path)
    except OSError as error:
        raise ModelFileError(f"{path}: cannot be read ({error.strerror}).") from None
    if isinstance(data, bytes) or len(data) < 8:
        raise ModelFileError(f"{path}: truncated, it holds no header.")
    with data:
        try:
            return parse(data)
        except (ValueError, TypeError, KeyError, RecursionError, MemoryError) as error:
            reason = str(error)[:160] or type(error).__name__
            raise ModelFileError(f"{path}: damaged safetensors file ({reason}).") from None


def _parse(data: mmap.mmap, *, what: str) -> dict[str, Tensor]:
    tensors: dict[str, Tensor] = {}
    for key, dtype, shape, begin, end in _entries(data, what=what):
        with memoryview(data) as view:  # slicing the map itself would copy twice
            raw = bytearray(view[begin:end])
        if dtype.kind == "b" and raw.strip(b"\0\1"):
            raise ValueError(f"{key}: a bool array holds other values than 0 and 1")
        array = np.frombuffer(raw, dtype).reshape(shape)
        tensors[key] = array[()] if not shape else array
    return tensors


class _Entry(TypedDict):
    dtype: str
    shape: list[int]
    data_offsets: tuple[int, int]


def _entries(
    data: mmap.mmap, *, what: str
) -> list[tuple[str, np.dtype[np.generic], list[int], int, int]]:
    """Key, dtype, shape and absolute place of each tensor, all checked against the file."""
    (length,) = struct.unpack("<Q", data[:8])
    if length > min(MAX_HEADER, len(data) - 8):
        raise ValueError(f"declares a header of {length} bytes, {len(data) - 8} follow")
    header: dict[str, _Entry] = parse_json(
        data[8 : 8 + length],
        what=what,
        kind="a safetensors file",
        schema=_HEADER,
        error=ModelFileError,
    )
    header.pop("__metadata__", None)
    start = 8 + length
    position = 0
    entries = []
    for key, entry in sorted(header.items(), key=lambda item: item[1]["data_offsets"]):
        dtype, shape = _DTYPES[entry["dtype"]], entry["shape"]
        begin, end = entry["data_offsets"]
        needed = math.prod(shape) * dtype.itemsize
        if begin != position or end - begin != needed or start + end > len(data):
            raise ValueError(f"{key}: shape {shape} does not fit bytes {begin} to {end}")
        entries.append((key, dtype, shape, start + begin, start + end))
        position = end
    if start + position != len(data):
        raise ValueError(f"{len(data) - start - position} bytes belong to no tensor")
    return entries
