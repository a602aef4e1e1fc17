"""`dfl-tf demo`: two minutes from nothing to a trained model, on faces that come along."""

from __future__ import annotations

import importlib.resources
from pathlib import Path

import click

from dfl_tf.disk.durable import make_folder_for, write_file
from dfl_tf.formats.workspace import Workspace
from dfl_tf.options import Layer, RunOptions

NAME = "demo"
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


@click.command()
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
    default=Path("dfl-tf-demo"),
    show_default=True,
    help="Workspace to make or go on with.",
)
@click.option("--seed", type=int, default=None, help="Make the run reproducible.")
def command(seconds: float, output: Path, seed: int | None) -> int:
    """Train a small SAEHD model on built-in synthetic faces and show where the results are.

    Run it again to go on where it stopped.
    """
    from dfl_tf.cli.train import train
    from dfl_tf.train.start import prepare, settled_by

    unpack(output)
    run = RunOptions(stop_after=seconds, preview_every=100, seed=seed)
    settle = settled_by([Layer(OPTIONS, "the demo")], run)
    prepared = prepare(Workspace.open(output), "SAEHD", NAME, settle)
    begin = "a new model" if prepared.state is None else f"iteration {prepared.state.iteration}"
    click.echo(f"Training {begin} in {output} for {seconds:g} seconds.", err=True)
    code = train(prepared)
    click.echo(ending(output))
    return code


def unpack(output: Path) -> None:
    """Put the faces that are not there yet into the workspace."""
    data = importlib.resources.files("dfl_tf") / "demo_data"
    for name in ("data_src/aligned/faceset.pak", "data_dst/aligned/faceset.pak", "CREDITS.txt"):
        target = output / name
        if not target.exists():
            make_folder_for(target)
            write_file(target, data.joinpath(name).read_bytes())


def ending(output: Path) -> str:
    """Where the results are, and what to try next."""
    model = output / "model"
    preview = model / f"{NAME}_SAEHD_preview"
    quoted = f'"{output}"' if " " in str(output) else str(output)
    quoted_model = f'"{model}"' if " " in str(model) else str(model)
    return f"""
Columns of the preview: src, src reproduced, dst, dst reproduced, and the swap: src's face with
the expression of dst.

  preview  {preview / "SAEHD.jpg"}
           {preview / "SAEHD masked.jpg"}
  losses   {preview / "loss.png"}
  model    {model}

Next:
  dfl-tf demo --seconds 600 --output {quoted}    go on where this stopped
  dfl-tf train {quoted} --stop-after 300         the same by the real command
  dfl-tf train {quoted} --no-random-warp --plan  what another option would change
  dfl-tf model show {quoted_model} --name {NAME} --class SAEHD
  dfl-tf train YOUR_WORKSPACE --plan             your own faces"""
