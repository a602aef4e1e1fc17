"""`dfl-tf faceset group`: the faces of a folder by person."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from dfl_tf.cli.faceset_folder import (
    FolderCommand,
    as_json_flag,
    take_back,
    undo_flag,
)
from dfl_tf.cli.paths import EITHER
from dfl_tf.errors import UsageError
from dfl_tf.jobs.progress import ProgressBar

if TYPE_CHECKING:
    from dfl_tf.facesets.people import People
    from dfl_tf.facesets.rearranging import Rearrangement

_PRINTED = 30
FILE = click.Path(path_type=Path, dir_okay=False)


@click.command(cls=FolderCommand)
@click.argument("folder", type=EITHER)
@click.option(
    "--strictness",
    type=click.FloatRange(0, 1),
    default=0.5,
    show_default=True,
    help="0: rather one group for two persons; 1: rather two groups for one person.",
)
@click.option(
    "--keep",
    type=int,
    multiple=True,
    metavar="GROUP",
    help="Move the faces of all other groups to FOLDER_trash; may be given several times.",
)
@click.option("--sheet", type=FILE, help="Image to look at; default FOLDER_groups.jpg.")
@click.option("--table", type=FILE, help="Group of every face as CSV; default FOLDER_groups.csv.")
@click.option("--embedder", type=FILE, help="An ONNX network of your own (faces of 112 px).")
@click.option(
    "--models-dir",
    type=click.Path(path_type=Path, file_okay=False),
    help="Folder of the fetched models.",
)
@click.option("--dry-run", is_flag=True, help="With --keep: move nothing.")
@undo_flag
@as_json_flag
def command(folder: Path, keep: tuple[int, ...], undo: bool, as_json: bool, **options: Any) -> None:
    """Group the faces of FOLDER (or a pak) by person.

    No two faces of a group are farther apart than --strictness allows, and no two come from one
    frame. Look at the sheet: each row is a group, its most typical faces first, its least typical
    ones last. Then keep the groups of one person. --undo takes the move back.
    """
    if undo:
        take_back(folder, as_json)
        return
    _group(folder, keep, as_json, **options)


def _group(
    folder: Path,
    keep: tuple[int, ...],
    as_json: bool,
    *,
    strictness: float,
    sheet: Path | None,
    table: Path | None,
    embedder: Path | None,
    models_dir: Path | None,
    dry_run: bool,
) -> None:
    from dfl_tf.data.identity import make_embedder
    from dfl_tf.disk.durable import write_file
    from dfl_tf.facesets.measure_cache import MeasureCache
    from dfl_tf.facesets.people import find_people, people_sheet
    from dfl_tf.facesets.rearranging import beside, rearrange, root_of
    from dfl_tf.imaging import encode_image

    if sheet is not None and sheet.suffix.lower() not in (".jpg", ".jpeg", ".png"):
        raise UsageError(f"--sheet {sheet}: is written as .jpg or .png; choose one of these.")
    network = make_embedder(embedder, models_dir)
    with ProgressBar("looking at faces", "faces", quiet=as_json) as step:
        people = find_people(
            folder,
            network,
            strictness=strictness,
            cache=MeasureCache.of_user(),
            progress=step,
        )
    plan = people.keeping(keep) if keep else None
    if not people.grouping.groups:
        for line in people.left_out.lines():
            click.echo(line, err=True)
        raise UsageError(f"{folder}: holds no face with metadata, so there is nobody to group.")
    root = root_of(folder)
    sheet = sheet or beside(root, "_groups.jpg")
    table = table or beside(root, "_groups.csv")
    write_file(table, people.as_csv().encode("utf-8", "surrogateescape"))
    write_file(sheet, encode_image(people_sheet(people), sheet.suffix or ".jpg"))
    if as_json:
        click.echo(json.dumps(_facts(people, plan, sheet, table), indent=1))
    else:
        _print(people, sheet, table)
    if plan is None or dry_run:
        if plan is not None and not as_json:
            click.echo(f"{len(plan.trash)} faces would be moved to {plan.trash_folder}")
        return
    rearrange(plan)
    undo = f"dfl-tf faceset group --undo {shlex.quote(str(folder))}"
    click.echo(
        f"{len(plan.trash)} faces were moved to {plan.trash_folder}; {undo} takes it back",
        err=as_json,
    )


def _facts(
    people: People, plan: Rearrangement | None, sheet: Path, table: Path
) -> dict[str, object]:
    grouping = people.grouping
    return {
        "faces": sum(len(group.members) for group in grouping.groups),
        "network": people.embedder,
        "threshold": grouping.threshold,
        "sampled": grouping.sampled,
        "groups": [
            {
                "group": group.number,
                "faces": len(group.members),
                "typical": people.names[group.members[0]],
                "spread": group.spread,
                "nearest": group.nearest or None,
                "nearest_distance": group.nearest_distance if group.nearest else None,
            }
            for group in grouping.groups
        ],
        "members": people.rows(),
        "trash": None if plan is None else list(plan.trash),
        "left_out": people.left_out.as_dict(),
        "sheet": str(sheet),
        "table": str(table),
    }


def _print(people: People, sheet: Path, table: Path) -> None:
    from dfl_tf.facesets.people import SHEET_GROUPS

    grouping = people.grouping
    for line in people.left_out.lines():
        click.echo(line, err=True)
    for line in grouping.notes():
        click.echo(line, err=True)
    click.echo(f"{'group':>5} {'faces':>6} {'spread':>7} {'nearest':>15}  most typical face")
    for group in grouping.groups[:_PRINTED]:
        nearest = f"{group.nearest} at {group.nearest_distance:.2f}" if group.nearest else "-"
        click.echo(
            f"{group.number:>5} {len(group.members):>6} {group.spread:>7.2f} {nearest:>15}  "
            f"{people.names[group.members[0]]}"
        )
    if len(grouping.groups) > _PRINTED:
        more = sum(len(group.members) for group in grouping.groups[_PRINTED:])
        click.echo(f"{len(grouping.groups) - _PRINTED} smaller groups with {more} faces: {table}")
    click.echo(f"distances by {people.embedder}; at most {grouping.threshold:.2f} within a group")
    several = len(grouping.groups) > SHEET_GROUPS
    click.echo(f"{sheet}: the {f'{SHEET_GROUPS} largest ' if several else ''}groups to look at")
    click.echo(f"{table}: the group of every face")
