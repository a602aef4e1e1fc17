"""A part of a video, from one time to another."""

from __future__ import annotations

import contextlib
import re
from fractions import Fraction
from pathlib import Path
from typing import Any

from dfl_tf.errors import OptionError
from dfl_tf.video.encode import telling_faults, writing_video
from dfl_tf.video.info import frame_rate, read_info, refuse_deep_color
from dfl_tf.video.pyav import open_video, require_av
from dfl_tf.video.sound import layout_of

# See `encode`; the base of an AVI, one frame, is too coarse for the order of decoding.
_CLOCK = Fraction(1, 90000)


def parse_time(text: str) -> Fraction:
    """Read `75`, `75.5`, `1:15` or `00:01:15.500` as seconds.

    Raises
    ------
    OptionError
    """
    match = re.fullmatch(r"(?:(?:(\d+):)?(\d+):)?(\d+(?:\.\d+)?)", text.strip())
    if match is None:
        raise OptionError(f"{text!r} is no time; give seconds or HH:MM:SS.mmm")
    hours, minutes, seconds = match.groups()
    return int(hours or 0) * 3600 + int(minutes or 0) * 60 + Fraction(seconds)


def cut(
    video: Path,
    output: Path,
    *,
    start: Fraction | None = None,
    end: Fraction | None = None,
    audio_track: int = 0,
    bitrate: float = 25.0,
) -> int:
    """Encode the frames shown from `start` up to `end` again, with one audio track.

    Parameters
    ----------
    video, output : Path
    start, end : Fraction, optional
        Seconds from the first frame; default: the whole.
    audio_track : int
        Which audio stream is kept, if there is one of that number.
    bitrate : float
        Megabits a second.

    Returns
    -------
    int
        Number of frames written.

    References
    ----------
    tools.md 10.
    """
    av = require_av()
    info = read_info(video)
    refuse_deep_color(info)
    low = start or Fraction(0)
    high = end if end is not None else Fraction(info.seconds).limit_denominator(1000000)
    if not any(low <= t < high for t in info.times):
        raise OptionError(
            f"{video.name} lasts {info.seconds:.3f} s; nothing of it is shown from "
            f"{float(low):.3f} to {float(high):.3f} s"
        )
    if bitrate <= 0:
        raise OptionError(f"bitrate={bitrate} must be positive")
    with writing_video(av, output, video) as beside, contextlib.ExitStack() as stack:
        source = stack.enter_context(open_video(video))
        with telling_faults(av, output):
            container = stack.enter_context(av.open(str(beside), "w"))
            frames = _Part(source, container, low, high, audio_track, bitrate).write()
    return frames


class _Part:
    def __init__(
        self,
        source: Any,
        container: Any,
        low: Fraction,
        high: Fraction,
        audio_track: int,
        bitrate: float,
    ):
        self._source, self._container = source, container
        # Also what they say about how the picture was made.
        container.metadata.update(source.metadata)
        self._low, self._high = low, high
        self._video = source.streams.video[0]
        self._video.thread_type = "AUTO"
        self._origin = (self._video.start_time or 0) * self._video.time_base
        context = self._video.codec_context
        self._out_video = container.add_stream("libx264", rate=frame_rate(self._video))
        self._out_video.width = context.width + context.width % 2
        self._out_video.height = context.height + context.height % 2
        self._out_video.pix_fmt = "yuv420p"
        self._out_video.codec_context.bit_rate = int(bitrate * 1e6)
        self._out_video.codec_context.time_base = _CLOCK
        for name in ("colorspace", "color_primaries", "color_trc", "color_range"):
            setattr(self._out_video.codec_context, name, getattr(context, name))
        if self._video.sample_aspect_ratio:
            self._out_video.codec_context.sample_aspect_ratio = self._video.sample_aspect_ratio
        tracks = source.streams.audio
        self._audio = tracks[audio_track] if audio_track < len(tracks) else None
        self._out_audio = None
        if self._audio is not None:
            rate = self._audio.codec_context.sample_rate
            self._out_audio = container.add_stream("aac", rate=rate)
            self._out_audio.codec_context.layout = layout_of(self._audio)

    def write(self) -> int:
        streams = [s for s in (self._video, self._audio) if s is not None]
        # The key frame before the start; decoding goes on from there.
        seek_to = int((self._low + self._origin) / self._video.time_base)
        self._source.seek(seek_to, stream=self._video, backward=True)
        written = 0
        for packet in self._source.demux(streams):
            for frame in packet.decode():
                time = self._time(frame)
                if time is None:
                    continue
                if packet.stream is self._video:
                    if self._low <= time < self._high:
                        self._put_picture(frame, time)
                        written += 1
                elif self._low <= time < self._high:
                    self._put_sound(frame, time)
        self._container.mux(self._out_video.encode(None))
        if self._out_audio is not None:
            self._container.mux(self._out_audio.encode(None))
        return written

    def _time(self, frame: Any) -> Fraction | None:
        if frame.pts is None:
            return None
        return Fraction(frame.pts * frame.time_base - self._origin)

    def _put_picture(self, frame: Any, time: Fraction) -> None:
        picture = frame.reformat(
            width=self._out_video.width, height=self._out_video.height, format="yuv420p"
        )
        picture.pts = round((time - self._low) / _CLOCK)
        picture.time_base = _CLOCK
        picture.pict_type = 0
        self._container.mux(self._out_video.encode(picture))

    def _put_sound(self, frame: Any, time: Fraction) -> None:
        assert self._out_audio is not None
        frame.pts = round((time - self._low) / frame.time_base)
        self._container.mux(self._out_audio.encode(frame))
