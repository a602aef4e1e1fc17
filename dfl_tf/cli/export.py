"""`dfl-tf export`: models as ONNX files for other programs, and the check of such files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

from dfl_tf.cli.speaking import CommandGroup, WordChoice
from dfl_tf.errors import UsageError
from dfl_tf.export.forms import form_of
from dfl_tf.export.job import compare_file, export_from_folder, model_to_export
from dfl_tf.options import KINDS, XSegOptions

from .model_choice import class_option
from .paths import FILE, MODEL_FOLDER

if TYPE_CHECKING:
    from dfl_tf.export.report import ExportReport

_FILE = click.Path(path_type=Path)

_output = click.option(
    "-o", "--output", type=_FILE, help="File to write; default beside the model."
)
_provenance = click.option(
    "--no-provenance", is_flag=True, help="Leave out the metadata that say what the file is."
)
_no_verify = click.option(
    "--no-verify", is_flag=True, help="Write without comparing the file with the model."
)
_tolerance = click.option(
    "--tolerance",
    type=click.FloatRange(0, min_open=True),
    help="Largest difference from the model; default 1e-4, with float16 2e-3.",
)
_snapshot = click.option(
    "--snapshot",
    default="",
    metavar="SNAPSHOT|NUMBER|FOLDER",
    help="Use a snapshot or a backup of the model instead; dfl-tf model snapshots lists them. "
    "Default: the model itself.",
)
_ema = click.option(
    "--ema", is_flag=True, help="The averaged weights of a model that is trained with ema."
)
_json = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


@click.group(cls=CommandGroup)
def command() -> None:
    """Write models as ONNX (needs dfl-tf[export])."""


@command.command()
@click.argument("model_dir", metavar="MODEL_DIR", type=MODEL_FOLDER)
@click.option("--name", help="Name of the model; default the newest.")
@class_option("Class of the model; Quick96 cannot be exported.")
@_output
@click.option(
    "--precision",
    type=WordChoice(("float32", "float16")),
    default="float32",
    show_default=True,
    help="Of the convolutions inside; float16 makes half the file.",
)
@_snapshot
@_ema
@_provenance
@_no_verify
@_tolerance
@_json
def dfm(
    model_dir: Path,
    name: str | None,
    model_class: str | None,
    output: Path | None,
    precision: Literal["float32", "float16"],
    snapshot: str,
    ema: bool,
    no_provenance: bool,
    no_verify: bool,
    tolerance: float | None,
    as_json: bool,
) -> None:
    """Export a SAEHD or AMP model for DeepFaceLive, FaceFusion or VisoMaster.

    The file takes its place only after it was compared with the model; exit 1 if they differ.
    """
    name, model_class = model_to_export(model_dir, name, model_class)
    if precision != "float32" and not form_of(KINDS[model_class]).half:
        raise UsageError(f"{model_class} is exported as float32 only. Leave out --precision.")
    report, peak = export_from_folder(
        model_dir,
        name,
        model_class,
        output,
        _note,
        precision=precision,
        snapshot=snapshot,
        ema=ema,
        with_provenance=not no_provenance,
        verify=not no_verify,
        tolerance=tolerance,
    )
    _tell(report, peak, as_json)


@command.command()
@click.argument("model_dir", metavar="MODEL_DIR", type=MODEL_FOLDER)
@click.option(
    "--for",
    "program",
    type=WordChoice(("dfl", "facefusion", "visomaster")),
    default="dfl",
    show_default=True,
    help="Program whose names and layout of input and output the file has.",
)
@_output
@_provenance
@_no_verify
@_tolerance
@_json
def xseg(
    model_dir: Path,
    program: str,
    output: Path | None,
    no_provenance: bool,
    no_verify: bool,
    tolerance: float | None,
    as_json: bool,
) -> None:
    """Export the XSeg model of a folder; exit 1 if the file differs from the model."""
    report, peak = export_from_folder(
        model_dir,
        XSegOptions.NAME,
        XSegOptions.NAME,
        output,
        _note,
        program=program,
        precision="float32",
        with_provenance=not no_provenance,
        verify=not no_verify,
        tolerance=tolerance,
    )
    _tell(report, peak, as_json)


@command.command()
@click.argument("file", type=FILE)
@click.option("--model-dir", type=MODEL_FOLDER, help="Compare with a model of this folder.")
@click.option("--name", help="Name of that model; default the newest.")
@class_option("Class of that model.")
@_ema
@_tolerance
@_json
@click.pass_context
def check(
    context: click.Context,
    file: Path,
    model_dir: Path | None,
    name: str | None,
    model_class: str | None,
    ema: bool,
    tolerance: float | None,
    as_json: bool,
) -> None:
    """Check a DFM or XSeg file as live programs need it; exit 1 if it has errors.

    With --model-dir its outputs are compared with those of the model as well, and the weights of
    a file of this program bit for bit.
    """
    from dfl_tf.export import onnx_check

    problems = onnx_check.lint(file, model_class)
    differences: dict[str, float] = {}
    if not problems and model_dir is None:
        problems = onnx_check.try_out(file)
    elif not problems:
        assert model_dir is not None
        differences, problems = compare_file(
            file, model_dir, name, model_class, _note, tolerance=tolerance, ema=ema
        )
    if as_json:
        document = {"file": str(file), "faults": problems, "differences": differences}
        click.echo(json.dumps(document, indent=2))
    else:
        for output, error in differences.items():
            click.echo(f"{output}: largest difference {error:.3g}")
        for problem in problems:
            click.echo(f"error: {problem}")
        click.echo(f"{file}: {'FAILED' if problems else 'good'}")
    if problems:
        context.exit(1)


def _note(message: str) -> None:
    click.echo(f"note: {message}", err=True)


def _tell(report: ExportReport, peak: int, as_json: bool) -> None:
    verification = report.verification
    per_parameter = round(peak / report.parameters, 1)
    if as_json:
        document = {
            "file": str(report.path),
            "class": report.model_class,
            "precision": report.precision,
            "opset": report.opset,
            "parameters": report.parameters,
            "bytes": report.size,
            "metadata": report.metadata,
            "memory": {
                "peak_bytes": peak,
                "write_peak_bytes": report.written_peak,
                "verify_peak_bytes": report.verified_peak,
                "peak_bytes_per_parameter": per_parameter,
            },
            "verified": verification is not None,
            "tolerance": verification and verification.tolerance,
            "differences": verification and verification.differences,
        }
        click.echo(json.dumps(document, indent=2))
        return
    size = f"{report.size / 2**20:.1f} MiB"
    click.echo(f"{report.path}: {size}, {report.precision}, opset {report.opset}")
    click.echo(
        f"{report.parameters:,} parameters; at most {peak / 2**20:.0f} MiB of memory, "
        f"{per_parameter} bytes a parameter"
    )
    if not report.metadata:
        click.echo("written without provenance metadata")
    if verification is None:
        click.echo("not verified")
        return
    for output, error in verification.differences.items():
        click.echo(f"{output}: largest difference {error:.3g} (allowed {verification.tolerance:g})")
