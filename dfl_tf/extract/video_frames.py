"""The frames of a video file as a source of extraction: nothing is written to disk."""

from __future__ import annotations

import os
import zlib
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from dfl_tf.disk.durable import sha256_of
from dfl_tf.disk.left_out import LeftOut
from dfl_tf.errors import WorkspaceError
from dfl_tf.extract.records import FrameRecord
from dfl_tf.extract.sources import DecodedFrame, SourceFrame
from dfl_tf.jobs.progress import Progress
from dfl_tf.video.color import to_bgr
from dfl_tf.video.frames import shown_frames
from dfl_tf.video.info import VideoInfo, read_info
from dfl_tf.video.tone import refuse_hdr, to_sdr

if TYPE_CHECKING:
    from av import VideoFrame

    from dfl_tf.imaging.files import StoredImage


class VideoFrames:
    """The decoded, shown frames of a video, under the names that `video extract` gives them.

    All of the video is decoded once for its facts.

    Parameters
    ----------
    video : Path
    tone_map : bool
        Bring HDR to SDR as `video extract --tone-map` does; without it HDR is refused.
    progress : callable, optional
        Called with (frames done, frames to do) while the video is looked at.

    Raises
    ------
    WorkspaceError
        It cannot be read, or is HDR.
    """

    def __init__(
        self, video: Path, *, tone_map: bool = False, progress: Progress | None = None
    ) -> None:
        self.info = read_info(video, progress)
        if not tone_map:
            refuse_hdr(self.info)
        self._convert: Callable[[VideoFrame, int], StoredImage] = (
            to_sdr if self.info.hdr else to_bgr
        )
        self.names: Sequence[str] = [f"{i:05d}.png" for i in range(1, self.info.frames + 1)]
        self.left_out = _losses(self.info)
        status = os.stat(video)
        self.about: dict[str, object] = {
            "kind": "video",
            "name": video.name,
            "bytes": status.st_size,
            "sha256": sha256_of(video),
            "frames": self.info.frames,
        }

    def frames(self, numbers: Collection[int]) -> Iterator[SourceFrame]:
        """Give the frames of these numbers, in order.

        Raises
        ------
        WorkspaceError
            The video gives another number of frames than before.
        """
        last, seen = max(numbers, default=0), 0
        for seen, frame in enumerate(shown_frames(self.info.path), start=1):
            if seen in numbers:
                yield SourceFrame(self.names[seen - 1], seen, partial(self._decoded, frame))
            if seen == last:
                return
        if seen < last:
            raise WorkspaceError(
                f"{self.info.path}: gave {self.info.frames} frames when it was read first and "
                f"{seen} now; it has changed meanwhile, or its damage is decoded differently"
            )

    def changed(self, before: Mapping[str, object], records: Iterable[FrameRecord]) -> list[str]:
        """All recorded frames if the file is another one: which of them differ shows later."""
        if before.get("sha256") == self.about["sha256"]:
            return []
        return [record.name for record in records]

    def _decoded(self, frame: VideoFrame) -> DecodedFrame:
        image = self._convert(frame, 8)
        return DecodedFrame(image, (0, 0, zlib.crc32(np.ascontiguousarray(image).data)))


def _losses(info: VideoInfo) -> LeftOut:
    left_out = LeftOut()
    name = info.path.name
    if info.bits > 8:
        left_out.add("bits beyond 8 of a color", name, f"{info.bits} bits are rounded to 8")
    if info.alpha:
        left_out.add("alpha channels", name)
    return left_out
