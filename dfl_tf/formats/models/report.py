"""What a model is, in numbers, and how two models differ.

References: models.md 5.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypedDict

import numpy as np
import numpy.typing as npt

from dfl_tf.disk import durable
from dfl_tf.formats.loss_history import LossHistory
from dfl_tf.formats.models.files import detect_format, model_files
from dfl_tf.formats.models.read_write import read_model
from dfl_tf.formats.models.snapshots import list_snapshots
from dfl_tf.formats.models.state import ModelState
from dfl_tf.options import KINDS

if TYPE_CHECKING:
    from dfl_tf.formats.models.tensor import Tensor


def tensor_sha256(value: object) -> str:
    """SHA-256 over dtype, shape and bytes of an array, so that equal means equal in all three."""
    array = np.asarray(value)
    little = np.asarray(array, dtype=array.dtype.newbyteorder("<"), order="C")
    digest = hashlib.sha256(f"{array.dtype.name} {array.shape}\n".encode())
    if little.size:
        digest.update(little.reshape(-1).view(np.uint8).data)
    return digest.hexdigest()


def state_checksums(state: ModelState) -> dict[str, dict[str, str]]:
    """Part to key to `tensor_sha256`."""
    return {
        part: {key: tensor_sha256(value) for key, value in tensors.items()}
        for part, tensors in state.tensors.items()
    }


def part_summary(tensors: Mapping[str, Tensor]) -> dict[str, object]:
    """Number of tensors (any shape) and parameters, bytes, dtypes, one checksum, bad values."""
    arrays = [np.asarray(value) for value in tensors.values()]
    digest = hashlib.sha256()
    for key, value in tensors.items():
        digest.update(f"{key} {tensor_sha256(value)}\n".encode("utf-8", "surrogatepass"))
    return {
        "tensors": len(arrays),
        "parameters": int(sum(array.size for array in arrays)),
        "bytes": int(sum(array.nbytes for array in arrays)),
        "dtypes": sorted({array.dtype.name for array in arrays}),
        "not_finite": int(sum(_not_finite(array) for array in arrays)),
        "sha256": digest.hexdigest(),
    }


def _not_finite(array: npt.NDArray[np.generic]) -> int:
    if array.dtype.kind != "f":
        return 0
    return int(array.size - np.count_nonzero(np.isfinite(array)))


class _File(TypedDict):
    name: str
    bytes: int
    sha256: str


def report(directory: Path, name: str, model_class: str) -> tuple[ModelState, dict[str, object]]:
    """A model and what can be said about it as plain JSON-able values.

    Raises
    ------
    ModelFileError
        See `read_model`.
    """
    state = read_model(directory, name, model_class)
    files: list[_File] = [
        {"name": path.name, "bytes": path.stat().st_size, "sha256": durable.sha256_of(path)}
        for path in model_files(directory, name, model_class)
    ]
    history = state.loss_history
    inferred = _inferred(model_class, state.tensors, state.options)
    return state, {
        "name": name if KINDS[model_class].named else model_class,
        "class": model_class,
        "format": detect_format(directory, name, model_class),
        "iteration": state.iteration,
        "options": state.options,
        "inferred": inferred,
        "parts": {part: part_summary(tensors) for part, tensors in state.tensors.items()},
        "loss": {
            "entries": len(history),
            "last": history[-1] if history else [],
            "mean_of_last_100": _mean(history[-100:]),
        },
        "extra": sorted(str(key) for key, value in state.extra.items() if value is not None),
        "files": files,
        "bytes": sum(file["bytes"] for file in files),
        "run": state.run,
        "snapshots": [
            {"name": each.name, "iteration": each.label.iteration, "bytes": each.bytes}
            for each in list_snapshots(directory, name, model_class)
        ],
        "notes": list(state.notes),
    }


def _inferred(
    model_class: str, tensors: Mapping[str, Mapping[str, Tensor]], options: dict[str, object]
) -> dict[str, object]:
    """What the tensors say about the architecture, beside what the options say."""
    found = KINDS[model_class].options_from(tensors, options)
    return {
        key: {"tensors": value, "options": options.get(key), "agree": _agrees(key, value, options)}
        for key, value in found.items()
        if key in KINDS[model_class].options.STORED
    }


def _agrees(key: str, value: object, options: dict[str, object]) -> bool:
    stored = options.get(key)
    if key == "archi" and isinstance(stored, str):
        flavor, _, letters = stored.partition("-")
        return value == "-".join(filter(None, (flavor, "".join(c for c in "udtc" if c in letters))))
    return bool(stored == value)


def _mean(history: Sequence[Sequence[float]]) -> list[float]:
    if not history:
        return []
    width = len(history[-1])
    rows = [row for row in history if len(row) == width]
    return [float(value) for value in np.mean(np.asarray(rows, np.float64), axis=0)]


def diff_states(first: ModelState, second: ModelState) -> dict[str, object]:
    """How two models differ, as plain JSON-able values.

    Returns
    -------
    dict
        "same": bool; "iteration": both; "options": key to both values where they differ;
        "loss_history", "extra": whether they are equal; "parts": part to what differs (missing
        on one side; per tensor: shapes, dtypes, largest and mean difference).
    """
    options = {
        key: [first.options.get(key), second.options.get(key)]
        for key in [*first.options, *(k for k in second.options if k not in first.options)]
        if not same_value(first.options.get(key), second.options.get(key))
    }
    parts: dict[str, object] = {}
    for part in [*first.tensors, *(p for p in second.tensors if p not in first.tensors)]:
        if part not in first.tensors or part not in second.tensors:
            parts[part] = {"only_in": "first" if part in first.tensors else "second"}
            continue
        found = _diff_tensors(first.tensors[part], second.tensors[part])
        if found:
            parts[part] = found
    result = {
        "class": [first.model_class, second.model_class],
        "iteration": [first.iteration, second.iteration],
        "options": options,
        "loss_history_equal": LossHistory.of(first.loss_history)
        == LossHistory.of(second.loss_history),
        "extra_equal": same_value(first.extra, second.extra),
        "parts": parts,
    }
    same = not options and not parts and result["loss_history_equal"] and result["extra_equal"]
    same = same and first.iteration == second.iteration
    return {"same": bool(same and first.model_class == second.model_class)} | result


def _diff_tensors(first: Mapping[str, object], second: Mapping[str, object]) -> dict[str, object]:
    found: dict[str, object] = {}
    for key in [*first, *(k for k in second if k not in first)]:
        if key not in first or key not in second:
            found[key] = {"only_in": "first" if key in first else "second"}
            continue
        a, b = np.asarray(first[key]), np.asarray(second[key])
        if a.shape != b.shape or a.dtype != b.dtype:
            found[key] = {
                "shape": [list(a.shape), list(b.shape)],
                "dtype": [a.dtype.name, b.dtype.name],
            }
        elif tensor_sha256(a) != tensor_sha256(b):
            difference = np.abs(a.astype(np.float64) - b.astype(np.float64))
            found[key] = {"max": float(difference.max()), "mean": float(difference.mean())}
    return found


def same_value(first: object, second: object) -> bool:
    """Deep equality in type and value; arrays bit by bit, NaN equals NaN, dictionaries in order."""
    if isinstance(first, np.ndarray | np.generic) or isinstance(second, np.ndarray | np.generic):
        both = isinstance(first, np.ndarray | np.generic)
        both = both and isinstance(second, np.ndarray | np.generic)
        return both and tensor_sha256(first) == tensor_sha256(second)
    if type(first) is not type(second):
        return False
    if isinstance(first, dict) and isinstance(second, dict):
        return list(first) == list(second) and all(same_value(first[k], second[k]) for k in first)
    if isinstance(first, list | tuple) and isinstance(second, list | tuple):
        return len(first) == len(second) and all(map(same_value, first, second))
    if isinstance(first, float) and first != first:
        return second != second
    return bool(first == second)
