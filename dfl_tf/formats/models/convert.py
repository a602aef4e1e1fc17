"""Conversion of a model to the other format, with a proof; renaming; restoring a backup.

References: design decisions 1, 7; models.md 5; workspace.md 3.1, 6.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from dfl_tf.disk import durable
from dfl_tf.disk.plain_file import read_plain
from dfl_tf.disk.write_errors import explain_write_errors
from dfl_tf.errors import DflTfError, ModelFileError, UsageError
from dfl_tf.formats.models.files import (
    ModelFormat,
    ModelLock,
    detect_format,
    find_models,
    model_files,
    native_folder,
    prefix_of,
)
from dfl_tf.formats.models.manifest import Manifest, read_manifest
from dfl_tf.formats.models.read_write import read_model, write_model
from dfl_tf.formats.models.report import diff_states, state_checksums
from dfl_tf.formats.models.rescue import recover
from dfl_tf.formats.models.restore import read_summary
from dfl_tf.formats.models.state import ModelState
from dfl_tf.options import KINDS

_BELONGS = (
    *("_history", "_autobackups", "_snapshots", "_summary.txt"),
    *("_model.dfm", "_merger_session.dat", "_conversion.json", "_card.html"),
)
"""What lies beside a model's own files and carries its name."""

Proof = Callable[[ModelState, ModelState], dict[str, object]]
"""A further proof on source and result, e.g. of their outputs; its "passed" decides."""


def convert(
    source: Path,
    target: Path,
    name: str,
    model_class: str,
    *,
    to: ModelFormat,
    proof: Proof | None = None,
) -> dict[str, object]:
    """Write a model in the other format, read it back and compare everything.

    Parameters
    ----------
    source, target : Path
        Model folders; may be the same.
    proof : callable, optional
        Compares what the two states compute.

    Returns
    -------
    dict
        JSON-able: "passed", "tensors" (part to key to SHA-256 on both sides), "differences",
        "proof". Also stored as `<prefix>_conversion.json` in `target`.

    Raises
    ------
    ModelFileError
        The source is not whole, or a model of that name is in `target` already.
    """
    prefix = prefix_of(name, model_class)
    there = {m.format for m in find_models(target, model_class) if m.name in (name, prefix)}
    if to in there or (there and target.resolve() != source.resolve()):
        raise ModelFileError(
            f"{target}: already has a model {prefix}. Convert into another folder, or rename it."
        )
    other: ModelFormat = "legacy" if to == "native" else "native"
    read_as = other if there else None
    state = read_model(source, name, model_class, format=read_as)
    summary = source / f"{prefix}_summary.txt"
    text = read_summary(summary)
    with ModelLock(target, name, model_class):
        write_model(target, name, state, format=to, summary=text)
    result = read_model(target, name, model_class, format=to)
    before, after = state_checksums(state), state_checksums(result)
    differences = diff_states(state, result)
    found: dict[str, object] = {
        "passed": bool(differences["same"] and before == after),
        "model": prefix,
        "to": to,
        "iteration": state.iteration,
        "tensors": {
            part: {key: [digest, after.get(part, {}).get(key)] for key, digest in checksums.items()}
            for part, checksums in before.items()
        },
        "differences": differences,
        "notes": list(state.notes),
    }
    if proof is not None:
        found["proof"] = proven = proof(state, result)
        found["passed"] = bool(found["passed"]) and bool(proven.get("passed"))
    encoded = json.dumps(found, indent=1, default=str).encode()
    durable.write_file(target / f"{prefix}_conversion.json", encoded)
    return found


def rename_model(directory: Path, old: str, new: str, model_class: str) -> list[str]:
    """Give a model another name: its files, and the folders of its history and backups.

    Only this class is touched. The new names are complete before the first old one goes, so an
    interruption leaves one whole model at least; the same call again then goes on from there.

    Returns
    -------
    list of str
        The new names.

    Raises
    ------
    UsageError
        XSeg (has no name), or the new name is taken.
    """
    if not KINDS[model_class].named:
        raise UsageError(f"an {model_class} model has no name of its own.")
    before, after = prefix_of(old, model_class), prefix_of(new, model_class)
    taken = detect_format(directory, new, model_class) is not None
    if taken and not _was_interrupted(directory, before, after, new):
        raise UsageError(f"{directory}: a model {after} already exists.")
    kind = detect_format(directory, old, model_class)
    if kind is None:
        read_model(directory, old, model_class)  # says what is there instead
    with ModelLock(directory, old, model_class), explain_write_errors(directory):
        recover(directory, old, model_class)
        if kind == "native":
            done = _rename_native(directory, old, new, model_class)
        elif taken and _is_readable(directory, new, model_class):
            # an earlier call made the new names, and was interrupted while the old ones went
            done = _drop_old_names(directory, old, new, model_class)
        else:
            done = _rename_legacy(directory, old, new, model_class)
        for ending in _BELONGS:
            if (directory / (before + ending)).exists():
                durable.rename(directory / (before + ending), directory / (after + ending))
                done.append(after + ending)
    return done


def _is_readable(directory: Path, name: str, model_class: str) -> bool:
    try:
        return not read_model(directory, name, model_class).notes
    except DflTfError:
        return False


def _rename_native(directory: Path, old: str, new: str, model_class: str) -> list[str]:
    folder = native_folder(directory, new, model_class)
    durable.rename(native_folder(directory, old, model_class), folder)
    manifest = read_manifest(folder / "manifest.json")
    if manifest is not None:
        durable.write_file(folder / "manifest.json", replace(manifest, name=new).to_bytes())
    return [folder.name]


def _rename_legacy(directory: Path, old: str, new: str, model_class: str) -> list[str]:
    read_model(directory, old, model_class, only=())
    before, after = prefix_of(old, model_class), prefix_of(new, model_class)
    manifest = _renamed_manifest(directory / f"{before}.manifest.json", before, after, new)
    if manifest is not None:
        durable.write_file(directory / f"{after}.manifest.json", manifest.to_bytes())
    for path in _files_to_rename(directory, old, model_class):  # data.dat comes last
        _link_or_copy(path, directory / (after + path.name.removeprefix(before)))
    durable.sync_folder(directory)
    return _drop_old_names(directory, old, new, model_class)


def _files_to_rename(directory: Path, name: str, model_class: str) -> list[Path]:
    """The files of a legacy set but its manifest, and its summary, which follows later."""
    return [
        path
        for path in model_files(directory, name, model_class)
        if not path.name.endswith(("_summary.txt", ".manifest.json"))
    ]


def _drop_old_names(directory: Path, old: str, new: str, model_class: str) -> list[str]:
    """Remove the old names of a set that has its new ones; the manifest goes last.

    As long as that is there, the next call knows what is half gone (`_was_interrupted`).
    """
    before, after = prefix_of(old, model_class), prefix_of(new, model_class)
    _rename_previous(directory, before, after, new)
    for path in reversed(_files_to_rename(directory, old, model_class)):
        path.unlink(missing_ok=True)
    durable.sync_folder(directory)
    (directory / f"{before}.manifest.json").unlink(missing_ok=True)
    durable.sync_folder(directory)
    done = _files_to_rename(directory, new, model_class)
    return [path.name for path in done]


def _rename_previous(directory: Path, before: str, after: str, name: str) -> None:
    """Let the kept previous set, and what was moved aside, follow the new name."""
    for ending in ("previous", "replaced"):
        if (directory / f".{before}.{ending}").exists():
            durable.rename(directory / f".{before}.{ending}", directory / f".{after}.{ending}")
    kept = directory / f".{after}.previous"
    if not kept.exists():
        return
    manifest = _renamed_manifest(kept / "manifest.json", before, after, name)
    for path in list(kept.iterdir()):
        if path.name.startswith(before):
            durable.rename(path, kept / (after + path.name.removeprefix(before)))
    if manifest is not None:
        durable.write_file(kept / "manifest.json", manifest.to_bytes())


def _renamed_manifest(path: Path, before: str, after: str, name: str) -> Manifest | None:
    manifest = read_manifest(path)
    if manifest is None or manifest.name == name:  # an interrupted call got as far as that
        return manifest
    files = {after + f.removeprefix(before): entry for f, entry in manifest.files.items()}
    return replace(manifest, name=name, files=files)


def _was_interrupted(directory: Path, before: str, after: str, name: str) -> bool:
    """Whether what has the new name is the beginning of this very renaming of a legacy set."""
    try:
        begun = read_manifest(directory / f"{after}.manifest.json")
        wanted = _renamed_manifest(directory / f"{before}.manifest.json", before, after, name)
    except ModelFileError:
        return False
    return begun is not None and begun == wanted


def _link_or_copy(source: Path, target: Path) -> None:
    target.unlink(missing_ok=True)
    try:
        os.link(source, target)
    except OSError:
        data = read_plain(source)
        durable.write_file(target, data)
