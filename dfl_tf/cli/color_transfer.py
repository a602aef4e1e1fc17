"""`dfl-tf faceset color-transfer`: a sheet that shows what every `ct_mode` does to some faces."""

from __future__ import annotations

from pathlib import Path

import click

from dfl_tf.cli.model_choice import json_flag, print_json
from dfl_tf.cli.paths import EITHER
from dfl_tf.cli.speaking import Command


@click.command("color-transfer", cls=Command)
@click.argument("src", type=EITHER)
@click.argument("dst", type=EITHER)
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path, dir_okay=False),
    default=Path("color_transfer.png"),
    show_default=True,
    help="Image to write.",
)
@click.option(
    "--faces", type=click.IntRange(1, 64), default=6, show_default=True, help="Rows of the sheet."
)
@click.option(
    "--size", type=click.IntRange(32, 1024), default=160, show_default=True, help="Side of a face."
)
@click.option("--seed", type=int, default=0, show_default=True, help="Of the pairs, idt and sot.")
@json_flag
def command(
    src: Path, dst: Path, output: Path, faces: int, size: int, seed: int, as_json: bool
) -> None:
    """Show faces of SRC with the colors of faces of DST, in every mode of the option ct_mode.

    SRC and DST are folders of aligned faces or faceset.pak files. A row is one pair: the dst face,
    the src face, and the src face after each transfer. In training the pairs are drawn at random.
    """
    import cv2
    import numpy as np
    from dfl_tf_ops.color_transfer import MODES, color_transfer

    from dfl_tf.data import Faceset
    from dfl_tf.imaging import sheet, write_image
    from dfl_tf.imaging.filters import resize_to

    rng = np.random.RandomState(seed % 2**32)
    sides = []
    for path in (src, dst):
        faceset = Faceset.open(path)
        chosen = np.sort(rng.choice(len(faceset), min(faces, len(faceset)), replace=False))
        images = [resize_to(faceset[int(i)].image(), size, cv2.INTER_AREA) for i in chosen]
        sides.append([images[k % len(images)] for k in range(faces)])
    rows = []
    for source, target in zip(*sides, strict=True):
        moved = [color_transfer(mode, source, target, rng=rng) for mode in MODES[1:]]
        rows.append([target, source, *moved])
    captions = [["dst", "src", *MODES[1:]]] * faces
    write_image(output, sheet(rows, captions=captions))
    if as_json:
        print_json({"sheet": output, "pairs": faces, "modes": MODES[1:]})
        return
    click.echo(f"{output}: {faces} pairs, {', '.join(MODES[1:])}")
