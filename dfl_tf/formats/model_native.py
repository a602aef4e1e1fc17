"""The native form of a model: a folder of safetensors files and one manifest.

`<prefix>.dfl/` holds `manifest.json` (iteration, options, checksums, run), one
`<part>.safetensors` a network and optimizer, `loss_history.safetensors`, and `extra.safetensors`
for the arrays of other entries. Written as one transaction (`transaction`).

References: layout.md 6, design decision 1.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from dfl_tf.disk import durable
from dfl_tf.errors import ModelFileError
from dfl_tf.formats import json_tree, safetensors_file, transaction
from dfl_tf.formats.manifest import FileEntry, Manifest
from dfl_tf.formats.model_files import native_folder, part_key
from dfl_tf.formats.model_legacy import plain
from dfl_tf.formats.model_state import ModelState

_SUFFIX = ".safetensors"
_HISTORY, _EXTRA = "loss_history", "extra"
_RULES = transaction.Rules(
    data_name="", loads=None, optional=lambda file: file.endswith("_opt" + _SUFFIX)
)


def read(directory: Path, name: str, model_class: str, only: Collection[str] | None) -> ModelState:
    """Read a native set (see `model_state.read_model`)."""
    folder = native_folder(directory, name, model_class)
    resolved = transaction.resolve(_place(folder), _RULES)
    if resolved is None or resolved.manifest is None:
        raise ModelFileError(f"{folder}: has no manifest. Restore it from a backup.")
    manifest, what = resolved.manifest, str(folder / "manifest.json")
    if manifest.model_class != model_class:
        raise ModelFileError(f"{what}: is of class {manifest.model_class}, not {model_class}.")
    files = {f.removesuffix(_SUFFIX): path for f, path in resolved.files.items()}
    if _HISTORY not in files:
        raise ModelFileError(f"{what}: damaged, it names no {_HISTORY}{_SUFFIX}.")
    history = _unpack_history(safetensors_file.load(files.pop(_HISTORY)), what)
    arrays = safetensors_file.load(files.pop(_EXTRA)) if _EXTRA in files else {}
    wanted = [part for part in sorted(files, key=part_key) if only is None or part in only]
    options = json_tree.decode(manifest.payload.get("options", {}), arrays, what=what)
    extra = json_tree.decode(manifest.payload.get("extra", {}), arrays, what=what)
    if not isinstance(options, dict) or not isinstance(extra, dict):
        raise ModelFileError(f"{what}: damaged, its options are no dictionary.")
    return ModelState(
        model_class=model_class,
        iteration=manifest.iteration,
        options=options,
        loss_history=history,
        tensors={part: safetensors_file.load(files[part]) for part in wanted},
        extra=extra,
        run=dict(manifest.run),
        notes=tuple(resolved.notes),
    )


def write(directory: Path, name: str, state: ModelState) -> None:
    """Write a native set (see `model_state.write_model`)."""
    folder = native_folder(directory, name, state.model_class)
    reserved = {_HISTORY, _EXTRA} & set(state.tensors)
    if reserved:
        raise ValueError(f"a part cannot be called {reserved}")
    arrays: dict[str, Any] = {}
    payload = {
        "options": json_tree.encode(plain(dict(state.options)), arrays),
        "extra": json_tree.encode(dict(state.extra), arrays),
    }
    groups = {**state.tensors, _HISTORY: _pack_history(state.loss_history), _EXTRA: arrays}
    contents: dict[str, durable.Writer] = {
        part + _SUFFIX: partial(safetensors_file.dump, dict(tensors))
        for part, tensors in groups.items()
    }
    size = sum(np.asarray(v).nbytes + 200 for group in groups.values() for v in group.values())

    def describe(files: dict[str, FileEntry]) -> Manifest:
        return Manifest(
            model_class=state.model_class,
            name=name,
            format="native",
            iteration=state.iteration,
            files=files,
            run=state.run,
            payload=payload,
        )

    transaction.write_set(
        _place(folder), contents, describe, size=size + 65536, adopt=partial(_adopt, folder)
    )


def _pack_history(history: Sequence[Sequence[float]]) -> dict[str, Any]:
    lengths = np.array([len(row) for row in history], dtype=np.int64)
    values = np.array([item for row in history for item in row], dtype=np.float64)
    return {"lengths": lengths, "values": values}


def _unpack_history(packed: dict[str, Any], what: str) -> list[list[float]]:
    try:
        lengths, numbers = packed["lengths"], packed["values"]
        if np.ndim(lengths) != 1 or np.ndim(numbers) != 1 or lengths.dtype.kind not in "iu":
            raise ValueError("no lists of lengths and values")
        widths, values = lengths.tolist(), numbers.astype(np.float64).tolist()
        if sum(widths) != len(values) or any(n < 0 for n in widths):
            raise ValueError("lengths do not add up")
    except (KeyError, ValueError) as error:
        raise ModelFileError(f"{what}: damaged loss history ({error}).") from None
    rows, position = [], 0
    for width in widths:
        rows.append(values[position : position + width])
        position += width
    return rows


def _adopt(folder: Path) -> Manifest | None:
    """The manifest with today's times, if the set that is there is whole in its place."""
    resolved = transaction.resolve(_place(folder), _RULES)
    if resolved is None or resolved.manifest is None or resolved.origin != "current":
        return None
    if any(path.parent != folder for path in resolved.files.values()):
        return None
    entries = {
        file: replace(resolved.manifest.files[file], mtime_ns=path.stat().st_mtime_ns)
        for file, path in resolved.files.items()
    }
    return replace(resolved.manifest, files=entries)


def recover(directory: Path, name: str, model_class: str) -> None:
    """Finish or clear away an interrupted save (done by itself before the next save)."""
    folder = native_folder(directory, name, model_class)
    with durable.naming_the_fault(folder):
        transaction.recover(_place(folder))


def _place(folder: Path) -> transaction.Place:
    return transaction.Place(
        folder=folder,
        manifest=folder / "manifest.json",
        commit=folder / "commit.json",
        previous=folder / ".previous",
        owns=lambda file: True,
    )
