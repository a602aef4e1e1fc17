"""Frames into a video, with the timing and the sound of another."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

import numpy as np

from dfl_tf.disk.frame_order import in_frame_order
from dfl_tf.disk.listing import IMAGE_SUFFIXES, list_folder
from dfl_tf.errors import OptionError, WorkspaceError
from dfl_tf.imaging import read_image_unchanged, to_bgr
from dfl_tf.jobs.progress import Progress
from dfl_tf.video.color import from_bgr
from dfl_tf.video.info import VideoInfo, read_info
from dfl_tf.video.pyav import require_av
from dfl_tf.video.read_back import Written, read_back
from dfl_tf.video.sound import Part, Sound
from dfl_tf.video.timeline import Clock, slack_of
from dfl_tf.video.timestamps import TIMES_FILE, read_times
from dfl_tf.video.write import (
    Encoding,
    FrameWriter,
    Look,
    create,
    explain_encoding_errors,
    writing_video,
)

if TYPE_CHECKING:
    from av import VideoFrame
    from av.container import OutputContainer

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Encoded:
    """The video that was made."""

    path: Path
    frames: int
    rate: Fraction
    audio: bool


@dataclass(frozen=True)
class FrameTimes:
    """When the frames of a video are shown.

    Attributes
    ----------
    rate : Fraction
        Frames a second.
    times : list of Fraction
        Seconds of each frame, the first one at 0.
    start : Fraction
        When the first one was shown in the video that they are of.
    """

    rate: Fraction
    times: list[Fraction]
    start: Fraction = Fraction(0)

    @property
    def seconds(self) -> Fraction:
        """From the first frame to the end of the last."""
        return self.times[-1] + 1 / self.rate


def encode(
    frames: Path,
    output: Path,
    *,
    reference: Path | None = None,
    rate: Fraction | None = None,
    audio: bool = True,
    encoding: Encoding | None = None,
    progress: Progress | None = None,
) -> Encoded:
    """Make a video of the images of a folder, in the order of the numbers in their names.

    Times are taken from the time stamps that `extract` left in the folder of the frames or in the
    one above it, else from the reference if it has as many frames, else from the rate.

    Parameters
    ----------
    frames : Path
        Folder of images.
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

    Raises
    ------
    WorkspaceError
        A file cannot be read or written, or the video does not read back as it was written.
    UsageError
        The time stamps beside the frames are of another video than the reference.

    References
    ----------
    tools.md 10.
    """
    av = require_av()
    encoding = encoding or Encoding()
    if encoding.bitrate <= 0 or (rate is not None and rate <= 0):
        raise OptionError(f"bitrate={encoding.bitrate}, rate={rate}: both must be positive")
    images = _images(frames)
    about = None if reference is None else read_info(reference)
    timing = timing_of(frames, images, about, rate)
    stored = read_image_unchanged(images[0])
    _tell_depth(images, stored)
    first = to_bgr(stored)
    with writing_video(av, output, reference) as beside:
        with contextlib.ExitStack() as stack:
            container = stack.enter_context(create(av, beside, output))
            container.metadata.update(encoding.tags or {})
            look = look_of(first.shape, timing.rate, about)
            written = Written(len(images), exact=encoding.lossless)
            video = FrameWriter(container, look, encoding, written, output)
            sound = None
            if about is not None and audio:
                sound = sound_of(av, container, about, timing)
                if sound is not None:
                    stack.callback(sound.close)
            with explain_encoding_errors(av, output):
                for done, (path, time) in enumerate(
                    zip(images, timing.times, strict=True), start=1
                ):
                    video.put(_frame(av, video, path, first.shape), time)
                    if sound is not None:
                        sound.copy(time)
                    if progress is not None:
                        progress(done, len(images))
                video.finish()
                if sound is not None:
                    sound.finish(written)
        read_back(beside, output, written)
    return Encoded(output, len(images), timing.rate, sound is not None)


def _images(folder: Path) -> list[Path]:
    listing = list_folder(folder, IMAGE_SUFFIXES, what="merged frames", known={TIMES_FILE})
    for line in listing.left_out.lines():
        log.warning("%s: %s", folder, line)
    if not listing.files:
        raise WorkspaceError(f"{folder}: holds no images to make a video of")
    return in_frame_order(listing.files)


def timing_of(
    folder: Path,
    images: Sequence[Path],
    reference: VideoInfo | None,
    rate: Fraction | None,
    positions: Sequence[int] | None = None,
) -> FrameTimes:
    """Return when images are shown; see `encode`.

    Parameters
    ----------
    folder : Path
        Of the images.
    images : sequence of Path
    reference : VideoInfo, optional
    rate : Fraction, optional
    positions : sequence of int, optional
        Where the images stand among the frames of the reference; by default they are all of them.

    Raises
    ------
    UsageError, OptionError
        The time stamps beside the frames cannot be used.
    """
    if rate is not None:
        return FrameTimes(rate, [i / rate for i in range(len(images))])
    known = read_times(folder) or read_times(folder.parent)
    if known is not None:
        if reference is not None:
            known.check(reference)
        stamps = known.of(images)
        if stamps is not None:
            return _from(known.rate, stamps)
        log.warning("%s does not name all of the %d frames; not used", known.path, len(images))
    if reference is None:
        rate = Fraction(25)
        log.warning("no reference video and no rate given: %s frames a second", rate)
    elif positions is not None and max(positions) < reference.frames:
        return _from(reference.rate, [reference.times[i] for i in positions])
    elif reference.frames == len(images):
        return FrameTimes(reference.rate, list(reference.times))
    else:
        rate = reference.rate
        log.warning(
            "%s has %d frames, there are %d images: its rate %s is used from the first one on",
            reference.path.name,
            reference.frames,
            len(images),
            rate,
        )
    return FrameTimes(rate, [i / rate for i in range(len(images))])


def _from(rate: Fraction, stamps: Sequence[Fraction]) -> FrameTimes:
    return FrameTimes(rate, [stamp - stamps[0] for stamp in stamps], stamps[0])


def look_of(shape: tuple[int, ...], rate: Fraction, reference: VideoInfo | None) -> Look:
    """Return how frames of a shape are shown: stretched as those of a reference of their size."""
    height, width = shape[:2]
    same = reference is not None and (reference.height, reference.width) == (height, width)
    aspect = reference.pixel_aspect if reference is not None and same else Fraction(1)
    return Look(height, width, rate, aspect)


def sound_of(
    av: ModuleType, container: OutputContainer, reference: VideoInfo, timing: FrameTimes
) -> Sound | None:
    """Prepare the sound of a video for another one; None (with a note) if it has none."""
    clock = Clock(reference.timeline, slack_of(reference.rate), reference.broadcast)
    return Sound.of(av, reference.path, container, Part(timing.start, timing.seconds), clock)


def _read(path: Path) -> np.ndarray:
    return to_bgr(read_image_unchanged(path))


def _tell_depth(images: Sequence[Path], image: np.ndarray) -> None:
    if image.dtype != np.uint8:
        log.warning("%s: 16 bits are rounded to the 8 of a video", images[0].name)
    if image.shape[2] in (2, 4):
        log.warning("%s: alpha is left out", images[0].name)


def _frame(av: ModuleType, video: FrameWriter, path: Path, shape: tuple[int, ...]) -> VideoFrame:
    image = _read(path)
    if image.shape != shape:
        raise WorkspaceError(
            f"{path}: is {image.shape[1]}x{image.shape[0]}, the first image is "
            f"{shape[1]}x{shape[0]}; all must have one size"
        )
    return from_bgr(av, image, video.pixel_format)
