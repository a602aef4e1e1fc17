"""What a plot of the losses takes from a training's log: saves, changed options, terms and time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dfl_tf.train.log_book import LogBook, change_text
from dfl_tf.train.log_reader import LogReader
from dfl_tf.train.marks import Mark
from dfl_tf.train.settings import AT_ONCE
from dfl_tf.train.sinks.json_lines import log_beside

_POINTS = 800
_TERM = "term/"
_TEXT = 60
"""Characters of a mark."""

Curve = tuple[NDArray[np.float64], NDArray[np.float64]]
"""Iterations and values, shape (n,), float64."""


@dataclass(frozen=True)
class LogFacts:
    """What a log tells; nothing of it is known of a model that came without one.

    Attributes
    ----------
    changes : tuple of Mark
        Where options changed that training depends on, during a run or between two.
    saves, kept : tuple of int
        Iterations of saves, and of snapshots and backups.
    hours : two ndarrays, shape (n,), float64; or None
        Iterations and hours of training until then, pauses left out.
    terms : mapping of str to two ndarrays, shape (k,), float64
        Iterations and values of each term of the losses by name: ``src_pixels``, ``gan``.
    """

    changes: tuple[Mark, ...] = ()
    saves: tuple[int, ...] = ()
    kept: tuple[int, ...] = ()
    hours: Curve | None = None
    terms: Mapping[str, Curve] = field(default_factory=dict)


NO_FACTS = LogFacts()


def book_beside(folder: Path, storage_name: str) -> LogBook:
    """The log that lies beside a model; nothing is read yet."""
    return LogBook(LogReader(log_beside(folder, storage_name), lambda path: path))


def facts_of(book: LogBook, iteration: int) -> LogFacts:
    """Return what a log tells of a model at an iteration; what is new in it is read.

    Parameters
    ----------
    book : LogBook
    iteration : int
        What the log tells of later ones was undone or lost. Of this one saves are left out: the
        line of a save is written while its plot is drawn.
    """
    book.read()
    return LogFacts(
        changes=tuple(_changes(book, iteration)),
        saves=tuple(_places(book, {"save"}, iteration)),
        kept=tuple(_places(book, {"snapshot", "backup"}, iteration)),
        hours=_hours(book, iteration),
        terms=_terms(book, iteration),
    )


def _changes(book: LogBook, iteration: int) -> list[Mark]:
    found = []
    for place, pairs in book.changes:
        shown = {key: pair for key, pair in pairs.items() if key not in AT_ONCE}
        told = change_text(shown, arrow="->")  # fonts of images have no other
        if told and place <= iteration:
            text = told if len(told) <= _TEXT else f"{told[:_TEXT]}..."
            found.append(Mark(place, "options", text))
    return found


def _places(book: LogBook, kinds: set[str], iteration: int) -> list[int]:
    marks = list(book.marks)
    return sorted({m.iteration for m in marks if m.kind in kinds and m.iteration < iteration})


def _hours(book: LogBook, iteration: int) -> Curve | None:
    iterations, hours = book.hours()
    known = iterations <= iteration
    if not known.any() or hours[known][-1] <= 0:
        return None
    return iterations[known].astype(np.float64), hours[known]


def _terms(book: LogBook, iteration: int) -> dict[str, Curve]:
    names = [name for name in book.columns if name.startswith(_TERM)]
    iterations, curves = book.curves(names, 0, iteration, _POINTS)
    found = {}
    for name, curve in curves.items():
        known = np.isfinite(curve["mean"]) & (iterations <= iteration)
        if known.any():
            found[name.removeprefix(_TERM)] = iterations[known], curve["mean"][known]
    return found
