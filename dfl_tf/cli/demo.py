"""`dfl-tf demo`: two minutes from nothing to a trained model, on faces that come along."""

from __future__ import annotations

import contextlib
import importlib.resources
from collections.abc import Sequence
from pathlib import Path

import click

from dfl_tf.cli.model_choice import json_flag, print_json
from dfl_tf.cli.quiet import quiet_output
from dfl_tf.cli.speaking import Command
from dfl_tf.disk.durable import make_folder_for, write_file
from dfl_tf.errors import UsageError
from dfl_tf.formats.sessions.workspace import Workspace
from dfl_tf.options import RunOptions
from dfl_tf.options.inputs import OptionInputs

NAME = "demo"
CREDITS = "CREDITS.txt"
FACES = ("data_src/aligned/faceset.pak", "data_dst/aligned/faceset.pak", CREDITS)
OPTIONS = {
    "resolution": 64,
    "face_type": "f",
    "archi": "liae-ud",
    "ae_dims": 64,
    "e_dims": 32,
    "d_dims": 32,
    "d_mask_dims": 16,
    "batch_size": 4,
}
"""Small enough that two cores show a result in two minutes."""


@click.command(cls=Command)
@click.option(
    "--seconds",
    type=click.FloatRange(min=1),
    default=120.0,
    show_default=True,
    help="How long to train.",
)
@click.option(
    "--output",
    type=click.Path(path_type=Path, file_okay=False),
    help="Workspace to create or continue; default: dfl-tf-demo (dfl-tf-road for --whole-road).",
)
@click.option("--seed", type=int, default=None, help="Make the run reproducible.")
@click.option(
    "--whole-road",
    is_flag=True,
    help="Start from two small clips instead: extract, report, train, merge, video.",
)
@json_flag
def command(
    seconds: float, output: Path | None, seed: int | None, whole_road: bool, as_json: bool
) -> int:
    """Train a small SAEHD model on built-in synthetic faces and show where the results are.

    Run it again to continue where it stopped. A folder with other files than the demo's is refused.
    """
    if whole_road:
        from dfl_tf.cli import main
        from dfl_tf.cli import whole_road as road

        output = output or Path("dfl-tf-road")
        refuse_other_files(output, road.CLIPS)
        unpack(output, (*road.CLIPS, CREDITS))
        with quiet_output(keep_stdout=False) if as_json else contextlib.nullcontext():
            code = road.walk(output, OPTIONS, seconds, seed, main.run)
        if as_json and code == 0:
            print_json(road.results(output))
        return code
    from dfl_tf.train.job import run_training
    from dfl_tf.train.start import prepare

    output = output or Path("dfl-tf-demo")
    unpack(output)
    # A toy of two minutes: remarks on it would be about no one's project.
    run = RunOptions(stop_after=seconds, preview_every=100, seed=seed, advice=False)
    inputs = OptionInputs.of_program(OPTIONS, "the demo", run)
    prepared = prepare(Workspace.open(output), "SAEHD", NAME, inputs)
    begin = "a new model" if prepared.state is None else f"iteration {prepared.state.iteration}"
    click.echo(f"Training {begin} in {output} for {seconds:g} seconds.", err=True)
    done = run_training(prepared)
    if as_json:
        print_json({**results(output), "iteration": done.iteration, "exit_code": done.exit_code})
    else:
        click.echo(ending(output))
    return done.exit_code


def unpack(output: Path, names: Sequence[str] = FACES) -> None:
    """Put those of the demo's files that are not there yet into the workspace."""
    data = importlib.resources.files("dfl_tf") / "demo_data"
    for name in names:
        target = output / name
        if not target.exists():
            make_folder_for(target)
            write_file(target, data.joinpath(name).read_bytes())


def refuse_other_files(output: Path, names: Sequence[str]) -> None:
    """Go on only in a new folder, or in one that holds these files of the demo as they are.

    Raises
    ------
    UsageError
        The folder is a user's own: its frames and results would be replaced.
    """
    if not output.exists() or not any(output.iterdir()):
        return
    data = importlib.resources.files("dfl_tf") / "demo_data"
    there = [name for name in names if (output / name).exists()]
    ours = [n for n in there if (output / n).read_bytes() == data.joinpath(n).read_bytes()]
    if not ours or ours != there:
        raise UsageError(
            f"{output}: holds other files than the clips of this demo; its frames and results "
            "would be replaced. Name a new folder with --output."
        )


def results(output: Path) -> dict[str, Path]:
    """Where the results are."""
    model = output / "model"
    preview = model / f"{NAME}_SAEHD_preview"
    return {
        "workspace": output,
        "model": model,
        "preview": preview / "SAEHD.jpg",
        "masked_preview": preview / "SAEHD masked.jpg",
        "losses": preview / "loss.png",
    }


def ending(output: Path) -> str:
    """Where the results are, and what to try next."""
    there = results(output)
    model = there["model"]
    quoted = f'"{output}"' if " " in str(output) else str(output)
    quoted_model = f'"{model}"' if " " in str(model) else str(model)
    return f"""
Columns of the preview: src, src reproduced, dst, dst reproduced, and the swap: src's face with
the expression of dst.

  preview  {there["preview"]}
           {there["masked_preview"]}
  losses   {there["losses"]}
  model    {model}

Next:
  dfl-tf demo --seconds 600 --output {quoted}    continue where this stopped
  dfl-tf train {quoted} --stop-after 300         the same by the real command
  dfl-tf train {quoted} --no-random-warp --plan  what another option would change
  dfl-tf model show {quoted_model} --name {NAME} --class SAEHD
  dfl-tf train YOUR_WORKSPACE --plan             your own faces"""
