"""Numbers of faces in memory, and the orders and choices that they give."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from dfl_tf.facesets.report.poses import (
    PITCH_EDGES,
    YAW_EDGES,
    neighborhood,
    pose_cells,
    pose_counts,
)
from dfl_tf.web.faces_catalog import DISTANCE, PERSON, PITCH, YAW
from dfl_tf.web.faces_listing import FaceListing

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]
Numbers = npt.NDArray[np.int64]

NAME = "name"
"""The order of the folder."""


class FaceValues:
    """Columns of places, by the numbers of their faces."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._columns: dict[tuple[str, str], tuple[Numbers, Floats]] = {}

    def put(self, place: str, numbers: Numbers, columns: Mapping[str, Floats]) -> None:
        """Remember what was found of the faces of a place; what was known of others stays.

        Parameters
        ----------
        place : str
            Its id.
        numbers : ndarray, shape (n,), int64
        columns : mapping of str to ndarray, shape (n,), float64
            NaN for a face that has no such value.
        """
        with self._lock:
            for name, values in columns.items():
                old_numbers, old_values = self._columns.get((place, name), _NOTHING)
                stay = ~np.isin(old_numbers, numbers)
                merged = np.concatenate([old_numbers[stay], numbers])
                order = np.argsort(merged)
                both = np.concatenate([old_values[stay], values])[order]
                self._columns[place, name] = merged[order], both

    def get(self, place: str, name: str, numbers: Numbers) -> tuple[Floats, Bools]:
        """The values of some faces.

        Parameters
        ----------
        place, name : str
        numbers : ndarray, shape (n,), int64

        Returns
        -------
        values : ndarray, shape (n,), float64
            NaN where there is none.
        known : ndarray, shape (n,), bool
            Whether the face was looked at; it may have no value all the same.
        """
        with self._lock:
            there, values = self._columns.get((place, name), _NOTHING)
        if not len(there):
            return np.full(len(numbers), np.nan), np.zeros(len(numbers), bool)
        at = np.minimum(np.searchsorted(there, numbers), len(there) - 1)
        known = there[at] == numbers
        return np.where(known, values[at], np.nan), known


_NOTHING: tuple[Numbers, Floats] = np.zeros(0, np.int64), np.zeros(0)


@dataclass(frozen=True)
class Question:
    """Which faces are shown, and in which order.

    Attributes
    ----------
    sort : str
        A column, or `NAME`.
    descending : bool
    ranges : sequence of (str, float, float)
        Columns with the smallest and the largest value; faces without a value are not shown.
    cell : (int, int) or None
        Row and column of a pose, as in the maps of `coverage`.
    """

    sort: str = NAME
    descending: bool = False
    ranges: Sequence[tuple[str, float, float]] = ()
    cell: tuple[int, int] | None = None

    @property
    def columns(self) -> list[str]:
        """What has to be known for it."""
        names = [] if self.sort == NAME else [self.sort]
        names += [name for name, _, _ in self.ranges]
        return list(dict.fromkeys([*names, *((YAW, PITCH) if self.cell is not None else ())]))


@dataclass(frozen=True)
class Found:
    """The answer to a question.

    Attributes
    ----------
    order : ndarray, shape (n,), int64
        Numbers of faces.
    unknown : dict
        Columns to how many faces were not looked at yet.
    """

    order: Numbers
    unknown: dict[str, int] = field(default_factory=dict)


def find(listing: FaceListing, values: FaceValues, question: Question) -> Found:
    """The faces that a question is about, in their order."""
    place, numbers = listing.place.id, listing.numbers
    unknown = {}
    for name in question.columns:
        missing = int((~values.get(place, name, numbers)[1]).sum())
        if missing:
            unknown[name] = missing
    shown = np.ones(len(numbers), bool)
    for name, low, high in question.ranges:
        column = values.get(place, name, numbers)[0]
        shown &= (column >= low) & (column <= high)  # False for NaN
    if question.cell is not None:
        rows, columns = _cells(values, place, numbers)
        shown &= (rows == question.cell[0]) & (columns == question.cell[1])
    if question.sort == NAME:
        order = np.arange(len(numbers))
        order = order[::-1] if question.descending else order
    else:
        column = values.get(place, question.sort, numbers)[0]
        order = np.argsort(-column if question.descending else column, kind="stable")  # NaN last
    return Found(numbers[order[shown[order]]], unknown)


def _poses(values: FaceValues, place: str, numbers: Numbers) -> tuple[Floats, Floats]:
    """Yaw and pitch in radians."""
    yaw, pitch = (np.radians(values.get(place, name, numbers)[0]) for name in (YAW, PITCH))
    return yaw, pitch


def _cells(
    values: FaceValues, place: str, numbers: Numbers
) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    """Row and column of each face in the maps; -1 for a face without a pose."""
    yaw, pitch = _poses(values, place, numbers)
    rows, columns = (np.full(len(numbers), -1, np.intp) for _ in range(2))
    known = ~(np.isnan(yaw) | np.isnan(pitch))
    rows[known], columns[known] = pose_cells(yaw[known], pitch[known])
    return rows, columns


def coverage(sides: Mapping[str, FaceListing], values: FaceValues) -> dict[str, object]:
    """Where the faces of src and dst look.

    Parameters
    ----------
    sides : mapping of str to FaceListing
        ``src`` and ``dst``, as far as there are any.

    Returns
    -------
    dict
        Rows and columns as they are shown, from looking up and to the left on: which cell of the
        question each is, and its edges in degrees; only those from the first to the last that hold
        faces. Of each side the number of faces in each cell, and how many were not looked at; of
        dst also the cells that src lacks, with whether src has some beside them.
    """
    counts = {}
    facts: dict[str, dict[str, object]] = {}
    for side, listing in sides.items():
        place, numbers = listing.place.id, listing.numbers
        known = values.get(place, YAW, numbers)[1] & values.get(place, PITCH, numbers)[1]
        counts[side] = pose_counts(*_poses(values, place, numbers))
        facts[side] = {"place": place, "faces": len(numbers), "unknown": int((~known).sum())}
    seen = [each > 0 for each in counts.values()]
    rows = _shown(np.any(seen, axis=(0, 2))) if seen else []
    columns = _shown(np.any(seen, axis=(0, 1))) if seen else []
    for side, of_side in facts.items():
        of_side["counts"] = counts[side][np.ix_(rows, columns)].tolist()
    if len(counts) == 2:
        near = neighborhood(counts["src"])
        lacking = (counts["dst"] > 0) & (counts["src"] == 0)
        facts["dst"]["lacking"] = [
            [bool(near[y, x]) if lacking[y, x] else None for x in columns] for y in rows
        ]
    return {
        "rows": [[y, *PITCH_EDGES[y : y + 2].tolist()] for y in rows],
        "columns": [[x, *YAW_EDGES[x : x + 2].tolist()] for x in columns],
        "sides": facts,
    }


def _shown(used: npt.NDArray[np.bool_]) -> list[int]:
    """From the last one that is used to the first."""
    at = np.flatnonzero(used)
    return list(range(int(at[-1]), int(at[0]) - 1, -1)) if len(at) else []


def persons(listing: FaceListing, values: FaceValues) -> list[dict[str, object]]:
    """The groups of persons, the largest first, each with its most typical face."""
    place, numbers = listing.place.id, listing.numbers
    groups = values.get(place, PERSON, numbers)[0]
    distances = values.get(place, DISTANCE, numbers)[0]
    order = np.lexsort((distances, groups))
    order = order[groups[order] >= 1]
    first = np.flatnonzero(np.diff(groups[order], prepend=0))
    sizes = np.diff([*first, len(order)])
    return [
        {"person": int(groups[order[at]]), "faces": int(size), "typical": int(numbers[order[at]])}
        for at, size in zip(first, sizes, strict=True)
    ]
