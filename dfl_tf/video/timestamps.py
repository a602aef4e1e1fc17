"""`timestamps.json` beside extracted frames: when each is shown, and of which video."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

from dfl_tf.disk.durable import write_file
from dfl_tf.disk.guarded import read_json
from dfl_tf.disk.tree_schema import ANYTHING, Integer, Record, Table, Text
from dfl_tf.errors import OptionError, UsageError
from dfl_tf.video.info import VideoInfo

TIMES_FILE = "timestamps.json"

_NUMBER = re.compile(r"([0-9]{1,18})(?:/([0-9]{1,18})|\.([0-9]{1,18}))?")
_ADVICE = "Extract the frames again, or remove it to take the times of the video or a fixed rate."


# At most 18 digits: 1e999999999 would never be done.
_DIGITS = "0*[1-9][0-9]{0,17}"
_SECONDS = Text(
    pattern=rf"[0-9]{{1,18}}(/{_DIGITS}|\.[0-9]{{1,18}})?", form='a fraction such as "1/25"'
)
_RATE = Text(pattern=rf"{_DIGITS}(/{_DIGITS})?", form='a rate above 0 such as "30000/1001"')
_HIGHEST_RATE, _LONGEST = 10_000, 10_000_000
_IDENTITY = Record({"size": Integer(0), "seconds": _SECONDS, "frames": Integer(1)})
_SCHEMA = Record(
    {"rate": _RATE, "times": Table(_SECONDS)},
    {"video": Text(), "identity": _IDENTITY},
    others=ANYTHING,
)


def parse_number(text: str) -> Fraction | None:
    """Read `25`, `29.97` or `30000/1001`; None if it is nothing of these, or longer than needed."""
    match = _NUMBER.fullmatch(text.strip())
    if match is None or (match[2] and not int(match[2])):
        return None
    return Fraction(match[0])


def parse_rate(text: str) -> Fraction | None:
    """Read frames a second: `25`, `29.97` or `30000/1001`; empty and 0 mean none.

    Raises
    ------
    OptionError
        It is nothing of these.
    """
    if not text.strip():
        return None
    rate = parse_number(text)
    if rate is None or rate > 1000:
        raise OptionError(
            f"fps={text!r} is not a frame rate; give 25, 29.97 or 30000/1001 (at most 1000)"
        )
    return rate or None


@dataclass(frozen=True)
class Identity:
    """What tells one video from another: bytes, seconds by its header, decoded frames."""

    size: int
    seconds: Fraction
    frames: int

    def __str__(self) -> str:
        return f"{self.size} bytes, {float(self.seconds):.3f} s, {self.frames} frames"


@dataclass(frozen=True)
class Timestamps:
    """The content of the file.

    Attributes
    ----------
    path : Path
    rate : Fraction
        Frames a second.
    times : dict
        Seconds from the first frame of the video, by the stem of the frame's name.
    video : str
        Name of the video that the frames are of.
    identity : Identity or None
        None in files of older versions.
    """

    path: Path
    rate: Fraction
    times: dict[str, Fraction]
    video: str = ""
    identity: Identity | None = None

    def of(self, frames: Sequence[Path]) -> list[Fraction] | None:
        """Return the time of each frame; None if it does not know all of them.

        Raises
        ------
        UsageError
            If a frame is shown before the one that it follows.
        """
        if any(path.stem not in self.times for path in frames):
            return None
        found = [self.times[path.stem] for path in frames]
        for (a, b), frame in zip(pairwise(found), frames[1:], strict=False):
            if b <= a:
                raise UsageError(
                    f"{self.path}: the time of {frame.name}, {float(b):.6f} s, is not after that "
                    f"of the frame before. {_ADVICE}"
                )
        return found

    def check(self, reference: VideoInfo) -> None:
        """Refuse to be used for another video.

        Raises
        ------
        UsageError
        """
        if self.identity is None:
            if self.video and self.video != reference.path.name:
                raise UsageError(
                    f"{self.path} is of {self.video}, not of {reference.path}. {_ADVICE}"
                )
            return
        other = identity_of(reference)
        if other != self.identity:
            raise UsageError(
                f"{self.path} is of another video ({self.video}: {self.identity}) than "
                f"{reference.path} ({other}). {_ADVICE}"
            )


def identity_of(info: VideoInfo) -> Identity:
    """Return what tells a video from others."""
    return Identity(info.path.stat().st_size, info.duration, info.frames)


def write_times(folder: Path, info: VideoInfo, rate: Fraction, times: Sequence[Fraction]) -> None:
    """Write the file for frames 00001, 00002, … of a video."""
    own = identity_of(info)
    content = {
        "video": info.path.name,
        "identity": {"size": own.size, "seconds": str(own.seconds), "frames": own.frames},
        "rate": str(rate),
        "times": {f"{i:05d}": str(time) for i, time in enumerate(times, start=1)},
    }
    write_file(folder / TIMES_FILE, json.dumps(content, indent=0).encode())


def read_times(folder: Path) -> Timestamps | None:
    """Read the file of a folder; None if there is none.

    Raises
    ------
    OptionError
        If it holds anything else than times.
    """
    path = folder / TIMES_FILE
    content = read_json(
        path,
        kind="time stamps of frames",
        schema=_SCHEMA,
        error=OptionError,
        advice=_ADVICE,
        missing_ok=True,
    )
    if content is None:
        return None
    rate = Fraction(content["rate"])
    times = {stem: Fraction(time) for stem, time in content["times"].items()}
    longest = max(times.values(), default=Fraction(0))
    if rate > _HIGHEST_RATE or longest > _LONGEST:
        raise OptionError(
            f"{path}: says {float(rate):g} frames a second and a time of {float(longest):g} s; at "
            f"most {_HIGHEST_RATE} and {_LONGEST} are possible. {_ADVICE}"
        )
    stated = content.get("identity")
    return Timestamps(
        path,
        rate,
        times,
        content.get("video", ""),
        stated and Identity(stated["size"], Fraction(stated["seconds"]), stated["frames"]),
    )
