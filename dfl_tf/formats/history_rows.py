"""The losses of all iterations as a file that only grows.

Each iteration is one row: the number of its losses as a little-endian uint32, then the losses as
little-endian float64.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from dfl_tf.disk.plain_file import map_plain
from dfl_tf.errors import ModelFileError

LARGEST = 8 << 30
"""Bytes of the longest history that is written or read: 400 million iterations of two losses."""


def _row(width: int) -> np.dtype[Any]:
    return np.dtype([("width", "<u4"), ("losses", "<f8", (width,))])


def pack(history: Sequence[Sequence[float]]) -> bytes:
    """Rows of any lengths as bytes.

    Raises
    ------
    ModelFileError
        They would be more than what is read.
    """
    if not len(history):
        return b""
    widths = np.fromiter(map(len, history), np.uint32, len(history))
    count = int(widths.sum(dtype=np.int64))
    if 4 * len(widths) + 8 * count > LARGEST:
        raise ModelFileError(
            f"the loss history has {len(history)} rows, more than the {LARGEST} bytes that are "
            "read. Shorten it."
        )
    losses = np.fromiter(itertools.chain.from_iterable(history), np.float64, count)
    pieces = []
    for first, last in _runs(widths):
        rows = np.empty(last - first, _row(int(widths[first])))
        rows["width"] = widths[first]
        size = int(widths[first]) * (last - first)
        rows["losses"] = losses[:size].reshape(last - first, -1) if size else 0.0
        losses = losses[size:]
        pieces.append(rows.tobytes())
    return b"".join(pieces)


def _runs(widths: npt.NDArray[np.uint32]) -> list[tuple[int, int]]:
    """First and last + 1 of each run of equal widths."""
    cuts = [0, *(np.flatnonzero(np.diff(widths.astype(np.int64))) + 1).tolist(), len(widths)]
    return list(itertools.pairwise(cuts))


def read(path: Path, size: int) -> list[list[float]]:
    """The rows in the first `size` bytes of a file.

    Raises
    ------
    ModelFileError
        They do not end with a whole row, or the file cannot be read.
    """
    try:
        if size > LARGEST:
            raise ModelFileError(f"{path}: has {size} bytes, at most {LARGEST} are read.")
        data = np.frombuffer(map_plain(path), np.uint8)[:size]
    except OSError as error:
        raise ModelFileError(f"{path}: cannot be read ({error.strerror}).") from None
    history: list[list[float]] = []
    position, ahead = 0, 64
    while position < len(data):
        width = int.from_bytes(data[position : position + 4].tobytes(), "little")
        step = 4 + 8 * width
        whole = min((len(data) - position) // step, ahead)
        if whole == 0:
            raise ModelFileError(f"{path}: damaged loss history (torn row at byte {position}).")
        rows = data[position : position + whole * step].view(_row(width))
        other = np.flatnonzero(rows["width"] != width)
        # looks further ahead as long as all rows are alike: few steps, none of them in vain
        rows, ahead = (rows[: other[0]], 64) if len(other) else (rows, 2 * ahead)
        history += rows["losses"].tolist()
        position += len(rows) * step
    return history


def unpack_columns(packed: Mapping[str, Any], what: str) -> list[list[float]]:
    """The rows of a history that was stored as arrays of lengths and values.

    Raises
    ------
    ModelFileError
    """
    try:
        lengths, numbers = packed["lengths"], packed["values"]
        if np.ndim(lengths) != 1 or np.ndim(numbers) != 1 or lengths.dtype.kind not in "iu":
            raise ValueError("no lists of lengths and values")
        widths, values = lengths.tolist(), numbers.astype(np.float64).tolist()
        if sum(widths) != len(values) or any(n < 0 for n in widths):
            raise ValueError("lengths do not add up")
    except (KeyError, ValueError) as error:
        raise ModelFileError(f"{what}: damaged loss history ({error}).") from None
    rows, position = [], 0
    for width in widths:
        rows.append(values[position : position + width])
        position += width
    return rows
