"""A video into numbered frames."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from dfl_tf.disk.durable import make_folder, write_file
from dfl_tf.disk.guarded import read_json
from dfl_tf.disk.tree_schema import ANYTHING, Record, Table, Text
from dfl_tf.errors import OptionError, UsageError
from dfl_tf.imaging import write_image
from dfl_tf.video.color import Bytes, to_bgr
from dfl_tf.video.info import VideoInfo, read_info, refuse_deep_color
from dfl_tf.video.pyav import open_video

TIMES_FILE = "timestamps.json"
_HIGHEST_RATE, _LONGEST = 10_000, 10_000_000
# at most 18 digits: 1e999999999 would never be done
_TIME = Text(pattern=r"-?\d{1,18}(/0*[1-9]\d{0,17}|\.\d{1,18})?", form='a fraction such as "1/25"')
_RATE = Text(pattern=r"0*[1-9]\d{0,17}(/0*[1-9]\d{0,17})?", form='a rate above 0 such as "25/1"')
_TIMES = Record({"rate": _RATE, "times": Table(_TIME)}, others=ANYTHING)


@dataclass(frozen=True)
class Extracted:
    """Frames that were written; `rate` is theirs, not the video's."""

    frames: int
    rate: Fraction
    folder: Path


def extract(
    video: Path,
    folder: Path,
    *,
    kind: str = "png",
    every: int = 1,
    rate: Fraction | None = None,
    quality: int = 95,
    overwrite: bool = False,
    workers: int = 2,
    progress: Callable[[int, int], None] | None = None,
) -> Extracted:
    """Write the frames of a video as 00001.png, 00002.png, …, and their time stamps beside them.

    Parameters
    ----------
    video, folder : Path
    kind : {"png", "jpg"}
    every : int
        Keep one frame of so many.
    rate : Fraction, optional
        Frames a second to take, by time: the last one shown at each tick.
    quality : int
        Of JPEG.
    overwrite : bool
        Remove frames of this kind that are there.
    workers : int
        Threads that encode pictures.
    progress : callable, optional
        Called with (frames done, frames to do).

    References
    ----------
    tools.md 10.
    """
    if every < 1 or (rate is not None and rate <= 0) or (every > 1 and rate is not None):
        raise OptionError(
            f"every={every}, rate={rate}: give a whole number of frames from 1 on, or a positive "
            "rate, not both"
        )
    info = read_info(video)
    refuse_deep_color(info)
    make_folder(folder)
    _clear(folder, kind, overwrite)
    wanted = _wanted(info, every, rate)
    counts: dict[int, int] = {}
    for index in wanted:
        counts[index] = counts.get(index, 0) + 1
    step = rate if rate is not None else info.rate / every
    done = 0
    pending: deque[Future[None]] = deque()
    with ThreadPoolExecutor(workers) as pool:
        for index, image in enumerate(_decode(video)):
            for _ in range(counts.get(index, 0)):
                done += 1
                path = folder / f"{done:05d}.{kind}"
                pending.append(pool.submit(write_image, path, image, quality=quality))
                if progress is not None:
                    progress(done, len(wanted))
            while len(pending) > 2 * workers:
                pending.popleft().result()
        for future in pending:
            future.result()
    ticks = [Fraction(i) / rate for i in range(done)] if rate is not None else None
    _write_times(folder, video, step, ticks or [info.times[i] for i in wanted[:done]])
    return Extracted(done, step, folder)


def _wanted(info: VideoInfo, every: int, rate: Fraction | None) -> list[int]:
    """Return the indices of the frames to write, in order; a slow video repeats some."""
    if rate is None:
        return list(range(0, info.frames, every))
    wanted, index = [], 0
    for tick in range(max(1, round(Fraction(info.seconds).limit_denominator(100000) * rate))):
        while index + 1 < info.frames and info.times[index + 1] <= tick / rate:
            index += 1
        wanted.append(index)
    return wanted


def _decode(video: Path) -> Iterator[Bytes]:
    with open_video(video) as container:
        container.streams.video[0].thread_type = "AUTO"
        for frame in container.decode(video=0):
            yield to_bgr(frame)


def _clear(folder: Path, kind: str, overwrite: bool) -> None:
    present = sorted(folder.glob(f"*.{kind}"))
    if present and not overwrite:
        raise UsageError(
            f"{folder} holds {len(present)} .{kind} files already; --overwrite replaces them"
        )
    for path in present:
        path.unlink()


def _write_times(folder: Path, video: Path, rate: Fraction, times: list[Fraction]) -> None:
    content = {
        "video": video.name,
        "rate": str(rate),
        "times": {f"{i:05d}": str(time) for i, time in enumerate(times, start=1)},
    }
    write_file(folder / TIMES_FILE, json.dumps(content, indent=0).encode())


def read_times(folder: Path) -> tuple[Fraction, dict[str, Fraction]] | None:
    """Read rate and time stamps (seconds by frame stem) of an extracted folder; None if unknown."""
    content = read_json(
        folder / TIMES_FILE,
        kind="time stamps of frames",
        schema=_TIMES,
        error=UsageError,
        advice="Remove it to use a fixed rate.",
        missing_ok=True,
    )
    if content is None:
        return None
    rate = Fraction(content["rate"])
    times = {stem: Fraction(time) for stem, time in content["times"].items()}
    longest = max(map(abs, times.values()), default=0)
    if rate > _HIGHEST_RATE or longest > _LONGEST:
        raise UsageError(
            f"{folder / TIMES_FILE}: says {float(rate):g} frames a second and a time of "
            f"{float(longest):g} s; at most {_HIGHEST_RATE} and {_LONGEST} are possible. "
            "Remove it to use a fixed rate."
        )
    return rate, times
