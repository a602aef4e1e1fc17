"""The numbers of a report: what is known of the faces of one side, and of both together."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from dfl_tf.data.identity import Embedder
from dfl_tf.disk.left_out import LeftOut
from dfl_tf.facesets.face_tracks import NO_TRACK, Track, track_numbers, tracks_in_time
from dfl_tf.facesets.filter import near_duplicates_of
from dfl_tf.facesets.grouping import Grouping, group_faces, threshold_of
from dfl_tf.facesets.measure_cache import MeasureCache
from dfl_tf.facesets.measures import Measure, identity_measure
from dfl_tf.facesets.measuring import measure_faces
from dfl_tf.facesets.report.poses import PITCH_EDGES, YAW_EDGES, Counts, pose_counts, pose_gaps
from dfl_tf.facesets.sorting import MeasuredFaces
from dfl_tf.formats.faces.faceset_files import FacesetReport, examine
from dfl_tf.formats.faces.mask_record import MaskRecord, mask_warnings, read_mask_record
from dfl_tf.jobs.progress import Progress

Floats = npt.NDArray[np.float64]

WORST = 30
WORST_TRACKS = 10
_PERCENTILES = (0, 5, 25, 50, 75, 95, 100)
_GROUPS = 100


TracksOf = Callable[[Path, MeasuredFaces], Sequence[int | None]]
"""The track of each face of a place, None where it is not known."""


@dataclass(frozen=True)
class Scale:
    """A number that every face has.

    Attributes
    ----------
    name : str
        In JSON.
    title : str
    unit : str
    worst : str
        What the worst faces are called; empty where none is worse than another.
    """

    name: str
    title: str
    unit: str = ""
    worst: str = ""


SCALES = (
    Scale("sharpness", "Sharpness", worst="least sharp"),
    Scale("motion_blur", "Contrast of edges", worst="most blurred by motion"),
    Scale("size", "Size in the frame", "pixels", "smallest in their frames"),
    Scale("brightness", "Brightness of the face", "0 to 255", "darkest"),
    Scale("black", "Black pixels", "share", "most cut off by the edge of the frame"),
    Scale("yaw", "Yaw", "degrees", "most turned to a side"),
    Scale("pitch", "Pitch", "degrees", "most tilted"),
    Scale("identity", "Distance from the typical face", "", "least like the first group"),
)
"""What is shown as a number; larger is better unless `badness` says otherwise."""

MEASURED: tuple[str, ...] = (
    "blur", "motion_blur", "source_box", "source_rect_size", "face_color", "black", "yaw", "pitch",
    "thumbnail",
)  # fmt: skip

ALIKE = 2.0
"""Near duplicates: root mean square difference of small copies, in levels of 0 to 255."""


@dataclass(frozen=True)
class TrackFacts:
    """The tracks of one side.

    Attributes
    ----------
    tracks : sequence of Track
        In time order.
    frames : sequence of str
        Frame of each face of the side.
    sharpness : ndarray, shape (tracks,), float64
        Median over each track.
    without : int
        Images whose track is not known.
    """

    tracks: Sequence[Track]
    frames: Sequence[str]
    sharpness: Floats
    without: int

    @classmethod
    def of(cls, faces: MeasuredFaces, known: Sequence[int | None]) -> TrackFacts | None:
        """Gather the tracks of measured faces; None if no face is on a known one."""
        numbers = track_numbers(known)
        tracks = tracks_in_time(numbers, faces.source_filenames)
        if not tracks:
            return None
        values = faces.columns["blur"]
        sharpness = [_median(values[track.members]) for track in tracks]
        without = int(np.count_nonzero(numbers == NO_TRACK))
        return cls(tracks, faces.source_filenames, np.array(sharpness), without)

    def lengths(self) -> list[int]:
        """Number of faces of each track."""
        return [len(track.members) for track in self.tracks]

    def least_sharp(self, count: int = WORST_TRACKS) -> list[int]:
        """Positions of the tracks whose median sharpness is the least, the worst first."""
        order = np.argsort(self.sharpness, kind="stable")  # NaN comes last
        return [int(i) for i in order[:count] if not np.isnan(self.sharpness[i])]

    def span(self, track: Track) -> str:
        """The frames of a track, for people."""
        first, last = (self.frames[track.members[end]] for end in (0, -1))
        return first if first == last else f"{first} to {last}"

    def as_dict(self) -> dict[str, object]:
        """All numbers, for machines."""
        marks = np.percentile(self.lengths(), _PERCENTILES)
        return {
            "count": len(self.tracks),
            "without": self.without,
            "lengths": {str(p): float(mark) for p, mark in zip(_PERCENTILES, marks, strict=True)},
            "least_sharp": [self.tracks[i].number for i in self.least_sharp()],
            "tracks": [
                {
                    "track": track.number,
                    "faces": len(track.members),
                    "first": self.frames[track.members[0]],
                    "last": self.frames[track.members[-1]],
                    "sharpness": _number(sharpness),
                }
                for track, sharpness in zip(self.tracks, self.sharpness, strict=True)
            ],
        }


@dataclass(frozen=True)
class SideFacts:
    """What is known of the faces of one side.

    Attributes
    ----------
    place : Path
    survey : FacesetReport
        Counts, sizes, face types, masks.
    names : sequence of str
        Of the measured images.
    scales : mapping
        Name of a scale to the values, shape (n,), float64; NaN where a face has none.
    colors : ndarray, shape (n, 3)
        Mean blue, green and red of each face, 0 to 255.
    poses : ndarray
        See `pose_counts`.
    grouping : Grouping or None
        None where persons cannot be told apart here.
    duplicates : sequence of (int, int)
        A face that may go, and the one that stays in its place.
    masked_by : MaskRecord or None
    left_out : LeftOut
    tracks : TrackFacts or None
        None where they are not known.
    """

    place: Path
    survey: FacesetReport
    names: Sequence[str]
    scales: Mapping[str, Floats]
    colors: Floats
    poses: Counts
    grouping: Grouping | None
    duplicates: Sequence[tuple[int, int]]
    masked_by: MaskRecord | None
    left_out: LeftOut
    tracks: TrackFacts | None = None

    def worst(self, scale: Scale, count: int = WORST) -> list[int]:
        """The worst faces by a scale, the worst first."""
        bad = badness(scale.name, self.scales[scale.name])
        known = np.flatnonzero(~np.isnan(bad))
        return [int(i) for i in known[np.argsort(-bad[known], kind="stable")][:count]]

    def median(self, name: str) -> float:
        """The median of a scale; NaN without a face."""
        return _median(self.scales[name])

    def as_dict(self) -> dict[str, object]:
        """All numbers, for machines."""
        survey = self.survey
        return {
            "place": str(self.place),
            "images": len(self.names),
            "faces": survey.faces,
            "face_types": dict(survey.face_types),
            "sizes": dict(survey.sizes),
            "persons": dict(survey.persons),
            "with_mask": survey.with_mask,
            "with_polygons": survey.with_polygons,
            "masked_by": None if self.masked_by is None else vars(self.masked_by),
            "left_out": self.left_out.as_dict(),
            "poses": self.poses.tolist(),
            "scales": {scale.name: self._scale(scale) for scale in SCALES if self._has(scale)},
            "mean_color_bgr": [_number(value) for value in _means(self.colors)],
            "near_duplicates": [
                {"face": self.names[a], "stays": self.names[b]} for a, b in self.duplicates
            ],
            "groups": self._groups(),
            "tracks": None if self.tracks is None else self.tracks.as_dict(),
        }

    def _has(self, scale: Scale) -> bool:
        return scale.name in self.scales

    def _scale(self, scale: Scale) -> dict[str, object]:
        values = self.scales[scale.name]
        known = values[~np.isnan(values)]
        marks = np.percentile(known, _PERCENTILES) if known.size else [np.nan] * len(_PERCENTILES)
        return {
            "unit": scale.unit,
            "known": int(known.size),
            "percentiles": {
                str(p): _number(mark) for p, mark in zip(_PERCENTILES, marks, strict=True)
            },
            "worst": [
                {"name": self.names[i], "value": _number(values[i])}
                for i in (self.worst(scale) if scale.worst else ())
            ],
        }

    def _groups(self) -> dict[str, object] | None:
        if self.grouping is None:
            return None
        return {
            "threshold": self.grouping.threshold,
            "sampled": self.grouping.sampled,
            "count": len(self.grouping.groups),
            "largest": [
                {
                    "group": group.number,
                    "faces": len(group.members),
                    "typical": self.names[group.members[0]],
                    "spread": _number(group.spread),
                }
                for group in self.grouping.groups[:_GROUPS]
            ],
        }


@dataclass(frozen=True)
class Facts:
    """The numbers of a report.

    Attributes
    ----------
    src : SideFacts
    dst : SideFacts or None
    mask_warnings : sequence of str
    identity : str
        The network that told persons apart; else why none did.
    """

    src: SideFacts
    dst: SideFacts | None
    mask_warnings: Sequence[str]
    identity: str

    @property
    def sides(self) -> dict[str, SideFacts]:
        """The sides by name."""
        return {"src": self.src} | ({} if self.dst is None else {"dst": self.dst})

    def as_dict(self) -> dict[str, object]:
        """All numbers, for machines; values that are not known are null."""
        gaps = [] if self.dst is None else pose_gaps(self.src.poses, self.dst.poses)
        return {
            "format": "dfl_tf faceset report",
            "version": 1,
            "sides": {name: side.as_dict() for name, side in self.sides.items()},
            "pose_edges": {"yaw": YAW_EDGES.tolist(), "pitch": PITCH_EDGES.tolist()},
            "pose_gaps": [vars(gap) for gap in gaps],
            "mask_warnings": list(self.mask_warnings),
            "identity": self.identity,
        }


def badness(name: str, values: Floats) -> Floats:
    """How bad the values of a scale are: larger is worse; shape (n,), float64, both."""
    if name in ("yaw", "pitch"):
        return np.abs(values)
    return values if name in ("black", "identity") else -values


def collect(
    src: Path,
    dst: Path | None = None,
    *,
    cache: MeasureCache,
    embedder: Embedder | None = None,
    identity: str = "",
    tracks_of: TracksOf | None = None,
    compute: bool = True,
    progress: Progress | None = None,
) -> Facts:
    """Measure the faces of one or two sides.

    Parameters
    ----------
    src, dst : Path
        Folders of aligned faces, or paks.
    cache : MeasureCache
    embedder : Embedder, optional
        Tells persons apart; ready.
    identity : str
        Its name, or why there is none.
    tracks_of : callable, optional
        Without it no tracks are known.
    compute : bool
        False takes only what was measured before.
    progress : callable, optional
        Called with (done, total) for each side.

    Raises
    ------
    FacesetError
        There is no such folder or pak.
    """
    sides = [
        _side(place, cache, embedder, tracks_of, compute, progress)
        for place in (src, dst)
        if place is not None
    ]
    warnings = [] if dst is None else mask_warnings(src, dst)
    return Facts(sides[0], sides[1] if len(sides) > 1 else None, warnings, identity)


def _side(
    place: Path,
    cache: MeasureCache,
    embedder: Embedder | None,
    tracks_of: TracksOf | None,
    compute: bool,
    progress: Progress | None,
) -> SideFacts:
    vector = None if embedder is None else identity_measure(embedder)
    wanted: list[str | Measure] = [*MEASURED, *([] if vector is None else [vector])]
    faces, left_out = measure_faces(place, wanted, cache=cache, compute=compute, progress=progress)
    survey = examine(place)
    known = {(omission.kind, omission.name) for omission in left_out}
    left_out.extend(o for o in survey.left_out if (o.kind, o.name) not in known)
    grouping = None
    scales = _scales(faces)
    vectors = np.zeros((0, 1)) if vector is None else faces.columns[vector.name]
    # persons of half of the faces would be a guess
    if embedder is not None and (compute or not np.isnan(vectors).any()):
        grouping = group_faces(
            vectors,
            threshold=threshold_of(0.5, embedder.scale),
            frames=faces.source_filenames,
            boxes=faces.columns["source_box"],
        )
        scales["identity"] = _distances(vectors, grouping)
    return SideFacts(
        place,
        survey,
        faces.names,
        scales,
        faces.columns["face_color"],
        pose_counts(faces.columns["yaw"], faces.columns["pitch"]),
        grouping,
        _duplicates(faces),
        read_mask_record(place),
        left_out,
        None if tracks_of is None else TrackFacts.of(faces, tracks_of(place, faces)),
    )


def _scales(faces: MeasuredFaces) -> dict[str, Floats]:
    columns = faces.columns
    box = columns["source_box"]
    colors = columns["face_color"]
    return {
        "sharpness": columns["blur"],
        "motion_blur": columns["motion_blur"],
        "size": np.sqrt(np.clip((box[:, 2:] - box[:, :2]).prod(axis=1), 0, None)),
        "brightness": colors @ np.array([0.114, 0.587, 0.299]),
        "black": columns["black"] / np.maximum(3 * faces.pixels, 1),
        "yaw": np.degrees(columns["yaw"]),
        "pitch": np.degrees(columns["pitch"]),
    }


def _duplicates(faces: MeasuredFaces) -> list[tuple[int, int]]:
    """Pairs of near duplicates, the most alike first: which may go, and which stays."""
    known = np.flatnonzero(~np.isnan(faces.columns["thumbnail"]).any(axis=1))
    twins = near_duplicates_of(faces, [int(i) for i in known], ALIKE)
    ranked = sorted(twins.items(), key=lambda item: (item[1][1], item[0]))
    return [(gone, stays) for gone, (stays, _) in ranked]


def _distances(vectors: Floats, grouping: Grouping) -> Floats:
    """Distance of each face from the most typical face of the largest group."""
    if not grouping.groups:
        return np.full(len(vectors), np.nan)
    typical = vectors[grouping.groups[0].members[0]]
    return np.asarray(np.linalg.norm(vectors - typical, axis=1))


def _means(colors: Floats) -> Floats:
    known = colors[~np.isnan(colors).any(axis=1)]
    return known.mean(axis=0) if len(known) else np.full(3, np.nan)


def _median(values: Floats) -> float:
    known = values[~np.isnan(values)]
    return float(np.median(known)) if known.size else float("nan")


def _number(value: float) -> float | None:
    """A number for JSON, which has no NaN."""
    return None if np.isnan(value) else round(float(value), 6)
