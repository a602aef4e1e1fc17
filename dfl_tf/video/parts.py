"""A video that is made in parts, each whole on the disk, and joined without encoding it again.

A part is an MP4 file of its own, so a run that was killed goes on behind the last one. When they
are joined, the packets get the times of their frames in the whole video: `FrameTimes` says
those, the part only in which order its packets are shown.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

from dfl_tf.errors import WorkspaceError
from dfl_tf.video.encode import FrameTimes, sound_of
from dfl_tf.video.frames import packets_of
from dfl_tf.video.info import VideoInfo
from dfl_tf.video.pyav import open_video, video_stream
from dfl_tf.video.read_back import Written, read_back
from dfl_tf.video.sound import Sound
from dfl_tf.video.watch import watched
from dfl_tf.video.write import (
    Encoding,
    FrameWriter,
    Look,
    create,
    explain_encoding_errors,
    writing_video,
)

if TYPE_CHECKING:
    from av import Packet
    from av.bitstream import BitStreamFilterContext
    from av.container import OutputContainer
    from av.video.stream import VideoStream

SUFFIX = ".mp4"
"""Of parts."""

# Kinds of files that hold H.264 with start codes, and whose writers do not put them in themselves.
_START_CODES = ("avi",)


@contextlib.contextmanager
def writing_part(
    av: ModuleType,
    path: Path,
    look: Look,
    how: Encoding,
    written: Written,
    *,
    output: Path,
    kind: str,
) -> Iterator[FrameWriter]:
    """Give a writer for the frames of a part; the file is there, durably, when all went well.

    Parameters
    ----------
    av : module
        PyAV.
    path : Path
        Of the part.
    look : Look
    how : Encoding
    written : Written
        Notes on the whole video.
    output : Path
        The whole video, for messages.
    kind : str
        Name of its format.

    Raises
    ------
    WorkspaceError
        It cannot be encoded or written.
    """
    with writing_video(av, path, None) as beside, create(av, beside, output) as container:
        video = FrameWriter(container, look, how, written, output, kind)
        with explain_encoding_errors(av, output):
            yield video
            video.finish()


@dataclass(frozen=True)
class Whole:
    """What the joined video is.

    Attributes
    ----------
    output : Path
    timing : FrameTimes
    clock : Fraction
        Seconds of a unit of its times, as the parts were encoded (`FrameWriter.clock`).
    how : Encoding
    reference : VideoInfo or None
        Whose sound is carried over.
    """

    output: Path
    timing: FrameTimes
    clock: Fraction
    how: Encoding
    reference: VideoInfo | None = None


def join(av: ModuleType, parts: Sequence[Path], whole: Whole, written: Written) -> bool:
    """Put parts together as one video with sound, and read it back.

    Parameters
    ----------
    av : module
        PyAV.
    parts : sequence of Path
    whole : Whole
    written : Written
        What all parts were given.

    Returns
    -------
    bool
        Whether it has sound.

    Raises
    ------
    WorkspaceError
        A part cannot be read, or the video cannot be written or does not read back.
    """
    output, reference = whole.output, whole.reference
    stamps = _stamps(whole)
    orders = [_ranks(part) for part in parts]
    if sum(map(len, orders)) != len(stamps):
        raise WorkspaceError(
            f"{output}: its parts hold {sum(map(len, orders))} frames, not {len(stamps)}; "
            "--overwrite starts over"
        )
    delay = max((i - rank for order in orders for i, rank in enumerate(order)), default=0)
    source = None if reference is None else reference.path
    with writing_video(av, output, source) as beside:
        with contextlib.ExitStack() as stack:
            container = stack.enter_context(create(av, beside, output))
            container.metadata.update(whole.how.tags or {})
            with explain_encoding_errors(av, output):
                stream = _stream(container, parts[0], whole)
                sound = None
                if reference is not None:
                    sound = sound_of(av, container, reference, whole.timing)
                    if sound is not None:
                        stack.callback(sound.close)
                _copy(container, stream, parts, orders, stamps, delay, whole, sound)
                if sound is not None:
                    sound.finish(written)
        read_back(beside, output, written)
    return sound is not None


def _stamps(whole: Whole) -> list[int]:
    """Return the time of every frame in units of the clock, as `FrameWriter.put` rounds it."""
    stamps: list[int] = []
    for time in whole.timing.times:
        stamps.append(max(round(time / whole.clock), stamps[-1] + 1 if stamps else 0))
    return stamps


def _packets(part: Path, *, start_codes: bool = False) -> Iterator[Packet]:
    def packets() -> Iterator[Packet]:
        with open_video(part) as container:
            stream = video_stream(container, part)
            found = (
                packet
                for packet in packets_of(container, [stream])
                if packet.pts is not None and packet.size
            )
            if not start_codes:
                yield from found
                return
            put_in = _start_code_filter(stream)
            for packet in found:
                yield from put_in.filter(packet)

    return watched(packets, part)


def _ranks(part: Path) -> list[int]:
    """Return for each packet of a part, in the order of the file, its place in that of showing."""
    shown = [packet.pts for packet in _packets(part)]
    places = {stamp: rank for rank, stamp in enumerate(sorted(shown))}
    return [places[stamp] for stamp in shown]


def _stream(container: OutputContainer, part: Path, whole: Whole) -> VideoStream:
    with open_video(part) as source:
        template = video_stream(source, part)
        stream = container.add_stream_from_template(template)
        if container.format.name in _START_CODES:
            _start_code_filter(template, stream)  # makes the header of the stream one of those
    stream.time_base = whole.clock
    return stream


def _start_code_filter(
    stream: VideoStream, result: VideoStream | None = None
) -> BitStreamFilterContext:
    from av.bitstream import BitStreamFilterContext

    return BitStreamFilterContext("h264_mp4toannexb", stream, result)


def _copy(
    container: OutputContainer,
    stream: VideoStream,
    parts: Sequence[Path],
    orders: Sequence[Sequence[int]],
    stamps: Sequence[int],
    delay: int,
    whole: Whole,
    sound: Sound | None,
) -> None:
    """Copy all packets: shown when their frames are, decoded in steps, never after being shown."""
    frame = max(1, round(1 / (whole.timing.rate * whole.clock)))
    start_codes = container.format.name in _START_CODES
    first = 0
    for part, order in zip(parts, orders, strict=True):
        packets = zip(_packets(part, start_codes=start_codes), order, strict=True)
        for i, (packet, rank) in enumerate(packets, start=first):
            packet.pts = stamps[first + rank]
            early = i - delay
            packet.dts = stamps[early] if early >= 0 else stamps[0] + early * frame
            packet.time_base = whole.clock
            packet.stream = stream
            container.mux(packet)
            if sound is not None:
                sound.copy(whole.timing.times[first + rank])
        first += len(order)
