"""The legacy program's model files, both ways.

`<prefix>_<part>.npy` is a pickle of a flat dictionary of arrays, `<prefix>_data.dat` one of
iteration, options and history. The sidecar `<prefix>.manifest.json` is ours (`transaction`).

References: models.md 5.2 to 5.8, workspace.md 3, 4, design decisions 1 and 37.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, overload

import numpy as np

from dfl_tf.disk import durable
from dfl_tf.errors import DflTfError, LegacyFormatError
from dfl_tf.formats.loss_history import LossHistory
from dfl_tf.formats.models import transaction
from dfl_tf.formats.models.files import part_file, part_of, prefix_of
from dfl_tf.formats.models.manifest import Manifest
from dfl_tf.formats.models.state import DiskState, ModelState, Reading
from dfl_tf.formats.models.survey import ModelLocation, Survey, entry_of, survey, survey_previous
from dfl_tf.formats.models.transaction import Basis, Saved
from dfl_tf.formats.pickles.safe_pickle import dump_legacy, dumps_legacy, load_file
from dfl_tf.options import KINDS

if TYPE_CHECKING:
    from dfl_tf.formats.models.tensor import Tensor

_Key = TypeVar("_Key")

_DATA_KEYS = ("iter", "options", "loss_history")
_EXTRA_DEFAULTS = ("sample_for_preview", "choosed_gpu_indexes")


# -- reading -------------------------------------------------------------------------------------
def read(directory: Path, name: str, model_class: str, how: Reading) -> ModelState:
    """Read a legacy set (see `read_write.read_model`)."""
    place, data_name = place_of(directory, name, model_class), _data_name(name, model_class)

    def reads(file: str) -> bool:
        part = part_of(file, name, model_class)
        return part is None or how.wants(part)

    if how.previous:
        found = survey_previous(place)
    else:
        others, leftovers, notes = _plain_files(directory, name, model_class)
        found = survey(place, others, reads)
        if not how.tolerant:
            found.refuse_damaged()
        found.notes.extend(notes)
        for file in leftovers.keys() - found.files.keys():
            found.files[file] = leftovers[file]
            found.entries[file] = entry_of(leftovers[file])
            found.changes.pop(file, None)
    if data_name not in found.files:
        raise LegacyFormatError(f"{directory / data_name}: is missing. Restore it from a backup.")
    data = read_data(found.files[data_name])
    tensors: dict[str, dict[str, Tensor]] = {}
    unreadable: dict[str, str] = {}
    parts = {part: f for f in found.files if (part := part_of(f, name, model_class))}
    for part in sorted(filter(how.wants, parts), key=KINDS[model_class].part_key):
        try:
            tensors[part] = read_part(found.files[parts[part]])
        except DflTfError as error:
            if not how.tolerant:
                raise
            unreadable[parts[part]] = str(error)
    foreign = _is_foreign(found, data_name)
    run = {} if found.record is None or foreign else dict(found.record.run)
    return ModelState(
        model_class=model_class,
        iteration=data["iter"],
        options=data["options"],
        loss_history=data["loss_history"],
        tensors=tensors,
        extra={key: value for key, value in data.items() if key not in _DATA_KEYS},
        run=run,
        notes=tuple(found.notes),
        disk=DiskState.of(
            found,
            Manifest(model_class, name, "legacy", data["iter"], {}, run),
            folder=directory,
            unreadable=unreadable,
            foreign=foreign,
            part_of=lambda file: part_of(file, name, model_class),
        ),
    )


def _is_foreign(found: Survey, data_name: str) -> bool:
    """Whether `data.dat` is another than the one that the last save here wrote."""
    recorded = None if found.record is None else found.record.files.get(data_name)
    return recorded is not None and found.entries[data_name].sha256 != recorded.sha256


def _plain_files(
    directory: Path, name: str, model_class: str
) -> tuple[list[str], dict[str, Path], list[str]]:
    """Names of the files there, and what the old program left of those that it was writing.

    It deletes a file before it renames its finished `.tmp`: a missing one may have left that.
    """
    found: list[str] = []
    leftovers: dict[str, Path] = {}
    notes: list[str] = []
    try:
        names = sorted(entry.name for entry in directory.iterdir())
    except OSError as error:
        raise LegacyFormatError(f"{directory}: cannot be read ({error.strerror}).") from None
    for file_name in names:
        target = file_name.removesuffix(".tmp")
        if target != _data_name(name, model_class) and part_of(target, name, model_class) is None:
            continue
        if target == file_name:
            found.append(target)
        elif target not in names and loads(target, directory / file_name):
            leftovers[target] = directory / file_name
            notes.append(f"{target} was missing; its complete leftover {file_name} is used")
    return found, leftovers, notes


def read_part(path: Path) -> dict[str, Tensor]:
    """The arrays of one weight or optimizer file, any shape, in file order.

    Raises
    ------
    LegacyFormatError
        Not a flat dictionary of arrays of numbers.
    """
    tensors = load_file(path)
    if not isinstance(tensors, dict):
        raise LegacyFormatError(f"{path}: holds a {type(tensors).__name__}, not a dictionary.")
    wrong = []
    for key, value in tensors.items():
        if isinstance(value, int | float) and not isinstance(value, np.generic | bool):
            tensors[key] = np.int64(value) if isinstance(value, int) else np.float64(value)
        elif not isinstance(value, np.ndarray | np.number) or value.dtype.kind not in "iuf":
            wrong.append(str(key)[:80])
    if wrong or not all(isinstance(key, str) for key in tensors):
        raise LegacyFormatError(
            f"{path}: these entries are not arrays of numbers: {', '.join(wrong[:10]) or 'keys'}."
        )
    return tensors


def read_data(path: Path) -> dict[str, Any]:
    """The content of a data.dat: `iter`, `options`, `loss_history`, then what else is there.

    NumPy scalars of options become plain values. Missing keys get their defaults.

    Raises
    ------
    LegacyFormatError

    References
    ----------
    models.md 5.6, workspace.md 4.1.
    """
    data = load_file(path, rows=True)
    if not isinstance(data, dict):
        raise LegacyFormatError(f"{path}: holds a {type(data).__name__}, not a dictionary.")
    errors = []
    iteration = plain(data.get("iter", 0))
    if not isinstance(iteration, int) or isinstance(iteration, bool) or iteration < 0:
        errors.append(f"iter={str(iteration)[:40]!r} is not a count")
    options = data.get("options", {})
    if not isinstance(options, dict):
        errors.append("options is not a dictionary")
    history = _history(data.get("loss_history", []))
    if history is None:
        errors.append("loss_history is not a list of lists of numbers")
    if errors:
        raise LegacyFormatError(f"{path}: {'; '.join(errors)}. Restore it from a backup.")
    rest = {
        str(key): list(value) if isinstance(value, LossHistory) else value
        for key, value in data.items()
        if key not in _DATA_KEYS
    }
    return {"iter": iteration, "options": plain(options), "loss_history": history} | rest


def _history(value: object) -> LossHistory | None:
    if isinstance(value, LossHistory):
        return value
    if not isinstance(value, list | tuple):
        return None
    rows = []
    for row in value:
        if type(row) is not list or not all(type(item) is float for item in row):
            try:
                row = [float(item) for item in np.atleast_1d(row).tolist()]
            except (TypeError, ValueError):
                return None
        rows.append(row)
    return LossHistory(rows)


def read_default_options(directory: Path, model_class: str) -> dict[str, object]:
    """`<CLASS>_default_options.dat`, or {} if it is absent or unreadable (models.md 5.7)."""
    try:
        stored = plain(load_file(directory / f"{model_class}_default_options.dat"))
    except DflTfError:
        return {}
    return stored if isinstance(stored, dict) else {}


@overload
def plain(value: dict[_Key, object]) -> dict[_Key, object]: ...
@overload
def plain(value: object) -> object: ...
def plain(value: object) -> object:
    """`value` with NumPy scalars turned into Python ones, in dictionaries, lists and tuples."""
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(plain(item) for item in value)
    return value


def loads(file_name: str, path: Path) -> bool:
    """Whether a file of a legacy set can be read as what its name says."""
    try:
        (read_data if file_name.endswith("_data.dat") else read_part)(path)
    except DflTfError:
        return False
    return True


# -- writing -------------------------------------------------------------------------------------
def write(
    directory: Path, name: str, state: ModelState, basis: Basis | None, snapshot: str
) -> Saved:
    """Write a legacy set with its sidecar (see `read_write.write_model`)."""
    files: dict[str, durable.Writer] = {}
    size = 0
    for part, tensors in state.tensors.items():
        files[part_file(name, state.model_class, part)] = partial(dump_legacy, dict(tensors))
        size += sum(np.asarray(value).nbytes + 200 for value in tensors.values())
    files[_data_name(name, state.model_class)] = partial(dump_legacy, data_dict(state))
    size += 32 * len(state.loss_history) + 65536
    record = Manifest(
        model_class=state.model_class,
        name=name,
        format="legacy",
        iteration=state.iteration,
        files={},
        run=state.run,
        snapshot=snapshot,
    )
    return transaction.write_set(
        place_of(directory, name, state.model_class),
        transaction.Contents(files, {}, size, state.iteration),
        lambda files: replace(record, files=files),
        basis=basis,
        adopt=partial(adopt, directory, name, state.model_class),
    )


def data_dict(state: ModelState) -> dict[str, object]:
    """The dictionary of data.dat in the legacy order."""
    data: dict[str, object] = {
        "iter": int(state.iteration),
        "options": plain(dict(state.options)),
        "loss_history": state.loss_history,
    }
    for key in _EXTRA_DEFAULTS:
        data[key] = state.extra.get(key)
    return data | state.extra


def options_bytes(options: Mapping[str, object]) -> bytes:
    """`<CLASS>_default_options.dat`."""
    return dumps_legacy(plain(dict(options)))


def adopt(directory: Path, name: str, model_class: str) -> Basis:
    """Whatever lies there now; whole if it can be read and nothing of it is missing."""
    try:
        state = read(directory, name, model_class, Reading(tolerant=True))
    except DflTfError:
        owns = place_of(directory, name, model_class).owns
        empty = Manifest(model_class, name, "legacy", 0, {})
        return transaction.torn_basis(empty, directory, owns)
    assert state.disk is not None
    return Basis(state.disk.present, state.disk.whole, frozenset(state.disk.damaged))


def _data_name(name: str, model_class: str) -> str:
    return f"{prefix_of(name, model_class)}_data.dat"


def place_of(directory: Path, name: str, model_class: str) -> ModelLocation:
    """Where a legacy model and its records lie."""
    prefix = prefix_of(name, model_class)
    records = (f"{prefix}_data.dat", f"{prefix}.manifest.json", f"{prefix}.commit.json")
    return ModelLocation(
        folder=directory,
        manifest=directory / records[1],
        commit=directory / records[2],
        previous=directory / f".{prefix}.previous",
        owns=lambda file: file in records or part_of(file, name, model_class) is not None,
    )
