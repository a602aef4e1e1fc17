"""The flags of `merge --sheet`: what it shows, and how large."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

import click

from dfl_tf.errors import UsageError
from dfl_tf.merge.sheet import SheetRequest
from dfl_tf.merge.sweep import parse_sweep

SHEET_MODES = "overlay, hist-match, seamless, seamless-hist-match"
SHEET_MASKS = "dst, learned-prd, learned-dst, learned-prd*learned-dst"

_Command = TypeVar("_Command", bound=Callable[..., object])

_FLAGS = (
    click.option(
        "--sheet",
        type=click.Path(path_type=Path),
        metavar="FILE",
        help="Only draw a sheet of frames × modes × mask modes, .jpg or .png.",
    ),
    click.option(
        "--sweep",
        multiple=True,
        metavar="KEY=VALUES",
        help="On the sheet, try values of an option instead of modes: "
        "erode_mask_modifier=-40:40:20, or color_transfer_mode=rct,lct. A second one takes the "
        "rows instead of mask modes.",
    ),
    click.option(
        "--sheet-size",
        type=click.IntRange(64, 2048),
        default=160,
        show_default=True,
        metavar="PIXELS",
        help="Width of an image on the sheet.",
    ),
    click.option(
        "--sheet-modes",
        default=SHEET_MODES,
        show_default=True,
        metavar="LIST",
        help="Modes on the sheet, separated by commas; --mode lists all.",
    ),
    click.option(
        "--sheet-masks",
        default=SHEET_MASKS,
        show_default=True,
        metavar="LIST",
        help="Mask modes on the sheet, separated by commas; --mask-mode lists all.",
    ),
    click.option(
        "--sheet-count",
        type=click.IntRange(1),
        default=3,
        show_default=True,
        help="Frames on the sheet, spread over those chosen.",
    ),
)


def sheet_flags(command: _Command) -> _Command:
    """Add ``--sheet`` and what belongs to it."""
    for flag in reversed(_FLAGS):
        command = flag(command)
    return command


def sheet_request(
    file: Path | None, *, sweeps: Sequence[str], modes: str, masks: str, count: int, cell: int
) -> SheetRequest | None:
    """Return what the flags say about a sheet, if they ask for one.

    Raises
    ------
    UsageError
        Something of it cannot be.
    """
    if file is None:
        return None
    if sweeps:
        columns, *rows = map(parse_sweep, sweeps)
    else:
        columns = parse_sweep(f"mode={modes}", "--sheet-modes")
        rows = [parse_sweep(f"mask_mode={masks}", "--sheet-masks")]
    if len(rows) > 1:
        raise UsageError("--sweep: two options at most, one for columns and one for rows")
    return SheetRequest(file, columns, rows[0] if rows else None, count, cell)
