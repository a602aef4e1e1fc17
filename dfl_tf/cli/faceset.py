"""`dfl-tf faceset`: pack, unpack, look through and guard facesets; color transfer."""

from __future__ import annotations

import importlib
import json
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from dfl_tf.cli.faceset_folder import FolderCommand, as_json_flag, yes_flag
from dfl_tf.cli.model_choice import check_can_ask, confirmed
from dfl_tf.cli.paths import EITHER, FOLDER
from dfl_tf.cli.quiet import with_quiet
from dfl_tf.cli.speaking import CommandGroup, WordChoice
from dfl_tf.errors import UNUSABLE, FacesetError
from dfl_tf.jobs.progress import ProgressBar
from dfl_tf.options.training import ALL_FACE_TYPES

if TYPE_CHECKING:
    from dfl_tf.formats.faces.mask_record import MaskRecord

_ELSEWHERE = {
    "checksum": ("faceset_tools", "checksum"),
    "color-transfer": ("color_transfer", "command"),
    "enhance": ("faceset_tools", "enhance"),
    "export-masks": ("faceset_tools", "export_masks"),
    "filter": ("faceset_filter", "command"),
    "group": ("faceset_group", "command"),
    "landmarks-images": ("faceset_tools", "landmarks_images"),
    "recover-names": ("faceset_tools", "recover_names"),
    "report": ("faceset_report", "command"),
    "resize": ("faceset_tools", "resize"),
    "sort": ("faceset_sort", "command"),
}
"""Commands to the modules of dfl_tf.cli, and the names in them, loaded when they are asked for."""


class _FacesetGroup(CommandGroup):
    """Loads the commands of other modules when they are asked for."""

    command_class = FolderCommand

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted([*super().list_commands(ctx), *_ELSEWHERE])

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name in _ELSEWHERE:
            module, name = _ELSEWHERE[cmd_name]
            found: click.Command = getattr(importlib.import_module(f"dfl_tf.cli.{module}"), name)
            return with_quiet(found)
        return super().get_command(ctx, cmd_name)


@click.group(cls=_FacesetGroup)
def command() -> None:
    """Pack, unpack, check facesets; keep their metadata; transfer colors."""


def _finish(report: Any, as_json: bool, text: str, more: dict[str, object] | None = None) -> None:
    left_out = report.left_out
    facts = {"done": len(report.done), "skipped": report.skipped, "left_out": left_out.as_dict()}
    if as_json:
        click.echo(json.dumps(facts | (more or {}), indent=2, default=str))
        return
    # What fails while files are changed is named one by one: the user has to act on it.
    for line in left_out.lines(all_of_them=True):
        click.echo(line, err=True)
    click.echo(f"{text}, {len(report.skipped)} skipped")


@command.command()
@click.argument("folder", type=FOLDER)
@click.option(
    "--persons/--no-persons",
    default=None,
    help="Each sub-folder is one person; default: if no face lies in FOLDER itself.",
)
@click.option("--delete-originals", is_flag=True, help="Delete the packed images afterwards.")
@yes_flag
@as_json_flag
def pack(
    folder: Path, persons: bool | None, delete_originals: bool, yes: bool, as_json: bool
) -> None:
    """Pack the faces of FOLDER into one faceset.pak."""
    from dfl_tf.formats.faces import faceset_files

    if delete_originals:
        check_can_ask("Delete the packed images?", yes=yes)
    with ProgressBar("packing", "faces", quiet=as_json) as step:
        report, originals = faceset_files.pack_folder(folder, persons=persons, progress=step)
    deleted = 0
    if delete_originals:
        check = faceset_files.examine(folder, verify=True)
        if check.errors:
            raise FacesetError(f"{folder}: the pak has errors, nothing is deleted: {check.errors}")
        if confirmed(f"Delete {len(originals)} packed images?", yes=yes):
            faceset_files.remove_packed(folder, originals)
            deleted = len(originals)
    text = f"packed {len(report.done)} faces" + (f", deleted {deleted} images" if deleted else "")
    _finish(report, as_json, text, {"deleted": deleted})


@command.command()
@click.argument("folder", type=FOLDER)
@click.option("--keep-pak", is_flag=True, help="Keep faceset.pak (training then still uses it).")
@as_json_flag
def unpack(folder: Path, keep_pak: bool, as_json: bool) -> None:
    """Write the images of FOLDER/faceset.pak back, verbatim, then remove the pak."""
    from dfl_tf.formats.faces import faceset_files

    with ProgressBar("unpacking", "faces", quiet=as_json) as step:
        report = faceset_files.unpack_folder(folder, keep_pak=keep_pak, progress=step)
    _finish(report, as_json, f"unpacked {len(report.done)} faces")


_all = click.option("--all", "all_of_them", is_flag=True, help="Name all that is left out.")


@command.command()
@click.argument("path", type=EITHER)
@click.option(
    "--face-type",
    type=WordChoice(ALL_FACE_TYPES),
    help="Of the model that they are for; default: of the newest model of their workspace.",
)
@_all
@as_json_flag
def status(path: Path, face_type: str | None, all_of_them: bool, as_json: bool) -> None:
    """Say what a folder of faces or a pak holds."""
    _examine(path, as_json, all_of_them, verify=False, wanted=face_type)


@command.command()
@click.argument("path", type=EITHER)
@_all
@as_json_flag
@click.pass_context
def verify(context: click.Context, path: Path, all_of_them: bool, as_json: bool) -> None:
    """Compare every face with its checksum, and decode it and its mask; exit 1 on any damage.

    Metadata that cannot be used (landmarks that are not numbers) counts as damage, too.

    Checksums are in PATH.sha256 (dfl-tf faceset checksum); without them only damage that breaks
    an image or its metadata is found.
    """
    if _examine(path, as_json, all_of_them, verify=True):
        context.exit(1)


def _examine(
    path: Path, as_json: bool, all_of_them: bool, *, verify: bool, wanted: str | None = None
) -> int:
    from dfl_tf.face import FaceType
    from dfl_tf.face.smaller import SmallerFaces
    from dfl_tf.formats.faces import faceset_files, faceset_sums
    from dfl_tf.formats.sessions.workspace import face_type_beside

    with ProgressBar("looking", "faces", quiet=as_json) as step:
        report = faceset_files.examine(path, verify=verify, progress=step)
    sums = faceset_sums.compare(path) if verify else None
    unusable = len(report.left_out.by_kind().get(UNUSABLE, ()))
    damage = len(report.errors) + unusable + bool(sums)
    model, face_type = ("", FaceType.from_name(wanted)) if wanted else face_type_beside(path)
    masked_by, differing = (None, []) if verify else _masks(path)
    smaller = SmallerFaces.count(report.known_types(), face_type) if face_type else None
    if as_json:
        facts = {**vars(report), "skipped": report.skipped, "left_out": report.left_out.as_dict()}
        facts["faults"] = facts.pop("errors")
        facts["smaller_face_types"] = None if smaller is None else smaller.number
        if verify:
            facts["checksums"] = None if sums is None else vars(sums)
        else:
            record = None if masked_by is None else vars(masked_by)
            facts |= {"masked_by": record, "mask_warnings": differing}
        click.echo(json.dumps(facts, indent=2))
        return damage
    lines = [
        f"{report.source}: {report.faces} faces",
        f"  face types  {_counted(report.face_types)}",
        f"  sizes       {_counted(report.sizes)}",
        f"  with mask   {report.with_mask}, with polygons {report.with_polygons}",
    ]
    if masked_by is not None:
        lines.append(f"  masked by   {masked_by}")
    lines += [f"  note        {line}" for line in differing]
    if report.persons:
        lines.append(f"  persons     {_counted(report.persons)}")
    if smaller is not None and smaller.number:
        lines.append(f"  smaller     {smaller.text(model)}")
    see = f"dfl-tf faceset {'verify' if verify else 'status'} --all {shlex.quote(str(path))}"
    lines += [f"  {line}" for line in report.left_out.lines(see=see, all_of_them=all_of_them)]
    lines += [f"  DAMAGED     {name}: {reason}" for name, reason in report.errors]
    if verify and not report.errors:
        lines.append(
            "  every other image and mask can be decoded"
            if unusable
            else "  every image and mask can be decoded"
        )
    if verify:
        lines += _compared(sums, path)
    click.echo("\n".join(lines))
    return damage


def _masks(path: Path) -> tuple[MaskRecord | None, list[str]]:
    """What made the masks, and whether those of the other side were made by something else."""
    from dfl_tf.formats.faces.mask_record import read_mask_record
    from dfl_tf.formats.sessions.workspace import warnings_beside

    return read_mask_record(path), warnings_beside(path)


def _compared(sums: Any, path: Path) -> list[str]:
    if sums is None:
        hint = f"dfl-tf faceset checksum {shlex.quote(str(path))}"
        return [f"  no checksums are beside it; damage that can be decoded is not found ({hint})"]
    lines = [f"  CHANGED     {name}: does not fit its checksum" for name in sums.changed]
    lines += [f"  MISSING     {name}: has a checksum" for name in sums.missing]
    if sums.new:
        lines.append(f"  new         {len(sums.new)} without a checksum ({sums.new[0]})")
    if not sums:
        lines.append(f"  {sums.listed} files fit their checksums")
    return lines


def _counted(counter: dict[str, int]) -> str:
    shown = sorted(counter.items(), key=lambda item: -item[1])
    return ", ".join(f"{name} ({count})" for name, count in shown) or "none"


@command.command("save-metadata")
@click.argument("folder", type=FOLDER)
@as_json_flag
def save_metadata(folder: Path, as_json: bool) -> None:
    """Save the metadata of all faces in FOLDER/meta.dat, before images are edited."""
    from dfl_tf.formats.faces import metadata_file

    with ProgressBar("saving", "faces", quiet=as_json) as step:
        report = metadata_file.save_metadata(folder, progress=step)
    _finish(report, as_json, f"saved the metadata of {len(report.done)} faces")


@command.command("restore-metadata")
@click.argument("folder", type=FOLDER)
@as_json_flag
def restore_metadata(folder: Path, as_json: bool) -> None:
    """Put the metadata of FOLDER/meta.dat back into the faces, then remove it."""
    from dfl_tf.formats.faces import metadata_file

    with ProgressBar("restoring", "faces", quiet=as_json) as step:
        report = metadata_file.restore_metadata(folder, progress=step)
    _finish(report, as_json, f"restored the metadata of {len(report.done)} faces")
