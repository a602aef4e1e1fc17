"""Frames into a video, with the timing and the sound of another."""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

from dfl_tf.errors import OptionError, WorkspaceError
from dfl_tf.imaging import read_image
from dfl_tf.video.color import BT601, BT709, from_bgr, matrix_of
from dfl_tf.video.extract import read_times
from dfl_tf.video.info import read_info
from dfl_tf.video.pyav import open_video, require_av

log = logging.getLogger(__name__)

FRAME_SUFFIXES = {".png", ".jpg", ".jpeg", ".tif", ".tiff"}
# 90 kHz holds the time stamps of all usual rates exactly or to a few microseconds.
_CLOCK = Fraction(1, 90000)


@dataclass(frozen=True)
class Encoding:
    """How a video is compressed.

    Attributes
    ----------
    bitrate : float
        Megabits a second.
    lossless : bool
        Every pixel exact (H.264 in RGB); large, and not every player shows it.
    tags : mapping
        Metadata of the file.
    """

    bitrate: float = 16.0
    lossless: bool = False
    tags: Mapping[str, str] | None = None


@dataclass(frozen=True)
class Encoded:
    """The video that was made."""

    path: Path
    frames: int
    rate: Fraction
    audio: bool


def encode(
    frames: Path,
    output: Path,
    *,
    reference: Path | None = None,
    rate: Fraction | None = None,
    audio: bool = True,
    encoding: Encoding | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Encoded:
    """Make a video of the pictures of a folder, in the order of their names.

    Times are taken from the time stamps that `extract` left in the folder of the frames or in the
    one above it, else from the reference if it has as many frames, else from the rate.

    Parameters
    ----------
    frames : Path
        Folder of pictures.
    output : Path
        Video file; its folder is made.
    reference : Path, optional
        Video whose rate, time stamps and audio are taken.
    rate : Fraction, optional
        Frames a second; over all others.
    audio : bool
        Whether the sound of the reference is carried over.
    encoding : Encoding, optional
    progress : callable, optional
        Called with (frames done, frames to do).

    References
    ----------
    tools.md 10.
    """
    av = require_av()
    encoding = encoding or Encoding()
    if encoding.bitrate <= 0 or (rate is not None and rate <= 0):
        raise OptionError(f"bitrate={encoding.bitrate}, rate={rate}: both must be positive")
    pictures = _pictures(frames)
    used_rate, times = _timing(frames, pictures, reference, rate)
    output.parent.mkdir(parents=True, exist_ok=True)
    beside = output.with_name(f"{output.stem}.new{output.suffix}")
    try:
        with contextlib.ExitStack() as stack:
            container = _create(av, beside, stack, output)
            container.metadata.update(encoding.tags or {})
            first = read_image(pictures[0])
            video = _add_video(container, first.shape, used_rate, encoding)
            sound = None
            if audio and reference is not None:
                source = stack.enter_context(open_video(reference))
                sound = _Sound.of(source, container, float(times[-1] + 1 / used_rate))
            for done, (path, time) in enumerate(zip(pictures, times, strict=True), start=1):
                container.mux(_encode_picture(av, video, path, first.shape, time))
                if progress is not None:
                    progress(done, len(pictures))
            container.mux(video.encode(None))
            if sound is not None:
                sound.copy()
    except av.error.FFmpegError as fault:
        beside.unlink(missing_ok=True)
        raise WorkspaceError(f"{output}: encoding failed ({fault.strerror})") from fault
    except BaseException:
        beside.unlink(missing_ok=True)
        raise
    os.replace(beside, output)
    return Encoded(output, len(pictures), used_rate, sound is not None)


def _pictures(folder: Path) -> list[Path]:
    if not folder.is_dir():
        raise WorkspaceError(f"{folder}: there is no such folder; merged frames are expected there")
    found = sorted((p for p in folder.iterdir() if p.suffix.lower() in FRAME_SUFFIXES), key=str)
    if not found:
        raise WorkspaceError(f"{folder}: holds no pictures to make a video of")
    return found


def _timing(
    folder: Path, pictures: Sequence[Path], reference: Path | None, rate: Fraction | None
) -> tuple[Fraction, list[Fraction]]:
    """Return the rate and the time of every picture, the first one at 0."""
    if rate is not None:
        return rate, [i / rate for i in range(len(pictures))]
    known = read_times(folder) or read_times(folder.parent)
    if known is not None and all(path.stem in known[1] for path in pictures):
        stamps = [known[1][path.stem] for path in pictures]
        return known[0], [stamp - stamps[0] for stamp in stamps]
    if reference is None:
        rate = Fraction(25)
        log.warning("no reference video and no rate given: %s frames a second", rate)
    else:
        info = read_info(reference)
        if info.frames == len(pictures):
            return info.rate, list(info.times)
        rate = info.rate
        log.warning(
            "%s has %d frames, there are %d pictures: its rate %s is used from the first one on",
            reference.name,
            info.frames,
            len(pictures),
            rate,
        )
    return rate, [i / rate for i in range(len(pictures))]


def _create(av: Any, path: Path, stack: contextlib.ExitStack, output: Path) -> Any:
    try:
        return stack.enter_context(av.open(str(path), "w"))
    except (ValueError, av.error.FFmpegError) as fault:
        raise WorkspaceError(
            f"{output}: cannot be written as a video ({fault}); use .mp4, .mkv or .mov"
        ) from fault


def _add_video(container: Any, shape: tuple[int, ...], rate: Fraction, how: Encoding) -> Any:
    height, width = shape[:2]
    stream = container.add_stream("libx264rgb" if how.lossless else "libx264", rate=rate)
    context = stream.codec_context
    stream.width, stream.height = width, height
    context.time_base = _CLOCK
    if how.lossless:
        stream.pix_fmt, context.options = "bgr24", {"qp": "0"}
        return stream
    stream.pix_fmt = "yuv420p"
    stream.width, stream.height = width + width % 2, height + height % 2
    context.bit_rate = int(how.bitrate * 1e6)
    # Written down, so that no player has to guess.
    matrix = matrix_of(2, height)
    context.colorspace = BT709 if matrix == BT709 else BT601
    context.color_primaries = BT709 if matrix == BT709 else BT601
    context.color_trc = BT709
    return stream


def _encode_picture(
    av: Any, stream: Any, path: Path, shape: tuple[int, ...], time: Fraction
) -> list[Any]:
    image = read_image(path)
    if image.shape != shape:
        raise WorkspaceError(
            f"{path}: is {image.shape[1]}x{image.shape[0]}, the first picture is "
            f"{shape[1]}x{shape[0]}; all must have one size"
        )
    frame = from_bgr(av, image, stream.pix_fmt)
    frame.pts, frame.time_base = round(time / _CLOCK), _CLOCK
    return list(stream.encode(frame))


class _Sound:
    """The first audio stream of a video, copied packet by packet."""

    def __init__(self, source: Any, stream: Any, output: Any, container: Any, seconds: float):
        self._source, self._stream, self._seconds = source, stream, seconds
        self._output, self._container = output, container

    @classmethod
    def of(cls, source: Any, container: Any, seconds: float) -> _Sound | None:
        """Prepare the copy; None (with a note) if there is no sound."""
        if not source.streams.audio:
            log.info("%s has no sound", source.name)
            return None
        stream = source.streams.audio[0]
        output = container.add_stream_from_template(stream)
        return cls(source, stream, output, container, seconds)

    def copy(self) -> None:
        """Copy all packets up to the end of the picture, on the picture's clock."""
        video = self._source.streams.video[0]
        start = (video.start_time or 0) * video.time_base
        for packet in self._packets():
            time = packet.pts * packet.time_base - start
            if time >= self._seconds:
                break
            shift = round(start / packet.time_base)
            packet.pts -= shift
            packet.dts -= shift
            packet.stream = self._output
            self._container.mux(packet)

    def _packets(self) -> Iterator[Any]:
        for packet in self._source.demux(self._stream):
            if packet.pts is not None and packet.dts is not None:
                yield packet
