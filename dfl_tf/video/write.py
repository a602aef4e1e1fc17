"""A video file in the making: the stream of frames, and the swap when all went well."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

from dfl_tf.disk.durable import make_folder_for, replacing
from dfl_tf.errors import UsageError, WorkspaceError
from dfl_tf.video.color import BT601, BT709, Yuv, matrix_of
from dfl_tf.video.pyav import ONE_RATE
from dfl_tf.video.read_back import Written

if TYPE_CHECKING:
    from av import VideoFrame
    from av.container import OutputContainer
    from av.video.codeccontext import VideoCodecContext

# 90 kHz holds the time stamps of all usual rates exactly or to a few microseconds.
_CLOCK = Fraction(1, 90000)
# Kinds of files that store the times of decoding only.
_NO_REORDERING = (*ONE_RATE, "asf", "asf_stream")


@dataclass(frozen=True)
class Encoding:
    """How a video is compressed.

    Attributes
    ----------
    bitrate : float
        Megabits a second.
    lossless : bool
        Every pixel exact (H.264 in RGB); large, and not every player shows it.
    tags : mapping
        Metadata of the file.
    """

    bitrate: float = 16.0
    lossless: bool = False
    tags: Mapping[str, str] | None = None


@dataclass(frozen=True)
class Look:
    """What the frames of a video are.

    Attributes
    ----------
    height, width : int
        Of the images; an odd side is encoded one larger.
    rate : Fraction
        Frames a second.
    pixel_aspect : Fraction
        Width of a pixel by its height.
    yuv : Yuv, optional
        Default: limited range, with the matrix that players expect for the size.
    primaries, transfer : int, optional
        Of ITU-T H.273; default: those of the matrix, and BT.709.
    """

    height: int
    width: int
    rate: Fraction
    pixel_aspect: Fraction = Fraction(1)
    yuv: Yuv | None = None
    primaries: int = 0
    transfer: int = 0


class FrameWriter:
    """The video stream of a file; notes what it was given, to be compared afterwards.

    Parameters
    ----------
    container : av.container.OutputContainer
    look : Look
    how : Encoding
    written : Written
        Gets the notes.
    output : Path
        For messages.
    kind : str
        Name of the format of the file that the stream will end up in; empty: the container's.
    """

    def __init__(
        self,
        container: OutputContainer,
        look: Look,
        how: Encoding,
        written: Written,
        output: Path,
        kind: str = "",
    ) -> None:
        self._container, self._output = container, output
        self.written = written
        kind = kind or container.format.name
        one_rate = kind in ONE_RATE
        self.clock = 1 / look.rate if one_rate else _CLOCK
        self.written.coarse = self.clock if one_rate else Fraction(0)
        self._latest = -1
        stream = container.add_stream(
            "libx264rgb" if how.lossless else "libx264", rate=look.rate.limit_denominator(100000)
        )
        context = stream.codec_context
        context.time_base = self.clock
        height, width = look.height, look.width
        options = {"bf": "0"} if kind in _NO_REORDERING else {}
        if how.lossless:
            stream.pix_fmt, options["qp"] = "bgr24", "0"
        else:
            stream.pix_fmt = "yuv420p"
            height, width = height + height % 2, width + width % 2
            context.bit_rate = int(how.bitrate * 1e6)
            _tag(context, look)
        stream.height, stream.width = height, width
        context.options = options
        if look.pixel_aspect != 1:
            context.sample_aspect_ratio = look.pixel_aspect
        self.written.shape = (height, width)
        self.stream = stream
        self.pixel_format = stream.pix_fmt

    def put(self, frame: VideoFrame, time: Fraction) -> None:
        """Encode a frame of the size and format of the stream, shown from `time` (seconds) on."""
        stamp = max(round(time / self.clock), self._latest + 1)
        if abs(stamp * self.clock - time) > self.clock:
            raise WorkspaceError(
                f"{self._output}: this kind of file holds frames of one rate, and the frame at "
                f"{float(time):.3f} s does not fit; use .mp4, .mkv or .mov"
            )
        self._latest = stamp
        frame.pts, frame.time_base, frame.pict_type = stamp, self.clock, 0
        self.written.add(frame, time)
        self._container.mux(self.stream.encode(frame))

    def finish(self) -> None:
        """Write what the encoder still holds."""
        self._container.mux(self.stream.encode(None))


def _tag(context: VideoCodecContext, look: Look) -> None:
    """Write down what the colors mean, so that no player has to guess."""
    yuv = look.yuv or Yuv(matrix_of(2, look.height))
    context.colorspace = yuv.matrix
    context.color_range = 2 if yuv.full_range else 1
    context.color_primaries = look.primaries or (BT709 if yuv.matrix == BT709 else BT601)
    context.color_trc = look.transfer or BT709


@contextlib.contextmanager
def writing_video(av: ModuleType, output: Path, source: Path | None) -> Iterator[Path]:
    """Give the path to write to; it takes the place of `output` when all went well.

    Raises
    ------
    UsageError
        If the output would replace its own source.
    WorkspaceError
        If writing fails; nothing is left of the attempt.
    """
    if source is not None and output.exists() and output.samefile(source):
        raise UsageError(f"{output}: would replace the video it is made from; choose another -o")
    make_folder_for(output)
    # FFmpeg opens the file by its name and chooses the container by its suffix
    with replacing(output, suffix=output.suffix) as file, explain_encoding_errors(av, output):
        yield Path(file.name)


@contextlib.contextmanager
def explain_encoding_errors(av: ModuleType, output: Path) -> Iterator[None]:
    """Turn errors of FFmpeg into one that names the video that was to be written."""
    try:
        yield
    except (ValueError, av.error.FFmpegError) as error:
        reason = getattr(error, "strerror", None) or error
        raise WorkspaceError(
            f"{output}: encoding failed ({reason}); try another kind of file (.mp4, .mkv, .mov)"
        ) from error


def create(av: ModuleType, path: Path, output: Path) -> OutputContainer:
    """Open a container for writing; its suffix says which kind."""
    try:
        return av.open(f"file:{path}", "w", metadata_errors="replace")
    except (ValueError, av.error.FFmpegError) as error:
        raise WorkspaceError(
            f"{output}: cannot be written as a video ({error}); use .mp4, .mkv or .mov"
        ) from error


def kind_of_file(av: ModuleType, output: Path) -> str:
    """Return the name of the format that FFmpeg chooses for a file name; nothing is made.

    Raises
    ------
    WorkspaceError
        It knows none.
    """
    with create(av, output.with_name(f"name{output.suffix}"), output) as named:
        return str(named.format.name)


def takes_h264(av: ModuleType, suffix: str) -> bool:
    """Whether files of this suffix hold H.264 with its times beside sound; a header shows it."""
    try:
        # Nothing is made: a file is opened when its header is written.
        with av.open(f"file:name{suffix}", "w") as named:
            kind = named.format.name
        with av.open(io.BytesIO(), "w", format=kind) as trial:
            video = trial.add_stream("libx264", rate=25)
            video.width, video.height, video.pix_fmt = 16, 16, "yuv420p"
            trial.add_stream("aac", rate=48000)
            trial.start_encoding()
    except (ValueError, av.error.FFmpegError):
        return False
    return True
