"""A part of a video, from one time to another."""

from __future__ import annotations

import contextlib
import logging
import re
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

import cv2
import numpy as np

from dfl_tf.errors import OptionError, WorkspaceError
from dfl_tf.jobs.progress import Progress
from dfl_tf.video.color import frame_of_planes, from_bgr, to_bgr, yuv_of, yuv_planes
from dfl_tf.video.frames import Damage, decoded
from dfl_tf.video.info import VideoInfo, read_info
from dfl_tf.video.orientation import orientation_of
from dfl_tf.video.pyav import ONE_RATE, open_video, require_av, video_stream
from dfl_tf.video.read_back import Written, read_back
from dfl_tf.video.sound import Blocks, aac_stream, encoder_delay, is_readable
from dfl_tf.video.timeline import Clock, slack_of
from dfl_tf.video.tone import refuse_hdr, to_sdr
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
    from av import AudioFrame, VideoFrame
    from av.audio.stream import AudioStream
    from av.container import InputContainer, OutputContainer
    from av.stream import Stream
    from av.video.codeccontext import VideoCodecContext

    from dfl_tf.video.color import Stored

log = logging.getLogger(__name__)

_UNSTATED = (0, 2)


def parse_time(text: str) -> Fraction:
    """Read `75`, `75.5`, `1:15` or `00:01:15.500` as seconds.

    Raises
    ------
    OptionError
    """
    match = re.fullmatch(
        r"(?:(?:([0-9]{1,9}):)?([0-9]{1,9}):)?([0-9]{1,9}(?:\.[0-9]{1,18})?)", text.strip()
    )
    if match is None:
        raise OptionError(f"{text!r} is not a time; give seconds or HH:MM:SS.mmm")
    hours, minutes, seconds = match.groups()
    return int(hours or 0) * 3600 + int(minutes or 0) * 60 + Fraction(seconds)


@dataclass(frozen=True)
class Piece:
    """What is taken of a video.

    Attributes
    ----------
    start, end : Fraction or None
        Seconds from the first frame; None: the whole.
    audio_track : int
        Which audio stream is kept, if there is one of that number.
    tone_map : bool
        Bring HDR to SDR by the curve of `tone`.
    """

    start: Fraction | None = None
    end: Fraction | None = None
    audio_track: int = 0
    tone_map: bool = False


def cut(
    video: Path,
    output: Path,
    piece: Piece | None = None,
    *,
    bitrate: float = 25.0,
    progress: Progress | None = None,
) -> int:
    """Encode the frames shown in a piece of a video again, upright, with one audio track.

    Nothing is sought: the video is decoded from its start, for a seek lands where it likes in many
    kinds of files, and what it passes over would be missing.

    Parameters
    ----------
    video, output : Path
    piece : Piece, optional
        Default: the whole.
    bitrate : float
        Megabits a second.
    progress : callable, optional
        Called with (frames done, frames to do).

    Returns
    -------
    int
        Number of frames written.

    Raises
    ------
    OptionError
        Nothing is shown in the piece.
    WorkspaceError
        The video cannot be read, is HDR without `tone_map`, or does not read back as written.

    References
    ----------
    tools.md 10.
    """
    av = require_av()
    piece = piece or Piece()
    if bitrate <= 0:
        raise OptionError(f"bitrate={bitrate} must be positive")
    info = read_info(video)
    if not piece.tone_map:
        refuse_hdr(info)
    low = piece.start or Fraction(0)
    end = info.times[-1] + 1 / info.rate
    high = piece.end if piece.end is not None else max(end, Fraction(info.seconds))
    shown = [time for time in info.times if low <= time < high]
    total = len(shown)
    if not shown:
        raise OptionError(
            f"{video.name} lasts {info.seconds:.3f} s; nothing of it is shown from "
            f"{float(low):.3f} to {float(high):.3f} s"
        )
    if info.bits > 8:
        log.warning("%s: %d bits are rounded to 8", video, info.bits)
    if info.alpha:
        log.warning("%s: its alpha channel is left out", video)
    with writing_video(av, output, video) as beside:
        with contextlib.ExitStack() as stack, explain_encoding_errors(av, output):
            container = stack.enter_context(create(av, beside, output))
            part = _Part(av, info, container, piece, (shown[0], high, total), bitrate, output)
            part.write(progress)
        read_back(beside, output, part.frames.written)
    return total


class _Part:
    def __init__(
        self,
        av: ModuleType,
        info: VideoInfo,
        container: OutputContainer,
        piece: Piece,
        span: tuple[Fraction, Fraction, int],
        bitrate: float,
        output: Path,
    ):
        self._av, self._info, self._container, self._piece = av, info, container, piece
        self._low, self._high, total = span
        self._damage = Damage()
        self._clock = Clock(info.timeline, slack_of(info.rate), info.broadcast)
        self._audio: AudioStream | None = None
        from_zero = container.format.name in ONE_RATE
        self._blocks = Blocks(av, self._high - self._low, from_zero=from_zero)
        with open_video(info.path) as source:
            # Also what they say about how the frames were made.
            container.metadata.update(source.metadata)
            context = video_stream(source, info.path).codec_context
            look = _look(info, context)
            self.frames = FrameWriter(container, look, Encoding(bitrate), Written(total), output)
            self._add_sound(source)

    def _add_sound(self, source: InputContainer) -> None:
        tracks = source.streams.audio
        if self._piece.audio_track >= len(tracks):
            if self._piece.audio_track:
                log.warning("%s: has %d audio tracks; no sound", self._info.path, len(tracks))
            return
        track = tracks[self._piece.audio_track]
        if not is_readable(track):
            log.warning("%s: FFmpeg cannot read its sound; it is left out", self._info.path)
            return
        self._audio = aac_stream(self._container, track, track.codec_context.sample_rate)
        self.frames.written.sound_tolerance = encoder_delay(self._audio.codec_context.sample_rate)

    def write(self, progress: Progress | None) -> None:
        """Encode everything."""
        index = 0
        times = self._info.times
        for kind, frame in watched(self._decoded, self._info.path):
            if kind == "audio":
                self._put_sound(frame)
                continue
            if index < len(times) and self._low <= times[index] < self._high:
                self.frames.put(self._prepared(frame), times[index] - self._low)
                if progress is not None:
                    progress(len(self.frames.written.times), self.frames.written.total)
            index += 1
        self.frames.finish()
        if self._audio is not None:
            self._container.mux(self._audio.encode(None))
            self.frames.written.sound = self._blocks.first
        if index != self._info.frames:
            raise WorkspaceError(
                f"{self._info.path}: gave {self._info.frames} frames when it was read first and "
                f"{index} now; it has changed meanwhile, or its damage is decoded differently"
            )

    def _decoded(self) -> Iterator[tuple[str, VideoFrame | AudioFrame]]:
        with open_video(self._info.path) as source:
            streams: list[Stream] = [video_stream(source, self._info.path)]
            if self._audio is not None:
                streams.append(source.streams.audio[self._piece.audio_track])
            for stream, frame in decoded(source, streams, self._damage):
                yield stream.type, frame

    def _prepared(self, frame: VideoFrame) -> VideoFrame:
        """Return the frame upright, as yuv420p of the size of the stream."""
        if self._info.hdr:
            return from_bgr(self._av, to_sdr(frame), "yuv420p")
        planes = _planes_420(frame) if yuv_of(frame) == self._info.yuv else None
        orientation = orientation_of(frame)
        if planes is not None:
            turned = [orientation.apply(plane) for plane in planes]
            if turned[0].shape == self.frames.written.shape:
                return frame_of_planes(self._av, turned, self._info.yuv)
        image = to_bgr(frame)
        size = (self._info.width, self._info.height)
        if image.shape[1::-1] != size:
            image = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
        return from_bgr(self._av, image, "yuv420p", self._info.yuv)

    def _put_sound(self, frame: AudioFrame) -> None:
        if frame.pts is None or self._audio is None:
            return
        raw = Fraction(frame.pts * frame.time_base)
        time = raw + self._clock.offset(raw) - self._low
        for block in self._blocks.of(frame, time):
            self._container.mux(self._audio.encode(block))


def _look(info: VideoInfo, context: VideoCodecContext) -> Look:
    if info.hdr:
        return Look(info.height, info.width, info.rate, info.pixel_aspect)
    primaries, transfer = int(context.color_primaries or 0), int(context.color_trc or 0)
    return Look(
        info.height,
        info.width,
        info.rate,
        info.pixel_aspect,
        info.yuv,
        0 if primaries in _UNSTATED else primaries,
        0 if transfer in _UNSTATED else transfer,
    )


def _planes_420(frame: VideoFrame) -> list[Stored] | None:
    """Planes of even size that need no conversion but rounding to 8 bits; None for others."""
    if not frame.format.name.startswith(("yuv420p", "yuvj420p")):
        return None
    if frame.width % 2 or frame.height % 2:
        return None
    planes, depth = yuv_planes(frame)
    if depth > 8:
        scale = 2.0 ** (8 - depth)
        planes = [cv2.add(plane * np.float32(scale), 0.0, dtype=cv2.CV_8U) for plane in planes]
    return list(planes)
