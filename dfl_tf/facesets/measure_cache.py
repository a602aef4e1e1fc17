"""Measures of faces, remembered by the content of their files.

One SQLite file in the user's cache serves every command and any number of processes. Whatever
happens to it, measures can be computed again: errors are never errors.
"""

from __future__ import annotations

import contextlib
import logging
import sqlite3
import threading
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt
from dfl_tf_ops.process import user_cache

Floats = npt.NDArray[np.float64]
Key = tuple[str, int]
"""Name and version of a measure."""

_FILE = "measures.sqlite"
_TABLES = """
CREATE TABLE IF NOT EXISTS measures (
    digest BLOB, name TEXT, version INTEGER, value BLOB, PRIMARY KEY (digest, name)
) WITHOUT ROWID;
"""

_log = logging.getLogger(__name__)


class MeasureCache:
    """Values by SHA-256 of a file and name of a measure.

    Parameters
    ----------
    path : Path or None
        The SQLite file; None keeps everything in memory.
    """

    def __init__(self, path: Path | None) -> None:
        self.path = path
        self._lock = threading.Lock()
        self._said = False
        self._base = self._opened()

    @classmethod
    def of_user(cls) -> MeasureCache:
        """The cache that all commands share; in memory where this user has no home."""
        folder = user_cache()
        return cls(None if folder is None else folder / _FILE)

    def _opened(self) -> sqlite3.Connection:
        if self.path is not None:
            try:
                self.path.parent.mkdir(parents=True, exist_ok=True)
                return self._connect(str(self.path))
            except sqlite3.DatabaseError as error:
                if not isinstance(error, sqlite3.OperationalError):
                    _log.warning("%s cannot be used (%s): it is made again", self.path, error)
                    with contextlib.suppress(OSError, sqlite3.Error):
                        self.path.unlink()
                        return self._connect(str(self.path))
                self._not_remembered(error)
            except OSError as error:
                self._not_remembered(error.strerror)
        return self._connect(":memory:")

    def _not_remembered(self, reason: object) -> None:
        if not self._said:
            _log.warning("measures are not remembered: %s (%s)", self.path, reason)
        self._said = True

    def _connect(self, place: str) -> sqlite3.Connection:
        base = sqlite3.connect(place, timeout=10, check_same_thread=False)
        base.executescript(_TABLES)
        return base

    def get(self, digest: bytes, wanted: Mapping[Key, int]) -> dict[str, Floats]:
        """The known values of one file.

        Parameters
        ----------
        digest : bytes
        wanted : mapping
            Measures to the lengths of their values.

        Returns
        -------
        dict
            Name of a measure to its value, shape (length,), float64. What is not known is missing.
        """
        query = "SELECT name, version, value FROM measures WHERE digest = ?"
        rows: list[tuple[str, int, object]] = []
        with self._lock, contextlib.suppress(sqlite3.Error):
            rows = self._base.execute(query, (digest,)).fetchall()
        return {
            name: np.frombuffer(data, "<f8").copy()
            for name, version, data in rows
            if isinstance(data, bytes) and len(data) == 8 * wanted.get((name, version), -1)
        }

    def put(self, values: Iterable[tuple[bytes, Key, npt.ArrayLike]]) -> None:
        """Remember values (numbers, or shape (length,); kept as float64) by digest and measure."""
        rows = [(d, n, v, np.asarray(x, "<f8").tobytes()) for d, (n, v), x in values]
        with self._lock:
            try:
                with self._base:
                    self._base.executemany("INSERT OR REPLACE INTO measures VALUES (?,?,?,?)", rows)
            except sqlite3.Error as error:
                self._not_remembered(error)

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._base.close()
