"""`dfl-tf model`: look into model files, compare, audit, convert, rename, back up, restore."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from dfl_tf.disk.text import printable
from dfl_tf.errors import ModelFileError
from dfl_tf.options import KINDS, OPTIONS

if TYPE_CHECKING:
    from dfl_tf.formats.scan import FileAudit

_CLASSES = tuple(OPTIONS)
_FOLDER = click.Path(path_type=Path, exists=True, file_okay=False)
_BARS = " ▁▂▃▄▅▆▇█"
_LONGEST = 400
_MOST_LOSSES = 8


@click.group()
def command() -> None:
    """Inspect, compare, audit, convert, rename, back up and restore models."""


def _choice(function: Callable[..., Any]) -> Callable[..., Any]:
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


def _print(value: Any) -> None:
    click.echo(json.dumps(_jsonable(value), indent=2, allow_nan=False))


def _jsonable(value: Any) -> Any:
    """`value` as strict JSON knows it: NaN and infinity, which it does not know, become null."""
    if isinstance(value, dict):
        return {str(key): _jsonable(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_jsonable(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value if value is None or isinstance(value, bool | int | float | str) else str(value)


def _shown(value: Any) -> str:
    """A value from a stranger's file for the terminal: one line, no escape sequences, not long."""
    text = printable(value)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}… ({len(text)} characters)"


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
        click.echo(f"{when}  {model.model_class:8} {model.format:7} {_shown(model.name)}")
    if not found:
        click.echo("no model is here", err=True)


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
    facts["inferred"] = _inferred(model_class, state.tensors, state.options)
    if plot is not None:
        _write_plot(plot, state.loss_history, facts)
    if as_json:
        _print(facts)
        return
    for line in _show_lines(facts, state.loss_history):
        click.echo(line)
    if plot is not None:
        click.echo(f"loss plot: {plot}")


def _inferred(model_class: str, tensors: Any, options: dict[str, Any]) -> dict[str, Any]:
    """What the tensors say about the architecture, beside what the options say."""
    found = KINDS[model_class].options_from(tensors, options)
    return {
        key: {"tensors": value, "options": options.get(key), "agree": _agrees(key, value, options)}
        for key, value in found.items()
        if key in KINDS[model_class].options.STORED
    }


def _agrees(key: str, value: Any, options: dict[str, Any]) -> bool:
    stored = options.get(key)
    if key == "archi" and isinstance(stored, str):
        flavor, _, letters = stored.partition("-")
        return value == "-".join(filter(None, (flavor, "".join(c for c in "udtc" if c in letters))))
    return bool(stored == value)


def _write_plot(path: Path, history: Sequence[Sequence[float]], facts: dict[str, Any]) -> None:
    from dfl_tf.train.loss_plot import write_loss_plot

    if not history:
        raise ModelFileError(f"{facts['name']}: has no loss history to plot.")
    width = len(history[-1])
    rows = [row for row in history if len(row) == width]
    names = ("src", "dst") if width == 2 else ("loss",)
    title = f"{facts['name']} ({facts['class']}), iteration {facts['iteration']}"
    write_loss_plot(path, rows, names, title=title)


def _show_lines(facts: dict[str, Any], history: Sequence[Sequence[float]]) -> list[str]:
    lines = [
        f"model      {facts['name']}",
        f"class      {facts['class']}, {facts['format']} format",
        f"iteration  {facts['iteration']}",
        f"size       {facts['bytes'] / 2**20:.1f} MiB in {len(facts['files'])} files",
    ]
    lines += [f"note       {note}" for note in facts["notes"]]
    lines += ["", "options"]
    options = [(_shown(key), _shown(value)) for key, value in facts["options"].items()]
    width = max((len(key) for key, _ in options), default=0)
    lines += [f"  {key:{width}}  {value}" for key, value in options]
    wrong = [key for key, entry in facts["inferred"].items() if not entry["agree"]]
    if facts["inferred"]:
        shown = ", ".join(f"{key} {entry['tensors']}" for key, entry in facts["inferred"].items())
        lines += ["", f"the tensors say: {shown}"]
        lines += [
            f"  DISAGREES with the options: {key} is "
            f"{_shown(facts['inferred'][key]['options'])} there"
            for key in wrong
        ]
    lines += ["", "parts" + " " * 22 + "tensors   parameters        MiB  dtype     sha256"]
    for part, entry in facts["parts"].items():
        bad = f"  {entry['not_finite']} NaN or infinite!" if entry["not_finite"] else ""
        lines.append(
            f"  {part:24} {entry['tensors']:7}  {entry['parameters']:11,} "
            f"{entry['bytes'] / 2**20:10.2f}  {'/'.join(entry['dtypes']):8}  "
            f"{entry['sha256'][:16]}{bad}"
        )
    return [*lines, "", *loss_lines(history)]


def loss_lines(history: Sequence[Sequence[float]], width: int = 64, height: int = 6) -> list[str]:
    """The loss history as lines of block characters, one block of lines a loss.

    The scale is logarithmic from the lowest to the highest column mean; values that are not
    finite leave a gap.
    """
    if not history:
        return ["no loss history"]
    lines: list[str] = []
    for index in range(min(max(map(len, history)), _MOST_LOSSES)):
        values = [row[index] if index < len(row) else math.nan for row in history]
        columns = _columns(values, min(width, len(values)))
        finite = [c for c in columns if math.isfinite(c) and c > 0]
        if not finite:
            lines.append(f"loss {index}: no finite value")
            continue
        low, high = min(finite), max(finite)
        lines.append(
            f"loss {index}: {finite[0]:.4f} to {finite[-1]:.4f} over {len(values)} entries"
        )
        for level in range(height - 1, -1, -1):
            label = (
                f"{high:9.4f}" if level == height - 1 else f"{low:9.4f}" if not level else " " * 9
            )
            cells = "".join(_cell(c, low, high, level, height) for c in columns)
            lines.append(f"{label} │{cells}")
    return lines


def _columns(values: list[float], count: int) -> list[float]:
    columns = []
    for index in range(count):
        block = values[index * len(values) // count : (index + 1) * len(values) // count]
        finite = [v for v in block if math.isfinite(v)]
        columns.append(sum(finite) / len(finite) if finite else math.nan)
    return columns


def _cell(value: float, low: float, high: float, level: int, height: int) -> str:
    if not math.isfinite(value) or value <= 0:
        return " "
    span = math.log(high / low)
    share = 0.5 if span <= 0 else math.log(value / low) / span
    eighths = round(share * (height * 8 - 1)) + 1 - level * 8
    return _BARS[max(0, min(8, eighths))]


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
        for line in _diff_lines(found):
            click.echo(line)
    if not found["same"]:
        context.exit(1)


def _diff_lines(found: dict[str, Any]) -> list[str]:
    if found["same"]:
        return ["equal in every tensor, option, loss and entry"]
    lines = []
    if found["iteration"][0] != found["iteration"][1]:
        lines.append(f"iteration  {found['iteration'][0]} / {found['iteration'][1]}")
    lines += [
        f"option     {_shown(key)}: {_shown(a)} / {_shown(b)}"
        for key, (a, b) in found["options"].items()
    ]
    lines += [
        f"differs    {what}"
        for what, key in (("loss history", "loss_history_equal"), ("other entries", "extra_equal"))
        if not found[key]
    ]
    for part, entries in found["parts"].items():
        if "only_in" in entries:
            lines.append(f"part       {part} is only in the {entries['only_in']}")
            continue
        largest = max((e.get("max", math.nan) for e in entries.values()), default=math.nan)
        lines.append(f"part       {part}: {len(entries)} tensors differ, by {largest:.3g} at most")
        named = [k for k, e in entries.items() if "max" not in e][:5]
        lines += [f"             {_shown(key)}: {entries[key]}" for key in named]
    return lines


@command.command()
@click.argument("path", type=click.Path(path_type=Path, exists=True))
@_json
@click.pass_context
def scan(context: click.Context, path: Path, as_json: bool) -> None:
    """Audit files of strangers without loading them; exit 1 if anything is refused.

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
        for line in _scan_lines(results, others):
            click.echo(line)
    if refused:
        context.exit(1)


def _scan_lines(results: list[FileAudit], others: list[Path]) -> list[str]:
    refused = [result for result in results if not result.accepted]
    lines = []
    for result in refused:
        problem = result.problem.removeprefix(f"{result.path}: ")
        names = f"names {', '.join(result.refused)}" if result.refused else problem
        lines.append(f"REFUSED  {_shown(result.path)}  {_shown(names)}")
    kinds = Counter(result.kind for result in results)
    shown = ", ".join(f"{count} {kind}" for kind, count in kinds.items()) or "nothing"
    lines.append(f"{len(results)} files looked at ({shown}), {len(refused)} refused")
    if others:
        endings = Counter(path.suffix.lower() or "no ending" for path in others)
        named = ", ".join(f"{count} {_shown(ending)}" for ending, count in endings.most_common(8))
        lines.append(f"{len(others)} files of other kinds were not looked at ({named})")
    found = sorted({name for result in results for name in result.globals})
    if found:
        lines.append(f"names found: {', '.join(found)}")
    return lines


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
        for line in _convert_lines(found, target):
            click.echo(line)
    if not found["passed"]:
        context.exit(1)


def _convert_lines(found: dict[str, Any], target: Path) -> list[str]:
    pairs = [pair for part in found["tensors"].values() for pair in part.values()]
    equal = sum(a == b for a, b in pairs)
    lines = [
        f"{found['model']} at iteration {found['iteration']} written as {found['to']} to {target}",
        f"tensors    {equal} of {len(pairs)} equal by SHA-256",
        f"the rest   {'equal' if found['differences']['same'] else 'DIFFERS'} "
        "(options, iteration, loss history, other entries)",
    ]
    if "proof" in found:
        lines += _proof_lines(found["proof"])
    lines += [f"note       {note}" for note in found["notes"]]
    lines.append(f"proof      {target / (found['model'] + '_conversion.json')}")
    return [*lines, "PASSED" if found["passed"] else "FAILED"]


def _proof_lines(proof: dict[str, Any]) -> list[str]:
    lines = []
    for when, errors in proof["largest_difference"].items():
        if errors:
            named = ", ".join(f"{what} {error:.3g}" for what, error in errors.items())
            lines.append(f"{when.replace('_', ' ')}: largest difference of {named}")
    if proof["not_run"]:
        lines.append(f"networks   not run: {proof['not_run']}")
    return lines


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
    from dfl_tf.formats import ModelLock, model_files, read_model
    from dfl_tf.formats.models.files import prefix_of
    from dfl_tf.formats.models.rescue import recover
    from dfl_tf.train.backup import make_backup

    name, model_class = _pick(directory, name, model_class)
    folder = directory / f"{prefix_of(name, model_class)}_autobackups"
    with ModelLock(directory, name, model_class):
        recover(directory, name, model_class)
        try:
            state = read_model(directory, name, model_class)
        except ModelFileError as error:
            raise type(error)(f"{error}\nNothing was backed up.") from None
        made = make_backup(folder, directory, model_files(directory, name, model_class), {})
    if as_json:
        _print({"backup": made, "iteration": state.iteration})
    else:
        click.echo(f"iteration {state.iteration} backed up to {made}")


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
    from dfl_tf.formats.models import rescue as model_rescue

    try:
        name, model_class = _pick(directory, name, model_class)
    except ModelFileError:
        # the model itself may be gone: that is when its backups are needed most
        gone = [
            known
            for known in model_convert.backed_up(directory)
            if name in (None, known[0]) and model_class in (None, known[1])
        ]
        if len(gone) != 1:
            named = ", ".join(f"{known} ({kind})" for known, kind in gone) or "none"
            raise ModelFileError(
                f"{directory}: there is no such model. Models with backups: {named}. Name one by "
                "--name and --class."
            ) from None
        name, model_class = gone[0]
    there = model_rescue.backups(directory, name, model_class)
    chosen = next((p for p in there if source is None or p.name == source.zfill(2)), None)
    if chosen is None and source is not None and Path(source).is_dir():
        chosen = Path(source)
    if previous:
        chosen = model_rescue.place_of(directory, name, model_class).previous
    if chosen is None:
        names = ", ".join(path.name for path in there) or "none"
        raise ModelFileError(f"{directory}: there is no such backup. Backups there: {names}.")
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
