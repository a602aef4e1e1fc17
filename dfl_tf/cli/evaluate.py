"""`dfl-tf evaluate`: how good models are on faces, several states side by side."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from dfl_tf.cli.speaking import Command, WordChoice
from dfl_tf.errors import UsageError

from .model_choice import class_option

if TYPE_CHECKING:
    from dfl_tf.evaluate.job import EvaluationReport
    from dfl_tf.evaluate.results import Evaluation

_PATH = click.Path(path_type=Path)
_FILE = click.Path(path_type=Path, dir_okay=False)
_SHEETS = (".jpg", ".jpeg", ".png")
_MEANINGS = {
    "ssim": "structural similarity, mean of src and dst (1 = equal)",
    "src_ssim": "of src faces reproduced",
    "src_l1": "mean difference, 0 to 1",
    "src_psnr": "dB",
    "src_iou": "overlap of the masks (1 = equal)",
    "dst_ssim": "of dst faces reproduced",
    "dst_l1": "mean difference, 0 to 1",
    "dst_psnr": "dB",
    "dst_iou": "overlap of the masks (1 = equal)",
    "identity_src": "distance of the swap from src: smaller is more alike",
    "identity_dst": "distance of the swap from dst",
    "jitter": "what the swap moves by itself from frame to frame (0 = steady)",
}
"""In the order in which they are shown."""


@click.command(cls=Command)
@click.argument("workspace", type=_PATH, required=False)
@click.argument("states", metavar="[SNAPSHOT]...", nargs=-1)
@class_option("Class of the model; default: of the one saved last.")
@click.option("--name", metavar="NAME", help="Model to measure; default: the one saved last.")
@click.option("--src", type=_PATH, help="Aligned src faces; default WORKSPACE/data_src/aligned.")
@click.option("--dst", type=_PATH, help="Aligned dst faces; default WORKSPACE/data_dst/aligned.")
@click.option("--model-dir", type=_PATH, help="Folder of model files; default WORKSPACE/model.")
@click.option(
    "--ema",
    is_flag=True,
    help="Measure the averaged weights of each as well; for models that are trained with ema.",
)
@click.option(
    "--faces",
    type=click.IntRange(0),
    default=200,
    show_default=True,
    help="Faces of each person at most, evenly spread; 0 = all.",
)
@click.option("--sheet", type=_FILE, help="Draw the worst and the median faces, .jpg or .png.")
@click.option("--against", type=_FILE, help="Compare with the results of an earlier --json.")
@click.option("--no-identity", is_flag=True, help="Do not measure whom the swap looks like.")
@click.option("--embedder", type=_FILE, help="An ONNX network of your own for that.")
@click.option("--models-dir", type=_PATH, help="Folder of fetched models.")
@click.option(
    "--precision",
    type=WordChoice(("float32", "bfloat16")),
    default="float32",
    show_default=True,
    help="What the networks compute in.",
)
@click.option("--devices", default="", metavar="0", help="GPU to use; default the best one.")
@click.option("--cpu", is_flag=True, help="Compute on the CPU only.")
@click.option("--threads", type=click.IntRange(0), default=0, help="Of TensorFlow; 0 = all cores.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def command(
    workspace: Path | None,
    states: tuple[str, ...],
    sheet: Path | None,
    against: Path | None,
    no_identity: bool,
    as_json: bool,
    **given: Any,
) -> None:
    """Measure models on faces that they were not trained on.

    WORKSPACE holds data_src/aligned, data_dst/aligned and model. Beside the model as it was saved
    last, each SNAPSHOT is measured on the same faces: the number of a backup (01), the name of a
    snapshot, a folder with model files, or "previous" for the set of the save before.

    Faces that the model keeps out of its training (option holdout) are measured; without such
    faces all are, or as many as --faces says, and the result says that the model has seen them.
    """
    from dfl_tf import api
    from dfl_tf.evaluate.results import read_document
    from dfl_tf.options import RunOptions

    if sheet is not None:
        _check_sheet(sheet)
    earlier = [] if against is None else read_document(against)
    run = {key: given.pop(key) for key in ("precision", "devices", "cpu", "threads")}
    report = api.evaluate(
        workspace,
        states=states,
        run=RunOptions(**run),
        identity=not no_identity,
        sheet=sheet,
        say=lambda line: click.echo(line, err=True),
        **given,
    )
    if as_json:
        document = report.as_dict()
        if earlier:
            document["comparison"] = _comparisons(report.results, earlier)
        click.echo(json.dumps(document, indent=1, allow_nan=False))
        return
    for line in _lines(report):
        click.echo(line)
    for line in _comparisons(report.results, earlier):
        click.echo(line)
    if sheet is not None:
        click.echo(f"sheet: {sheet}")


def _check_sheet(path: Path) -> None:
    if path.suffix.lower() not in _SHEETS:
        raise UsageError(f"--sheet {path}: the file must end with {', '.join(_SHEETS)}.")
    if not path.absolute().parent.is_dir():
        raise UsageError(f"--sheet {path}: there is no folder {path.absolute().parent}.")


def _lines(report: EvaluationReport) -> list[str]:
    from dfl_tf.evaluate.job import comparison

    found = report.results
    lines = [*report.notes, *report.faces.left_out.lines()]
    lines += [f"{result.model}: {note}" for result in found for note in result.notes]
    lines += ["", *table(found)]
    pairs, cuts = found[0].scores.pairs, found[0].scores.cuts
    if pairs or cuts:
        ends = f", {cuts} others are cuts" if cuts else ""
        lines += ["", f"jitter is of {pairs} pairs of consecutive dst faces{ends}"]
    return [*lines, *comparison(found)]


def table(found: Sequence[Evaluation]) -> list[str]:
    """The numbers of several results, a column each."""
    names = [*_MEANINGS, *(key for r in found for key in r.metrics if key not in _MEANINGS)]
    shown = [key for key in dict.fromkeys(names) if any(key in r.metrics for r in found)]
    heads = [result.model for result in found]
    width = max(10, *map(len, heads))
    lines = ["".join([f"{'':14}", *(f"{head:>{width + 2}}" for head in heads)])]
    counts = [f"{result.iteration:>{width + 2}}" for result in found]
    lines.append("".join([f"{'iteration':14}", *counts]))
    for key in shown:
        cells = [_number(result.metrics.get(key), width) for result in found]
        lines.append("".join([f"{key:14}", *cells, "  ", _MEANINGS.get(key, "")]).rstrip())
    return lines


def _number(value: float | None, width: int) -> str:
    if value is None:
        return f"{'-':>{width + 2}}"
    return f"{'no number' if math.isnan(value) else f'{value:.4f}':>{width + 2}}"


def _comparisons(now: Sequence[Evaluation], earlier: Sequence[Evaluation]) -> list[str]:
    """The model as it is now beside each earlier result of its name, or why they do not compare."""
    from dfl_tf.evaluate.results import PRIMARY, incomparable

    lines = []
    for before in earlier:
        reasons = incomparable(before, now[0])
        title = f"{before.model}, iteration {before.iteration}"
        if reasons:
            lines.append(f"not compared with {title}: {'; '.join(reasons)}")
            continue
        old, new = before.metrics.get(PRIMARY, math.nan), now[0].metrics.get(PRIMARY, math.nan)
        lines.append(f"{PRIMARY} {old:.4f} at {title} -> {new:.4f} ({new - old:+.4f})")
    return lines
