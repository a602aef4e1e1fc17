"""The native form of a model: a folder of safetensors files and one manifest.

`<prefix>.dfl/` holds `manifest.json` (iteration, options, checksums, run), one
`<part>.safetensors` a network and optimizer, `loss_history.rows`, to which each save appends, and
`extra.safetensors` for the arrays of other entries. Written as one transaction (`transaction`).

References: design decisions 1 and 52.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from dfl_tf.disk import durable
from dfl_tf.errors import DflTfError, ModelFileError
from dfl_tf.formats.models import history_rows, json_tree, safetensors_file, transaction
from dfl_tf.formats.models.files import native_folder
from dfl_tf.formats.models.legacy import plain
from dfl_tf.formats.models.manifest import Manifest
from dfl_tf.formats.models.state import DiskState, ModelState, Reading
from dfl_tf.formats.models.survey import ModelLocation, Survey, survey, survey_previous
from dfl_tf.formats.models.transaction import Basis, Saved
from dfl_tf.options import KINDS

if TYPE_CHECKING:
    from dfl_tf.formats.models.tensor import Tensor

SUFFIX = ".safetensors"
_HISTORY, _EXTRA = "loss_history.rows", "extra"
_OLD_HISTORY = "loss_history"
"""Part name of the history before manifest version 2: a safetensors file written as a whole."""


def read(directory: Path, name: str, model_class: str, how: Reading) -> ModelState:
    """Read a native set (see `read_write.read_model`)."""
    folder = native_folder(directory, name, model_class)
    place = place_of(folder)
    if how.previous:
        found = survey_previous(place)
    else:
        found = survey(place, (), lambda file: _reads(file, how))
    manifest, what = found.record, str(folder / "manifest.json")
    if manifest is None:
        raise ModelFileError("\n".join(found.damaged.values()) or f"{what}: is missing.")
    if not how.tolerant:
        found.refuse_damaged()
    if manifest.model_class != model_class:
        raise ModelFileError(f"{what}: is of class {manifest.model_class}, not {model_class}.")
    unreadable: dict[str, str] = {}
    history: Sequence[Sequence[float]] = []
    try:
        if how.wants_history:
            history = _read_history(found, what)
    except ModelFileError as error:
        if not how.tolerant and not how.previous:
            raise
        if _HISTORY in found.files:
            unreadable[_HISTORY] = str(error)
    arrays: dict[str, Tensor] = {}
    if _EXTRA + SUFFIX in found.files:
        arrays = safetensors_file.load(found.files[_EXTRA + SUFFIX])
    options = json_tree.decode(manifest.payload.get("options", {}), arrays, what=what)
    extra = json_tree.decode(manifest.payload.get("extra", {}), arrays, what=what)
    if not isinstance(options, dict) or not isinstance(extra, dict):
        raise ModelFileError(f"{what}: damaged, its options are not a dictionary.")
    tensors: dict[str, dict[str, Tensor]] = {}
    parts = {part: file for file in found.files if (part := _part(file)) is not None}
    for part in sorted(filter(how.wants, parts), key=KINDS[model_class].part_key):
        try:
            tensors[part] = safetensors_file.load(found.files[parts[part]])
        except ModelFileError as error:
            if not how.tolerant:
                raise
            unreadable[parts[part]] = str(error)
    return ModelState(
        model_class=model_class,
        iteration=manifest.iteration,
        options=options,
        loss_history=history,
        tensors=tensors,
        extra=extra,
        run=dict(manifest.run),
        notes=tuple(found.notes),
        disk=DiskState.of(found, manifest, folder=folder, unreadable=unreadable, part_of=_part),
    )


def _reads(file: str, how: Reading) -> bool:
    part = _part(file)
    if part is None:
        return how.wants_history or file == _EXTRA + SUFFIX
    return how.wants(part)


def _part(file: str) -> str | None:
    """The part that a file holds; None for the history and the other entries."""
    part = file.removesuffix(SUFFIX)
    return None if part in (file, _EXTRA, _OLD_HISTORY) else part


def write(
    directory: Path, name: str, state: ModelState, basis: Basis | None, snapshot: str
) -> Saved:
    """Write a native set (see `read_write.write_model`)."""
    folder = native_folder(directory, name, state.model_class)
    reserved = {_OLD_HISTORY, _EXTRA} & set(state.tensors)
    if reserved:
        raise ValueError(f"a part cannot be called {reserved}")
    arrays: dict[str, Tensor] = {}
    payload = {
        "options": json_tree.encode(plain(dict(state.options)), arrays),
        "extra": json_tree.encode(dict(state.extra), arrays),
    }
    groups = {**state.tensors, _EXTRA: arrays}
    files: dict[str, durable.Writer] = {
        part + SUFFIX: partial(safetensors_file.dump, dict(tensors))
        for part, tensors in groups.items()
    }
    history = history_rows.pack(state.loss_history)
    size = sum(np.asarray(v).nbytes + 200 for group in groups.values() for v in group.values())
    record = Manifest(
        model_class=state.model_class,
        name=name,
        format="native",
        iteration=state.iteration,
        files={},
        run=state.run,
        payload=payload,
        snapshot=snapshot,
    )
    saved = transaction.write_set(
        place_of(folder),
        transaction.Contents(files, {_HISTORY: history}, size + len(history), state.iteration),
        lambda files: replace(record, files=files),
        basis=basis,
        adopt=partial(adopt, directory, name, state.model_class),
    )
    durable.remove_quietly(folder / (_OLD_HISTORY + SUFFIX))
    return saved


def _read_history(found: Survey, what: str) -> Sequence[Sequence[float]]:
    if _HISTORY in found.files:
        entry = found.entries[_HISTORY]
        return history_rows.read(found.files[_HISTORY], entry.size)
    if _OLD_HISTORY + SUFFIX in found.files:
        packed = safetensors_file.load(found.files[_OLD_HISTORY + SUFFIX])
        return history_rows.unpack_columns(packed, what)
    raise ModelFileError(f"{what}: its {_HISTORY} is missing.")


def adopt(directory: Path, name: str, model_class: str) -> Basis:
    """Whatever lies there now; whole if it can be read and nothing of it is missing."""
    folder = native_folder(directory, name, model_class)
    try:
        state = read(directory, name, model_class, Reading(tolerant=True))
    except DflTfError:
        empty = Manifest(model_class, name, "native", 0, {})
        records = frozenset({"manifest.json"})  # it holds the options
        return transaction.torn_basis(empty, folder, lambda file: True, records)
    assert state.disk is not None
    return Basis(state.disk.present, state.disk.whole, frozenset(state.disk.damaged))


def place_of(folder: Path) -> ModelLocation:
    """Where a native model and its records lie."""
    return ModelLocation(
        folder=folder,
        manifest=folder / "manifest.json",
        commit=folder / "commit.json",
        previous=folder / ".previous",
        owns=lambda file: True,
    )
