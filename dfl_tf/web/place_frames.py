"""The frames of an extraction, one at a time: read again for a page that shows and changes them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from dfl_tf.disk.plain_file import lies_in, read_plain
from dfl_tf.errors import DflTfError, WorkspaceError
from dfl_tf.extract.frame_faces import prepare_frame
from dfl_tf.extract.frame_work import Folders
from dfl_tf.extract.records import FrameRecord
from dfl_tf.extract.sources import DecodedFrame, FolderFrames, FrameSource, SourceFrame
from dfl_tf.extract.video_frames import VideoFrames
from dfl_tf.formats.sessions.workspace import Workspace
from dfl_tf.imaging import encode_image
from dfl_tf.merge.tuner.remembered import Recent

BROWSERS_SHOW = {
    ".jpg": "image/jpeg", ".jpeg": "image/jpeg", ".png": "image/png", ".webp": "image/webp",
}  # fmt: skip
_LARGEST = 128 << 20
_REMEMBERED = 128 << 20
_QUALITY = 92


class SideFrames:
    """The frames of src or dst, as an extraction knows them.

    Parameters
    ----------
    place : Workspace
    side : {"src", "dst"}
    """

    def __init__(self, place: Workspace, side: str) -> None:
        self._own = (place.root, place.model)
        self._root = place.root
        self.faces = place.src if side == "src" else place.dst
        self._frames = self.faces.parent
        self._source: FrameSource | None = None
        self._seen: tuple[object, ...] = ()
        self._decoded: Recent[DecodedFrame] = Recent(_REMEMBERED)
        self._going: Iterator[SourceFrame] = iter(())
        self._next = 0

    def source(self, about: dict[str, object]) -> FrameSource:
        """The frames that there are now.

        Parameters
        ----------
        about : dict
            What the journal says of the source.

        Raises
        ------
        WorkspaceError
            They are missing, or lie outside of the workspace.
        """
        video = about.get("kind") == "video"
        path = self._root / Path(str(about.get("name", ""))).name if video else self._frames
        self.inside(path)
        status = os.stat(path)
        seen = path, status.st_mtime_ns, status.st_size
        if self._source is None or seen != self._seen:
            self._source = VideoFrames(path, tone_map=True) if video else self._folder()
            self._seen, self._decoded = seen, Recent(_REMEMBERED)
            self._going, self._next = iter(()), 0
        return self._source

    def inside(self, path: Path) -> Path:
        """Refuse what lies outside of workspace and model folder, wherever links lead.

        Raises
        ------
        WorkspaceError
        """
        if lies_in(path, self._own) is None:
            raise WorkspaceError(f"{path.name}: is missing, or leads out of the workspace.")
        return path

    def decode(self, record: FrameRecord) -> DecodedFrame:
        """Read a frame of `source` again."""
        return self.decoded(record.number)

    def decoded(self, number: int) -> DecodedFrame:
        """Read the frame of a number from 1.

        Raises
        ------
        WorkspaceError
            It cannot be read.
        """
        kept = self._decoded.get(number)
        if kept is None:
            kept = self._frame(number).decode()
            self._decoded.put(number, kept, kept.image.nbytes)
        return kept

    def shown(self, number: int) -> tuple[str, bytes]:
        """A frame as a browser can show it: its media type and its bytes.

        Raises
        ------
        WorkspaceError
            It cannot be read.
        """
        if isinstance(self._source, FolderFrames):
            path = self.inside(self._frames / self._source.names[number - 1])
            kind = BROWSERS_SHOW.get(path.suffix.lower())
            if kind is not None:
                try:
                    return kind, read_plain(path, limit=_LARGEST)
                except OSError as error:
                    raise WorkspaceError(
                        f"{path.name}: cannot be read ({error.strerror})."
                    ) from None
        image = prepare_frame(self.decoded(number).image)
        return "image/jpeg", encode_image(image, ".jpg", quality=_QUALITY)

    def _folder(self) -> FolderFrames:
        folders = Folders(self.faces)
        beside = (folders.faces, folders.debug, folders.trash)
        return FolderFrames(self._frames, [path.name for path in beside])

    def _frame(self, number: int) -> SourceFrame:
        source = self._source
        assert source is not None
        if isinstance(source, FolderFrames):
            self.inside(self._frames / source.names[number - 1])
            (frame,) = source.frames({number})
            return frame
        if number < self._next or not self._next:  # a video is only read forwards
            self._going = source.frames(range(number, len(source.names) + 1))
        for frame in self._going:
            self._next = frame.number + 1
            if frame.number == number:
                return frame
        self._next = 0
        raise WorkspaceError(f"frame {number} no longer exists.")


def names_or_reason(frames: SideFrames, about: dict[str, object]) -> tuple[list[str], str]:
    """Names of all frames; or none, and why they cannot be read."""
    try:
        return list(frames.source(about).names), ""
    except (DflTfError, OSError) as error:
        return [], str(error)
