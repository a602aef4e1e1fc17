"""What a video file holds: facts of its decoded frames, not of its headers."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

from dfl_tf.jobs.progress import Progress
from dfl_tf.video.color import Yuv, bits_of, yuv_of
from dfl_tf.video.frames import Damage, packets_of, shown_frames
from dfl_tf.video.orientation import Orientation, orientation_of
from dfl_tf.video.pyav import open_video, unit_of, video_stream
from dfl_tf.video.timeline import Timeline, timeline
from dfl_tf.video.watch import watched

if TYPE_CHECKING:
    from av import VideoFrame
    from av.container import InputContainer
    from av.video.stream import VideoStream

log = logging.getLogger(__name__)

"""Called with (frames done, frames to do)."""

# Transfer characteristics of ITU-T H.273: SMPTE ST 2084 (PQ) and ARIB STD-B67 (HLG).
PQ, HLG = 16, 18
_HDR_TRANSFERS = {PQ: "PQ (HDR10)", HLG: "HLG"}
_BROADCASTS = ("mpegts", "mpeg")
_DECODING_TIMES = ("avi", "asf")
_CLOSE = Fraction(1, 50)


@dataclass(frozen=True)
class AudioInfo:
    """One audio stream."""

    codec: str
    sample_rate: int
    channels: int


@dataclass(frozen=True)
class VideoInfo:
    """The first video stream of a file and all of its audio.

    Attributes
    ----------
    width, height : int
        As shown, after turning.
    rate : Fraction
        Frames a second: the one that the file states, if its frames bear it out, else theirs.
    timeline : Timeline
        When each frame is shown.
    seconds : float
        From the first frame to the end of the last.
    bits : int
        Depth of one color component.
    hdr : str
        Name of the HDR transfer function, or "".
    transfer : int
        Transfer characteristics of ITU-T H.273.
    pixel_aspect : Fraction
        Width of a pixel by its height, as shown; 1 unless the image is stretched.
    duration : Fraction
        Seconds, as the container states it; 0 if it does not.
    yuv : Yuv
        What its colors mean.
    orientation : Orientation
        How frames are turned for showing.
    broadcast : bool
        A stream whose clock may be reset at any time.
    """

    path: Path
    width: int
    height: int
    rate: Fraction
    timeline: Timeline
    seconds: float
    codec: str
    pixel_format: str
    bits: int
    hdr: str
    transfer: int
    pixel_aspect: Fraction
    duration: Fraction
    yuv: Yuv = field(default_factory=Yuv)
    orientation: Orientation = field(default_factory=Orientation)
    alpha: bool = False
    broadcast: bool = False
    audio: tuple[AudioInfo, ...] = ()

    @property
    def times(self) -> tuple[Fraction, ...]:
        """When each frame is shown, in seconds from the first one."""
        return self.timeline.times

    @property
    def frames(self) -> int:
        """Number of frames."""
        return len(self.times)

    @property
    def constant_rate(self) -> bool:
        """Whether every frame is shown equally long, to within the container's time unit."""
        step = 1 / self.rate
        return all(abs(t - i * step) < step / 2 for i, t in enumerate(self.times))

    def as_dict(self) -> dict[str, object]:
        """Return what a user wants to know of it as plain values."""
        return {
            "file": str(self.path),
            "width": self.width,
            "height": self.height,
            "frames": self.frames,
            "rate": str(self.rate),
            "constant_rate": self.constant_rate,
            "seconds": round(self.seconds, 6),
            "codec": self.codec,
            "pixel_format": self.pixel_format,
            "bits": self.bits,
            "hdr": self.hdr,
            "rotation": self.orientation.degrees,
            "audio": [f"{a.codec} {a.sample_rate} Hz, {a.channels} channels" for a in self.audio],
        }


@dataclass(frozen=True)
class _Header:
    """What the container says; the rest is seen in the frames."""

    codec: str
    unit: Fraction
    rates: tuple[Fraction, ...]
    estimate: int
    duration: Fraction
    broadcast: bool
    pixel_aspect: Fraction
    audio: tuple[AudioInfo, ...]


def read_info(path: Path, progress: Progress | None = None) -> VideoInfo:
    """Describe a video by decoding all of it.

    Raises
    ------
    WorkspaceError
        If it cannot be read or none of its frames can be decoded.
    """
    header = _header(path)
    damage = Damage()
    seen: list[int | None] = []
    first, length, sizes, turns = None, 0, set(), set()
    for frame in shown_frames(path, damage):
        if first is None:
            first = frame
        seen.append(frame.pts)
        length = getattr(frame, "duration", 0) or 0
        sizes.add((frame.width, frame.height))
        turns.add(orientation_of(frame))
        if progress is not None and len(seen) < header.estimate:
            progress(len(seen), header.estimate)
    if progress is not None and seen:
        progress(len(seen), len(seen))
    damage.tell(path, len(seen))
    assert first is not None
    stamps = shown_stamps(path, seen)
    line = timeline(stamps, header.unit, header.rates[0], broadcast=header.broadcast)
    _tell(path, line, sizes, turns)
    rate = _rate(header.rates, line.times)
    last = length * header.unit if length and line.times[1:] else 1 / rate
    return _describe(path, header, first, line, rate, line.times[-1] + last)


def _describe(
    path: Path, header: _Header, frame: VideoFrame, line: Timeline, rate: Fraction, end: Fraction
) -> VideoInfo:
    orientation = orientation_of(frame)
    height, width = orientation.shape(frame.height, frame.width)
    aspect = header.pixel_aspect
    return VideoInfo(
        path=path,
        width=width,
        height=height,
        rate=rate,
        timeline=line,
        seconds=float(end),
        codec=header.codec,
        pixel_format=frame.format.name,
        bits=bits_of(frame),
        hdr=_HDR_TRANSFERS.get(int(frame.color_trc), ""),
        transfer=int(frame.color_trc),
        pixel_aspect=1 / aspect if orientation.transposed else aspect,
        duration=header.duration,
        yuv=yuv_of(frame),
        orientation=orientation,
        alpha=any(c.is_alpha for c in frame.format.components),
        broadcast=header.broadcast,
        audio=header.audio,
    )


def _header(path: Path) -> _Header:
    with open_video(path) as container:
        stream = video_stream(container, path)
        rates = stated_rates(stream)
        duration = container_duration(container)
        return _Header(
            codec=stream.codec_context.name,
            unit=unit_of(stream, path),
            rates=rates,
            estimate=stream.frames or int(duration * rates[0]),
            duration=duration,
            broadcast=container.format.name in _BROADCASTS,
            pixel_aspect=Fraction(stream.sample_aspect_ratio or 1) or Fraction(1),
            audio=tuple(
                AudioInfo(a.codec_context.name, a.codec_context.sample_rate, a.channels)
                for a in container.streams.audio
                if a.codec_context is not None
            ),
        )


def shown_stamps(path: Path, seen: Sequence[int | None]) -> Sequence[int | None]:
    """Return the time stamps of decoded frames, of which `seen` are the decoder's.

    AVI and ASF files store the times of decoding only; to those FFmpeg adds a delay that it
    guesses. Every frame is shown at one of them, so that in order they are the times of showing.
    """

    def packets() -> Iterator[int]:
        with open_video(path) as container:
            if container.format.name in _DECODING_TIMES:
                for packet in packets_of(container, [video_stream(container, path)]):
                    if packet.dts is not None and packet.size:
                        yield packet.dts

    stamps = sorted(watched(packets, path))
    return stamps if len(stamps) == len(seen) else seen


def container_duration(container: InputContainer) -> Fraction:
    """Return the length that a container states, in seconds; 0 if it does not."""
    return Fraction(container.duration or 0, 1000000)


def stated_rates(stream: VideoStream) -> tuple[Fraction, ...]:
    """Return the frame rates that a container states, the most plausible first."""
    base, average, guessed = stream.base_rate, stream.average_rate, stream.guessed_rate
    # Streams of changing rate state the least common multiple of all rates (1000 and the like).
    if base and average and base > 2 * average:
        base = None
    rates = [Fraction(rate) for rate in (base, average, guessed) if rate]
    return tuple(rate for rate in rates if 0 < rate <= 1000) or (Fraction(25),)


def _rate(stated: tuple[Fraction, ...], times: tuple[Fraction, ...]) -> Fraction:
    if len(times) < 2:
        return stated[0]
    seen = (len(times) - 1) / times[-1]
    usual = 1 / sorted(b - a for a, b in pairwise(times))[len(times) // 2 - 1]
    for found in (seen, usual):
        for rate in stated:
            if abs(rate - found) <= _CLOSE * found:
                return rate
    return seen.limit_denominator(1001)


def _tell(path: Path, line: Timeline, sizes: set[tuple[int, int]], turns: set[Orientation]) -> None:
    for note in line.notes:
        log.warning("%s: %s", path, note)
    if len(sizes) > 1:
        all_sizes = ", ".join(f"{w}x{h}" for w, h in sorted(sizes))
        log.warning("%s: the size of its frames changes (%s)", path, all_sizes)
    if any(not turn.exact for turn in turns):
        log.warning(
            "%s: is rotated by an angle that is not a multiple of 90 degrees; left as it is", path
        )
