"""`dfl-tf model snapshot`, `snapshots` and `restore`: states of a model that are kept beside it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, TypedDict

import click

from dfl_tf.cli.model_choice import choice, confirmed, json_flag, pick, print_json
from dfl_tf.cli.model_lines import shown
from dfl_tf.cli.paths import MODEL_FOLDER
from dfl_tf.cli.speaking import Command

if TYPE_CHECKING:
    from dfl_tf.formats.models.snapshots import Snapshot


class BackupFacts(TypedDict):
    """A numbered backup, as JSON values."""

    name: str
    folder: str
    iteration: int | None
    bytes: int


_KINDS = {
    "manual": "by hand",
    "phase": "phase",
    "best": "best",
    "regular": "regular",
    "replaced": "replaced",
    "rescued": "unsaved",
    "folder": "no record",
}
"""Kinds of snapshots for people."""


@click.command(cls=Command)
@click.argument("directory", metavar="MODEL_DIR", type=MODEL_FOLDER)
@click.argument("called", metavar="SNAPSHOT")
@choice
@click.option("--note", default="", help="Text that is kept with it; default: none.")
@click.option(
    "--snapshots-max-gb",
    "limit",
    type=click.FloatRange(0),
    default=0.0,
    metavar="GB",
    help="Disk space that all snapshots may take: the oldest of those that training made go for "
    "it. Default: no limit.",
)
@json_flag
def snapshot(
    directory: Path,
    called: str,
    name: str | None,
    model_class: str | None,
    note: str,
    limit: float,
    as_json: bool,
) -> None:
    """Copy a model, whole and under a name, into its folder of snapshots.

    SNAPSHOT is the name. The model must not be in use: a running training makes copies by itself
    (--snapshot-every, --keep-best, phases of a recipe), and one on request when a file
    <model>_snapshot.request is put into MODEL_DIR.
    """
    from dfl_tf.train.snapshots import snapshot_model

    name, model_class = pick(directory, name, model_class)
    made, gone = snapshot_model(
        directory, name, model_class, called, note=note, limit_gb=limit, say=_warn
    )
    if as_json:
        print_json({**made.facts(), "removed": [each.name for each in gone]})
        return
    click.echo(
        f"snapshot {made.name} of iteration {made.label.iteration}: {made.bytes / 2**20:.1f} MiB "
        f"in {made.folder}"
    )
    if gone:
        click.echo(f"removed for it: {', '.join(each.name for each in gone)}")


def _warn(line: str) -> None:
    click.echo(line, err=True)


@click.command(cls=Command)
@click.argument("directory", metavar="MODEL_DIR", type=MODEL_FOLDER)
@choice
@json_flag
def snapshots(directory: Path, name: str | None, model_class: str | None, as_json: bool) -> None:
    """List the snapshots and backups of a model, the oldest first, with their sizes.

    Snapshots are made by hand, at the end of a phase, of the best model, regularly for roll-backs,
    or of what a restore replaced. A snapshot is a folder: delete it to be rid of it.
    """
    from dfl_tf.formats.models.restore import choose_kept_model
    from dfl_tf.formats.models.snapshots import leftovers, list_snapshots, snapshot_folder

    name, model_class = choose_kept_model(directory, name, model_class)
    found = list_snapshots(directory, name, model_class)
    copies = _backups(directory, name, model_class)
    left = leftovers(snapshot_folder(directory, name, model_class))
    if as_json:
        facts = {
            "snapshots": [each.facts() for each in found],
            "backups": copies,
            "bytes": sum(each.bytes for each in found) + sum(copy["bytes"] for copy in copies),
            "leftovers": left,
        }
        print_json(facts)
        return
    for line in [*snapshot_lines(found), *_backup_lines(copies)]:
        click.echo(line)
    click.echo(_total(directory, found, copies))
    if left:
        click.echo(
            f"{len(left)} leftovers of interrupted snapshots; the next snapshot removes them"
        )


def _backups(directory: Path, name: str, model_class: str) -> list[BackupFacts]:
    from dfl_tf.formats.models.rescue import backup_iteration, backups
    from dfl_tf.formats.models.snapshots import bytes_of

    return [
        {
            "name": folder.name,
            "folder": str(folder),
            "iteration": backup_iteration(folder, model_class),
            "bytes": bytes_of(folder),
        }
        for folder in backups(directory, name, model_class)
    ]


def snapshot_lines(found: list[Snapshot]) -> list[str]:
    """A table of snapshots, one a line."""
    if not found:
        return []
    width = max(8, *(len(shown(each.name)) for each in found))
    lines = [f"{'snapshot':{width}}  kind       iteration  made (UTC)              MiB  about"]
    for each in found:
        label = each.label
        metric = label.metric or "ssim"
        value = label.metrics.get(metric)
        values = "" if value is None else f"{metric} {value:.4f}"
        phase = f"phase {label.phase}" if label.phase and label.kind != "phase" else ""
        about = "; ".join(shown(text) for text in (phase, label.note, values) if text)
        lines.append(
            f"{shown(each.name):{width}}  {_KINDS[label.kind]:9}  {label.iteration:9}  "
            f"{each.created[:16].replace('T', ' '):16}  {each.bytes / 2**20:9.1f}  {about}".rstrip()
        )
    return lines


def _backup_lines(copies: list[BackupFacts]) -> list[str]:
    return [
        f"backup {copy['name']}: "
        + (f"iteration {copy['iteration']}" if copy["iteration"] is not None else "not readable")
        + f", {copy['bytes'] / 2**20:.1f} MiB"
        for copy in copies
    ]


def _total(directory: Path, found: list[Snapshot], copies: list[BackupFacts]) -> str:
    import shutil

    one, two = sum(each.bytes for each in found), sum(copy["bytes"] for copy in copies)
    free = shutil.disk_usage(directory).free
    return (
        f"{len(found)} snapshots with {one / 2**20:.1f} MiB, {len(copies)} backups with "
        f"{two / 2**20:.1f} MiB; {free / 2**20:.0f} MiB are free on the disk"
    )


@click.command(cls=Command)
@click.argument("directory", metavar="MODEL_DIR", type=MODEL_FOLDER)
@choice
@click.option(
    "--from",
    "source",
    metavar="SNAPSHOT|NUMBER|FOLDER",
    help='Name of a snapshot ("best": the newest of that kind), number of a backup (01) or a '
    "folder; default the newest backup.",
)
@click.option("--previous", is_flag=True, help="Take the set before the last save instead.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@json_flag
def restore(
    directory: Path,
    name: str | None,
    model_class: str | None,
    source: str | None,
    previous: bool,
    yes: bool,
    as_json: bool,
) -> None:
    """Bring a snapshot, a backup or the previous set back, as one step.

    A snapshot is made first of the model that was there; where that is not possible its files are
    moved aside.
    """
    from dfl_tf.formats.models import restore as restoring

    name, model_class = restoring.choose_kept_model(directory, name, model_class)
    if previous:
        chosen = restoring.find_kept(directory, name, model_class, restoring.PREVIOUS)
    elif source is not None:
        chosen = restoring.find_kept(directory, name, model_class, source)
    else:
        chosen = restoring.newest_kept(directory, name, model_class)
    where = "the set before the last save" if chosen.previous else str(chosen.folder)
    if not confirmed(f"Replace {model_class} model {name} by {where}?", yes=yes):
        raise click.Abort
    done = restoring.restore(directory, name, model_class, chosen)
    if as_json:
        facts = {
            "restored": None if chosen.previous else chosen.folder,
            "iteration": done.state.iteration,
            "snapshot_of_replaced": done.kept,
            "moved_aside": done.aside,
            "notes": list(done.notes),
        }
        print_json(facts)
        return
    click.echo(f"{name} is back at iteration {done.state.iteration} (from {where})")
    for note in done.notes:
        click.echo(note)
    if done.kept is not None:
        click.echo(f"what was there is the snapshot {done.kept.name}")
    if done.aside is not None:
        click.echo(f"the files that were there are in {done.aside}")
