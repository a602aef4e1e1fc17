"""The sound of a video, carried over to another one."""

from __future__ import annotations

import io
import logging
from collections.abc import Iterator
from fractions import Fraction
from typing import Any

log = logging.getLogger(__name__)

# What the legacy program makes of every sound (tools.md 10).
_AAC_RATE, _AAC_BITS = 48000, 192000


class Sound:
    """The first audio stream of a video, on the clock of its picture.

    The packets are copied as they are where the new container takes them; where it does not (PCM
    of an AVI in an MP4, Opus in a MOV), the sound is encoded as AAC.

    Parameters
    ----------
    source : av.container.InputContainer
        Has audio.
    container : av.container.OutputContainer
        Gets a stream for it.
    start, seconds : Fraction
        The part of the source that the picture shows: from when on, and how long. Other sound is
        left out.
    """

    def __init__(self, av: Any, source: Any, container: Any, start: Fraction, seconds: Fraction):
        stream = source.streams.audio[0]
        video = source.streams.video[0]
        self._start = (video.start_time or 0) * video.time_base + start
        # What is stored before the first frame, such as an encoder's silent lead, is kept.
        self._first = Fraction(0) if start else None
        self._container, self._seconds = container, seconds
        self._copied = _fits(av, stream, container.format.name)
        if self._copied:
            self._output = container.add_stream_from_template(stream)
            items = source.demux(stream)
        else:
            log.info("%s sound is encoded as AAC", stream.codec_context.name)
            self._output = container.add_stream("aac", rate=_AAC_RATE)
            self._output.codec_context.layout = layout_of(stream)
            self._output.codec_context.bit_rate = _AAC_BITS
            items = source.decode(stream)
            self._first = Fraction(0)
        self._upcoming = self._timed(items)
        self._next = next(self._upcoming, None)

    @classmethod
    def of(
        cls, av: Any, source: Any, container: Any, start: Fraction, seconds: Fraction
    ) -> Sound | None:
        """Prepare the copy; None (with a note) if there is no sound."""
        if not source.streams.audio:
            log.info("%s has no sound", source.name)
            return None
        return cls(av, source, container, start, seconds)

    def copy(self, until: Fraction | None) -> None:
        """Carry over what is heard before `until` on the picture's clock; None: all that is left.

        Sound and picture have to be handed over side by side: what comes much later than the
        other lies far away from it in the file, and players must seek between the two.
        """
        while self._next is not None:
            item, time = self._next
            if until is not None and time >= until:
                return
            self._put(item, time)
            self._next = next(self._upcoming, None)
        if until is None and not self._copied:
            self._container.mux(self._output.encode(None))

    def _timed(self, items: Iterator[Any]) -> Iterator[tuple[Any, Fraction]]:
        """Give packets or frames with their times, up to the end of the picture."""
        for item in items:
            if item.pts is None or item.dts is None:
                continue
            time = Fraction(item.pts * item.time_base) - self._start
            if time >= self._seconds:
                return
            if self._first is None or time >= self._first:
                yield item, time

    def _put(self, item: Any, time: Fraction) -> None:
        if self._copied:
            shift = round(self._start / item.time_base)
            item.pts -= shift
            item.dts -= shift
            item.stream = self._output
            self._container.mux(item)
            return
        item.pts = round(time / item.time_base)
        self._container.mux(self._output.encode(item))


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
