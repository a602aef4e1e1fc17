"""Where frames come from: the protocol, and a folder of images as such a source."""

from __future__ import annotations

import os
import zlib
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from dfl_tf.disk.frame_order import BESIDE_FRAMES, in_frame_order
from dfl_tf.disk.left_out import LeftOut, Omission
from dfl_tf.disk.listing import IMAGE_SUFFIXES, list_folder
from dfl_tf.disk.plain_file import read_plain
from dfl_tf.errors import UsageError, WorkspaceError
from dfl_tf.extract.records import FrameRecord
from dfl_tf.imaging import decode_image
from dfl_tf.imaging.exif import exif_orientation
from dfl_tf.imaging.files import StoredImage
from dfl_tf.imaging.headers import pixel_limit

Stamp = tuple[int, int, int]

_SAME_NAME = "frames of the same name as another but for the suffix"
_TURNED = "EXIF orientations"
_LARGEST_PIXEL, _OTHER_BYTES = 8, 64 << 20


class DecodedFrame(NamedTuple):
    """A frame in memory.

    Attributes
    ----------
    image : ndarray, shape (h, w, c), uint8 or uint16
        Gray, BGR or BGRA, as stored.
    stamp : tuple of int
        See `FrameRecord.stamp`.
    left_out : tuple of Omission
        What of the file is not used.
    """

    image: StoredImage
    stamp: Stamp
    left_out: tuple[Omission, ...] = ()


@dataclass(frozen=True, eq=False)
class SourceFrame:
    """A frame that can be decoded, in any thread.

    Attributes
    ----------
    name : str
        File name with its suffix.
    number : int
        See `FrameRecord.number`.
    decode : callable
        Gives the `DecodedFrame`, or raises what is wrong with it.
    """

    name: str
    number: int
    decode: Callable[[], DecodedFrame] = field(repr=False)


class FrameSource(Protocol):
    """Frames in the order in which they are shown.

    Attributes
    ----------
    names : sequence of str
        File names of all frames; the first has number 1.
    about : dict
        What the source is; kept in the journal. ``kind`` is "frames" or "video".
    left_out : LeftOut
        What of the source is not a frame.
    """

    names: Sequence[str]
    about: dict[str, object]
    left_out: LeftOut

    def frames(self, numbers: Collection[int]) -> Iterator[SourceFrame]:
        """Give the frames of these numbers, in order."""

    def changed(self, before: Mapping[str, object], records: Iterable[FrameRecord]) -> list[str]:
        """Names of those recorded frames that are, or may be, other than they were.

        Parameters
        ----------
        before : dict
            What `about` was.
        records : iterable of FrameRecord
        """


class FolderFrames:
    """The images of a folder as frames.

    Parameters
    ----------
    folder : Path
        Its sub-folders are not entered. Of several files with one stem only the first by path is
        a frame, as in the legacy program.
    known : collection of str
        Names that belong in the folder beside frames.

    Raises
    ------
    WorkspaceError
        The folder is missing or holds no frames.
    """

    def __init__(self, folder: Path, known: Collection[str] = ()) -> None:
        self.folder = folder
        listing = list_folder(
            folder, IMAGE_SUFFIXES, what="frames", known=BESIDE_FRAMES.union(known)
        )
        self.left_out = listing.left_out
        by_stem: dict[str, Path] = {}
        for path in listing.files:
            first = by_stem.setdefault(path.stem, path)
            if first is not path:
                self.left_out.add(_SAME_NAME, path.name, f"{first.name} is taken")
        if not by_stem:
            kinds = " ".join(sorted(IMAGE_SUFFIXES))
            raise WorkspaceError(
                f"{folder}: holds no frames ({kinds}). Extract the video first "
                "(dfl-tf video extract), or name the video itself."
            )
        self._paths = in_frame_order(by_stem.values())
        self.names: Sequence[str] = [path.name for path in self._paths]
        self.about: dict[str, object] = {"kind": "frames"}

    def frames(self, numbers: Collection[int]) -> Iterator[SourceFrame]:
        """Give the frames of these numbers, in order."""
        for number, path in enumerate(self._paths, start=1):
            if number in numbers:
                yield SourceFrame(path.name, number, partial(_decoded, path))

    def changed(self, before: Mapping[str, object], records: Iterable[FrameRecord]) -> list[str]:
        """Frames whose content differs; a file with the same size and time is taken as the same."""
        found = []
        for record in records:
            path = self.folder / record.name
            size, time, checksum = record.stamp
            if not checksum:  # taken over without a journal
                continue
            try:
                status = os.stat(path)
                same = status.st_size == size and (
                    status.st_mtime_ns == time or zlib.crc32(read_plain(path)) == checksum
                )
            except OSError:  # reported when it is read
                same = True
            if not same:
                found.append(record.name)
        return found


def _decoded(path: Path) -> DecodedFrame:
    try:
        status = os.stat(path)
        data = read_plain(path, limit=_LARGEST_PIXEL * pixel_limit() + _OTHER_BYTES)
    except OSError as error:
        raise WorkspaceError(f"{path.name}: cannot be read ({error.strerror})") from None
    image = decode_image(data, what=path.name)
    stamp = (status.st_size, status.st_mtime_ns, zlib.crc32(data))
    notes = []
    orientation = exif_orientation(data)
    if orientation != 1:
        notes.append(Omission(_TURNED, path.name, f"{orientation} is not applied, as in merging"))
    return DecodedFrame(image, stamp, (*notes, *pixel_losses(image, path.name)))


def pixel_losses(image: npt.NDArray[np.generic], name: str) -> list[Omission]:
    """What of stored pixels does not go into 8-bit BGR.

    Parameters
    ----------
    image : ndarray, shape (h, w) or (h, w, c), uint8 or uint16
    name : str
        Of the frame.
    """
    found = []
    if image.dtype == np.uint16:
        found.append(Omission("bits beyond 8 of a color", name, "16 bits are rounded to 8"))
    if image.ndim == 3 and image.shape[2] == 4:
        found.append(Omission("alpha channels", name))
    return found


def chosen_numbers(names: Sequence[str], wanted: str, every: int) -> list[int]:
    """Numbers of the frames to extract.

    Parameters
    ----------
    names : sequence of str
        Of all frames.
    wanted : str
        ``A:B``, counted from 1, both included; ``A:``, ``:B`` and ``A`` as well; empty = all.
    every : int
        Take frames 1, 1 + N, 1 + 2N … of all frames, whatever part of them is wanted.

    Raises
    ------
    UsageError
        The text is not a range, or no frame is chosen.
    """
    first, colon, last = wanted.partition(":")
    try:
        start = int(first) if first.strip() else 1
        stop = (int(last) if last.strip() else len(names)) if colon or not wanted else start
    except ValueError:
        raise UsageError(
            f"frames {wanted!r} is not a range; give A:B, counted from 1, both included (1:100)"
        ) from None
    if every < 1:
        raise UsageError(f"every={every}: give a whole number of frames from 1 on")
    chosen = range(max(start, 1), min(stop, len(names)) + 1)
    numbers = [number for number in chosen if (number - 1) % every == 0]
    if not numbers:
        raise UsageError(
            f"--frames {wanted or ':'} --every {every} picks none of the {len(names)} frames"
        )
    return numbers


def numbers_of(names: Sequence[str], given: Iterable[str]) -> list[int]:
    """Numbers of frames that are given by file name, by stem by number or as a range ``A:B``.

    Raises
    ------
    UsageError
        There is no such frame.
    """
    places = {Path(name).stem: number for number, name in enumerate(names, start=1)}
    places |= {name: number for number, name in enumerate(names, start=1)}
    found = []
    for text in given:
        if text in places:
            found.append(places[text])
        elif ":" in text or text.isdecimal():
            found += chosen_numbers(names, text, 1)
        else:
            raise UsageError(
                f"there is no frame {text!r}; give file names, names without suffix, numbers "
                f"or A:B (the first frame is {names[0]})"
            )
    return sorted(set(found))
