"""`dfl-tf train`: train a model on a workspace, or go on with one."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import click

from dfl_tf.cli.choose_model import ask_name
from dfl_tf.cli.from_options import CommandInputs, OptionCommand, option_flags
from dfl_tf.cli.model_choice import class_option, on_a_terminal
from dfl_tf.cli.web_beside import FLAG, page_beside, with_port
from dfl_tf.errors import UsageError
from dfl_tf.evaluate.validator import Validator
from dfl_tf.formats.sessions.workspace import Workspace
from dfl_tf.jobs.progress import ProgressBar
from dfl_tf.options import DEFAULT_MODEL, OPTIONS, Layer, Machine, Options, RunOptions, kind_of
from dfl_tf.options.prompts import Answers, ask_options
from dfl_tf.train.job import run_training
from dfl_tf.train.start import Prepared, choose_name, prepare

PATH = click.Path(path_type=Path)
_SENTENCES = 3


class TrainCommand(OptionCommand):
    """Takes ``--web`` with or without a port."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """As click does, once each flag has its value."""
        return super().parse_args(ctx, with_port(args))


@click.command(cls=TrainCommand)
@click.argument("workspace", type=PATH, required=False)
@class_option("Class of the model.", default=DEFAULT_MODEL)
@click.option(
    "--name",
    "--force-model-name",
    "name",
    metavar="NAME",
    help="Model to train; default: the one saved last, else new.",
)
@click.option("--src", type=PATH, help="Aligned src faces; default WORKSPACE/data_src/aligned.")
@click.option("--dst", type=PATH, help="Aligned dst faces; default WORKSPACE/data_dst/aligned.")
@click.option("--model-dir", type=PATH, help="Folder of model files; default WORKSPACE/model.")
@click.option("--pretrain-dir", type=PATH, help="Faces for pretraining.")
@click.option(
    "--pretrained-weights",
    "--pretrained-model-dir",
    "pretrained_model_dir",
    type=PATH,
    help="Folder of weights that a new Quick96 starts from.",
)
@click.option(
    "--restart",
    is_flag=True,
    help="XSeg: begin again at iteration 0 with fresh weights, after a backup.",
)
@click.option("--interactive", is_flag=True, help="Ask for model and options, as DeepFaceLab does.")
@click.option(
    "--ask-new",
    is_flag=True,
    help="The same for a new model only, if there is a terminal; else it takes the defaults.",
)
@click.option(
    "--yes",
    is_flag=True,
    help='Assume "yes" for all confirmations (always so without --interactive).',
)
@click.option("--plan", is_flag=True, help="Show what would be trained, then exit.")
@click.option(
    "--lr-find",
    is_flag=True,
    help="Try rising learning rates on a copy of the model, draw the losses, suggest a rate, exit.",
)
@click.option("--json", "as_json", is_flag=True, help="With --plan or --lr-find: print JSON.")
@click.option(
    FLAG,
    "web_port",
    type=click.IntRange(0, 65535),
    metavar="[PORT]",
    help="Serve the page of dfl-tf web beside the run, in a process of its own that ends a minute "
    "after it; without PORT on the first free one from 8765.",
)
@option_flags(*OPTIONS.values(), RunOptions)
def command(
    workspace: Path | None,
    model_class: str,
    name: str | None,
    src: Path | None,
    dst: Path | None,
    model_dir: Path | None,
    pretrain_dir: Path | None,
    pretrained_model_dir: Path | None,
    restart: bool,
    interactive: bool,
    ask_new: bool,
    yes: bool,
    plan: bool,
    lr_find: bool,
    as_json: bool,
    web_port: int | None,
    inputs: CommandInputs,
) -> int:
    """Train or resume a model, without a window or a question.

    WORKSPACE holds data_src/aligned, data_dst/aligned and model; each can be given by its own flag
    instead. SIGINT, SIGTERM and a closed terminal (SIGHUP) finish the iteration, save and exit
    with 130, 143 or 129; a second Ctrl-C exits at once. A running training obeys the files
    <model>_save.request, _backup.request, _preview.request and _stop.request in the model folder,
    and switches to the options of <model>_options.request, a YAML file of what changes.
    """
    if workspace is None and (src is None or dst is None or model_dir is None):
        raise UsageError("give WORKSPACE, or all of --src, --dst and --model-dir")
    given = {"src": src, "dst": dst, "model": model_dir, "pretrain": pretrain_dir}
    with inputs.errors_besides(kind_of(model_class).options):
        place = Workspace.open(workspace or Path(), **given, need=())
    if interactive and not on_a_terminal():
        raise UsageError(
            "--interactive asks on a terminal, and there is none. Give options as flags or in a "
            "--config file; dfl-tf options lists them."
        )
    if ask_new and not choose_name(place.model, model_class, name)[1]:
        interactive = interactive or on_a_terminal()
        if not interactive:
            _say(
                f"note: this {model_class} model is new and there is no terminal to ask on: "
                "options that are not given take their defaults (dfl-tf options explains them)"
            )
    if interactive and name is None:
        name = ask_name(place.model, model_class, read=_read, say=_say)
    ask = _ask if interactive else None
    prepared = prepare(place, model_class, name, inputs, restart=restart, ask=ask)
    prepared = replace(prepared, pretrained=pretrained_model_dir)
    if plan:
        from dfl_tf.train.plan import make_plan

        made = replace(make_plan(prepared), data=_about_faces(prepared))
        click.echo(json.dumps(made.as_dict(), indent=1) if as_json else made.text())
        return 0
    if lr_find:
        _find_rate(prepared, workspace or Path(), as_json=as_json)
        return 0
    with page_beside(workspace or place.model, model_dir, web_port):
        return run_training(prepared, make_measure=Validator).exit_code


def _find_rate(prepared: Prepared, folder: Path, *, as_json: bool) -> None:
    """Write a plot into a folder, and say which learning rate suits."""
    from dfl_tf.train.rate_test import find_rate, write_rate_plot

    with ProgressBar("learning rates", "steps") as step:
        found = find_rate(prepared, progress=step, say=_say)
    plot = folder / f"{prepared.place.storage}_lr_find.png"
    write_rate_plot(plot, found)
    if as_json:
        click.echo(json.dumps({**found.as_dict(), "plot": str(plot)}, indent=1))
        return
    for line in (*found.lines(), f"plot: {plot}"):
        click.echo(line)


def _about_faces(prepared: Prepared) -> list[str]:
    """The three most important sentences about the faces, where they were measured before."""
    from dfl_tf.facesets.measure_cache import MeasureCache
    from dfl_tf.facesets.report.known import known_sentences

    if prepared.pretrain:
        return []
    place = prepared.workspace
    return known_sentences(place.src, place.dst, cache=MeasureCache.of_user())[:_SENTENCES]


def _ask(cls: type[Options], known: Sequence[Layer], machine: Machine) -> Answers:
    return ask_options(cls, known, read=_read, say=_say, machine=machine)


def _read(prompt: str) -> str:
    click.echo(prompt, nl=False, err=True)
    line = sys.stdin.readline()
    if not line:
        raise EOFError
    return line.rstrip("\n")


def _say(text: str) -> None:
    click.echo(text, err=True)
