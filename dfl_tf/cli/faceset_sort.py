"""`dfl-tf faceset sort`: bring the faces of a folder or pak into an order."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import click

from dfl_tf.cli.face_tracks import needed_tracks_of
from dfl_tf.cli.faceset_folder import (
    FolderCommand,
    as_json_flag,
    dry_run_flag,
    print_rows,
    take_back,
    undo_flag,
    undo_line,
)
from dfl_tf.cli.paths import EITHER
from dfl_tf.errors import UsageError
from dfl_tf.jobs.progress import ProgressBar

_ONEFACE_HINT = (
    "no frame with several faces was found; nothing is changed. The names must be "
    "FRAME_NUMBER as extraction gives them: dfl-tf faceset recover-names brings them back."
)


def _list_methods(context: click.Context, _: click.Parameter, wanted: bool) -> None:
    from dfl_tf.facesets.sorting import ALIASES, METHODS

    if wanted:
        for name, method in METHODS.items():
            click.echo(f"{name}: {method.help}")
        for alias, name in ALIASES.items():
            click.echo(f"{alias}: the same as {name}")
        context.exit()


@click.command(cls=FolderCommand)
@click.argument("folder", type=EITHER)
@click.option("--by", "method", metavar="METHOD", help="How; see --methods.")
@click.option(
    "--methods",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_list_methods,
    help="List the methods.",
)
@click.option(
    "--target",
    type=click.IntRange(1),
    help="For final and final-fast: keep about so many (default 2000).",
)
@click.option("--dissimilar", is_flag=True, help="For absdiff: unlike images side by side.")
@click.option(
    "--copy-to",
    type=click.Path(path_type=Path, file_okay=False),
    help="Write the sorted faces into this new folder and leave FOLDER as it is.",
)
@dry_run_flag
@undo_flag
@as_json_flag
@click.option("--csv", "as_csv", is_flag=True, help="Print the numbers as CSV.")
def command(folder: Path, method: str | None, **options: Any) -> None:
    """Sort the faces of FOLDER (or a pak): they are renamed to 00000, 00001, ...

    Faces that the method rejects go to FOLDER_trash, to which files are only added.
    """
    if options["undo"]:
        take_back(folder, options["as_json"])
        return
    if method is None:
        raise UsageError("--by METHOD is missing. dfl-tf faceset sort --methods lists them.")
    _sort(folder, method, **options)


def _sort(
    folder: Path,
    method: str,
    *,
    target: int | None,
    dissimilar: bool,
    copy_to: Path | None,
    dry_run: bool,
    as_json: bool,
    as_csv: bool,
    **_: object,
) -> None:
    from dfl_tf.facesets import rearranging, sort
    from dfl_tf.facesets.measure_cache import MeasureCache

    name = sort.find_method(method)[0]
    if target is not None and name not in sort.TARGETED:
        raise UsageError(f"--target is for {' and '.join(sort.TARGETED)}, not for {name}.")
    if dissimilar and name != "absdiff":
        raise UsageError(f"--dissimilar is for absdiff, not for {name}.")
    with ProgressBar("measuring", "faces", quiet=as_json or as_csv) as step:
        plan = sort.plan_sort(
            folder,
            method,
            cache=MeasureCache.of_user(),
            target=target or 2000,
            similar=not dissimilar,
            tracks_of=partial(needed_tracks_of, folder),
            progress=step,
        )
    steps = plan.rearrangement
    told = f"{steps.why}: {len(steps.kept)} faces are kept, {len(steps.trash)} go to the trash"
    machine = as_json or as_csv
    for line in (*plan.left_out.lines(), *plan.order.notes):
        click.echo(line, err=True)
    if not steps.kept and not steps.trash:
        click.echo(_ONEFACE_HINT, err=True)
    elif copy_to is None:
        where = f" ({steps.trash_folder})" if steps.trash else ""
        click.echo(f"{told}{where}", err=machine)
    if dry_run or machine:
        facts = {
            "method": plan.method,
            "kept": len(steps.kept),
            "trash": len(steps.trash),
            "left_out": plan.left_out.as_dict(),
        }
        print_rows(plan.rows(), facts, as_json=as_json, as_csv=as_csv)
    if dry_run or not (steps.kept or steps.trash):
        return
    if copy_to is not None:
        rearranging.copy_rearranged(steps, copy_to)
        left = f", {len(steps.trash)} were not copied" if steps.trash else ""
        click.echo(f"{steps.why}: copied {len(steps.kept)} faces to {copy_to}{left}", err=machine)
        return
    rearranging.rearrange(steps)
    click.echo(f"done; {undo_line('sort', plan.place)} takes it back", err=machine)
