"""An export as one job: which model is meant, the file that is written, the check of a file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypedDict, Unpack

from dfl_tf.errors import ModelFileError
from dfl_tf.export.forms import form_of
from dfl_tf.formats.models.choose_model import choose_model
from dfl_tf.formats.models.restore import files_of
from dfl_tf.options import KINDS

if TYPE_CHECKING:
    from dfl_tf.export.report import ExportReport
    from dfl_tf.models.base import FaceModel

Say = Callable[[str], None]


class ExportSettings(TypedDict, total=False):
    """Arguments of `dfl_tf.export.dfm.export_model`."""

    precision: Literal["float32", "float16"]
    with_provenance: bool
    verify: bool
    tolerance: float | None


def model_to_export(folder: Path, name: str | None, model_class: str | None) -> tuple[str, str]:
    """Return name and class of the model that is meant: the newest that fits.

    Models that swap no faces are meant only by their class.

    Raises
    ------
    UsageError, ModelFileError
    """
    if model_class is not None:
        form_of(KINDS[model_class])  # refuses what has no export
        if not KINDS[model_class].named:
            return model_class, model_class
    able = [k for k, kind in KINDS.items() if kind.exports and (kind.swaps_faces or model_class)]
    found = choose_model(folder, name, model_class, classes=able, what="model to export")
    return found.name, found.model_class


def load_for_export(
    folder: Path, name: str, model_class: str, say: Say, *, ema: bool = False
) -> FaceModel:
    """Load a model without optimizers and discriminators; `say` gets what was not as it should.

    With `ema` the averaged weights are taken.
    """
    from dfl_tf.formats import read_model
    from dfl_tf.formats.models.average import averaged, generator_parts
    from dfl_tf.models.restore import restore
    from dfl_tf.options import RunOptions

    only = generator_parts(model_class, ema=ema)
    state = read_model(folder, name, model_class, only=only)
    if ema:
        state = averaged(state)
    model, messages = restore(state, name=name, run=RunOptions(cpu=True), training=False)
    for message in messages:
        say(message)
    return model


def export_from_folder(
    folder: Path,
    name: str,
    model_class: str,
    output: Path | None,
    say: Say,
    *,
    program: str | None = None,
    snapshot: str = "",
    ema: bool = False,
    **settings: Unpack[ExportSettings],
) -> tuple[ExportReport, int]:
    """Load a model and write it for another program.

    Parameters
    ----------
    folder : Path
    name, model_class : str
        See `model_to_export`.
    output : Path or None
        File to write, or a folder for it; default: `folder`.
    say : callable
        Gets notes on the model.
    program : str, optional
        Whose names and layout the file has.
    snapshot : str
        Take a snapshot or a backup of the model instead; its name is part of the default file's.
    ema : bool
        Take the averaged weights of the model.
    **settings
        See `dfl_tf.export.dfm.export_model`.

    Returns
    -------
    (ExportReport, int)
        And the most memory that was in use, in bytes.

    Raises
    ------
    ModelFileError, ExportError, UsageError
    """
    from dfl_tf.export.dfm import export_model
    from dfl_tf.export.onnx_graph import need_all
    from dfl_tf.export.report import watch_memory

    need_all()
    if output is not None and not output.absolute().parent.is_dir():
        raise ModelFileError(f"{output}: there is no folder {output.parent}. Make it first.")
    with watch_memory() as peak:
        place, stored = files_of(folder, name, model_class, snapshot)
        model = load_for_export(place, stored, model_class, say, ema=ema)
        name = f"{name}-{place.name}" if snapshot else name
        file = form_of(KINDS[model_class], program).file
        default = file.format(name=name, model_class=model_class)
        target = folder if output is None else output
        path = target / default if target.is_dir() else target
        report = export_model(model, path, program=program, **settings)
    return report, peak.bytes


def compare_file(
    file: Path,
    folder: Path,
    name: str | None,
    model_class: str | None,
    say: Say,
    *,
    tolerance: float | None = None,
    ema: bool = False,
) -> tuple[dict[str, float], list[str]]:
    """Compare an exported file with a model: what it computes, and the weights in it.

    Returns
    -------
    (dict, list of str)
        The largest difference of each output, and what is wrong with the file.
    """
    from dfl_tf.export import onnx_check
    from dfl_tf.export.dfm import graph_of

    said, program = onnx_check.made_for(file)
    name, model_class = model_to_export(folder, name, model_class or said)
    model = load_for_export(folder, name, model_class, say, ema=ema)
    allowed = tolerance or onnx_check.tolerance_of(file)
    verification = onnx_check.verify(file, model, tolerance=allowed)
    graph = graph_of(model, program if model_class == said else None, half=onnx_check.is_half(file))
    errors = verification.errors() + onnx_check.weight_errors(file, graph)
    return verification.differences, errors
