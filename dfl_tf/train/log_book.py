"""What a log tells, in the form in which it is drawn: columns by iteration, marks, messages."""

from __future__ import annotations

import secrets
import threading
from array import array
from collections import deque
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from dfl_tf.disk.text import printable
from dfl_tf.options.schema import show
from dfl_tf.train.log_reader import Entry, LogReader
from dfl_tf.train.marks import Mark
from dfl_tf.train.sinks.json_lines import number_in

ROWS = 60_000
"""Iterations that are kept; beyond them the older half is thinned."""
COLUMNS, MARKS, CHANGES, MESSAGES, MEASURED = 200, 1500, 500, 500, 5000
_LONGEST_GAP = 1e7
"""Seconds between two lines of a run: more is a clock that was set."""
_NAN = float("nan")

Bucketed = dict[str, NDArray[np.float64]]
"""Mean, lowest and highest value of each bucket by ``mean``, ``low`` and ``high``."""


class LogBook:
    """A model's log, kept up to date by `read`; methods may be called from any thread.

    Parameters
    ----------
    reader : LogReader

    Attributes
    ----------
    edition : str
        Another one for each book: numbers of messages are those of one book.
    marks : list of Mark
    changes : list of (int, dict)
        Iterations at which options changed, during a run or between two: old and new value by key.
    messages : deque of dict
        Lines for people: ``number`` (counted from the start), ``time``, ``level``, ``text``.
    measured : list of dict
        Measurements of quality: ``iteration``, ``metrics``, ``best``.
    options : dict
        Of the model, as the run that wrote last has them.
    since : dict of str to str
        Where an option comes from that was changed during the run.
    start : dict
        The last start: ``seed``, ``time``, ``iteration``.
    previews : list of str
        The files of the last previews, as the trainer names them.
    answers : deque of dict
        How requests for options were answered.
    """

    def __init__(self, reader: LogReader) -> None:
        self.edition = secrets.token_hex(4)
        self._reader = reader
        self._lock = threading.Lock()
        self._iterations: array[int] = array("q")
        self._columns: dict[str, array[float]] = {}
        self._counted = 0
        self._hours: array[float] = array("d")
        self._spent = 0.0
        self._clock: float | None = None
        self.marks: list[Mark] = []
        self.changes: list[tuple[int, dict[str, tuple[object, object]]]] = []
        self.messages: deque[dict[str, object]] = deque(maxlen=MESSAGES)
        self.measured: list[dict[str, object]] = []
        self.options: dict[str, object] = {}
        self.since: dict[str, str] = {}
        self.start: dict[str, object] = {}
        self.previews: list[str] = []
        self.answers: deque[dict[str, object]] = deque(maxlen=20)

    def read(self) -> bool:
        """Read what is new; returns whether there was anything."""
        with self._lock:
            found = False
            for entry in self._reader.entries():
                found = True
                self._take(entry)
            return found

    @property
    def columns(self) -> list[str]:
        """The names of what is known of iterations, losses first."""
        names = list(self._columns)
        return sorted(names, key=lambda name: (not name.startswith("loss/"), names.index(name)))

    @property
    def last(self) -> int | None:
        """The last iteration that has a row."""
        return self._iterations[-1] if self._iterations else None

    # -- taking entries -------------------------------------------------------------------------

    def _take(self, entry: Entry) -> None:
        self._tick(entry)
        match entry.get("event"):
            case "iteration":
                self._row(entry)
            case "message":
                self._say(entry, str(entry.get("text")), str(entry.get("level", "info")))
            case "start":
                self._begin(entry)
            case "segment":
                self._switched(entry)
            case "rollback":
                back, until = _whole(entry, "iteration"), _whole(entry, "undone_until")
                self._undo(back)
                text = f"rolled back from {until}: {entry.get('reason')} Now {entry.get('remedy')}."
                self._mark(back, "rollback", text)
            case "validation":
                self._measure(entry)
            case "preview":
                files = entry.get("files")
                self.previews = list(map(str, files)) if isinstance(files, list) else []
            case "request":
                self._answered(entry)
            case "save" | "backup" | "snapshot" as kind:
                name = entry.get("name")
                self._mark(_whole(entry, "iteration"), str(kind), f"{kind} {name or ''}".strip())
            case "save_failed" | "backup_failed" | "snapshot_failed" as kind:
                text = f"{str(kind).replace('_', ' ')}: {entry.get('error')}"
                self._mark(number_or(entry, "iteration", self.last or 0), "problem", text)
            case "end":
                self._mark(_whole(entry, "iteration"), "end", f"end: {entry.get('reason')}")

    def _tick(self, entry: Entry) -> None:
        """Count the time of runs; from the last line of one to the start of the next, none."""
        kind, now = entry.get("event"), number_in(entry, "time")
        if now is None or kind in ("log", "message", "request"):
            return  # they are also told before a run starts
        if self._clock is not None and kind != "start":
            passed = now - self._clock
            self._spent += passed if 0 < passed < _LONGEST_GAP else 0.0
        self._clock = now

    def _row(self, entry: Entry) -> None:
        iteration = number_in(entry, "iteration")
        if iteration is None or not abs(iteration) < 1e15:
            return
        values = _figures(entry)
        for name in values:
            if name not in self._columns and len(self._columns) < COLUMNS:
                self._columns[name] = array("f", [_NAN]) * len(self._iterations)
        if self._iterations and iteration <= self._iterations[-1]:
            self._undo(int(iteration) - 1)
        self._iterations.append(int(iteration))
        self._hours.append(self._spent / 3600)
        for name, column in self._columns.items():
            column.append(values.get(name, _NAN))
        if len(self._iterations) > ROWS:
            self._thin()

    def _thin(self) -> None:
        half = len(self._iterations) // 2
        del self._iterations[:half:2], self._hours[:half:2]
        for column in self._columns.values():
            del column[:half:2]

    def _undo(self, iteration: int) -> None:
        """What was reported beyond an iteration does not hold."""
        while self._iterations and self._iterations[-1] > iteration:
            self._iterations.pop()
            self._hours.pop()
            for column in self._columns.values():
                column.pop()
        self.changes = [each for each in self.changes if each[0] <= iteration]
        self.marks = [m for m in self.marks if m.kind != "save" or m.iteration <= iteration]

    def _begin(self, entry: Entry) -> None:
        iteration = _whole(entry, "iteration")
        if self._iterations and self._iterations[-1] > iteration:
            lost = self._iterations[-1]
            self._undo(iteration)
            self._mark(iteration, "start", f"started again from {iteration}, after {lost}")
        else:
            self._mark(iteration, "start", "started")
        options = entry.get("options")
        before, self.options = self.options, dict(options) if isinstance(options, dict) else {}
        self._changed(
            iteration,
            {
                key: (before[key], value)
                for key, value in self.options.items()
                if key in before and before[key] != value
            },
        )
        self.since = {}
        self.start = {key: entry.get(key) for key in ("seed", "time", "iteration")}

    def _switched(self, entry: Entry) -> None:
        iteration, changes = _whole(entry, "iteration"), entry.get("changes")
        told: dict[str, tuple[object, object]] = {}
        for key, pair in changes.items() if isinstance(changes, dict) else ():
            if isinstance(pair, list) and len(pair) == 2:
                self.options[key] = pair[1]
                self.since[key] = f"changed at iteration {iteration}, was {pair[0]}"
                told[key] = (pair[0], pair[1])
        self._changed(iteration, told)

    def _changed(self, iteration: int, changes: dict[str, tuple[object, object]]) -> None:
        if changes:
            self.changes = [*self.changes, (iteration, changes)][-CHANGES:]
            self._mark(iteration, "options", change_text(changes))

    def _measure(self, entry: Entry) -> None:
        metrics = entry.get("metrics")
        if isinstance(metrics, dict):
            kept = {"iteration": _whole(entry, "iteration"), "metrics": metrics}
            self.measured.append({**kept, "best": entry.get("best") is True})
            del self.measured[:-MEASURED]

    def _answered(self, entry: Entry) -> None:
        refused = printable(entry.get("refused") or "", lines=True)
        options = entry.get("options")
        shown = options if isinstance(options, dict) else {}
        self.answers.append({"time": entry.get("time"), "options": shown, "refused": refused})

    def _say(self, entry: Entry, text: str, level: str) -> None:
        self._counted += 1
        line = {"number": self._counted, "time": entry.get("time"), "level": level}
        self.messages.append({**line, "text": printable(text[:20_000], lines=True)})

    def _mark(self, iteration: int, kind: str, text: str) -> None:
        self.marks.append(Mark(iteration, kind, printable(text)[:300]))
        if len(self.marks) > MARKS:  # saves are the many
            saves = [mark for mark in self.marks if mark.kind == "save"]
            others = [mark for mark in self.marks if mark.kind != "save"]
            self.marks = sorted([*saves[::2], *others[-MARKS // 2 :]], key=lambda m: m.iteration)

    # -- what is drawn --------------------------------------------------------------------------

    def hours(self) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """How long the trainings took up to each row, pauses between them left out.

        Returns
        -------
        (iterations, hours) : ndarrays, shape (n,), int64 and float64, neither ever falls
        """
        with self._lock:
            return np.array(self._iterations, np.int64), np.array(self._hours, np.float64)

    def curves(
        self, columns: Sequence[str], first: float, last: float, points: int
    ) -> tuple[NDArray[np.float64], dict[str, Bucketed]]:
        """Some columns over a range of iterations, in at most so many points.

        Parameters
        ----------
        columns : sequence of str
            Those that the log does not have are left out.
        first, last : float
            Iterations.
        points : int

        Returns
        -------
        iterations : ndarray, shape (n,), float64
        curves : dict of str to dict of str to ndarray, shape (n,), float64
            By column ``mean``, ``low`` and ``high``; NaN where there is no number.
        """
        with self._lock:
            iterations = np.array(self._iterations, np.float64)
            values = {
                name: np.array(self._columns[name], np.float64)
                for name in columns
                if name in self._columns
            }
        # one beyond each border, so that lines reach it
        begin = max(0, int(np.searchsorted(iterations, first, side="left")) - 1)
        end = min(len(iterations), int(np.searchsorted(iterations, last, side="right")) + 1)
        edges = _edges(end - begin, points)
        middle = _buckets(iterations[begin:end], edges)["mean"]
        return middle, {name: _buckets(each[begin:end], edges) for name, each in values.items()}

    def series(
        self, columns: Sequence[str], first: float, last: float, points: int
    ) -> dict[str, object]:
        """`curves` as plain values.

        Returns
        -------
        dict
            ``iterations``; ``mean``, ``low`` and ``high`` by column: lists with a value each.
        """
        iterations, curves = self.curves(columns, first, last, points)
        made = {
            key: {name: curve[key].tolist() for name, curve in curves.items()}
            for key in ("mean", "low", "high")
        }
        return {"iterations": np.round(iterations, 1).tolist(), **made}


def change_text(changes: Mapping[str, tuple[object, object]], arrow: str = "→") -> str:
    """Changed options in a line: ``lr_dropout n → y``."""
    told = ((key, _as_typed(old), _as_typed(new)) for key, (old, new) in changes.items())
    return ", ".join(f"{key} {old} {arrow} {new}" for key, old, new in told)


def _as_typed(value: object) -> str:
    return show(value) if isinstance(value, bool | int | float | str) else str(value)


def _edges(count: int, points: int) -> NDArray[np.int64]:
    """Where buckets begin.

    Returns
    -------
    ndarray, shape (n,), int64
        At most `points` of them, none empty.
    """
    return np.unique(np.linspace(0, count, min(count, points) + 1).astype(np.int64))[:-1]


def _buckets(values: NDArray[np.float64], edges: NDArray[np.int64]) -> Bucketed:
    """Mean, lowest and highest value of each bucket; NaN for one without numbers.

    Parameters
    ----------
    values : ndarray, shape (n,), float64
    edges : ndarray, shape (k,), int64
        Where the buckets begin.

    Returns
    -------
    dict of ndarray, shape (k,), float64
    """
    if not len(edges):
        return dict.fromkeys(("mean", "low", "high"), np.zeros(0))
    known = np.isfinite(values)
    counts = np.add.reduceat(known.astype(np.int64), edges)
    empty = counts == 0
    sums = np.add.reduceat(np.where(known, values, 0.0), edges)
    low = np.minimum.reduceat(np.where(known, values, np.inf), edges)
    high = np.maximum.reduceat(np.where(known, values, -np.inf), edges)
    return {
        "mean": np.where(empty, np.nan, sums / np.maximum(counts, 1)),
        "low": np.where(empty, np.nan, low),
        "high": np.where(empty, np.nan, high),
    }


def _figures(entry: Entry) -> dict[str, float]:
    """The numbers of an iteration by the names of their columns."""
    found: dict[str, float] = {}
    for prefix, key in (("loss/", "losses"), ("", "scalars")):
        group = entry.get(key)
        if isinstance(group, Mapping):
            numbers = ((name, number_in(group, name)) for name in group)
            found |= {prefix + str(name)[:80]: n for name, n in numbers if n is not None}
    ms, waited = number_in(entry, "ms"), number_in(entry, "wait_ms")
    if ms is not None:
        found["time/ms"] = ms
    if ms and waited is not None:
        found["time/waiting %"] = 100 * waited / ms
    return found


def _whole(entry: Entry, key: str) -> int:
    return number_or(entry, key, 0)


def number_or(entry: Entry, key: str, default: int) -> int:
    """A whole number of an entry, or a default."""
    value = number_in(entry, key)
    return default if value is None or not abs(value) < 1e15 else int(value)
