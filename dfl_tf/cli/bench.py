"""`dfl-tf bench`: how fast training, samples, operations and disk are on this machine."""

from __future__ import annotations

import contextlib
import json
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click
from dfl_tf_ops.process import running_seconds

from dfl_tf.cli.from_options import CommandInputs, OptionCommand, option_flags
from dfl_tf.cli.model_choice import class_option
from dfl_tf.cli.paths import FILE, FOLDER
from dfl_tf.cli.speaking import CommandGroup
from dfl_tf.disk.durable import write_file
from dfl_tf.options import DEFAULT_MODEL, OPTIONS, Layer, RunOptions

if TYPE_CHECKING:
    from dfl_tf.train.start import Prepared

PATH = click.Path(path_type=Path)
Function = Callable[..., object]


@click.group(cls=CommandGroup, invoke_without_command=True)
@click.option(
    "--compare",
    nargs=2,
    type=FILE,
    metavar="A.json B.json",
    help="Compare two reports instead of measuring.",
)
@click.pass_context
def command(context: click.Context, compare: tuple[Path, Path] | None) -> None:
    """Measure training, samples, operations and disk. Nothing is trained or saved permanently.

    Without a workspace the faces and the small model of dfl-tf demo are measured. Close other
    programs first: the load of the machine is part of every report.
    """
    if compare is not None:
        from dfl_tf.bench.compare import compare as compared
        from dfl_tf.bench.compare import read_report

        a, b = (read_report(path) for path in compare)
        click.echo("\n".join(compared(a, b)))
        context.exit()
    if context.invoked_subcommand is None:
        click.echo(context.get_help())


def _report_flags(function: Function) -> Function:
    flags = (
        click.option("--json", "as_json", is_flag=True, help="Print JSON."),
        click.option(
            "--report", type=PATH, metavar="FILE", help="Write the JSON to this file too."
        ),
    )
    for flag in reversed(flags):
        function = flag(function)
    return function


def _model_flags(function: Function) -> Function:
    """What a user's own model and faces are named by."""
    flags = (
        click.argument("workspace", type=PATH, required=False),
        class_option("Class of the model.", default=DEFAULT_MODEL),
        click.option("--name", metavar="NAME", help="Model; default: the one saved last."),
        click.option("--src", type=PATH, help="Aligned src faces."),
        click.option("--dst", type=PATH, help="Aligned dst faces."),
        click.option("--model-dir", type=PATH, help="Folder of model files."),
    )
    for flag in reversed(flags):
        function = flag(function)
    return option_flags(*OPTIONS.values(), RunOptions)(function)


def _show(found: dict[str, object], lines: list[str], as_json: bool, report: Path | None) -> None:
    text = json.dumps(found, indent=1)
    click.echo(text if as_json else "\n".join(lines))
    if report is not None:
        write_file(report, text.encode())


@contextlib.contextmanager
def _prepared(
    workspace: Path | None,
    model_class: str,
    name: str | None,
    inputs: CommandInputs,
    **folders: Path | None,
) -> Iterator[Prepared]:
    """The user's model and faces, or those of the demo in a folder that goes away again."""
    from dfl_tf.cli import demo
    from dfl_tf.formats.sessions.workspace import Workspace
    from dfl_tf.train.start import prepare

    with contextlib.ExitStack() as stack:
        own = workspace is not None or all(folders.values())
        if own:
            place = Workspace.open(
                workspace or Path(),
                src=folders["src"],
                dst=folders["dst"],
                model=folders["model"],
                need=("src", "dst"),
            )
        else:
            root = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="dfl-tf-bench-")))
            demo.unpack(root)
            place = Workspace.open(root)
            if model_class == DEFAULT_MODEL:  # small, unless what is given says otherwise
                inputs = replace(inputs, files=(Layer(demo.OPTIONS, "the demo"), *inputs.files))
        prepared = prepare(place, model_class, name, inputs)
        quiet = replace(prepared.run, no_save=True, no_preview=True)
        yield replace(prepared, run=quiet)


@command.command("train", cls=OptionCommand)
@click.option(
    "--iterations",
    type=click.IntRange(min=3),
    default=20,
    show_default=True,
    help="How many are measured.",
)
@click.option("--fit", is_flag=True, help="Look for the largest batch that fits into memory.")
@click.option(
    "--fit-limit",
    type=click.FloatRange(min=64),
    metavar="MIB",
    help="Memory that may be used; default: most of what is free.",
)
@click.option(
    "--profile",
    "profiled",
    is_flag=True,
    help="Where a step goes, by kind of operation, on a CPU. Operations run one at a time then.",
)
@_report_flags
@_model_flags
def train_command(
    workspace: Path | None,
    model_class: str,
    name: str | None,
    src: Path | None,
    dst: Path | None,
    model_dir: Path | None,
    iterations: int,
    fit: bool,
    fit_limit: float | None,
    profiled: bool,
    as_json: bool,
    report: Path | None,
    inputs: CommandInputs,
) -> None:
    """Train without saving and say where the time goes."""
    from dfl_tf.bench import fit as bench_fit
    from dfl_tf.bench import step as bench_step
    from dfl_tf.devices.configure import configure_devices

    folders = {"src": src, "dst": dst, "model": model_dir}
    with _prepared(workspace, model_class, name, inputs, **folders) as prepared:
        configure_devices(prepared.run)
        since_start = running_seconds()
        found = bench_step.bench_train(
            prepared, iterations=iterations, loaded_after=since_start, profiled=profiled
        )
        if fit:
            found["fit"] = list(
                bench_fit.fit(
                    prepared.place.model_class,
                    prepared.resolved.options,
                    prepared.run,
                    limit=bench_fit.limit_mib(fit_limit),
                )
            )
    _show(found, bench_step.train_lines(found), as_json, report)


@command.command("samples", cls=OptionCommand)
@click.option(
    "--seconds",
    type=click.FloatRange(min=0.1),
    default=5.0,
    show_default=True,
    help="How long each number of threads is measured.",
)
@_report_flags
@_model_flags
def samples_command(
    workspace: Path | None,
    model_class: str,
    name: str | None,
    src: Path | None,
    dst: Path | None,
    model_dir: Path | None,
    seconds: float,
    as_json: bool,
    report: Path | None,
    inputs: CommandInputs,
) -> None:
    """Draw training samples as fast as they come, with several numbers of workers."""
    from dfl_tf.bench import parts as bench_parts
    from dfl_tf.train.batch_source import Facesets
    from dfl_tf.train.start import build_model

    folders = {"src": src, "dst": dst, "model": model_dir}
    with _prepared(workspace, model_class, name, inputs, **folders) as prepared:
        facesets = Facesets.open(prepared.workspace, pretrain=prepared.pretrain)
        model, _ = build_model(prepared)
        found = bench_parts.bench_samples(model, facesets, seconds=seconds)
    _show(found, bench_parts.samples_lines(found), as_json, report)


@command.command("ops")
@click.option(
    "--parameters",
    type=click.IntRange(min=8192),
    default=8_000_000,
    show_default=True,
    help="Number of weights that the update is timed with.",
)
@_report_flags
def ops_command(parameters: int, as_json: bool, report: Path | None) -> None:
    """Time matrix products, the optimizer's update and color transfer."""
    from dfl_tf.bench import parts as bench_parts
    from dfl_tf.devices.configure import configure_devices

    configure_devices(RunOptions())
    found = bench_parts.bench_ops(parameters=parameters)
    _show(found, bench_parts.ops_lines(found), as_json, report)


@command.command("io")
@click.argument("folder", type=FOLDER)
@click.option(
    "--parameters",
    type=click.IntRange(min=1024),
    default=50_000_000,
    show_default=True,
    help="Number of weights of a synthetic model; it has twice as many slots.",
)
@_report_flags
def io_command(folder: Path, parameters: int, as_json: bool, report: Path | None) -> None:
    """Save and load a synthetic model on the disk of FOLDER, in both formats."""
    from dfl_tf_ops.native_output import import_tensorflow

    from dfl_tf.bench import parts as bench_parts

    import_tensorflow()
    found = bench_parts.bench_io(bench_parts.synthetic_state(parameters), folder)
    _show(found, bench_parts.io_lines(found), as_json, report)
