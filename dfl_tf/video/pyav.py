"""The one place that imports PyAV, finds video files and opens containers."""

from __future__ import annotations

import contextlib
import io
import logging
from collections.abc import Iterator
from fractions import Fraction
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

from dfl_tf.disk.listing import IMAGE_SUFFIXES, is_hidden
from dfl_tf.disk.plain_file import open_plain
from dfl_tf.errors import UsageError, WorkspaceError
from dfl_tf.extras import install_command

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.video.stream import VideoStream

log = logging.getLogger(__name__)

PATIENCE = 60.0
"""Seconds without a frame after which a video is given up."""

MAX_PIXELS = 8192 * 4352
"""Largest frame that is decoded: 8K; damaged files declare any size."""

ONE_RATE = ("avi", "mxf", "mxf_d10", "mxf_opatom", "gxf", "dv")
"""Kinds of files that hold frames at one rate, in the order of decoding, from time 0 on."""

# FFmpeg takes text files for text art and subtitles for streams; neither is a video.
_NO_VIDEO = IMAGE_SUFFIXES | {
    *(".txt", ".nfo", ".asc", ".diz", ".ans", ".art", ".vt", ".json", ".xml", ".yaml", ".yml"),
    *(".srt", ".sub", ".idx", ".ass", ".ssa", ".vtt", ".smi", ".sup", ".stl", ".webp", ".bmp"),
    *(".exr", ".tga", ".dpx", ".psd", ".dat", ".npy", ".pak", ".zip", ".log", ".md", ".edl"),
}


def require_av() -> ModuleType:
    """Import PyAV.

    Raises
    ------
    UsageError
        If it is not installed; names the way to get it.
    """
    try:
        import av
    except ImportError as error:
        raise UsageError(
            f"video files need PyAV, which is not installed: {install_command('video')}"
        ) from error
    # Messages of FFmpeg's threads would wait for the interpreter while it waits for these threads
    # to end: with any level set, closing a damaged stream never returns.
    av.logging.set_level(None)
    return av


def find_video(path: Path) -> Path:
    """Return the video file; `name.*` stands for the first video of that stem.

    Raises
    ------
    WorkspaceError
        If there is none.
    """
    if path.suffix == ".*":
        found = videos_named(path.parent, path.stem)
        if not found:
            raise WorkspaceError(f"{path}: no video file of this name")
        if len(found) > 1:
            others = ", ".join(other.name for other in found[1:])
            log.warning("%s is taken for %s; not used: %s", found[0].name, path.name, others)
        return found[0]
    if not path.is_file():
        raise WorkspaceError(f"{path}: there is no such video file")
    return path


def videos_named(folder: Path, stem: str) -> list[Path]:
    """List the files `stem.*` that are videos, whatever their suffix.

    A file counts if FFmpeg finds a video stream in it, or if it has a suffix that FFmpeg knows
    but cannot be opened: that is an error to be told, not a file to be passed over.
    """
    try:
        entries = sorted(folder.iterdir(), key=str)
    except OSError:
        return []
    named = [p for p in entries if p.stem == stem and p.suffix and not is_hidden(p.name)]
    files = [p for p in named if p.suffix.lower() not in _NO_VIDEO and p.is_file()]
    return [path for path in files if _may_be_video(path)]


def _may_be_video(path: Path) -> bool:
    try:
        with open_video(path):
            return True
    except _NoVideoStreamError:
        return False
    except WorkspaceError:
        return path.suffix.lower() in _known_suffixes()


@cache
def _known_suffixes() -> frozenset[str]:
    """Suffixes of all formats that FFmpeg reads or writes."""
    av = require_av()
    found: set[str] = set()
    for name in av.formats_available:
        for mode in "rw":
            with contextlib.suppress(ValueError):
                found.update(av.ContainerFormat(name, mode).extensions)
    return frozenset(f".{suffix.strip().lower()}" for suffix in found)


class _NoVideoStreamError(WorkspaceError):
    """A media file without a video."""


@contextlib.contextmanager
def open_video(path: Path) -> Iterator[InputContainer]:
    """Open a file that has a video stream.

    Raises
    ------
    WorkspaceError
        If it cannot be read or holds no video, or decoding fails on the way.
    """
    av = require_av()
    try:
        # No pipe, no device; and what has no name in UTF-8 is read through this handle.
        with open_plain(path) as file, _open(av, path, file) as container:
            if not container.streams.video:
                raise _NoVideoStreamError(f"{path}: holds no video stream")
            video_stream(container, path)
            yield container
    except av.error.FFmpegError as error:
        raise WorkspaceError(f"{path}: cannot be read as a video ({error.strerror})") from error
    except OSError as error:
        raise WorkspaceError(f"{path}: cannot be read ({error.strerror or error})") from error


def _open(av: ModuleType, path: Path, file: io.BufferedReader) -> InputContainer:
    # Notes in a file may be in any encoding. With `file:` no name is taken for an address.
    options = {"metadata_errors": "replace", "timeout": PATIENCE}
    try:
        str(path).encode()
    except UnicodeEncodeError:
        return av.open(file, **options)
    return av.open(f"file:{path}", **options)


def unit_of(stream: VideoStream, path: Path) -> Fraction:
    """Return the unit of the time stamps of a stream, in seconds.

    Raises
    ------
    WorkspaceError
        If the file does not say it.
    """
    if stream.time_base is None:
        raise WorkspaceError(f"{path}: its time stamps have no unit")
    return Fraction(stream.time_base)


def video_stream(container: InputContainer, path: Path) -> VideoStream:
    """Return the first video stream that is not a cover image.

    Raises
    ------
    WorkspaceError
        If there is none, no decoder knows it or its frames are larger than `MAX_PIXELS`.
    """
    av = require_av()
    cover = av.stream.Disposition.attached_pic
    streams = [s for s in container.streams.video if not s.disposition & cover]
    if not streams:
        raise _NoVideoStreamError(f"{path}: holds no video stream")
    stream = streams[0]
    context = stream.codec_context
    if context is None:
        raise WorkspaceError(f"{path}: FFmpeg has no decoder for its video stream")
    if context.width * context.height > MAX_PIXELS:
        raise WorkspaceError(
            f"{path}: frames of {context.width}x{context.height} pixels; at most {MAX_PIXELS} "
            "(8192x4352) are read"
        )
    if not context.is_open:
        context.options = {**context.options, "max_pixels": str(MAX_PIXELS)}
        context.thread_type = "AUTO"
    return stream
