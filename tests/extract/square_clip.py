"""A clip of a white square that moves."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av

from dfl_tf.video.color import from_bgr

from .squares import draw_frame


def make_clip(
    path: Path, *, count: int = 12, bits: int = 8, times=None, setup=None, step: int = 8
) -> Path:
    """A white square that moves; frame 5 has none."""
    codec = "libx264" if path.suffix in (".mp4", ".mkv") else "mpeg4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=25)
        stream.width, stream.height = 320, 240
        stream.pix_fmt = "yuv420p" if bits == 8 else "yuv420p10le"
        stream.codec_context.time_base = Fraction(1, 1000)
        stream.codec_context.options = {"qp": "4"}
        if setup is not None:
            setup(stream)
        for i in range(count):
            squares = [] if i == 4 else [(60 + step * i, 60, 90)]
            frame = from_bgr(av, draw_frame(*squares), "yuv420p")
            if bits == 10:
                frame = frame.reformat(format=stream.pix_fmt)
            frame.pts, frame.time_base = (
                (times or [40 * i for i in range(count)])[i],
                Fraction(1, 1000),
            )
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path
