"""The sound of a video, carried over to another one."""

from __future__ import annotations

import io
import logging
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from dfl_tf.video.frames import Damage, decoded
from dfl_tf.video.pyav import open_video
from dfl_tf.video.timeline import Clock
from dfl_tf.video.watch import watched

log = logging.getLogger(__name__)

# What the legacy program makes of every sound (tools.md 10).
_AAC_RATE, _AAC_BITS = 48000, 192000
_AAC_RATES = (96000, 88200, 64000, 48000, 44100, 32000, 24000, 22050, 16000, 12000, 11025, 8000)
# Sound of an encoder's silent lead stands before the first frame; more than that is not shown.
_LEAD = Fraction(1, 10)


@dataclass(frozen=True)
class Part:
    """The part of a video that is shown, on the times of its frames.

    Attributes
    ----------
    start, seconds : Fraction
        From when on, and how long.
    """

    start: Fraction
    seconds: Fraction


class Sound:
    """The first audio stream of a video, on the clock of its frames.

    The packets are copied as they are where the new container takes them; where it does not (PCM
    of an AVI in an MP4, Opus in a MOV), the sound is encoded as AAC.

    Parameters
    ----------
    video : Path
        Has audio.
    container : av.container.OutputContainer
        Gets a stream for it.
    part : Part
        Sound outside of it is left out.
    clock : Clock
        Of the video.
    """

    def __init__(self, av: Any, video: Path, container: Any, part: Part, clock: Clock):
        self._av, self._video, self._part, self._clock = av, video, part, clock
        self._container = container
        self._damage = Damage()
        self.first: Fraction | None = None
        with open_video(video) as source:
            stream = source.streams.audio[0]
            self._copied = _fits(av, stream, container.format.name)
            if self._copied:
                self._output = container.add_stream_from_template(stream)
            else:
                log.info("%s sound is encoded as AAC", stream.codec_context.name)
                self._output = aac_stream(container, stream, _AAC_RATE)
                self._output.codec_context.bit_rate = _AAC_BITS
        self._lead = _LEAD if self._copied and not part.start else Fraction(0)
        self._upcoming = watched(self._timed, video)
        self._next = next(self._upcoming, None)

    @classmethod
    def of(cls, av: Any, video: Path, container: Any, part: Part, clock: Clock) -> Sound | None:
        """Prepare the copy; None (with a note) if there is no sound."""
        with open_video(video) as source:
            tracks = source.streams.audio
            if not tracks:
                log.info("%s has no sound", video)
                return None
            if not is_readable(tracks[0]):
                log.warning("%s: FFmpeg cannot read its sound; it is left out", video)
                return None
        return cls(av, video, container, part, clock)

    @property
    def tolerance(self) -> Fraction:
        """Seconds by which a player may find the start of the sound elsewhere."""
        return Fraction(1, 200) if self._copied else encoder_delay(_AAC_RATE)

    def copy(self, until: Fraction | None) -> None:
        """Carry over what is heard before `until` on the frames' clock; None: all that is left.

        Sound and frames have to be handed over side by side: what comes much later than the
        other lies far away from it in the file, and players must seek between the two.
        """
        while self._next is not None:
            item, time = self._next
            if until is not None and time >= until:
                return
            self._put(item, time)
            self._next = next(self._upcoming, None)
        if until is None:
            if not self._copied:
                self._container.mux(self._output.encode(None))
            if self._damage.packets:
                log.warning(
                    "%s: damaged packets of its sound left out: %d",
                    self._video,
                    self._damage.packets,
                )

    def close(self) -> None:
        """Stop reading."""
        getattr(self._upcoming, "close", lambda: None)()

    def _timed(self) -> Iterator[tuple[Any, Fraction]]:
        """Give packets or frames with their times, up to the end of the part."""
        with open_video(self._video) as source:
            stream = source.streams.audio[0]
            items = source.demux(stream)
            if not self._copied:
                items = (frame for _, frame in decoded(source, [stream], self._damage))
            for item in items:
                if item.pts is None or (self._copied and item.dts is None):
                    continue
                raw = Fraction(item.pts * item.time_base)
                time = raw + self._clock.offset(raw) - self._part.start
                if time >= self._part.seconds:
                    return
                if self._copied:
                    heard = (item, time) if time >= -self._lead else None
                else:
                    heard = trimmed(self._av, item, time, self._part.seconds)
                if heard is not None:
                    yield heard

    def _put(self, item: Any, time: Fraction) -> None:
        if self.first is None:
            self.first = time
        if self._copied:
            shift = round(time / item.time_base) - item.pts
            item.pts += shift
            item.dts += shift
            item.stream = self._output
            self._container.mux(item)
            return
        self._container.mux(self._output.encode(item))


def aac_stream(container: Any, stream: Any, rate: int) -> Any:
    """Add a stream for the sound of another, encoded as AAC at this rate, if AAC has it."""
    output = container.add_stream("aac", rate=rate if rate in _AAC_RATES else _AAC_RATE)
    output.codec_context.layout = layout_of(stream)
    return output


def trimmed(av: Any, frame: Any, time: Fraction, seconds: Fraction) -> tuple[Any, Fraction] | None:
    """Return what is heard of a decoded block from 0 to `seconds`, and when it begins.

    Parameters
    ----------
    frame : av.AudioFrame
        Gets the time stamp.
    time : Fraction
        When it begins, in seconds.
    """
    rate = frame.sample_rate
    skip = max(0, -(time * rate).__floor__())
    left = min(frame.samples, ((seconds - time) * rate).__ceil__())
    if skip >= left:
        return None
    if skip or left < frame.samples:
        values = 1 if frame.format.is_planar else len(frame.layout.channels)
        samples = frame.to_ndarray()[:, skip * values : left * values]
        piece = av.AudioFrame.from_ndarray(
            np.ascontiguousarray(samples), format=frame.format.name, layout=frame.layout.name
        )
        piece.sample_rate, piece.time_base = rate, frame.time_base
        frame, time = piece, time + Fraction(skip, rate)
    frame.pts = round(time / frame.time_base)
    return frame, time


def encoder_delay(sample_rate: int) -> Fraction:
    """Seconds that an AAC encoder may put before its first sample, and a block."""
    return Fraction(1, 50) + Fraction(3 * 1024, sample_rate)


def is_readable(stream: Any) -> bool:
    """Whether FFmpeg knows enough of an audio stream to decode it."""
    context = stream.codec_context
    return context is not None and bool(context.sample_rate) and bool(stream.channels)


def _fits(av: Any, stream: Any, container_format: str) -> bool:
    """Tell whether a container takes the packets of a stream; only writing a header shows it."""
    if container_format == "mp4" and stream.codec_context.name.startswith("pcm_"):
        return False  # written, but hardly played
    try:
        with av.open(io.BytesIO(), "w", format=container_format) as trial:
            trial.add_stream_from_template(stream)
            trial.start_encoding()
    except (ValueError, av.error.FFmpegError):
        return False
    return True


def layout_of(stream: Any) -> str:
    """Name the speakers; AVI files only count them."""
    usual = {1: "mono", 2: "stereo"}
    return usual.get(stream.channels) or str(stream.codec_context.layout.name)
