"""`dfl-tf xseg`: masks on the faces of a folder or a pak."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from dfl_tf.cli.faceset_folder import DecodingCommand
from dfl_tf.cli.speaking import CommandGroup, WordChoice
from dfl_tf.errors import UsageError
from dfl_tf.jobs.progress import ProgressBar
from dfl_tf.options.training import ALL_FACE_TYPES

if TYPE_CHECKING:
    from dfl_tf.facesets.xseg_tools import Masker, XSegReport

FACES = click.Path(path_type=Path)
_SEE = "the same command with --all"


class _XSegGroup(CommandGroup):
    command_class = DecodingCommand


@click.group(cls=_XSegGroup)
def command() -> None:
    """Apply, remove, fetch and count face masks.

    FACES is a folder of aligned faces, a folder with a faceset.pak, or a pak. Train the masks with
    `dfl-tf train --model XSeg` on faces that were labeled on the page of `dfl-tf web`, or in
    DeepFaceLab's editor.
    """


def _json(function: Callable[..., object]) -> Callable[..., object]:
    return click.option("--json", "as_json", is_flag=True, help="Print JSON.")(function)


def _yes(function: Callable[..., object]) -> Callable[..., object]:
    return click.option("--yes", is_flag=True, help="Do it; without this nothing is removed.")(
        function
    )


def _all(function: Callable[..., object]) -> Callable[..., object]:
    return click.option("--all", "all_of_them", is_flag=True, help="Name all that is left out.")(
        function
    )


def _finish(report: XSegReport, done: str, as_json: bool, all_of_them: bool = False) -> None:
    if as_json:
        facts = {**vars(report), "skipped": report.skipped, "left_out": report.left_out.as_dict()}
        click.echo(json.dumps(facts, indent=1))
        return
    for line in report.left_out.lines(see=_SEE, all_of_them=all_of_them):
        click.echo(line, err=True)
    resumed = f", {report.resumed} were done before" if report.resumed else ""
    skipped = f", {len(report.skipped)} files skipped" if report.skipped else ""
    click.echo(f"{report.changed} of {report.faces} faces: {done}{resumed}{skipped}")


@command.command()
@click.argument("faces", type=FACES)
@click.option(
    "--model-dir",
    "--weights",
    "model_dir",
    type=FACES,
    help="Folder with a trained XSeg, or with (or the file) XSeg_256.npy.",
)
@click.option(
    "--generic", is_flag=True, help="The XSeg model that DeepFaceLab ships, from --dfl-home."
)
@click.option("--dfl-home", type=FACES, help="Folder of DeepFaceLab; default: DFL_HOME.")
@click.option("--onnx", type=FACES, help="A mask network of another program, an ONNX file.")
@click.option(
    "--face-type",
    type=WordChoice([*ALL_FACE_TYPES, "same"]),
    help="What the model was trained on; default: as stored with it, else same.",
)
@click.option("--cpu", is_flag=True, help="Compute on the CPU only.")
@_all
@_json
def apply(
    faces: Path,
    model_dir: Path | None,
    generic: bool,
    dfl_home: Path | None,
    onnx: Path | None,
    face_type: str | None,
    cpu: bool,
    all_of_them: bool,
    as_json: bool,
) -> None:
    """Store the mask that the network makes of each face in its file.

    An interrupted run continues where it stopped. Which model made the masks is noted beside
    the faces (xseg_model.json).
    """
    from dfl_tf.facesets.xseg_store import open_store
    from dfl_tf.facesets.xseg_tools import apply_masks
    from dfl_tf.formats.sessions.workspace import warnings_beside
    from dfl_tf.formats.weights.release_files import GENERIC_NAME, generic_xseg

    if model_dir is not None and not model_dir.exists() and model_dir.name == GENERIC_NAME:
        # scripts of the legacy release name the folder inside it
        click.echo(f"note: {model_dir} does not exist; using --generic", err=True)
        model_dir, generic = None, True
    given = [name for name, value in (("--model-dir", model_dir), ("--generic", generic),
                                      ("--onnx", onnx)) if value]  # fmt: skip
    if len(given) != 1:
        received = " and ".join(given) or "none of them"
        raise UsageError(
            f"name one network: --model-dir, --generic or --onnx; received {received}."
        )
    store = open_store(faces)
    if onnx is not None:
        masker = _foreign_masker(onnx, face_type)
    else:
        masker = _own_masker(model_dir or generic_xseg(dfl_home), face_type, cpu)
    with ProgressBar("masking", "faces") as step:
        report = apply_masks(store, masker, step)
    _finish(report, "mask applied", as_json, all_of_them)
    for line in warnings_beside(store.path):
        click.echo(f"note: {line}", err=True)


def _foreign_masker(onnx: Path, face_type: str | None) -> Masker:
    from dfl_tf.facesets.onnx_masker import OnnxMasker

    masker = OnnxMasker(onnx, face_type)
    click.echo(masker.described(), err=True)
    return masker


def _own_masker(place: Path, face_type: str | None, cpu: bool) -> Masker:
    from dfl_tf.devices.configure import configure_devices
    from dfl_tf.facesets.xseg_masker import XSegMasker
    from dfl_tf.options import RunOptions

    configure_devices(RunOptions(cpu=cpu))
    return XSegMasker.load(place, face_type)


@command.command()
@click.argument("faces", type=FACES)
@_yes
@_all
@_json
def remove(faces: Path, yes: bool, all_of_them: bool, as_json: bool) -> None:
    """Remove the applied masks (labels stay)."""
    from dfl_tf.facesets.xseg_store import open_store
    from dfl_tf.facesets.xseg_tools import remove_masks

    _confirm(yes, "removes the applied masks")
    with ProgressBar("removing", "faces") as step:
        report = remove_masks(open_store(faces), step)
    _finish(report, "mask removed", as_json, all_of_them)


@command.command("remove-labels")
@click.argument("faces", type=FACES)
@_yes
@_all
@_json
def remove_labels_command(faces: Path, yes: bool, all_of_them: bool, as_json: bool) -> None:
    """Remove the polygons that were drawn by hand (masks stay)."""
    from dfl_tf.facesets.xseg_store import open_store
    from dfl_tf.facesets.xseg_tools import remove_labels

    _confirm(yes, "removes the polygons that somebody drew by hand; `xseg fetch` copies them first")
    with ProgressBar("removing", "faces") as step:
        report = remove_labels(open_store(faces), step)
    _finish(report, "labels removed", as_json, all_of_them)


def _confirm(yes: bool, what: str) -> None:
    if not yes:
        raise UsageError(f"this {what}. Add --yes to do it.")


@command.command()
@click.argument("faces", type=FACES)
@click.option("--output", type=FACES, help="Default: the folder's name with _xseg.")
@click.option("--delete-originals", is_flag=True, help="Delete what was copied (not from a pak).")
@_all
@_json
def fetch(
    faces: Path, output: Path | None, delete_originals: bool, all_of_them: bool, as_json: bool
) -> None:
    """Copy the labeled faces to another folder."""
    from dfl_tf.facesets.xseg_store import open_store
    from dfl_tf.facesets.xseg_tools import fetch_labeled

    store = open_store(faces)
    folder = (store.path if store.path.is_dir() else store.path.parent).absolute()
    target = output or folder.with_name(f"{folder.name}_xseg")
    if target.absolute() == folder:
        raise UsageError(f"--output {target}: is where the faces are")
    with ProgressBar("copying", "faces") as step:
        report = fetch_labeled(store, target, delete_originals=delete_originals, step=step)
    _finish(report, f"labeled, copied to {target}", as_json, all_of_them)


@command.command()
@click.argument("faces", type=FACES)
@_all
@_json
def status(faces: Path, all_of_them: bool, as_json: bool) -> None:
    """Count masks and labels, and say which model made the masks."""
    from dfl_tf.facesets.xseg_store import open_store
    from dfl_tf.facesets.xseg_tools import count
    from dfl_tf.formats.faces.mask_record import read_mask_record
    from dfl_tf.formats.sessions.workspace import warnings_beside

    with ProgressBar("counting", "faces") as step:
        counts = count(open_store(faces), step)
    left_out = counts.pop("left_out")
    record, warnings = read_mask_record(faces), warnings_beside(faces)
    if as_json:
        facts = counts | {
            "left_out": left_out.as_dict(),
            "masked_by": None if record is None else asdict(record),
            "warnings": warnings,
        }
        click.echo(json.dumps(facts, indent=1))
        return
    for line in left_out.lines(see=_SEE, all_of_them=all_of_them):
        click.echo(line, err=True)
    types = counts.pop("face_types")
    counts["face_types"] = ", ".join(f"{name} {number}" for name, number in types.items())
    counts["masked_by"] = "not known" if record is None else record
    for key, value in counts.items():
        click.echo(f"{key:<11} {value}")
    for line in warnings:
        click.echo(f"note: {line}", err=True)
