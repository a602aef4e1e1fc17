"""What can take the place of a model that is not as it was: the previous set, and the backups.

References: design decision 42.
"""

from __future__ import annotations

import shlex
from pathlib import Path

from dfl_tf.disk.write_errors import explain_write_errors
from dfl_tf.errors import DflTfError
from dfl_tf.formats.models import legacy, native, transaction
from dfl_tf.formats.models.files import (
    ModelFormat,
    detect_format,
    find_models,
    native_folder,
    part_file,
    prefix_of,
)
from dfl_tf.formats.models.manifest import Manifest, read_manifest
from dfl_tf.formats.models.survey import ModelLocation, kept_previous
from dfl_tf.formats.models.transaction import Basis
from dfl_tf.options import KINDS

_NAMED = 5


def place_of(
    directory: Path, name: str, model_class: str, format: ModelFormat | None = None
) -> ModelLocation:
    """Where a model and its records lie, by default in the format that is there."""
    if (format or detect_format(directory, name, model_class)) == "native":
        return native.place_of(native_folder(directory, name, model_class))
    return legacy.place_of(directory, name, model_class)


def previous_set(directory: Path, name: str, model_class: str) -> Manifest | None:
    """The manifest of the kept previous set, if its files are there."""
    kept = kept_previous(place_of(directory, name, model_class))
    return None if kept is None else kept[1]


def basis_now(directory: Path, name: str, model_class: str) -> Basis:
    """Whatever lies there, as what a save is to take the place of."""
    form = native if detect_format(directory, name, model_class) == "native" else legacy
    return form.adopt(directory, name, model_class)


def recover(directory: Path, name: str, model_class: str) -> None:
    """Finish or clear away an interrupted save (done by itself before the next save)."""
    with explain_write_errors(directory):
        transaction.recover(place_of(directory, name, model_class))


def file_of(directory: Path, name: str, model_class: str, part: str) -> str:
    """Name of the file of a part, in the format that is there."""
    if detect_format(directory, name, model_class) == "native":
        return part + native.SUFFIX
    return part_file(name, model_class, part)


def backups(directory: Path, name: str, model_class: str) -> list[Path]:
    """The backup folders of a model, the newest first."""
    folder = directory / f"{prefix_of(name, model_class)}_autobackups"
    if not folder.is_dir():
        return []
    return sorted(p for p in folder.iterdir() if p.is_dir() and p.name.isdigit())


def ways_back(directory: Path, name: str, model_class: str) -> list[str]:
    """The kept previous set, the backups and the snapshots, and commands that take them."""
    restore = shlex.join(["dfl-tf", "model", "restore", str(directory), "--class", model_class])
    if KINDS[model_class].named:
        restore += f" --name {shlex.quote(name)}"
    lines = []
    kept = previous_set(directory, name, model_class)
    if kept is not None:
        lines.append(f"The set of iteration {kept.iteration} is kept: {restore} --previous")
    there = backups(directory, name, model_class)
    for folder in there[:_NAMED]:
        iteration = backup_iteration(folder, model_class)
        known = "unknown iteration" if iteration is None else f"iteration {iteration}"
        lines.append(f"Backup {folder.name} ({known}): {restore} --from {folder.name}")
    if len(there) > _NAMED:
        lines.append(f"{len(there) - _NAMED} older backups are in {there[0].parent}.")
    named = _snapshot_names(directory / f"{prefix_of(name, model_class)}_snapshots")
    if named:
        more = f" (and {len(named) - _NAMED} older ones)" if len(named) > _NAMED else ""
        lines.append(f"Snapshots: {', '.join(named[:_NAMED])}{more}: {restore} --from NAME")
    return lines or ["No previous set is kept, and there is no backup or snapshot."]


def _snapshot_names(folder: Path) -> list[str]:
    """Names of the snapshots in a folder, the newest first."""
    try:
        found = [path for path in folder.iterdir() if path.is_dir() and path.name[0] != "."]
        return [path.name for path in sorted(found, key=lambda p: -p.stat().st_mtime_ns)]
    except OSError:
        return []


def backup_iteration(folder: Path, model_class: str) -> int | None:
    """The iteration of a backup, from its manifest, else from its data.dat."""
    try:
        for found in find_models(folder, model_class):
            record = read_manifest(place_of(folder, found.name, model_class).manifest)
            if record is not None:
                return record.iteration
            prefix = prefix_of(found.name, model_class)
            return int(legacy.read_data(folder / f"{prefix}_data.dat")["iter"])
    except (DflTfError, OSError):
        pass
    return None
