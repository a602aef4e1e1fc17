"""Loading golden arrays and measuring how far others are off."""

from __future__ import annotations

import functools
import json
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from golden_kinds.check import Check


@functools.cache
def load_arrays(path: Path) -> dict[str, npt.NDArray[Any]]:
    """All arrays of an npz file; none if there is no such file."""
    if not path.exists():
        return {}
    with np.load(path, allow_pickle=False) as file:
        return {name: file[name] for name in file.files}


@functools.cache
def load_json(path: Path) -> Any:
    """Content of a json file; None if there is no such file."""
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else None


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
