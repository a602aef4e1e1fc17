"""A video into numbered frames."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

from dfl_tf.disk.durable import make_folder
from dfl_tf.disk.listing import list_folder
from dfl_tf.errors import OptionError, UsageError, WorkspaceError
from dfl_tf.imaging import write_image
from dfl_tf.jobs.pool import ordered
from dfl_tf.jobs.progress import Progress
from dfl_tf.video.color import to_bgr
from dfl_tf.video.frames import shown_frames
from dfl_tf.video.info import VideoInfo, read_info
from dfl_tf.video.timestamps import write_times
from dfl_tf.video.tone import refuse_hdr, to_sdr

if TYPE_CHECKING:
    from av import VideoFrame

    from dfl_tf.video.color import Stored

log = logging.getLogger(__name__)

_MOST = 10_000_000


@dataclass(frozen=True)
class Extracted:
    """Frames that were written; `rate` is theirs, not the video's."""

    frames: int
    rate: Fraction
    folder: Path


@dataclass(frozen=True)
class FrameFiles:
    """How frames are stored.

    Attributes
    ----------
    kind : {"png", "jpg"}
    bits : {8, 16}
        Of a component; 16 for PNG only.
    quality : int
        Of JPEG.
    overwrite : bool
        Remove frames of this kind that are there.
    workers : int
        Threads that encode images.
    tone_map : bool
        Bring HDR to SDR by the curve of `tone`.
    """

    kind: str = "png"
    bits: int = 8
    quality: int = 95
    overwrite: bool = False
    workers: int = 2
    tone_map: bool = False


def extract(
    video: Path,
    folder: Path,
    *,
    every: int = 1,
    rate: Fraction | None = None,
    files: FrameFiles | None = None,
    progress: Progress | None = None,
) -> Extracted:
    """Write the frames of a video as 00001.png, 00002.png, …, and their time stamps beside them.

    The video is decoded twice: first for the facts, then for the images.

    Parameters
    ----------
    video, folder : Path
    every : int
        Keep one frame of so many.
    rate : Fraction, optional
        Frames a second to take, by time: the last one shown at each tick.
    files : FrameFiles, optional
    progress : callable, optional
        Called with (frames done, frames to do).

    References
    ----------
    tools.md 10.
    """
    files = files or FrameFiles()
    if every < 1 or (rate is not None and rate <= 0) or (every > 1 and rate is not None):
        raise OptionError(
            f"every={every}, rate={rate}: give a whole number of frames from 1 on, or a positive "
            "rate, not both"
        )
    if files.bits == 16 and files.kind != "png":
        raise OptionError(f"bits=16 with {files.kind}: only PNG holds 16 bits")
    info = read_info(video)
    if not files.tone_map:
        refuse_hdr(info)
    _tell(info, files)
    wanted = _wanted(info, every, rate)
    make_folder(folder)
    _clear(folder, files)
    done = _write(info, folder, wanted, files, progress)
    step = rate if rate is not None else info.rate / every
    ticks = [Fraction(i) / rate for i in range(done)] if rate is not None else None
    write_times(folder, info, step, ticks or [info.times[i] for i in wanted])
    return Extracted(done, step, folder)


def _tell(info: VideoInfo, files: FrameFiles) -> None:
    if info.bits > files.bits:
        more = "; --bits 16 keeps them" if files.bits == 8 else ""
        log.warning("%s: %d bits are rounded to %d%s", info.path, info.bits, files.bits, more)
    if info.alpha:
        log.warning("%s: its alpha channel is left out", info.path)


def _write(
    info: VideoInfo,
    folder: Path,
    wanted: list[int],
    files: FrameFiles,
    progress: Progress | None,
) -> int:
    convert: Callable[[VideoFrame, int], Stored] = to_sdr if info.hdr else to_bgr
    counts, seen, done = Counter(wanted), 0, 0

    def copies() -> Iterator[tuple[VideoFrame, range]]:
        """Each frame that is wanted, and the numbers that it gets."""
        nonlocal seen
        first = 1
        for index, frame in enumerate(shown_frames(info.path)):
            seen += 1
            if counts[index]:
                yield frame, range(first, first + counts[index])
                first += counts[index]

    def write(item: tuple[VideoFrame, range]) -> int:
        frame, numbers = item
        image = convert(frame, files.bits)
        for number in numbers:
            path = folder / f"{number:05d}.{files.kind}"
            write_image(path, image, quality=files.quality)
        return len(numbers)

    for outcome in ordered(write, copies(), workers=files.workers):
        done += outcome.get()
        if progress is not None:
            progress(done, len(wanted))
    if seen != info.frames:
        raise WorkspaceError(
            f"{info.path}: gave {info.frames} frames when it was read first and {seen} now; it has "
            "changed meanwhile, or its damage is decoded differently each time"
        )
    return done


def _wanted(info: VideoInfo, every: int, rate: Fraction | None) -> list[int]:
    """Return the indices of the frames to write, in order; a slow video repeats some."""
    if rate is None:
        return list(range(0, info.frames, every))
    ticks = max(1, round(Fraction(info.seconds).limit_denominator(100000) * rate))
    if ticks > _MOST:
        raise OptionError(
            f"fps={float(rate):g}: {ticks} frames would be written ({info.seconds:.0f} s); at most "
            f"{_MOST} are"
        )
    wanted, index = [], 0
    for tick in range(ticks):
        while index + 1 < info.frames and info.times[index + 1] <= tick / rate:
            index += 1
        wanted.append(index)
    return wanted


def _clear(folder: Path, files: FrameFiles) -> None:
    present = list_folder(folder, {f".{files.kind}"}).files
    if present and not files.overwrite:
        raise UsageError(
            f"{folder} holds {len(present)} .{files.kind} files already; --overwrite replaces them"
        )
    for path in present:
        path.unlink()
