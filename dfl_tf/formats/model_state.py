"""Everything a model is, as plain NumPy, and reading and writing it in either format.

References: models.md 5, workspace.md 3 and 4, design decisions 1, 2, 7, 28, 37.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from dfl_tf.disk import durable
from dfl_tf.errors import DflTfError, ModelFileError
from dfl_tf.formats.model_files import ModelFormat, detect_format, find_models, prefix_of

_log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class ModelState:
    """A model at rest.

    Attributes
    ----------
    model_class : str
        "SAEHD", "AMP", "Quick96" or "XSeg".
    iteration : int
        Finished iterations.
    options : dict
        The stored legacy dictionary with plain Python values, order kept, unknown keys included.
    loss_history : sequence of sequences of float
        One entry an iteration; its length may differ from `iteration`. A read model has a
        `LossHistory`, which equals a list of lists.
    tensors : dict of part to dict of key to ndarray
        Part = file stem ("encoder", "src_dst_opt", "XSeg_256"); key exactly as in the file
        ("down1/downs_0/conv1/weight:0"); order as in the file. Optimizers hold "iters:0", an
        int64 scalar.
    extra : dict
        Other entries of data.dat, carried along: "sample_for_preview", "choosed_gpu_indexes",
        what forks add.
    run : dict
        JSON-able; how the run stood (seed, stream positions). Empty for a set of another program.
    notes : tuple of str
        What reading found that the user should know (restored, rewritten elsewhere, …).
    """

    model_class: str
    iteration: int
    options: dict[str, Any]
    loss_history: Sequence[Sequence[float]]
    tensors: dict[str, dict[str, Any]]
    extra: dict[str, Any] = field(default_factory=dict)
    run: dict[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


def read_model(
    directory: Path,
    name: str,
    model_class: str,
    *,
    only: Collection[str] | None = None,
    format: ModelFormat | None = None,
) -> ModelState:
    """Read a model; nothing on disk is changed.

    Parameters
    ----------
    only : collection of str, optional
        Parts to read (the others are still part of the check that the set is whole).
    format : {"legacy", "native"}, optional
        Which form to read if both are there; default the newer one.

    Raises
    ------
    ModelFileError
        There is no such model (names those that are there), or neither it nor the kept previous
        set is whole.
    LegacyFormatError, UnsafePickleError
        A file is damaged or names what it may not.
    """
    from dfl_tf.formats import model_legacy, model_native

    found = format or detect_format(directory, name, model_class)
    if found is None:
        raise ModelFileError(_not_found(directory, name, model_class))
    reader = model_native.read if found == "native" else model_legacy.read
    state = None
    for attempt in range(3):
        try:
            state = reader(directory, name, model_class, only)
            break
        except (DflTfError, OSError):
            # a save by another process may have moved files meanwhile: look again
            if attempt == 2:
                raise
    assert state is not None
    for note in state.notes:
        _log.warning("%s: %s", prefix_of(name, model_class), note)
    return state


def _not_found(directory: Path, name: str, model_class: str) -> str:
    prefix = prefix_of(name, model_class)
    others = [f"{m.name} ({m.model_class})" for m in find_models(directory)]
    if not directory.is_dir():
        return f"{directory}: there is no such folder."
    there = f"Models there: {', '.join(others[:20])}." if others else "No model is there."
    return f"{directory}: there is no model {prefix}. {there}"


def write_model(
    directory: Path,
    name: str,
    state: ModelState,
    *,
    format: Literal["same"] | ModelFormat = "same",
    summary: str | None = None,
    default_options: Mapping[str, Any] | None = None,
) -> None:
    """Write a model as one transaction: at any moment the old or the new set is there, whole.

    Parameters
    ----------
    format : {"same", "legacy", "native"}
        "same": as it is there; legacy for a new one.
    summary : str, optional
        Text of `summary.txt` (models.md 5.9).
    default_options : mapping, optional
        Written to `<CLASS>_default_options.dat`: what the newest new model of the class began
        with (options.md 1).

    Raises
    ------
    WorkspaceError
        Disk full, folder read-only, … The old set is unchanged.
    """
    from dfl_tf.formats import model_legacy, model_native

    prefix = prefix_of(name, state.model_class)
    kind = format if format != "same" else detect_format(directory, name, state.model_class)
    if kind == "native":
        model_native.write(directory, name, state)
    else:
        model_legacy.write(directory, name, state)
    if default_options is not None:
        path = directory / f"{state.model_class}_default_options.dat"
        durable.write_file(path, model_legacy.options_bytes(default_options))
    if summary is not None:
        durable.write_file(directory / f"{prefix}_summary.txt", summary.encode("utf-8"))
