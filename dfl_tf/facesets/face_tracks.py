"""Tracks of faces: one face through consecutive frames, as the extraction noted it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt

from dfl_tf.disk.frame_order import natural_key
from dfl_tf.errors import UsageError

Floats = npt.NDArray[np.float64]
Numbers = npt.NDArray[np.int64]

NO_TRACK = -1
_SAME_FACE = 0.5  # overlap of the boxes of a face in the journal and in its metadata

_RANGE = re.compile(r"\s*([0-9]{1,9})\s*(?:-\s*([0-9]{1,9})\s*)?")


@dataclass(frozen=True)
class Track:
    """A track of a faceset.

    Attributes
    ----------
    number : int
        As in the journal of the extraction, from 0.
    members : list of int
        Positions of its faces, in time order.
    """

    number: int
    members: list[int]


class TrackedFace(Protocol):
    """A face as the extraction found it."""

    @property
    def box(self) -> tuple[float, float, float, float]:
        """Left, top, right, bottom in frame pixels."""

    @property
    def track(self) -> int:
        """Number of its track, from 0; negative where it is on none."""


class TrackedFrame(Protocol):
    """A frame with all faces that the extraction found in it."""

    @property
    def name(self) -> str:
        """Of the file."""

    @property
    def faces(self) -> Sequence[TrackedFace]:
        """In any order."""


def match_tracks(
    records: Iterable[TrackedFrame], frames: Sequence[str], boxes: Floats
) -> list[int | None]:
    """Find the track of each face of a faceset by its place in its frame.

    Parameters
    ----------
    records : iterable of TrackedFrame
        What the extraction noted.
    frames : sequence of str
        Frame of each face; empty where it is not known.
    boxes : ndarray, shape (n, 4), float64
        Left, top, right, bottom of each face in its frame; NaN where it is not known.

    Returns
    -------
    list
        None for a face that overlaps none of those that were noted by half.
    """
    known: dict[str, list[tuple[Floats, int]]] = {}
    for record in records:
        found = [(np.array(face.box, np.float64), face.track) for face in record.faces]
        known[Path(record.name).name] = [(box, track) for box, track in found if track >= 0]
    return [
        _track(known.get(frame, []), box) if frame else None
        for frame, box in zip(frames, boxes, strict=True)
    ]


def _track(faces: Sequence[tuple[Floats, int]], box: Floats) -> int | None:
    overlaps = [_overlap(box, other) for other, _ in faces]
    if not overlaps or max(overlaps) < _SAME_FACE:
        return None
    return faces[int(np.argmax(overlaps))][1]


def _overlap(a: Floats, b: Floats) -> float:
    """Intersection over union; 0 where a box is not known."""
    shared = float(np.prod(np.clip(np.minimum(a[2:], b[2:]) - np.maximum(a[:2], b[:2]), 0, None)))
    both = float(np.prod(a[2:] - a[:2]) + np.prod(b[2:] - b[:2])) - shared
    return shared / both if both > 0 else 0.0


def track_numbers(tracks: Sequence[int | None]) -> Numbers:
    """Tracks as an array, shape (n,), int64, with `NO_TRACK` for faces on none."""
    return np.array([NO_TRACK if track is None else track for track in tracks], np.int64)


def tracks_in_time(numbers: Numbers, frames: Sequence[str]) -> list[Track]:
    """Gather the faces of each track.

    Parameters
    ----------
    numbers : ndarray, shape (n,), int64
        `NO_TRACK` for faces on none.
    frames : sequence of str
        Name of the frame of each face.

    Returns
    -------
    list of Track
        In the order in which they begin; of one frame in the order of their numbers.
    """
    members: dict[int, list[int]] = {}
    for i in sorted(range(len(numbers)), key=lambda i: natural_key(frames[i])):
        if numbers[i] != NO_TRACK:
            members.setdefault(int(numbers[i]), []).append(i)
    first = {number: natural_key(frames[faces[0]]) for number, faces in members.items()}
    return [
        Track(number, members[number]) for number in sorted(members, key=lambda n: (first[n], n))
    ]


def medians_of_tracks(values: Floats, numbers: Numbers) -> Floats:
    """The median of each track in place of the values of its faces.

    Parameters
    ----------
    values : ndarray, shape (n,), float64
        A face without a value (NaN) has none afterwards.
    numbers : ndarray, shape (n,), int64
        `NO_TRACK` for faces that keep their own value.

    Returns
    -------
    ndarray, shape (n,), float64
    """
    result = values.copy()
    usable = np.flatnonzero(~np.isnan(values) & (numbers != NO_TRACK))
    ordered = usable[np.argsort(numbers[usable], kind="stable")]
    for faces in np.split(ordered, np.flatnonzero(np.diff(numbers[ordered])) + 1):
        if faces.size:
            result[faces] = np.median(values[faces])
    return result


def lengths_of_tracks(numbers: Numbers) -> Floats:
    """Number of faces of each face's track.

    Parameters
    ----------
    numbers : ndarray, shape (n,), int64
        Track of each face; `NO_TRACK` for a face on none.

    Returns
    -------
    ndarray, shape (n,), float64
        NaN for a face on no track.
    """
    _, track, counts = np.unique(numbers, return_inverse=True, return_counts=True)
    return np.where(numbers == NO_TRACK, np.nan, counts[track].astype(np.float64))


@dataclass(frozen=True)
class TrackRanges:
    """Numbers of tracks: ``3,5-9``.

    Attributes
    ----------
    ranges : tuple of (int, int)
        First and last of each.
    """

    ranges: tuple[tuple[int, int], ...]

    @classmethod
    def parse(cls, text: str) -> TrackRanges:
        """Read numbers and ranges, separated by commas.

        Raises
        ------
        UsageError
            The text has another form.
        """
        ranges = []
        for piece in text.split(","):
            found = _RANGE.fullmatch(piece)
            low, high = (0, -1) if found is None else (int(found[1]), int(found[2] or found[1]))
            if high < low:
                raise UsageError(
                    f"tracks: {piece!r} is not a track. Give numbers and ranges, the smaller "
                    "number first: 3,5-9."
                )
            ranges.append((low, high))
        return cls(tuple(ranges))

    def contain(self, numbers: Numbers) -> Floats:
        """Whether faces are on these tracks.

        Parameters
        ----------
        numbers : ndarray, shape (n,), int64
            Track of each face; `NO_TRACK` for a face on none.

        Returns
        -------
        ndarray, shape (n,), float64
            1 for faces on these tracks, 0 for those on others, NaN for those on none.

        Raises
        ------
        UsageError
            No face is on a track that is named.
        """
        inside = np.zeros(len(numbers), bool)
        for low, high in self.ranges:
            here = (numbers >= low) & (numbers <= high)
            if not here.any():
                named = str(low) if low == high else f"{low}-{high}"
                known = np.unique(numbers[numbers != NO_TRACK])
                raise UsageError(
                    f"tracks: no face is on {named}. Choose of the {len(known)} tracks from "
                    f"{known[0]} to {known[-1]}; sort --by track --dry-run lists them."
                )
            inside |= here
        return np.where(numbers == NO_TRACK, np.nan, inside)
