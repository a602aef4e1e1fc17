"""The losses of all iterations as a file that only grows.

Each iteration is one row: the number of its losses as a little-endian uint32, then the losses as
little-endian float64.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from dfl_tf.disk.plain_file import map_plain
from dfl_tf.errors import ModelFileError
from dfl_tf.formats.loss_history import LossHistory

LARGEST = 8 << 30
"""Bytes of the longest history that is written or read: 400 million iterations of two losses."""


def _row(width: int) -> np.dtype[np.generic]:
    return np.dtype([("width", "<u4"), ("losses", "<f8", (width,))])


def pack(history: Sequence[Sequence[float]]) -> bytes:
    """Rows of any lengths as bytes.

    Raises
    ------
    ModelFileError
        They would be more than what is read.
    """
    rows_of = LossHistory.of(history)
    widths, losses = rows_of.widths, rows_of.values
    if 4 * len(widths) + losses.nbytes > LARGEST:
        raise ModelFileError(
            f"the loss history has {len(history)} rows, more than the {LARGEST} bytes that are "
            "read. Shorten it."
        )
    pieces = []
    for first, last in _runs(widths):
        rows = np.empty(last - first, _row(int(widths[first])))
        rows["width"] = widths[first]
        size = int(widths[first]) * (last - first)
        rows["losses"] = losses[:size].reshape(last - first, -1) if size else 0.0
        losses = losses[size:]
        pieces.append(rows.tobytes())
    return b"".join(pieces)


def _runs(widths: npt.NDArray[np.int64]) -> list[tuple[int, int]]:
    """First and last + 1 of each run of equal widths."""
    cuts = [0, *(np.flatnonzero(np.diff(widths)) + 1).tolist(), len(widths)]
    return [(first, last) for first, last in itertools.pairwise(cuts) if first < last]


def read(path: Path, size: int) -> LossHistory:
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
    values: list[npt.NDArray[np.float64]] = [np.empty(0)]
    widths: list[npt.NDArray[np.int64]] = [np.empty(0, np.int64)]
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
        values.append(rows["losses"].ravel())
        widths.append(np.full(len(rows), width, np.int64))
        position += len(rows) * step
    return LossHistory.joined(np.concatenate(values), np.concatenate(widths))


def unpack_columns(packed: Mapping[str, npt.ArrayLike], what: str) -> LossHistory:
    """The rows of a history that was stored as arrays of lengths and values, shape (n,).

    Raises
    ------
    ModelFileError
    """
    try:
        lengths, numbers = np.asarray(packed["lengths"]), np.asarray(packed["values"])
        if np.ndim(lengths) != 1 or np.ndim(numbers) != 1 or lengths.dtype.kind not in "iu":
            raise ValueError("no lists of lengths and values")
        return LossHistory.joined(numbers.astype(np.float64), lengths.astype(np.int64))
    except (KeyError, ValueError) as error:
        raise ModelFileError(f"{what}: damaged loss history ({error}).") from None
