"""`dfl-tf faceset filter`: take faces out by their measures."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from dfl_tf.cli.faceset_folder import (
    FolderCommand,
    as_json_flag,
    dry_run_flag,
    print_rows,
    take_back,
    undo_flag,
    undo_line,
)
from dfl_tf.cli.likeness import PATH, Named, likeness_flags
from dfl_tf.cli.paths import EITHER
from dfl_tf.errors import UsageError
from dfl_tf.jobs.progress import ProgressBar

if TYPE_CHECKING:
    from dfl_tf.facesets.filter import Limits, WantedPerson, WantedTracks

_RANGES = ("yaw", "pitch", "brightness", "hue")


@click.command(cls=FolderCommand)
@click.argument("folder", type=EITHER)
@click.option("--min-sharpness", type=click.FloatRange(0, 1), help="As sort --by blur has it.")
@click.option("--min-size", type=click.FloatRange(0), help="Side of the face in its frame, pixels.")
@click.option("--yaw", metavar="A:B", help="In degrees: -30:30.")
@click.option("--pitch", metavar="A:B", help="In degrees.")
@click.option("--brightness", metavar="A:B", help="Mean of 0 to 255.")
@click.option("--hue", metavar="A:B", help="Mean of 0 to 179.")
@click.option("--measure", "measures", multiple=True, metavar="NAME=A:B", help="Any other measure.")
@click.option(
    "--near-duplicates",
    type=click.FloatRange(0),
    metavar="LEVELS",
    help="Of faces that differ by at most so many levels of 0 to 255 keep one (2 to 8 is usual).",
)
@click.option("--tracks", metavar="3,5-9", help="Only these tracks of the extraction stay.")
@click.option(
    "--min-track-length",
    "shortest",
    type=click.IntRange(1),
    metavar="FACES",
    help="Tracks of fewer faces go.",
)
@click.option(
    "--whole-tracks",
    is_flag=True,
    help="Compare the median of a track with the ranges; it stays or goes as a whole.",
)
@likeness_flags
@click.option("--models-dir", type=PATH, help="Folder of the fetched models.")
@click.option("--invert", is_flag=True, help="Take out the faces that are within all ranges.")
@dry_run_flag
@undo_flag
@as_json_flag
@click.option("--csv", "as_csv", is_flag=True, help="Print the numbers as CSV.")
def command(folder: Path, **options: Any) -> None:
    """Take the faces of FOLDER (or a pak) that are outside of the ranges to FOLDER_trash.

    Images that have no such number stay. Files are only added to the trash. Tracks are numbered as
    the extraction noted them: `sort --by track --dry-run` lists them, and the report shows the
    least sharp ones. With --like and --not-like the distances and a threshold are shown, and faces
    of one track stay or go together; look first with --dry-run.
    """
    if options["undo"]:
        take_back(folder, options["as_json"])
        return
    from dfl_tf.facesets.filter import plan_filter
    from dfl_tf.facesets.measure_cache import MeasureCache
    from dfl_tf.facesets.rearranging import rearrange

    as_json, as_csv = options["as_json"], options["as_csv"]
    person, tracks = _person(folder, options), _tracks(folder, options)
    with ProgressBar("measuring", "faces", quiet=as_json or as_csv) as step:
        plan = plan_filter(
            folder,
            _limits(options),
            person=person,
            tracks=tracks,
            near_duplicates=options["near_duplicates"],
            invert=options["invert"],
            cache=MeasureCache.of_user(),
            progress=step,
        )
    steps, machine = plan.rearrangement, as_json or as_csv
    for line in plan.left_out.lines():
        click.echo(line, err=True)
    for line in plan.decision.lines() if plan.decision is not None else ():
        click.echo(line, err=machine)
    where = f" ({steps.trash_folder})" if steps.trash else ""
    click.echo(
        f"{plan.why}: {len(steps.kept)} faces are kept, {len(steps.trash)} go to the trash{where}",
        err=machine,
    )
    if machine or options["dry_run"]:
        facts: dict[str, object] = {
            "kept": len(steps.kept),
            "trash": len(steps.trash),
            "left_out": plan.left_out.as_dict(),
        }
        if plan.decision is not None:
            facts |= {"threshold": plan.decision.threshold, "proposed": plan.decision.proposed}
        print_rows(plan.rows(), facts, as_json=as_json, as_csv=as_csv)
    if options["dry_run"] or not steps.trash:
        return
    rearrange(steps)
    click.echo(f"done; {undo_line('filter', folder)} takes it back", err=machine)


def _limits(options: dict[str, Any]) -> list[Limits]:
    from dfl_tf.facesets.filter import Limits

    limits = []
    if options["min_sharpness"] is not None:
        limits.append(Limits("blur", low=options["min_sharpness"]))
    if options["min_size"] is not None:
        limits.append(Limits("size", low=options["min_size"]))
    limits += [Limits.parse(name, options[name]) for name in _RANGES if options[name] is not None]
    for text in options["measures"]:
        name, equals, found = text.partition("=")
        if not equals:
            raise UsageError(f"--measure: {text!r} is not NAME=A:B, for example motion_blur=10:.")
        limits.append(Limits.parse(name, found))
    return limits


def _person(folder: Path, options: dict[str, Any]) -> WantedPerson | None:
    """Whose faces stay; None if nobody is named."""
    names = ("like", "not_like", "like_threshold", "embedder", "models_dir")
    person, left_out = Named(*(options[name] for name in names)).person(folder)
    for line in left_out.lines():
        click.echo(line, err=True)
    return person


def _tracks(folder: Path, options: dict[str, Any]) -> WantedTracks | None:
    """Which tracks stay; None if it does not matter."""
    named, shortest, whole = options["tracks"], options["shortest"], options["whole_tracks"]
    if named is None and shortest is None and not whole:
        return None
    from dfl_tf.cli.face_tracks import needed_tracks_of
    from dfl_tf.facesets.face_tracks import TrackRanges
    from dfl_tf.facesets.filter import WantedTracks

    ranges = None if named is None else TrackRanges.parse(named)
    return WantedTracks(partial(needed_tracks_of, folder), ranges, shortest, whole)
