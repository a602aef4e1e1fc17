"""What can stand on the stack of the pickle machine, and what is wrong with a pickle."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from dfl_tf.formats.loss_history import LossHistory


class Stop(Exception):
    """STOP was met."""


class Damaged(ValueError):
    """The pickle is malformed; the machine adds the file's name and the position."""


class Buildable:
    """An object that waits for its state (BUILD); `build` returns what takes its place."""

    def build(self, state: object) -> object:
        """Take the state."""
        raise NotImplementedError


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

    def build(self, state: object) -> PickleObject:
        """Take attributes; `(None, slots)` is how objects with slots say it."""
        parts = state if isinstance(state, tuple) else (state,)
        for part in parts:
            if part is not None:
                self.attributes.update(part)
        return self

    def __repr__(self) -> str:
        return f"PickleObject({self.class_name}, {len(self.attributes)} attributes)"


class RowBlock:
    """Stands for some rows in a row, all as long, that nothing else refers to.

    Parameters
    ----------
    rows : ndarray, shape (count, length), float64
    """

    __slots__ = ("rows",)

    def __init__(self, rows: npt.NDArray[np.float64]) -> None:
        self.rows = rows


def history_of(items: list[object]) -> LossHistory | None:
    """A list of blocks and of rows of floats as a history; None if anything else is in it."""
    values, widths = [], []
    for item in items:
        if type(item) is RowBlock:
            values.append(item.rows.reshape(-1))
            widths.append(np.full(len(item.rows), item.rows.shape[1], np.int64))
        elif type(item) is list and all(type(number) is float for number in item):
            values.append(np.array(item, np.float64))
            widths.append(np.array([len(item)], np.int64))
        else:
            return None
    return LossHistory.joined(np.concatenate(values), np.concatenate(widths))


INERT: set[type] = set()


def inert(cls: type) -> type:
    """Class decorator: such an object may not be left in a result."""
    INERT.add(cls)
    return cls
