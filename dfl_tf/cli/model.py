"""`dfl-tf model`: look into model files, compare, audit, convert, rename, back up."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from dfl_tf.cli.model_choice import choice, json_flag, pick, print_json
from dfl_tf.cli.model_lines import convert_lines, diff_lines, scan_lines, show_lines, shown
from dfl_tf.cli.model_snapshots import restore, snapshot, snapshots
from dfl_tf.cli.paths import EITHER, MODEL_FOLDER
from dfl_tf.cli.speaking import CommandGroup, WordChoice

if TYPE_CHECKING:
    from dfl_tf.formats import ModelState


@click.group(cls=CommandGroup)
def command() -> None:
    """Inspect, compare, audit, convert, rename and restore models; backups and snapshots."""


# -- list, show ------------------------------------------------------------------------------------
@command.command("list")
@click.argument("directory", metavar="MODEL_DIR", type=MODEL_FOLDER)
@json_flag
def list_models(directory: Path, as_json: bool) -> None:
    """List the models of a folder, the newest first."""
    from datetime import datetime

    from dfl_tf.formats import find_models

    found = find_models(directory)
    if as_json:
        print_json([vars(model) for model in found])
        return
    for model in found:
        when = datetime.fromtimestamp(model.modified).isoformat(" ", "seconds")
        click.echo(f"{when}  {model.model_class:8} {model.format:7} {shown(model.name)}")
    if not found:
        click.echo("there is no model here", err=True)


@command.command()
@click.argument("directory", metavar="MODEL_DIR", type=MODEL_FOLDER)
@choice
@click.option("--plot", type=click.Path(path_type=Path, dir_okay=False), help="Loss plot as PNG.")
@json_flag
def show(
    directory: Path, name: str | None, model_class: str | None, plot: Path | None, as_json: bool
) -> None:
    """Show what a model is: options, dims, parts, sizes, checksums, losses."""
    from dfl_tf.formats.models import report as model_report

    name, model_class = pick(directory, name, model_class)
    state, facts = model_report.report(directory, name, model_class)
    if plot is not None:
        from dfl_tf.formats.models.files import prefix_of
        from dfl_tf.imaging import write_image
        from dfl_tf.train.log_facts import book_beside, facts_of
        from dfl_tf.train.loss_plot import plot_of_model

        title = f"{facts['name']} ({facts['class']}), iteration {facts['iteration']}"
        log = facts_of(book_beside(directory, prefix_of(name, model_class)), state.iteration)
        write_image(plot, plot_of_model(state.loss_history, title, state.run, log))
    if as_json:
        print_json({**facts, "about": _about_run(state)})
        return
    for line in show_lines(facts, state.loss_history, _about_run(state)):
        click.echo(line)
    if plot is not None:
        click.echo(f"loss plot: {plot}")


@command.command()
@click.argument("directory", metavar="MODEL_DIR", type=MODEL_FOLDER)
@choice
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="The page; by default <model>_card.html beside the model's files.",
)
@json_flag
def card(
    directory: Path, name: str | None, model_class: str | None, output: Path | None, as_json: bool
) -> None:
    """Write a page about a model: options, losses, quality, previews over time, snapshots.

    It is one file of HTML without scripts and without anything from a network.
    """
    from dfl_tf.formats.models.files import prefix_of
    from dfl_tf.train.model_card import write_model_card

    name, model_class = pick(directory, name, model_class)
    path = output or directory / f"{prefix_of(name, model_class)}_card.html"
    for line in write_model_card(path, directory, name, model_class):
        click.echo(line, err=True)
    if as_json:
        print_json({"page": path, "model": name, "model_class": model_class})
        return
    click.echo(f"page: {path}")


def _about_run(state: ModelState) -> list[str]:
    """What its trainings have stored with a model, for people."""
    from dfl_tf.train.quarantine import left_out_lines
    from dfl_tf.train.rollback import remedy_lines
    from dfl_tf.train.validation import validation_lines

    run = state.run
    quality = validation_lines(run) if {"validation", "holdout"} & run.keys() else []
    return [*quality, *remedy_lines(run), *left_out_lines(run)]


# -- diff, scan ------------------------------------------------------------------------------------
@command.command()
@click.argument("first", type=MODEL_FOLDER)
@click.argument("second", type=MODEL_FOLDER)
@choice
@click.option("--second-name", help="Name of the second model if it is another one.")
@json_flag
@click.pass_context
def diff(
    context: click.Context,
    first: Path,
    second: Path,
    name: str | None,
    model_class: str | None,
    second_name: str | None,
    as_json: bool,
) -> None:
    """Compare two models; exit 1 if they differ."""
    from dfl_tf.formats import read_model
    from dfl_tf.formats.models import report as model_report

    name, model_class = pick(first, name, model_class)
    states = (
        read_model(first, name, model_class),
        read_model(second, second_name or name, model_class),
    )
    found = model_report.diff_states(*states)
    if as_json:
        print_json(found)
    else:
        for line in diff_lines(found):
            click.echo(line)
    if not found["same"]:
        context.exit(1)


@command.command()
@click.argument("path", type=EITHER)
@json_flag
@click.pass_context
def scan(context: click.Context, path: Path, as_json: bool) -> None:
    """Audit untrusted files without loading them; exit 1 if anything is refused.

    PATH is a file or a folder: model files, default options, sessions, faces, packed facesets.
    """
    from dfl_tf.formats.scan import scan as scan_files

    everything = list(scan_files(path))
    results = [result for result in everything if result.kind != "other"]
    others = [result.path for result in everything if result.kind == "other"]
    refused = [result for result in results if not result.accepted]
    if as_json:
        print_json(
            {
                "accepted": not refused,
                "files": [vars(r) | {"accepted": r.accepted} for r in results],
                "not_looked_at": others,
            }
        )
    else:
        for line in scan_lines(results, others):
            click.echo(line)
    if refused:
        context.exit(1)


# -- convert ---------------------------------------------------------------------------------------
@command.command()
@click.argument("source", metavar="SRC", type=MODEL_FOLDER)
@click.argument("target", metavar="DST", type=click.Path(path_type=Path, file_okay=False))
@click.option(
    "--to", "to", type=WordChoice(("native", "legacy")), required=True, help="Which form of files."
)
@click.option("--files-only", is_flag=True, help="Compare what is stored; run no network.")
@choice
@json_flag
@click.pass_context
def convert(
    context: click.Context,
    source: Path,
    target: Path,
    to: str,
    files_only: bool,
    name: str | None,
    model_class: str | None,
    as_json: bool,
) -> None:
    """Convert a model and prove that nothing changed; exit 1 if anything did."""
    from dfl_tf import api

    found = api.convert(
        source,
        target,
        "native" if to == "native" else "legacy",
        name=name,
        model_class=model_class,
        files_only=files_only,
    )
    if as_json:
        print_json(found)
    else:
        for line in convert_lines(found, target):
            click.echo(line)
    if not found["passed"]:
        context.exit(1)


# -- rename, backup --------------------------------------------------------------------------------
@command.command()
@click.argument("directory", metavar="MODEL_DIR", type=MODEL_FOLDER)
@click.argument("new_name")
@choice
@json_flag
def rename(
    directory: Path, new_name: str, name: str | None, model_class: str | None, as_json: bool
) -> None:
    """Give a model another name, with its history and backups."""
    from dfl_tf.formats.models import convert as model_convert

    name, model_class = pick(directory, name, model_class)
    done = model_convert.rename_model(directory, name, new_name, model_class)
    if as_json:
        print_json({"class": model_class, "old": name, "new": new_name, "files": done})
    else:
        click.echo(f"{model_class} model {name} is now {new_name} ({len(done)} files)")


@command.command()
@click.argument("directory", metavar="MODEL_DIR", type=MODEL_FOLDER)
@choice
@json_flag
def backup(directory: Path, name: str | None, model_class: str | None, as_json: bool) -> None:
    """Copy a model into its next numbered backup folder (01 is the newest of 24)."""
    from dfl_tf.train.backup import backup_model

    name, model_class = pick(directory, name, model_class)
    made, iteration = backup_model(directory, name, model_class)
    if as_json:
        print_json({"backup": made, "iteration": iteration})
    else:
        click.echo(f"iteration {iteration} backed up to {made}")


command.add_command(snapshot)
command.add_command(snapshots)
command.add_command(restore)
