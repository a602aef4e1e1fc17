"""Filtering a faceset: which faces stay by their measures, and which are near duplicates.

References
----------
Design decision 40.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from dfl_tf.data.identity import Embedder
from dfl_tf.disk.left_out import LeftOut
from dfl_tf.errors import FacesetError, UsageError
from dfl_tf.facesets.face_tracks import (
    NO_TRACK,
    TrackRanges,
    lengths_of_tracks,
    medians_of_tracks,
    track_numbers,
)
from dfl_tf.facesets.likeness import Decision, decide
from dfl_tf.facesets.measure_cache import MeasureCache
from dfl_tf.facesets.measures import MEASURES, Measure, identity_measure
from dfl_tf.facesets.measuring import measure_faces
from dfl_tf.facesets.rearranging import Rearrangement
from dfl_tf.facesets.sorting import MeasuredFaces
from dfl_tf.jobs.progress import Progress

Floats = npt.NDArray[np.float64]

DUPLICATES = "near-duplicates"
PERSON = "person"
TRACKS, TRACK_LENGTH = "tracks", "track length"
_THUMBNAIL, _BOX = "thumbnail", "source_box"
_BLOCK = 1024
_ROUNDING = 1e-4  # of a float32 dot product, generously
_DEGREES = ("yaw", "pitch")


@dataclass(frozen=True)
class Limits:
    """The values of a measure with which faces stay: from `low` to `high`, both included.

    `yaw` and `pitch` are in degrees, `size` is the side of the face's box in its frame in pixels,
    everything else is as the measure gives it.
    """

    measure: str
    low: float = -math.inf
    high: float = math.inf

    @property
    def column(self) -> str:
        """The measure that is behind it."""
        return "source_rect_size" if self.measure == "size" else self.measure

    def values(self, faces: MeasuredFaces) -> Floats:
        """The numbers that are compared, shape (n,), float64, NaN where a face has none."""
        column = faces.columns[self.column]
        if self.measure == "size":
            return np.sqrt(column)
        return np.degrees(column) if self.measure in _DEGREES else column

    @classmethod
    def parse(cls, measure: str, text: str) -> Limits:
        """Read ``A:B``, ``A:`` or ``:B``.

        Raises
        ------
        UsageError
            The measure is unknown or no number, or the text has another form.
        """
        known = MEASURES.get("source_rect_size" if measure == "size" else measure)
        if known is None or known.length:
            allowed = ["size", *(m.name for m in MEASURES.values() if not m.length)]
            raise UsageError(f"there is no measure {measure!r}. Choose of {', '.join(allowed)}.")
        low, colon, high = text.partition(":")
        try:
            limits = cls(measure, float(low or "-inf"), float(high or "inf"))
        except ValueError:
            limits = cls(measure, math.nan)
        if not colon or not limits.low <= limits.high:
            raise UsageError(
                f"{measure}: {text!r} is not a range. Give two numbers, the smaller one first: "
                "-30:30; one of them may be missing: 0.4: or :200."
            )
        return limits


TracksOf = Callable[[MeasuredFaces], Sequence[int | None]]
"""The track of each of some measured faces, which have the column `source_box`."""


def _no_tracks(_: MeasuredFaces) -> Sequence[int | None]:
    return ()


@dataclass(frozen=True)
class WantedTracks:
    """Which tracks stay.

    Attributes
    ----------
    tracks_of : callable
        None for a face whose track is not known; it stays.
    ranges : TrackRanges, optional
        The tracks that stay; by default all.
    shortest : int, optional
        Fewest faces of a track that stays, counted in the faceset as it is.
    whole : bool
        Whether the median over a track is compared with the limits in place of the values of its
        faces, so that it stays or goes as a whole.
    """

    tracks_of: TracksOf
    ranges: TrackRanges | None = None
    shortest: int | None = None
    whole: bool = False

    def outside(self, numbers: npt.NDArray[np.int64]) -> dict[str, Floats]:
        """Which faces go, by each condition.

        Parameters
        ----------
        numbers : ndarray, shape (n,), int64
            Track of each face; `NO_TRACK` for a face on none.

        Returns
        -------
        dict of ndarray, shape (n,), float64
            1 for faces that go, 0 for those that stay, NaN for unknown.
        """
        found = {}
        if self.ranges is not None:
            found[TRACKS] = 1 - self.ranges.contain(numbers)
        if self.shortest is not None:
            lengths = lengths_of_tracks(numbers)
            short = lengths < self.shortest
            found[TRACK_LENGTH] = np.where(np.isnan(lengths), np.nan, short)
        return found


@dataclass(frozen=True)
class WantedPerson:
    """Who stays: faces like some images, and not like others; see `likeness.decide`.

    Attributes
    ----------
    embedder : Embedder
    like, unlike : ndarray, shape (m, k), optional
        Vectors of images of the wanted and of unwanted persons; at least one of the two.
    threshold : float, optional
        Largest distance; by default the proposed one.
    tracks_of : callable
        A track is kept or dropped as a whole.
    """

    embedder: Embedder
    like: Floats | None = None
    unlike: Floats | None = None
    threshold: float | None = None
    tracks_of: TracksOf = _no_tracks

    def decide(self, faces: MeasuredFaces) -> Decision:
        """Who of the measured faces stays."""
        return decide(
            faces.columns[self.embedder.key],
            like=self.like,
            unlike=self.unlike,
            scale=self.embedder.scale,
            threshold=self.threshold,
            tracks=self.tracks_of(faces),
        )


@dataclass(frozen=True)
class FilterPlan:
    """What a filter would do.

    Attributes
    ----------
    place : Path
    faces : MeasuredFaces
    why : str
    reasons : dict
        Position of each face that is taken out to why: names of measures.
    twins : dict
        Position of each near duplicate to the one that stays and how far away it is.
    left_out : LeftOut
        Unreadable files, and faces that a measure does not exist for; both stay.
    decision : Decision or None
        Of the person who is wanted: distances and threshold.
    """

    place: Path
    faces: MeasuredFaces
    why: str
    reasons: dict[int, list[str]]
    twins: dict[int, tuple[int, float]] = field(default_factory=dict)
    left_out: LeftOut = field(default_factory=LeftOut)
    decision: Decision | None = None

    @property
    def rearrangement(self) -> Rearrangement:
        """The moves: those that stay keep their names."""
        names = self.faces.names
        return Rearrangement(
            self.place,
            self.why,
            [(name, name) for i, name in enumerate(names) if i not in self.reasons],
            [names[i] for i in sorted(self.reasons)],
        )

    def rows(self) -> list[dict[str, object]]:
        """One row a face, in folder order, with all numbers."""
        scalars = {n: c for n, c in self.faces.columns.items() if c.ndim == 1}
        rows = []
        for i, name in enumerate(self.faces.names):
            twin, distance = self.twins.get(i, (None, None))
            row: dict[str, object] = {
                "name": name,
                "stays": i not in self.reasons,
                "why": " ".join(self.reasons.get(i, [])),
                "like": None if twin is None else self.faces.names[twin],
                "distance": distance,
            }
            for measure, column in scalars.items():
                row[measure] = _number(column[i])
            if self.faces.tracks.size:
                track = int(self.faces.tracks[i])
                row["track"] = None if track == NO_TRACK else track
            if self.decision is not None:
                row["to_like"] = _number(self.decision.like[i])
                row["to_not_like"] = _number(self.decision.unlike[i])
            rows.append(row)
        return rows


def _number(value: float) -> float | None:
    return None if np.isnan(value) else float(value)


def plan_filter(
    place: Path,
    limits: Sequence[Limits] = (),
    *,
    person: WantedPerson | None = None,
    tracks: WantedTracks | None = None,
    near_duplicates: float | None = None,
    invert: bool = False,
    cache: MeasureCache,
    workers: int | None = None,
    progress: Progress | None = None,
) -> FilterPlan:
    """Find out which faces of a folder or pak would be taken out; nothing is changed.

    Parameters
    ----------
    place : Path
    limits : sequence of Limits
        Faces with a value outside of any are taken out; faces without a value stay.
    person : WantedPerson, optional
        All others are taken out; images without face metadata stay.
    tracks : WantedTracks, optional
        All others are taken out; faces whose track is not known stay.
    near_duplicates : float, optional
        Of those that stay, faces that are so near to a better one are taken out:
        see `near_duplicates`.
    invert : bool
        Take out the faces that are within all limits, the wanted person's and on the wanted
        tracks, instead.
    cache : MeasureCache
    workers : int, optional
        Threads; by default the cores of this process.
    progress : callable, optional

    Raises
    ------
    UsageError, FacesetError
    """
    _check_request(limits, person, tracks, near_duplicates, invert=invert)
    columns: list[str | Measure] = [limit.column for limit in limits]
    if person is not None:
        columns += [identity_measure(person.embedder), _BOX]
    if tracks is not None:
        columns += [_BOX]
    if near_duplicates is not None:
        columns += [_THUMBNAIL, "source_rect_size", "blur"]
    faces, left_out = measure_faces(
        place, list(dict.fromkeys(columns)), cache=cache, workers=workers, progress=progress
    )
    if not faces.names:
        raise FacesetError(f"{place}: contains no readable image.")
    if tracks is not None:
        faces = replace(faces, tracks=track_numbers(tracks.tracks_of(faces)))
    whole = tracks is not None and tracks.whole
    outside = {limit.measure: _outside(limit, faces, left_out, whole=whole) for limit in limits}
    if tracks is not None:
        outside |= _off_tracks(tracks, faces, left_out)
    decision = None
    if person is not None:
        decision = person.decide(faces)
        unknown = np.isnan(faces.columns[person.embedder.key]).any(axis=1)
        for i in np.flatnonzero(unknown):
            left_out.add("images without face metadata, which stay", faces.names[int(i)])
        outside[PERSON] = np.where(unknown, np.nan, ~decision.kept)
    reasons = _reasons(outside, invert=invert)
    twins: dict[int, tuple[int, float]] = {}
    if near_duplicates is not None:
        staying = [i for i in range(len(faces.names)) if i not in reasons]
        twins = near_duplicates_of(faces, staying, near_duplicates)
        reasons |= {i: [DUPLICATES] for i in twins}
    names = [*outside, *([DUPLICATES] if twins else [])]
    why = f"filter by {', '.join(names) or DUPLICATES}"
    return FilterPlan(place, faces, why, reasons, twins, left_out, decision)


def _check_request(
    limits: Sequence[Limits],
    person: WantedPerson | None,
    tracks: WantedTracks | None,
    near_duplicates: float | None,
    *,
    invert: bool,
) -> None:
    if tracks is not None and tracks.whole and not limits:
        raise UsageError("whole tracks need a measure and its limits, which their medians meet.")
    chosen = bool(limits) or person is not None or tracks is not None
    if not chosen and near_duplicates is None:
        raise UsageError("there is nothing to filter by. Name a measure and its limits.")
    if invert and not chosen:
        raise UsageError("near duplicates cannot be inverted; name a measure and its limits.")


def _off_tracks(tracks: WantedTracks, faces: MeasuredFaces, left_out: LeftOut) -> dict[str, Floats]:
    outside = tracks.outside(faces.tracks)
    for i in np.flatnonzero(faces.tracks == NO_TRACK) if outside else ():
        left_out.add("faces on no known track, which stay", faces.names[int(i)])
    return outside


def _outside(
    limit: Limits, faces: MeasuredFaces, left_out: LeftOut, *, whole: bool = False
) -> Floats:
    """1 for faces outside of the limits, 0 for those within, NaN for those without a value."""
    values = limit.values(faces)
    for name, value in zip(faces.names, values, strict=True):
        if np.isnan(value):
            left_out.add(f"images without {limit.measure}, which stay", name)
    if whole:
        values = medians_of_tracks(values, faces.tracks)
    return np.where(np.isnan(values), np.nan, (values < limit.low) | (values > limit.high))


def _reasons(outside: Mapping[str, Floats], *, invert: bool) -> dict[int, list[str]]:
    """Position of each face that is taken out to what it is outside (or inside) of."""
    if not outside:
        return {}
    table = np.stack(list(outside.values()))
    if invert:
        return {int(i): list(outside) for i in np.flatnonzero((table == 0).all(axis=0))}
    gone = np.flatnonzero((table == 1).any(axis=0))
    names = list(outside)
    return {int(i): [names[row] for row in np.flatnonzero(table[:, i] == 1)] for i in gone}


def near_duplicates_of(
    faces: MeasuredFaces, staying: Sequence[int], threshold: float
) -> dict[int, tuple[int, float]]:
    """Faces that are so near to a better one that this one stands for both.

    Parameters
    ----------
    faces : MeasuredFaces
        With the columns `thumbnail`, `source_rect_size` and `blur`.
    staying : sequence of int
        Positions to look at.
    threshold : float
        Root mean square difference of the images, reduced to 16x16 pixels, in levels of 0 to 255.

    Returns
    -------
    dict
        Position of a face that goes to the one that stays and their distance. A face with
        polygons goes before one without, then the larger (in its frame, then in pixels), then the
        sharper one, then the first.

    Raises
    ------
    UsageError
        The threshold is negative.
    """
    if not threshold >= 0:
        raise UsageError(f"near-duplicates: the threshold must be 0 or more. Received: {threshold}")
    columns = faces.columns

    def best_first(i: int) -> tuple[float, ...]:
        size, sharp = columns["source_rect_size"][i], columns["blur"][i]
        return (
            not faces.labeled[i],
            -np.nan_to_num(size),
            -float(faces.pixels[i]),
            -np.nan_to_num(sharp),
            i,
        )

    ranked = sorted(staying, key=best_first)
    found = _covered(columns[_THUMBNAIL][ranked], threshold)
    return {ranked[i]: (ranked[j], distance) for i, (j, distance) in found.items()}


def _covered(points: Floats, threshold: float) -> Mapping[int, tuple[int, float]]:
    """Points, in their order, that lie within the threshold of an earlier one that stays."""
    rough_points = (points / np.sqrt(points.shape[1])).astype(np.float32)
    squares = (rough_points**2).sum(axis=1)
    kept = np.zeros(0, np.int64)
    found: dict[int, tuple[int, float]] = {}
    for start in range(0, len(points), _BLOCK):
        block = np.arange(start, min(start + _BLOCK, len(points)))
        others = np.concatenate((kept, block))
        sums = squares[block, None] + squares[others]
        rough = sums - 2 * rough_points[block] @ rough_points[others].T
        close = rough <= threshold**2 + _ROUNDING * (1 + sums)
        stays = np.ones(len(others), bool)
        for row, i in enumerate(block):
            columns = np.flatnonzero(close[row, : len(kept) + row] & stays[: len(kept) + row])
            exact = np.sqrt(((points[others[columns]] - points[i]) ** 2).mean(axis=1))
            if len(exact) and exact.min() <= threshold:
                nearest = int(np.argmin(exact))
                found[int(i)] = int(others[columns[nearest]]), float(exact[nearest])
                stays[len(kept) + row] = False
        kept = np.concatenate((kept, block[stays[len(kept) :]]))
    return found
