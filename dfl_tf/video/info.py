"""What a video file holds."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

from dfl_tf.errors import WorkspaceError
from dfl_tf.video.pyav import open_video

# Transfer characteristics of ITU-T H.273: SMPTE ST 2084 (PQ) and ARIB STD-B67 (HLG).
_HDR_TRANSFERS = {16: "PQ (HDR10)", 18: "HLG"}


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
    rate : Fraction
        Frames a second, as the container states it.
    times : tuple of Fraction
        When each frame is shown, in seconds from the first one.
    seconds : float
        From the first frame to the end of the last.
    bits : int
        Depth of one color component.
    hdr : str
        Name of the HDR transfer function, or "".
    pixel_aspect : Fraction
        Width of a pixel by its height; 1 unless the picture is stretched for showing.
    """

    path: Path
    width: int
    height: int
    rate: Fraction
    times: tuple[Fraction, ...]
    seconds: float
    codec: str
    pixel_format: str
    bits: int
    hdr: str
    pixel_aspect: Fraction
    audio: tuple[AudioInfo, ...]

    @property
    def frames(self) -> int:
        """Number of frames."""
        return len(self.times)

    @property
    def constant_rate(self) -> bool:
        """Whether every frame is shown equally long, to within the container's time unit."""
        step = 1 / self.rate
        return all(abs(t - i * step) < step / 2 for i, t in enumerate(self.times))


def read_info(path: Path) -> VideoInfo:
    """Describe a video without decoding it."""
    with open_video(path) as container:
        video = container.streams.video[0]
        # An edit list may hide packets, which are decoded but never shown.
        shown = (p for p in container.demux(video) if p.pts is not None and not p.is_discard)
        stamps = sorted(p.pts for p in shown)
        if not stamps:
            raise WorkspaceError(f"{path}: holds no frames")
        unit, rate = video.time_base, frame_rate(video)
        times = tuple((stamp - stamps[0]) * unit for stamp in stamps)
        context = video.codec_context
        return VideoInfo(
            path=path,
            width=context.width,
            height=context.height,
            rate=rate,
            times=times,
            seconds=float(times[-1] + 1 / rate),
            codec=context.name,
            pixel_format=context.pix_fmt or "",
            bits=max((c.bits for c in context.format.components), default=8),
            hdr=_HDR_TRANSFERS.get(int(context.color_trc or 0), ""),
            pixel_aspect=Fraction(video.sample_aspect_ratio or 1),
            audio=tuple(
                AudioInfo(a.codec_context.name, a.codec_context.sample_rate, a.channels)
                for a in container.streams.audio
            ),
        )


def frame_rate(stream: Any) -> Fraction:
    """Return the frame rate of a video stream: the container's base rate if it is plausible."""
    rate = stream.base_rate or stream.average_rate or stream.guessed_rate
    average = stream.average_rate
    # Streams of changing rate state the least common multiple of all rates (1000 and the like).
    if rate and average and rate > 2 * average:
        rate = average
    return Fraction(rate) if rate else Fraction(25)


def refuse_deep_color(info: VideoInfo) -> None:
    """Refuse what 8-bit frames cannot hold.

    Raises
    ------
    WorkspaceError
        For HDR or more than 8 bits a component.
    """
    if info.hdr or info.bits > 8:
        what = f"HDR ({info.hdr})" if info.hdr else f"{info.bits}-bit"
        raise WorkspaceError(
            f"{info.path}: {what} video ({info.pixel_format}) is not supported, frames have 8 bits "
            "without HDR; convert it to 8-bit SDR first, for instance with "
            "ffmpeg -i IN -vf format=yuv420p OUT (HDR needs tone mapping as well)"
        )
