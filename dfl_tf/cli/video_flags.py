"""The flags of a video that is encoded from frames: those of `merge --video` and `video merge`."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import click

from dfl_tf.video.write import Encoding

BITRATE = Encoding().bitrate

_Command = TypeVar("_Command", bound=Callable[..., object])

_FLAGS = (
    click.option(
        "--fps",
        "rate",
        default="",
        metavar="RATE",
        help="Frames a second without a reference; default: 25.",
    ),
    click.option(
        "--audio/--no-audio",
        default=True,
        show_default=True,
        help="Carry the sound of the reference over.",
    ),
    click.option("--lossless", is_flag=True, help="Keep every pixel of the video exact."),
    click.option(
        "--bitrate",
        type=click.FloatRange(0, min_open=True),
        default=BITRATE,
        show_default=True,
        help="Megabits a second of the video.",
    ),
)


def encoding_flags(command: _Command) -> _Command:
    """Add ``--fps``, ``--audio``, ``--lossless`` and ``--bitrate``, in this order."""
    for flag in reversed(_FLAGS):
        command = flag(command)
    return command
