"""`dfl-tf demo --whole-road`: from two clips to a video, by the commands that a user types."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import click

from dfl_tf.disk.durable import make_folder
from dfl_tf.disk.frame_order import in_frame_order
from dfl_tf.disk.listing import list_folder
from dfl_tf.imaging import read_image, tiled, write_image

CLIPS = ("data_src.mp4", "data_dst.mp4")
SIDE_BY_SIDE = "side_by_side"

RunCommand = Callable[[Sequence[str]], int]


def walk(
    root: Path, options: Mapping[str, object], seconds: float, seed: int | None, run: RunCommand
) -> int:
    """Extract, report, train, merge and make videos in a workspace that holds the two clips.

    Each step is a command line, which is printed and carried out; the road ends at the first that
    fails. Walked again it goes on: faces and the model stay and the model is trained further; the
    report, the merged frames and the videos are made again from it.

    Parameters
    ----------
    root : Path
        Workspace with data_src.mp4 and data_dst.mp4.
    options : mapping
        Options of the SAEHD model.
    seconds : float
        How long to train.
    seed : int, optional
    run : callable
        Carries out the arguments of a command line and returns its exit code.

    Returns
    -------
    int
        Exit code.
    """
    for words in _steps(root, options, seconds, seed):
        click.echo(f"\n$ dfl-tf {shlex.join(words)}", err=True)
        code = run(words)
        if code:
            return code
    click.echo(_ending(root))
    return 0


def _steps(
    root: Path, options: Mapping[str, object], seconds: float, seed: int | None
) -> Iterator[list[str]]:
    place, dst = str(root), root / "data_dst"
    faces = [str(root / side / "aligned") for side in ("data_src", "data_dst")]
    yield ["extract", place, "--side", "src", "--image-size", "256"]
    yield ["video", "extract", str(root / CLIPS[1]), "--overwrite"]
    yield ["extract", place, "--side", "dst", "--image-size", "256"]
    yield ["faceset", "report", *faces, "-o", str(root / "report.html")]
    flags = [f"--{key.replace('_', '-')}={value}" for key, value in options.items()]
    seeds = [] if seed is None else [f"--seed={seed}"]
    yield [
        "train",
        place,
        "--name=demo",
        *flags,
        *seeds,
        "--no-advice",
        f"--stop-after={seconds:g}",
    ]
    yield ["merge", place, "--name=demo", "--overwrite"]
    yield ["video", "merge", place]
    join_frames(dst, dst / "merged", root / SIDE_BY_SIDE)
    both = ["--reference", str(root / CLIPS[1]), "-o", str(root / f"{SIDE_BY_SIDE}.mp4")]
    yield ["video", "merge", str(root / SIDE_BY_SIDE), *both]


def join_frames(left: Path, right: Path, output: Path) -> None:
    """Write each image of a folder with its namesake of another one to the right of it."""
    make_folder(output)
    for path in in_frame_order(list_folder(right, {".png"}).files):
        images = [read_image(folder / path.name) for folder in (left, right)]
        write_image(output / path.name, tiled([images]))


def results(root: Path) -> dict[str, Path]:
    """What is there at the end."""
    return {
        "workspace": root,
        "src_faces": root / "data_src" / "aligned",
        "dst_faces": root / "data_dst" / "aligned",
        "report": root / "report.html",
        "model": root / "model",
        "result": root / "result.mp4",
        "side_by_side": root / f"{SIDE_BY_SIDE}.mp4",
    }


def _ending(root: Path) -> str:
    there = results(root)
    return f"""
The whole road, from two clips to a video:

  clips    {root / CLIPS[0]}
           {root / CLIPS[1]}
  faces    {there["src_faces"]}
           {there["dst_faces"]}
  report   {there["report"]}
  model    {there["model"]}
  result   {there["result"]}
  both     {there["side_by_side"]}    dst and the result, side by side

Run it again (with more --seconds) and the model is trained further; faces that are there stay, the
report, the merged frames and the videos are made again."""
