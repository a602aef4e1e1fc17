"""Faceset commands that make faces or images again, rename them, or list their checksums."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from dfl_tf.cli.faceset_folder import (
    FolderCommand,
    as_json_flag,
    dry_run_flag,
    print_rows,
    take_back,
    undo_flag,
)
from dfl_tf.cli.paths import EITHER, FILE, FOLDER
from dfl_tf.cli.speaking import WordChoice
from dfl_tf.errors import UsageError
from dfl_tf.jobs.progress import ProgressBar
from dfl_tf.options.training import ALL_FACE_TYPES

_OUT = click.Path(path_type=Path, file_okay=False)
_copy_to = click.option(
    "--copy-to", type=_OUT, help="Write the results into this new folder and leave FOLDER alone."
)
_FACE_TYPES = ("same", *ALL_FACE_TYPES)


@click.command(cls=FolderCommand)
@click.argument("folder", type=EITHER)
@click.option(
    "--size",
    type=click.IntRange(128, 2048),
    default=512,
    show_default=True,
    help="Side of the new images, pixels.",
)
@click.option(
    "--face-type",
    type=WordChoice(_FACE_TYPES),
    default="same",
    show_default=True,
    help="How much of the head the new images show.",
)
@_copy_to
@undo_flag
@as_json_flag
def resize(
    folder: Path, size: int, face_type: str, copy_to: Path | None, undo: bool, as_json: bool
) -> None:
    """Give the faces of FOLDER (or a pak) another size, or another crop of the head.

    The originals go to FOLDER_originals, once all results are there.
    """
    if undo:
        take_back(folder, as_json)
        return
    from dfl_tf.face import FaceType
    from dfl_tf.facesets.resize import resize_face
    from dfl_tf.facesets.rewriting import rewrite_faces

    wanted = None if face_type == "same" else FaceType.from_name(face_type)
    with ProgressBar("resizing", "faces", quiet=as_json) as step:
        report = rewrite_faces(
            folder,
            lambda jpeg, metadata: resize_face(jpeg, metadata, size, wanted),
            why=f"resize to {size}",
            ending="_resized",
            copy_to=copy_to,
            progress=step,
        )
    _told(report, as_json, f"resized {len(report.done)} faces to {size}", copy_to)


@click.command(cls=FolderCommand)
@click.argument("folder", type=EITHER)
@click.option("--dfl-home", type=FOLDER, help="DeepFaceLab with FaceEnhancer.npy; or DFL_HOME.")
@click.option(
    "--enhancer",
    type=FILE,
    help="Another network, an ONNX file.",
)
@_copy_to
@undo_flag
@as_json_flag
def enhance(
    folder: Path,
    dfl_home: Path | None,
    enhancer: Path | None,
    copy_to: Path | None,
    undo: bool,
    as_json: bool,
) -> None:
    """Sharpen the faces of FOLDER (or a pak) by a network that you bring.

    The originals go to FOLDER_originals, once all results are there.
    """
    if undo:
        take_back(folder, as_json)
        return
    from dfl_tf.facesets.enhancing import enhancing, find_enhancer
    from dfl_tf.facesets.rewriting import rewrite_faces

    with ProgressBar("enhancing", "faces", quiet=as_json) as step:
        report = rewrite_faces(
            folder,
            enhancing(find_enhancer(dfl_home, enhancer)),
            why="enhance",
            ending="_enhanced",
            copy_to=copy_to,
            workers=1,
            progress=step,
        )
    _told(report, as_json, f"enhanced {len(report.done)} faces", copy_to)


@click.command("recover-names", cls=FolderCommand)
@click.argument("folder", type=EITHER)
@dry_run_flag
@undo_flag
@as_json_flag
def recover_names(folder: Path, dry_run: bool, undo: bool, as_json: bool) -> None:
    """Name the faces of FOLDER (or a pak) after their frames again: 00012_0, 00012_1, ..."""
    if undo:
        take_back(folder, as_json)
        return
    from dfl_tf.facesets.rearranging import rearrange
    from dfl_tf.facesets.recover_names import plan_names

    plan, left_out = plan_names(folder)
    for line in left_out.lines():
        click.echo(line, err=True)
    if dry_run or as_json:
        rows = [{"new_name": new, "name": old} for old, new in plan.kept]
        print_rows(rows, {"left_out": left_out.as_dict()}, as_json=as_json, as_csv=False)
    if not dry_run:
        rearrange(plan)
        click.echo(f"named {len(plan.kept)} faces after their frames", err=as_json)


@click.command("export-masks", cls=FolderCommand)
@click.argument("folder", type=EITHER)
@click.option("--output", type=_OUT, help="Default: FOLDER itself.")
@as_json_flag
def export_masks(folder: Path, output: Path | None, as_json: bool) -> None:
    """Write the mask of each face (XSeg, or else polygons) as NAME_mask.jpg."""
    from dfl_tf.facesets.derived_images import export_masks as export

    with ProgressBar("exporting", "faces", quiet=as_json) as step:
        report = export(folder, output, progress=step)
    _told(report, as_json, f"wrote {len(report.done)} masks", output)


@click.command("landmarks-images", cls=FolderCommand)
@click.argument("folder", type=EITHER)
@click.option("--output", type=_OUT, help="Default: FOLDER_landmarks.")
@click.option("--remove", is_flag=True, help="Delete NAME_debug.jpg beside NAME.jpg in FOLDER.")
@as_json_flag
def landmarks_images(folder: Path, output: Path | None, remove: bool, as_json: bool) -> None:
    """Draw the landmarks into a copy of each face: NAME_debug.jpg."""
    from dfl_tf.facesets import derived_images

    if remove:
        if output is not None:
            raise UsageError("--remove takes FOLDER only: name the folder with the debug images.")
        report = derived_images.remove_landmark_images(folder)
        _told(report, as_json, f"removed {len(report.done)} debug images", None)
        return
    with ProgressBar("drawing", "faces", quiet=as_json) as step:
        report = derived_images.landmark_images(folder, output, progress=step)
    _told(report, as_json, f"drew {len(report.done)} faces", output)


@click.command(cls=FolderCommand)
@click.argument("folder", type=EITHER)
@click.option(
    "--accept-changes", is_flag=True, help="Take files that have changed since as they are."
)
@as_json_flag
def checksum(folder: Path, accept_changes: bool, as_json: bool) -> None:
    """Write the SHA-256 of every face into FOLDER.sha256, for `faceset verify` and `sha256sum`."""
    from dfl_tf.disk.checksums import checksum_path
    from dfl_tf.formats.faces import faceset_sums

    sums, before = faceset_sums.make_list(folder, accept_changes=accept_changes)
    path = checksum_path(faceset_sums.root_of(folder))
    if as_json:
        facts: dict[str, object] = {"path": str(path), "files": len(sums.files)}
        click.echo(json.dumps(facts | (vars(before) if before else {}), indent=2))
        return
    click.echo(f"{path}: {len(sums.files)} files")
    if before:
        click.echo(f"accepted: {len(before.changed)} changed, {len(before.missing)} missing files")


def _told(report: Any, as_json: bool, text: str, output: Path | None) -> None:
    originals = getattr(report, "originals", None)
    if as_json:
        facts = {
            "done": report.done,
            "originals": None if originals is None else str(originals),
            "left_out": report.left_out.as_dict(),
        }
        click.echo(json.dumps(facts, indent=2))
        return
    for line in report.left_out.lines():
        click.echo(line, err=True)
    where = f" into {output}" if output is not None else ""
    click.echo(text + where + (f"; the originals are in {originals}" if originals else ""))
