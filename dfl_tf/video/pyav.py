"""The one place that imports PyAV and opens containers."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from dfl_tf.errors import UsageError, WorkspaceError


def require_av() -> Any:
    """Import PyAV.

    Raises
    ------
    UsageError
        If it is not installed; names the way to get it.
    """
    try:
        import av
    except ImportError as fault:
        raise UsageError(
            "video files need PyAV, which is not installed: pip install dfl-tf[video]"
        ) from fault
    av.logging.set_level(av.logging.ERROR)
    return av


def find_video(path: Path) -> Path:
    """Return the video file; `name.*` stands for the first file of that stem.

    Raises
    ------
    WorkspaceError
        If there is none.
    """
    if path.suffix == ".*":
        found = sorted(p for p in path.parent.glob(f"{path.stem}.*") if p.is_file())
        if not found:
            raise WorkspaceError(f"{path}: no video file of this name")
        return found[0]
    if not path.is_file():
        raise WorkspaceError(f"{path}: there is no such video file")
    return path


@contextlib.contextmanager
def open_video(path: Path) -> Iterator[Any]:
    """Open a file that has a video stream.

    Raises
    ------
    WorkspaceError
        If it cannot be read or holds no video, or decoding fails on the way.
    """
    av = require_av()
    try:
        with av.open(str(path)) as container:
            if not container.streams.video:
                raise WorkspaceError(f"{path}: holds no video stream")
            yield container
    except av.error.FFmpegError as fault:
        raise WorkspaceError(f"{path}: cannot be read as a video ({fault.strerror})") from fault
