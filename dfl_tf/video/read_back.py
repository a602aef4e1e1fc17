"""Every video that was written is read back before it takes its place."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np

from dfl_tf.errors import WorkspaceError
from dfl_tf.video.color import to_bgr
from dfl_tf.video.frames import packets_of, shown_frames
from dfl_tf.video.info import shown_stamps
from dfl_tf.video.orientation import orientation_of
from dfl_tf.video.pyav import open_video, unit_of, video_stream
from dfl_tf.video.timeline import timeline
from dfl_tf.video.watch import watched

if TYPE_CHECKING:
    from av import VideoFrame

    from dfl_tf.video.color import Stored

_OTHERS = 8
SIDE = 8
"""Of a thumbnail."""
# Of 255, on the mean over 64 tiles: coarse compression stays far below, another image above.
_DIFFERENT = 32.0
# Containers whose index makes a seek reliable.
_INDEXED = ("mov", "mp4", "matroska")


@dataclass
class Written:
    """What was handed to the encoder.

    Attributes
    ----------
    total : int
        Number of frames that will come.
    exact : bool
        Whether every pixel has to come back as it was.
    times : list of Fraction
        Seconds from the first frame.
    images : dict
        By index: a thumbnail, or a checksum if `exact`.
    shape : tuple
        (height, width) of the coded frames.
    coarse : Fraction
        Seconds by which the container rounds times.
    sound : Fraction or None
        When the sound begins; None without sound.
    sound_tolerance : Fraction
    """

    total: int
    exact: bool = False
    times: list[Fraction] = field(default_factory=list)
    images: dict[int, str | Stored] = field(default_factory=dict)
    shape: tuple[int, int] = (0, 0)
    coarse: Fraction = Fraction(0)
    sound: Fraction | None = None
    sound_tolerance: Fraction = Fraction(0)

    def compared(self, first: int, count: int) -> frozenset[int]:
        """Return which of `count` frames from `first` on are compared when it is read back."""
        return _chosen(self.total) & frozenset(range(first, first + count))

    def add(self, frame: VideoFrame, time: Fraction) -> None:
        """Note a frame on its way to the encoder."""
        if len(self.times) in _chosen(self.total):
            self.images[len(self.times)] = _seen(frame, self.exact)
        self.times.append(time)


def _chosen(total: int) -> frozenset[int]:
    """The first, the last and eight frames between."""
    return frozenset(round(i * (total - 1) / (_OTHERS + 1)) for i in range(_OTHERS + 2))


def _seen(frame: VideoFrame, exact: bool) -> str | Stored:
    image = to_bgr(frame)
    if exact:
        return hashlib.sha256(image.tobytes()).hexdigest()
    return cv2.resize(image, (SIDE, SIDE), interpolation=cv2.INTER_AREA)


def read_back(path: Path, output: Path, written: Written) -> None:
    """Compare a video file with what was to be in it.

    Parameters
    ----------
    path : Path
        The file.
    output : Path
        Its name in messages.
    written : Written

    Raises
    ------
    WorkspaceError
        Count, times, size, orientation, sound offset or one of ten frames differ.
    """
    try:
        errors = list(_differences(path, written))
    except WorkspaceError as error:
        errors = [str(error).removeprefix(f"{path}: ")]
    if errors:
        raise WorkspaceError(
            f"{output}: what was written does not read back as it should: {'; '.join(errors[:3])}. "
            "Nothing was replaced; try another kind of file (.mp4, .mkv, .mov)"
        )


def _differences(path: Path, written: Written) -> Iterator[str]:
    with open_video(path) as container:
        stream = video_stream(container, path)
        indexed = any(name in container.format.name.split(",") for name in _INDEXED)
        unit = unit_of(stream, path)
    stamps, images = _by_packets(path, written) if indexed else _by_frames(path, written)
    if len(stamps) != len(written.times):
        yield f"{len(stamps)} frames, {len(written.times)} were encoded"
        return
    times = [stamp * unit for stamp in stamps]
    tolerance = unit + written.coarse + Fraction(1, 45000)
    for i, (found, wanted) in enumerate(zip(times, written.times, strict=True)):
        if abs(found - times[0] - wanted) > tolerance:
            yield (
                f"frame {i + 1} is shown at {float(found - times[0]):.4f} s for {float(wanted):.4f}"
            )
            break
    yield from images
    yield from _sound_difference(path, written, times[0], tolerance)


def _by_packets(path: Path, written: Written) -> tuple[list[int], list[str]]:
    """All packets of a file with an index; ten frames are decoded from the key before them."""

    def packets() -> Iterator[int]:
        with open_video(path) as container:
            for packet in packets_of(container, [video_stream(container, path)]):
                if packet.pts is not None and packet.size and not packet.is_discard:
                    yield packet.pts

    stamps = sorted(watched(packets, path))
    errors = []
    if len(stamps) == len(written.times):
        for index in sorted(written.images):
            errors += _frame_errors(_frame_at(path, stamps[index]), index, written)
    return stamps, errors


def _frame_at(path: Path, stamp: int) -> VideoFrame | None:
    def frames() -> Iterator[VideoFrame]:
        with open_video(path) as container:
            stream = video_stream(container, path)
            container.seek(stamp, stream=stream, backward=True)
            for frame in container.decode(stream):
                yield frame
                if frame.pts is not None and frame.pts >= stamp:
                    return

    for frame in watched(frames, path):
        if frame.pts == stamp:
            return frame
    return None


def _by_frames(path: Path, written: Written) -> tuple[list[int], list[str]]:
    stamps: list[int | None] = []
    errors: list[str] = []
    for frame in shown_frames(path):
        if len(stamps) in written.images:
            errors += _frame_errors(frame, len(stamps), written)
        stamps.append(frame.pts)
    with open_video(path) as container:
        stream = video_stream(container, path)
        unit, rate = unit_of(stream, path), Fraction(stream.average_rate or 25)
    if not stamps:
        return [], []
    line = timeline(shown_stamps(path, stamps), unit, rate)
    return [round((line.origin + time) / unit) for time in line.times], errors


def _frame_errors(frame: VideoFrame | None, index: int, written: Written) -> list[str]:
    name = f"frame {index + 1}"
    if frame is None:
        return [f"{name} cannot be found by its time"]
    if not orientation_of(frame).upright:
        return [f"{name} is turned"]
    if (frame.height, frame.width) != written.shape:
        height, width = written.shape
        return [f"{name} is {frame.width}x{frame.height} for {width}x{height}"]
    seen, wanted = _seen(frame, written.exact), written.images[index]
    if isinstance(seen, str) or isinstance(wanted, str):
        return [] if seen == wanted else [f"{name} is not exact"]
    return [] if _distance(seen, wanted) <= _DIFFERENT else [f"{name} is another image"]


def _distance(a: Stored, b: Stored) -> float:
    return float(np.abs(a.astype(np.float32) - b).mean())


def _sound_difference(
    path: Path, written: Written, origin: Fraction, tolerance: Fraction
) -> Iterator[str]:
    if written.sound is None:
        return
    with open_video(path) as container:
        tracks = container.streams.audio
        packets = container.demux(tracks[0]) if tracks else iter(())
        stamps = (p.pts * Fraction(p.time_base) for p in packets if p.pts is not None and p.size)
        begin = next(stamps, None)
    if begin is None:
        yield "its sound is missing"
    elif abs(begin - origin - written.sound) > written.sound_tolerance + tolerance:
        yield (
            f"its sound begins {float(begin - origin):.3f} s after the first frame "
            f"for {float(written.sound):.3f} s"
        )
