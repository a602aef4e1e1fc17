"""The sound of a video, carried over to another one."""

from __future__ import annotations

import io
import logging
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from dfl_tf.video.frames import Damage, decoded, packets_of
from dfl_tf.video.pyav import ONE_RATE, open_video
from dfl_tf.video.timeline import Clock
from dfl_tf.video.watch import watched

if TYPE_CHECKING:
    from av import AudioFrame, Packet
    from av.audio.stream import AudioStream
    from av.container import OutputContainer

    from dfl_tf.video.read_back import Written

log = logging.getLogger(__name__)

# What the legacy program makes of every sound (tools.md 10).
_AAC_RATE, _AAC_BITS = 48000, 192000
_AAC_BLOCK = 1024
_AAC_RATES = (96000, 88200, 64000, 48000, 44100, 32000, 24000, 22050, 16000, 12000, 11025, 8000)
# Time stamps in milliseconds or worse are not holes.
_UNSTEADY = Fraction(1, 100)
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

    def __init__(
        self, av: ModuleType, video: Path, container: OutputContainer, part: Part, clock: Clock
    ):
        self._video, self._part, self._clock = video, part, clock
        self._container = container
        self._damage = Damage()
        self._first: Fraction | None = None
        self._latest: int | None = None
        one_rate = container.format.name in ONE_RATE
        self._blocks = Blocks(av, part.seconds, from_zero=one_rate)
        self._lead = Fraction(0) if part.start or one_rate else _LEAD
        with open_video(video) as source:
            stream = source.streams.audio[0]
            self._copied = _fits(av, stream, container.format.name)
            if self._copied and one_rate:
                _, begin = next(self._timed(), (None, Fraction(0)))
                self._copied = begin < _UNSTEADY  # such files cannot say when it begins
            if self._copied:
                self._output = container.add_stream_from_template(stream)
            else:
                log.warning("%s sound is encoded as AAC", stream.codec_context.name)
                self._output = aac_stream(container, stream, _AAC_RATE)
                self._output.codec_context.bit_rate = _AAC_BITS
        self._upcoming = watched(self._timed, video)
        self._next = next(self._upcoming, None)

    @classmethod
    def of(
        cls, av: ModuleType, video: Path, container: OutputContainer, part: Part, clock: Clock
    ) -> Sound | None:
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
        if not self._copied:
            return encoder_delay(_AAC_RATE)
        # What ends before the first frame is hidden by some kinds of files.
        return Fraction(1, 20) if self._first is not None and self._first < 0 else Fraction(1, 200)

    @property
    def first(self) -> Fraction | None:
        """When the sound that was carried over begins."""
        return self._first if self._copied else self._blocks.first

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

    def finish(self, written: Written) -> None:
        """Carry over what is left, and note what was."""
        self.copy(None)
        written.sound, written.sound_tolerance = self.first, self.tolerance

    def close(self) -> None:
        """Stop reading."""
        getattr(self._upcoming, "close", lambda: None)()

    def _timed(self) -> Iterator[tuple[Packet | AudioFrame, Fraction]]:
        """Give packets or frames with their times, up to the end of the part."""
        with open_video(self._video) as source:
            stream = source.streams.audio[0]
            items: Iterable[Packet | AudioFrame] = packets_of(source, [stream])
            if not self._copied:
                items = (frame for _, frame in decoded(source, [stream], self._damage))
            for item in items:
                if item.pts is None or (self._copied and item.dts is None):
                    continue
                raw = Fraction(item.pts * item.time_base)
                time = raw + self._clock.offset(raw) - self._part.start
                if time >= self._part.seconds:
                    return
                if not self._copied or time >= -self._lead:
                    yield item, time

    def _put(self, item: Packet | AudioFrame, time: Fraction) -> None:
        if not self._copied:
            for block in self._blocks.of(item, time):
                self._container.mux(self._output.encode(block))
            return
        shift = round(time / item.time_base) - item.pts
        if self._latest is not None and item.dts + shift <= self._latest:
            return  # two recordings joined: the sound of the first one lasts longer than its frames
        self._first = time if self._first is None else self._first
        self._latest = item.dts + shift
        item.pts += shift
        item.dts += shift
        item.stream = self._output
        self._container.mux(item)


def aac_stream(container: OutputContainer, stream: AudioStream, rate: int) -> AudioStream:
    """Add a stream for the sound of another, encoded as AAC at this rate, if AAC has it."""
    output = container.add_stream("aac", rate=rate if rate in _AAC_RATES else _AAC_RATE)
    output.codec_context.layout = layout_of(stream)
    return output


class Blocks:
    """Decoded sound made continuous for an encoder, from 0 to `seconds`.

    What lies outside or twice is cut off, holes are filled with silence, and time stamps that are
    only unsteady (whole milliseconds, say) are followed by counting samples.

    Parameters
    ----------
    seconds : Fraction
        End of the part.
    from_zero : bool
        Begin with silence if the sound begins later, for files that cannot say so.
    """

    def __init__(self, av: ModuleType, seconds: Fraction, *, from_zero: bool = False) -> None:
        self._av, self._seconds = av, seconds
        self._end = Fraction(0)
        self._from_zero = from_zero
        # The encoder's own lead would have a negative time, which such files do not have either.
        self._delay = _AAC_BLOCK if from_zero else 0
        self.first: Fraction | None = None

    def of(self, frame: AudioFrame, time: Fraction) -> Iterator[AudioFrame]:
        """Yield blocks for a decoded one that begins at `time` (seconds), with time stamps."""
        rate = frame.sample_rate
        if self.first is not None and abs(time - self._end) < _UNSTEADY:
            time = self._end
        skip = max(0, -((time - self._end) * rate).__floor__())
        left = min(frame.samples, ((self._seconds - time) * rate).__ceil__())
        if skip >= left:
            return
        begin = time + Fraction(skip, rate)
        if self.first is not None or self._from_zero:
            yield from self._silence(frame, begin)
        if skip or left < frame.samples:
            frame = self._made(
                frame, _samples(frame)[:, skip * _values(frame) : left * _values(frame)]
            )
        yield self._stamped(frame, begin)

    def _silence(self, like: AudioFrame, until: Fraction) -> Iterator[AudioFrame]:
        while (missing := round((until - self._end) * like.sample_rate)) > 0:
            shape = (_samples(like).shape[0], min(missing, like.sample_rate) * _values(like))
            # Eight bits without a sign are silent in the middle.
            level = 128 if like.format.name.startswith("u8") else 0
            samples = np.full(shape, level, _samples(like).dtype)
            yield self._stamped(self._made(like, samples), self._end)

    def _made(self, like: AudioFrame, samples: npt.NDArray[np.generic]) -> AudioFrame:
        frame = self._av.AudioFrame.from_ndarray(
            np.ascontiguousarray(samples), format=like.format.name, layout=like.layout.name
        )
        frame.sample_rate = like.sample_rate
        return frame

    def _stamped(self, frame: AudioFrame, begin: Fraction) -> AudioFrame:
        self.first = begin if self.first is None else self.first
        self._end = begin + Fraction(frame.samples, frame.sample_rate)
        frame.time_base = Fraction(1, frame.sample_rate)
        frame.pts = round(begin * frame.sample_rate) + self._delay
        return frame


def _samples(frame: AudioFrame) -> npt.NDArray[np.generic]:
    return frame.to_ndarray()


def _values(frame: AudioFrame) -> int:
    """How many numbers of a row stand for one moment."""
    return 1 if frame.format.is_planar else len(frame.layout.channels)


def encoder_delay(sample_rate: int) -> Fraction:
    """Seconds that an AAC encoder may put before its first sample, and a block."""
    return Fraction(1, 50) + Fraction(3 * _AAC_BLOCK, sample_rate)


def is_readable(stream: AudioStream) -> bool:
    """Whether FFmpeg knows enough of an audio stream to decode it."""
    context = stream.codec_context
    return context is not None and bool(context.sample_rate) and bool(stream.channels)


def _fits(av: ModuleType, stream: AudioStream, container_format: str) -> bool:
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


def layout_of(stream: AudioStream) -> str:
    """Name the speakers; AVI files only count them."""
    usual = {1: "mono", 2: "stereo"}
    return usual.get(stream.channels) or str(stream.codec_context.layout.name)
