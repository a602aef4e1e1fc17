"""Frames into a video, with the timing and the sound of another."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

from dfl_tf.disk.durable import make_folder_for, replacing
from dfl_tf.errors import OptionError, UsageError, WorkspaceError
from dfl_tf.imaging import read_image
from dfl_tf.video.color import BT601, BT709, from_bgr, matrix_of
from dfl_tf.video.extract import read_times
from dfl_tf.video.info import read_info
from dfl_tf.video.pyav import open_video, require_av
from dfl_tf.video.sound import Sound

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
    timing = _timing(frames, pictures, reference, rate)
    seconds = timing.times[-1] + 1 / timing.rate
    with writing_video(av, output, reference) as beside, contextlib.ExitStack() as stack:
        container = _create(av, beside, stack, output)
        container.metadata.update(encoding.tags or {})
        first = read_image(pictures[0])
        video = _add_video(container, first.shape, timing.rate, encoding)
        sound = None
        if reference is not None:
            source = stack.enter_context(open_video(reference))
            _keep_pixel_aspect(video, source, first.shape)
            if audio:
                sound = Sound.of(av, source, container, timing.start, seconds)
        with telling_faults(av, output):
            for done, (path, time) in enumerate(zip(pictures, timing.times, strict=True), start=1):
                container.mux(_encode_picture(av, video, path, first.shape, time))
                if sound is not None:
                    sound.copy(time)
                if progress is not None:
                    progress(done, len(pictures))
            container.mux(video.encode(None))
            if sound is not None:
                sound.copy(None)
    return Encoded(output, len(pictures), timing.rate, sound is not None)


@contextlib.contextmanager
def writing_video(av: Any, output: Path, source: Path | None) -> Iterator[Path]:
    """Give the path to write to; it takes the place of `output` when all went well.

    Raises
    ------
    UsageError
        If the output would replace its own source.
    WorkspaceError
        If writing fails; nothing is left of the attempt.
    """
    if source is not None and output.exists() and output.samefile(source):
        raise UsageError(f"{output}: would replace the video it is made from; choose another -o")
    make_folder_for(output)
    # FFmpeg opens the file by its name and chooses the container by its suffix
    with replacing(output, suffix=output.suffix) as file, telling_faults(av, output):
        yield Path(file.name)


@contextlib.contextmanager
def telling_faults(av: Any, output: Path) -> Iterator[None]:
    """Turn faults of FFmpeg into one that names the video that was to be written."""
    try:
        yield
    except (ValueError, av.error.FFmpegError) as fault:
        reason = getattr(fault, "strerror", None) or fault
        raise WorkspaceError(f"{output}: encoding failed ({reason})") from fault


def _keep_pixel_aspect(stream: Any, source: Any, shape: tuple[int, ...]) -> None:
    """Show the pictures stretched as those of the reference, if they are of its size."""
    video = source.streams.video[0]
    same_size = (video.codec_context.height, video.codec_context.width) == shape[:2]
    if same_size and video.sample_aspect_ratio:
        stream.codec_context.sample_aspect_ratio = video.sample_aspect_ratio


def _pictures(folder: Path) -> list[Path]:
    if not folder.is_dir():
        raise WorkspaceError(f"{folder}: there is no such folder; merged frames are expected there")
    pictures = (p for p in folder.iterdir() if p.suffix.lower() in FRAME_SUFFIXES and p.is_file())
    found = sorted(pictures, key=str)
    if not found:
        raise WorkspaceError(f"{folder}: holds no pictures to make a video of")
    return found


@dataclass(frozen=True)
class _Timing:
    """Frames a second, the time of every picture (the first at 0), and when the first one was."""

    rate: Fraction
    times: list[Fraction]
    start: Fraction = Fraction(0)


def _timing(
    folder: Path, pictures: Sequence[Path], reference: Path | None, rate: Fraction | None
) -> _Timing:
    if rate is not None:
        return _Timing(rate, [i / rate for i in range(len(pictures))])
    known = read_times(folder) or read_times(folder.parent)
    if known is not None and all(path.stem in known[1] for path in pictures):
        stamps = [known[1][path.stem] for path in pictures]
        return _Timing(known[0], [stamp - stamps[0] for stamp in stamps], stamps[0])
    if reference is None:
        rate = Fraction(25)
        log.warning("no reference video and no rate given: %s frames a second", rate)
    else:
        info = read_info(reference)
        if info.frames == len(pictures):
            return _Timing(info.rate, list(info.times))
        rate = info.rate
        log.warning(
            "%s has %d frames, there are %d pictures: its rate %s is used from the first one on",
            reference.name,
            info.frames,
            len(pictures),
            rate,
        )
    return _Timing(rate, [i / rate for i in range(len(pictures))])


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
