"""Decoded frames of a video, damaged packets left out and counted."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from dfl_tf.errors import WorkspaceError
from dfl_tf.video.pyav import open_video, require_av, video_stream
from dfl_tf.video.watch import watched

if TYPE_CHECKING:
    from av import AudioFrame, FFmpegError, Packet, VideoFrame
    from av.container import InputContainer
    from av.stream import Stream

log = logging.getLogger(__name__)


class Damage:
    """Counts what cannot be decoded."""

    def __init__(self) -> None:
        self.packets = 0
        self.reason = ""

    def add(self, error: FFmpegError) -> None:
        """Count one packet."""
        self.packets += 1
        self.reason = self.reason or str(error.strerror or error)

    def tell(self, path: Path, frames: int) -> None:
        """Warn of it once, or raise if it left nothing.

        Raises
        ------
        WorkspaceError
            If there are no frames.
        """
        if not frames:
            why = f"damaged packets: {self.packets}; {self.reason}" if self.packets else "empty"
            raise WorkspaceError(f"{path}: no frame of its video can be decoded ({why})")
        if self.packets:
            log.warning(
                "%s: damaged packets left out: %d (%s); %d frames are there",
                path,
                self.packets,
                self.reason,
                frames,
            )


def packets_of(container: InputContainer, streams: Sequence[Stream]) -> Iterator[Packet]:
    """Yield the packets of streams; those of streams that appear on the way are passed over."""
    while True:
        try:
            yield from container.demux(streams)
            return
        except IndexError:  # PyAV knows only the streams that were there when it opened the file
            continue


def decoded(
    container: InputContainer, streams: Sequence[Stream], damage: Damage
) -> Iterator[tuple[Stream, VideoFrame | AudioFrame]]:
    """Yield (stream, frame) in the order in which the file gives them.

    A packet that does not decode is counted and skipped; a file that breaks off ends there.
    """
    av = require_av()
    packets = packets_of(container, streams)
    while True:
        try:
            packet = next(packets, None)
        except av.error.FFmpegError as error:
            damage.add(error)
            packet = None
        if packet is None:
            break
        try:
            frames = packet.decode()
        except av.error.FFmpegError as error:
            damage.add(error)
            continue
        for frame in frames:
            yield packet.stream, frame


def shown_frames(video: Path, damage: Damage | None = None) -> Iterator[VideoFrame]:
    """Yield the frames of a video in the order of showing; frames that it hides are not there.

    Raises
    ------
    WorkspaceError
        If the file cannot be opened, or gives no frame for `PATIENCE` seconds.
    """
    damage = damage or Damage()

    def frames() -> Iterator[VideoFrame]:
        with open_video(video) as container:
            stream = video_stream(container, video)
            for _, frame in decoded(container, [stream], damage):
                yield frame

    return watched(frames, video)
