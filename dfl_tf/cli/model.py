"""`dfl-tf model`: look into model files, compare, audit, convert, rename, back up, restore."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from dfl_tf.cli.model_lines import convert_lines, diff_lines, scan_lines, show_lines, shown
from dfl_tf.options import OPTIONS

if TYPE_CHECKING:
    from dfl_tf.formats import ModelState

_CLASSES = tuple(OPTIONS)
_FOLDER = click.Path(path_type=Path, exists=True, file_okay=False)


@click.group()
def command() -> None:
    """Inspect, compare, audit, convert, rename, back up and restore models."""


def _choice(function: Callable[..., object]) -> Callable[..., object]:
    """`--name` and `--class`; what is not given is the newest model of the folder."""
    function = click.option("--name", help="Name of the model; default the newest.")(function)
    return click.option(
        "--class", "model_class", type=click.Choice(_CLASSES), help="Class of the model."
    )(function)


_json = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


def _pick(directory: Path, name: str | None, model_class: str | None) -> tuple[str, str]:
    """Name and class of the model that is meant.

    Both as given are taken even where the model is not whole: its backups and previous set may be.
    """
    from dfl_tf.formats.models.choose_model import choose_model

    if name is not None and model_class is not None:
        return name, model_class
    found = choose_model(directory, name, model_class)
    return found.name, found.model_class


def _print(value: object) -> None:
    click.echo(json.dumps(_jsonable(value), indent=2, allow_nan=False))


def _jsonable(value: object) -> object:
    """`value` as strict JSON knows it: NaN and infinity, which it does not know, become null."""
    if isinstance(value, dict):
        return {str(key): _jsonable(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_jsonable(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value if value is None or isinstance(value, bool | int | float | str) else str(value)


# -- list, show ------------------------------------------------------------------------------------
@command.command("list")
@click.argument("directory", metavar="MODEL_DIR", type=_FOLDER)
@_json
def list_models(directory: Path, as_json: bool) -> None:
    """List the models of a folder, the newest first."""
    from datetime import datetime

    from dfl_tf.formats import find_models

    found = find_models(directory)
    if as_json:
        _print([vars(model) for model in found])
        return
    for model in found:
        when = datetime.fromtimestamp(model.modified).isoformat(" ", "seconds")
        click.echo(f"{when}  {model.model_class:8} {model.format:7} {shown(model.name)}")
    if not found:
        click.echo("there is no model here", err=True)


@command.command()
@click.argument("directory", metavar="MODEL_DIR", type=_FOLDER)
@_choice
@click.option("--plot", type=click.Path(path_type=Path, dir_okay=False), help="Loss plot as PNG.")
@_json
def show(
    directory: Path, name: str | None, model_class: str | None, plot: Path | None, as_json: bool
) -> None:
    """Show what a model is: options, dims, parts, sizes, checksums, losses."""
    from dfl_tf.formats.models import report as model_report

    name, model_class = _pick(directory, name, model_class)
    state, facts = model_report.report(directory, name, model_class)
    if plot is not None:
        from dfl_tf.train.loss_plot import write_plot_of_model
        from dfl_tf.train.validation import curve

        title = f"{facts['name']} ({facts['class']}), iteration {facts['iteration']}"
        write_plot_of_model(plot, state.loss_history, title, curve(state.run))
    if as_json:
        _print({**facts, "about": _about_run(state)})
        return
    for line in show_lines(facts, state.loss_history, _about_run(state)):
        click.echo(line)
    if plot is not None:
        click.echo(f"loss plot: {plot}")


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
@click.argument("first", type=_FOLDER)
@click.argument("second", type=_FOLDER)
@_choice
@click.option("--second-name", help="Name of the second model if it is another one.")
@_json
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

    name, model_class = _pick(first, name, model_class)
    states = (
        read_model(first, name, model_class),
        read_model(second, second_name or name, model_class),
    )
    found = model_report.diff_states(*states)
    if as_json:
        _print(found)
    else:
        for line in diff_lines(found):
            click.echo(line)
    if not found["same"]:
        context.exit(1)


@command.command()
@click.argument("path", type=click.Path(path_type=Path, exists=True))
@_json
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
        _print(
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
@click.argument("source", metavar="SRC", type=_FOLDER)
@click.argument("target", metavar="DST", type=click.Path(path_type=Path, file_okay=False))
@click.option("--to", "to", type=click.Choice(("native", "legacy")), required=True)
@click.option("--files-only", is_flag=True, help="Compare what is stored; run no network.")
@_choice
@_json
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
        _print(found)
    else:
        for line in convert_lines(found, target):
            click.echo(line)
    if not found["passed"]:
        context.exit(1)


# -- rename, backup, restore -----------------------------------------------------------------------
@command.command()
@click.argument("directory", metavar="MODEL_DIR", type=_FOLDER)
@click.argument("new_name")
@_choice
@_json
def rename(
    directory: Path, new_name: str, name: str | None, model_class: str | None, as_json: bool
) -> None:
    """Give a model another name, with its history and backups."""
    from dfl_tf.formats.models import convert as model_convert

    name, model_class = _pick(directory, name, model_class)
    done = model_convert.rename_model(directory, name, new_name, model_class)
    if as_json:
        _print({"class": model_class, "old": name, "new": new_name, "files": done})
    else:
        click.echo(f"{model_class} model {name} is now {new_name} ({len(done)} files)")


@command.command()
@click.argument("directory", metavar="MODEL_DIR", type=_FOLDER)
@_choice
@_json
def backup(directory: Path, name: str | None, model_class: str | None, as_json: bool) -> None:
    """Copy a model into its next numbered backup folder (01 is the newest of 24)."""
    from dfl_tf.train.backup import backup_model

    name, model_class = _pick(directory, name, model_class)
    made, iteration = backup_model(directory, name, model_class)
    if as_json:
        _print({"backup": made, "iteration": iteration})
    else:
        click.echo(f"iteration {iteration} backed up to {made}")


@command.command()
@click.argument("directory", metavar="MODEL_DIR", type=_FOLDER)
@_choice
@click.option("--from", "source", help="Number of a backup (01) or a folder; default the newest.")
@click.option("--previous", is_flag=True, help="Take the set before the last save instead.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@_json
def restore(
    directory: Path,
    name: str | None,
    model_class: str | None,
    source: str | None,
    previous: bool,
    yes: bool,
    as_json: bool,
) -> None:
    """Bring a backup or the previous set back; what was there is moved aside."""
    from dfl_tf.formats.models import convert as model_convert

    name, model_class = model_convert.choose_backed_up(directory, name, model_class)
    chosen = model_convert.choose_backup(directory, name, model_class, source, previous=previous)
    if not yes:
        click.confirm(f"Replace {model_class} model {name} by {chosen}?", abort=True, err=True)
    state, aside = model_convert.restore_backup(
        directory, name, model_class, None if previous else chosen
    )
    if as_json:
        _print({"restored": chosen, "iteration": state.iteration, "moved_aside": aside})
    else:
        click.echo(f"{name} is back at iteration {state.iteration} (from {chosen})")
        if aside is not None:
            click.echo(f"the files that were there are in {aside}")
