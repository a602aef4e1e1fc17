"""The losses of all iterations in a few arrays, however many millions there are.

References: workspace.md 4.1.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from typing import TypeVar, overload

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]
_FIRST_SIZE = 256
_CHUNK = 65536


class LossHistory(Sequence[list[float]]):
    """A list of rows of floats that grows at its end; a row is not a Python object until asked for.

    It equals a list of lists with the same numbers. Rows are mostly of one length; others (old
    files after a change of the losses) are kept as they are.

    Parameters
    ----------
    rows : sequence of sequences of float

    Examples
    --------
    >>> history = LossHistory([[0.5, 0.25]])
    >>> history.append([0.25, 0.125])
    >>> history[-1], len(history)
    ([0.25, 0.125], 2)
    """

    def __init__(self, rows: Sequence[Sequence[float]] = ()) -> None:
        self._values: FloatArray = np.fromiter(itertools.chain.from_iterable(rows), np.float64)
        widths = np.fromiter(map(len, rows), np.int64, len(rows))
        self._set(len(self._values), widths)

    @classmethod
    def of(cls, rows: Sequence[Sequence[float]]) -> LossHistory:
        """`rows` as a history of its own; that of another history is shared, not copied."""
        if not isinstance(rows, LossHistory):
            return cls(rows)
        twin = cls()
        # nothing that was written is ever changed, and a full array is not appended to in place
        twin._values = rows._values[: rows._size]
        twin._size, twin._count, twin._width = rows._size, rows._count, rows._width
        twin._widths = None if rows._widths is None else rows._widths[: rows._count]
        return twin

    @classmethod
    def joined(cls, values: FloatArray, widths: npt.NDArray[np.int64]) -> LossHistory:
        """The history of flat values and the length of each row.

        The values are taken, not copied.

        Parameters
        ----------
        values : ndarray, shape (sum of widths,), float64
        widths : ndarray, shape (iterations,), int64

        Raises
        ------
        ValueError
            They do not add up.
        """
        if values.ndim != 1 or widths.ndim != 1 or (widths < 0).any():
            raise ValueError("a history is made of flat values and lengths of rows")
        if int(widths.sum()) != len(values):
            raise ValueError(f"lengths of rows add up to {widths.sum()} of {len(values)} values")
        made = cls()
        made._values = values
        made._set(len(values), widths)
        return made

    def _set(self, size: int, widths: npt.NDArray[np.int64]) -> None:
        self._size, self._count = size, len(widths)
        self._width = int(widths[-1]) if len(widths) else 0
        even = bool((widths == self._width).all())
        self._widths: npt.NDArray[np.int64] | None = None if even else widths

    # -- growing -------------------------------------------------------------------------------
    def append(self, losses: Sequence[float]) -> None:
        """Add the losses of one more iteration."""
        width = len(losses)
        if self._count == 0:
            self._width = width
        if self._widths is None and width != self._width:
            self._widths = np.full(self._count, self._width, np.int64)
        if self._widths is not None:
            self._widths = _grown(self._widths, self._count, 1)
            self._widths[self._count] = width
        self._values = _grown(self._values, self._size, width)
        self._values[self._size : self._size + width] = losses
        self._size += width
        self._count += 1
        self._width = width

    # -- as a sequence -------------------------------------------------------------------------
    def __len__(self) -> int:
        return self._count

    @overload
    def __getitem__(self, index: int) -> list[float]: ...

    @overload
    def __getitem__(self, index: slice) -> LossHistory: ...

    def __getitem__(self, index: int | slice) -> list[float] | LossHistory:
        if isinstance(index, slice):
            first, last, step = index.indices(self._count)
            if step != 1:
                return LossHistory([self[i] for i in range(first, last, step)])
            start, end = self._place(first), self._place(max(first, last))
            return self.joined(self._values[start:end], self.widths[first : max(first, last)])
        position = range(self._count)[index]
        return self._values[self._place(position) : self._place(position + 1)].tolist()

    def _place(self, row: int) -> int:
        if self._widths is None:
            return row * self._width
        return int(self._widths[:row].sum())

    def __iter__(self) -> Iterator[list[float]]:
        ends = np.cumsum(self.widths)
        start = 0
        for first in range(0, self._count, _CHUNK):
            values = self._values[start : ends[min(first + _CHUNK, self._count) - 1]].tolist()
            at = 0
            for width in self.widths[first : first + _CHUNK].tolist():
                yield values[at : at + width]
                at += width
            start += at

    def __eq__(self, other: object) -> bool:
        if isinstance(other, LossHistory):
            # a NaN is as good as another: a history equals its own copy
            same = np.array_equal(self.values, other.values, equal_nan=True)
            return same and np.array_equal(self.widths, other.widths)
        if isinstance(other, list | tuple):
            return len(other) == self._count and all(
                isinstance(row, list | tuple) and list(row) == mine
                for row, mine in zip(other, self, strict=True)
            )
        return NotImplemented

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        last = f", last {self[-1]}" if self._count else ""
        return f"LossHistory({self._count} iterations{last})"

    # -- as arrays -----------------------------------------------------------------------------
    @property
    def values(self) -> FloatArray:
        """All losses, flat, in order; shape (n,), float64; a view that must not be written to."""
        return self._values[: self._size]

    @property
    def widths(self) -> npt.NDArray[np.int64]:
        """The number of losses of each row, shape (iterations,), int64."""
        if self._widths is not None:
            return self._widths[: self._count]
        return np.broadcast_to(np.int64(self._width), (self._count,))

    @property
    def even(self) -> bool:
        """Whether all rows have the same length."""
        return self._widths is None or bool((self.widths == self._width).all())

    @property
    def array(self) -> FloatArray:
        """The losses as a table, shape (iterations, losses of the last row), float64.

        Rows of other lengths are cut or padded with NaN. A view where all rows have one length.
        """
        if self.even:
            return self.values.reshape(self._count, self._width)
        widths = self.widths
        starts = np.cumsum(widths) - widths
        columns = np.arange(self._width)
        there = columns < widths[:, None]
        result = np.full((self._count, self._width), np.nan)
        result[there] = self.values[(starts[:, None] + columns)[there]]
        return result

    def __array__(
        self, dtype: npt.DTypeLike | None = None, copy: bool | None = None
    ) -> npt.NDArray[np.generic]:
        if not self.even:
            raise ValueError("rows of different lengths make no array")
        return np.array(self.array, dtype=dtype, copy=copy)


_N = TypeVar("_N", np.float64, np.int64)


def _grown(array: npt.NDArray[_N], used: int, more: int) -> npt.NDArray[_N]:
    """An array with room for `more` values behind the `used` ones: `array` itself, or a copy."""
    if used + more <= len(array):
        return array
    larger = np.empty(max(_FIRST_SIZE, used + more, used + used // 2), array.dtype)
    larger[:used] = array[:used]
    return larger
