"""Loading golden arrays and measuring how far others are off."""

from __future__ import annotations

import functools
import json
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from golden_kinds.check import Check

# (file, array) of everything that was looked at since `take_read`.
_READ: set[tuple[str, str]] = set()


class Arrays(Mapping[str, npt.NDArray[Any]]):
    """The arrays of one npz file; remembers which of them anybody looked at."""

    def __init__(self, path: Path, arrays: dict[str, npt.NDArray[Any]]) -> None:
        self.path, self._arrays = path, arrays

    def __getitem__(self, name: str) -> npt.NDArray[Any]:
        if name not in self._arrays:
            raise KeyError(f"{name} is not in {self.path.name}")
        _READ.add((str(self.path), name))
        return self._arrays[name]

    def __contains__(self, name: object) -> bool:
        return name in self._arrays

    def __iter__(self) -> Iterator[str]:
        return iter(self._arrays)

    def __len__(self) -> int:
        return len(self._arrays)

    def get(self, name: str, default: Any = None) -> Any:
        return self[name] if name in self._arrays else default


def take_read() -> list[tuple[str, str]]:
    """(file, array) of what was looked at since the last call."""
    found = sorted(_READ)
    _READ.clear()
    return found


@functools.cache
def load_arrays(path: Path) -> Arrays:
    """All arrays of an npz file; none if there is no such file."""
    if not path.exists():
        return Arrays(path, {})
    try:
        with path.open("rb") as handle, np.load(handle, allow_pickle=False) as file:
            return Arrays(path, {name: file[name] for name in file.files})
    except (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile, zlib.error) as error:
        raise ValueError(f"{path.name} cannot be read: {error}") from error


def array_names(path: Path) -> list[str]:
    """Names of the arrays of an npz file, none of a damaged one."""
    try:
        with zipfile.ZipFile(path) as archive:
            return [name.removesuffix(".npy") for name in archive.namelist()]
    except (OSError, zipfile.BadZipFile):
        return []


@functools.cache
def load_json(path: Path) -> Any:
    """Content of a json file; None if there is no such file."""
    if not path.exists():
        return None
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path.name} is not JSON: {error}") from error


def worst(actual: npt.ArrayLike, expected: npt.ArrayLike) -> float:
    """Largest absolute difference; inf for another shape, NaN unless NaNs are at equal places."""
    a, b = np.asarray(actual), np.asarray(expected)
    if a.shape != b.shape:
        return float("inf")
    if a.size == 0:
        return 0.0
    a, b = a.astype(np.float64), b.astype(np.float64)
    both = np.isnan(a) & np.isnan(b)
    return float(np.max(np.where(both, 0.0, np.abs(a - b))))


def mean(actual: npt.ArrayLike, expected: npt.ArrayLike) -> float:
    """Mean absolute difference; inf for another shape."""
    a, b = np.asarray(actual), np.asarray(expected)
    if a.shape != b.shape:
        return float("inf")
    return float(np.mean(np.abs(a.astype(np.float64) - b.astype(np.float64))))


def near(name: str, actual: npt.ArrayLike, expected: npt.ArrayLike, tolerance: float) -> Check:
    """Check of the largest difference."""
    return Check(name, worst(actual, expected), tolerance)


def same(name: str, actual: object, expected: object) -> Check:
    """Check of equality, 0 or 1, with both values as its note if they differ."""
    if actual == expected:
        return Check(name, 0.0, 0.0)
    return Check(name, 1.0, 0.0, f"{str(actual)[:80]} is not {str(expected)[:80]}")
