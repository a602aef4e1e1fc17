"""Merged frames straight into two videos, of the frames and of their masks, without images.

They are encoded in parts of `PART` frames (`video.parts`). What is finished is noted in the folder
of the parts (`video_parts`), so a run that was killed repeats the frames of the last part at most.
"""

from __future__ import annotations

import hashlib
import json
import queue
import threading
from collections import deque
from collections.abc import Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from dfl_tf.disk.durable import make_folder, remove_folder, sync_folder, write_file
from dfl_tf.errors import UsageError, WorkspaceError
from dfl_tf.imaging import to_bgr as three_channels
from dfl_tf.merge.frame import MergedFrame
from dfl_tf.merge.pixels import Stored
from dfl_tf.merge.video_parts import Parts, read_record, remember, seen_texts, sizes_of
from dfl_tf.video.color import from_bgr, from_gray, to_bgr
from dfl_tf.video.encode import look_of, timing_of
from dfl_tf.video.frames import shown_frames
from dfl_tf.video.info import read_info
from dfl_tf.video.parts import Whole, join, writing_part
from dfl_tf.video.pyav import ONE_RATE, require_av
from dfl_tf.video.read_back import Written
from dfl_tf.video.write import Encoding, FrameWriter, kind_of_file

if TYPE_CHECKING:
    from av import VideoFrame

PART = 120
"""Frames of a part: what a killed run repeats at most."""

_WAITING = 8
"""Frames that may wait for the encoders: 6 MB each at 1080p."""


@dataclass(frozen=True)
class VideoTarget:
    """Which video is made of merged frames.

    Attributes
    ----------
    path : Path
        The video; that of the masks lies beside it, with ``_mask`` in its name.
    reference : Path or None
        Video whose times and sound are taken.
    rate : Fraction or None
        Frames a second, whatever else is known.
    audio : bool
        Whether the sound of the reference is carried over.
    encoding : Encoding
    """

    path: Path
    reference: Path | None = None
    rate: Fraction | None = None
    audio: bool = True
    encoding: Encoding = field(default_factory=Encoding)

    @property
    def paths(self) -> tuple[Path, Path]:
        """The video and that of the masks."""
        return self.path, self.path.with_name(f"{self.path.stem}_mask{self.path.suffix}")

    @property
    def parts(self) -> Path:
        """The folder of the parts."""
        return self.path.with_name(f"{self.path.name}.parts")


class MadeVideo(NamedTuple):
    """The videos that were made, their frames, rate, and whether there is sound."""

    paths: tuple[Path, Path]
    frames: int
    rate: Fraction
    audio: bool


class _Made(NamedTuple):
    """A frame for each of the two encoders, and the (height, width) of the images."""

    frames: tuple[VideoFrame, VideoFrame]
    shapes: list[list[int]]


class VideoOutput:
    """Takes merged frames in order and encodes them in a thread of its own.

    Parameters
    ----------
    target : VideoTarget
    frames : sequence of Path
        All frames of the run.
    positions : sequence of int
        Their places in the folder.
    keys : sequence of str
        Checksums of what each is made of (`MergeTask.key`).
    record : Path
        A JSON file that remembers what a finished video was made of.

    Raises
    ------
    UsageError, WorkspaceError
        PyAV is missing, or the reference or the kind of file cannot be used.
    """

    depth = 0
    holds_alpha = False
    needs_all = True

    def __init__(
        self,
        target: VideoTarget,
        frames: Sequence[Path],
        positions: Sequence[int],
        keys: Sequence[str],
        record: Path,
    ) -> None:
        self._av = require_av()
        self._target, self._frames, self._keys = target, list(frames), list(keys)
        self._record = record
        self._kind = kind_of_file(self._av, target.path)
        self._about = None if target.reference is None else read_info(target.reference)
        self._timing = timing_of(frames[0].parent, frames, self._about, target.rate, positions)
        exact = target.encoding.lossless
        self._written = [Written(len(frames), exact=exact) for _ in target.paths]
        self._done: frozenset[Path] = frozenset()
        self._last: _Made | None = None
        self._waiting: queue.Queue[_Made | None] = queue.Queue(_WAITING)
        self._error: BaseException | None = None
        self._thread: threading.Thread | None = None

    # -- what is there already -------------------------------------------------------------------

    def prepare(self, *, resume: bool, overwrite: bool) -> MadeVideo | None:
        """Find what an earlier run has finished.

        Parameters
        ----------
        resume, overwrite : bool
            Go on with an earlier run; forget it, and replace its video.

        Returns
        -------
        MadeVideo or None
            The whole video, if it is there already, made from the same things.

        Raises
        ------
        UsageError
            A video or parts are there, and neither `resume` nor `overwrite` fits.
        WorkspaceError
            The notes on the parts cannot be read.
        """
        target = self._target
        begun = target.parts.is_dir()
        there = [path for path in target.paths if path.exists()]
        if resume and there and not begun and (made := self._complete()) is not None:
            return made
        if overwrite and begun:
            remove_folder(target.parts)
        elif there and not begun and not overwrite:
            other = ", made of other things or by another program" if resume else ""
            raise UsageError(f"{there[0]} is there already{other}: --overwrite replaces it")
        elif begun and not resume:
            raise UsageError(
                f"{target.parts} holds an unfinished video: use --resume to continue, or "
                "--overwrite to start over"
            )
        make_folder(target.parts)
        self._resume()
        return None

    def _complete(self) -> MadeVideo | None:
        stored = read_record(self._record)
        if (
            stored is None
            or stored["made_of"] != self._made_of(0, len(self._frames))
            or stored["sizes"] != sizes_of(self._target.paths)
        ):
            return None
        return self._made(stored["audio"])

    def _made_of(self, first: int, count: int) -> str:
        """Return a checksum of all that a part depends on, or the whole video."""
        how, timing, about = self._target.encoding, self._timing, self._about
        facts = [
            self._keys[first : first + count],
            [str(time) for time in timing.times[first : first + count]],
            [str(timing.rate), "" if about is None else str(about.pixel_aspect)],
            [how.bitrate, how.lossless, dict(how.tags or {})],
            [self._kind, self._av.__version__, self._av.library_versions],
        ]
        return hashlib.sha256(json.dumps(facts).encode()).hexdigest()

    def _resume(self) -> None:
        self._parts = Parts(self._target.parts, self._made_of, self._written[0])
        self._done = frozenset(self._frames[: self._parts.frames])
        for part in self._parts.whole:
            for written, texts, coded in zip(
                self._written, part["seen"], part["coded"], strict=True
            ):
                remember(written, texts)
                written.shape = (coded[0], coded[1])
                written.coarse = Fraction(*part["clock"]) if self._kind in ONE_RATE else Fraction(0)
        for written in self._written:
            written.times += self._timing.times[: self._parts.frames]

    # -- Finished --------------------------------------------------------------------------------

    def finished(self, frame: Path, key: str) -> bool:
        """Tell whether a frame is in a whole part; `prepare` has compared the keys."""
        return frame in self._done

    def note(self, frame: Path, key: str, made: object) -> None:
        """Do nothing: whole parts are noted, not frames."""

    def save(self) -> None:
        """End the part that is being encoded, and note it.

        Raises
        ------
        Exception
            Whatever made encoding fail.
        """
        if self._thread is not None:
            self._put(None)
            self._thread.join()
            self._thread = None
        self._parts.close()
        if self._error is not None:
            raise self._error

    # -- Destination -----------------------------------------------------------------------------

    def make(self, frame: Path, merged: MergedFrame) -> _Made:
        """Convert the pixels of a frame and of its mask for the encoders."""
        return self._converted(three_channels(merged.image), merged.mask)

    def _converted(self, image: Stored, mask: Stored) -> _Made:
        form = "bgr24" if self._target.encoding.lossless else "yuv420p"
        both = (from_bgr(self._av, image, form), from_gray(self._av, mask, form))
        return _Made(both, [_side(image), _side(mask)])

    def take(self, frame: Path, made: object) -> None:
        """Hand a frame to the encoders; one that could not be read shows the one before.

        Raises
        ------
        WorkspaceError
            There is none before it, or encoding failed.
        """
        made = self._before() if made is None else made
        if not isinstance(made, _Made):
            raise WorkspaceError(
                f"{frame}: cannot be read, and there is no frame before it that could stand for it "
                "in the video"
            )
        self._last = made
        if self._thread is None:
            self._thread = threading.Thread(target=self._encode, name="merge video")
            self._thread.start()
        self._put(made)
        if self._error is not None:
            raise self._error

    def _before(self) -> _Made | None:
        """Return the frame that was taken last, by this run or the one that it resumes."""
        if self._last is not None or not self._parts.whole:
            return self._last
        part = self._parts.whole[-1]
        height, width = part["shapes"][0]
        image, mask = (
            to_bgr(deque(shown_frames(path), 1).pop())[:height, :width]
            for path in self._parts.files(part["first"])
        )
        return self._converted(image, mask[:, :, 1])

    def _put(self, made: _Made | None) -> None:
        while self._error is None:
            try:
                self._waiting.put(made, timeout=0.1)
                return
            except queue.Full:
                continue

    # -- the thread of the encoders --------------------------------------------------------------

    def _encode(self) -> None:
        try:
            made = self._waiting.get()
            while made is not None:
                made = self._encode_part(made)
        except BaseException as error:
            self._error = error

    def _encode_part(self, made: _Made | None) -> _Made | None:
        """Encode a part that begins with a frame; returns the frame after it, if one comes."""
        first, count, shapes = self._parts.frames, 0, made.shapes if made is not None else []
        if self._parts.whole:
            shapes = self._parts.whole[-1]["shapes"]
        with ExitStack() as stack:
            writers = [
                stack.enter_context(self._writer(which, path, shapes[which]))
                for which, path in enumerate(self._parts.files(first))
            ]
            clock = writers[0].clock
            while made is not None and count < PART:
                self._check_shapes(first + count, made, shapes)
                for writer, frame in zip(writers, made.frames, strict=True):
                    writer.put(frame, self._timing.times[first + count])
                count += 1
                made = self._waiting.get()
        sync_folder(self._target.parts)
        self._parts.add(
            {
                "first": first,
                "count": count,
                "made_of": self._made_of(first, count),
                "sizes": sizes_of(self._parts.files(first)),
                "shapes": shapes,
                "coded": [list(written.shape) for written in self._written],
                "clock": [clock.numerator, clock.denominator],
                "seen": [seen_texts(written, first, count) for written in self._written],
            }
        )
        return made

    def _writer(
        self, which: int, path: Path, shape: list[int]
    ) -> AbstractContextManager[FrameWriter]:
        return writing_part(
            self._av,
            path,
            look_of((shape[0], shape[1]), self._timing.rate, self._about),
            self._target.encoding,
            self._written[which],
            output=self._target.paths[which],
            kind=self._kind,
        )

    def _check_shapes(self, index: int, made: _Made, shapes: list[list[int]]) -> None:
        for (height, width), shape in zip(made.shapes, shapes, strict=True):
            if [height, width] != shape:
                raise WorkspaceError(
                    f"{self._frames[index]}: is {width}x{height}, the first frame is "
                    f"{shape[1]}x{shape[0]}; all frames of a video must have one size"
                )

    # -- the end ---------------------------------------------------------------------------------

    def finish(self) -> MadeVideo:
        """Join the parts to the two videos, read them back, and remove the parts.

        Raises
        ------
        WorkspaceError
            They cannot be written, or do not read back as they should; the parts stay.
        """
        target, whole_parts = self._target, self._parts.whole
        clock, audio = Fraction(*whole_parts[0]["clock"]), False
        for which in (1, 0):  # the masks first: once the video is there all is done
            files = [self._parts.files(part["first"])[which] for part in whole_parts]
            sound = self._about if which == 0 and target.audio else None
            whole = Whole(target.paths[which], self._timing, clock, target.encoding, sound)
            audio = join(self._av, files, whole, self._written[which])
        made_of, sizes = self._made_of(0, len(self._frames)), sizes_of(target.paths)
        content = {
            "output": str(target.path), "made_of": made_of, "sizes": sizes, "audio": audio,
        }  # fmt: skip
        write_file(self._record, json.dumps(content, indent=1).encode())
        remove_folder(target.parts)
        return self._made(audio)

    def _made(self, audio: bool) -> MadeVideo:
        return MadeVideo(self._target.paths, len(self._frames), self._timing.rate, audio)


def _side(image: Stored) -> list[int]:
    return [image.shape[0], image.shape[1]]
