"""The ways to sort a faceset: from measured faces to an order and a list of rejected faces."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from dfl_tf.data.identity import USUAL_DISTANCE
from dfl_tf.facesets.best_faces import best_faces
from dfl_tf.facesets.chains import dissimilarity, histogram_chain, histogram_roots, image_chain
from dfl_tf.facesets.face_tracks import NO_TRACK, tracks_in_time
from dfl_tf.facesets.grouping import group_faces, threshold_of

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class MeasuredFaces:
    """What is known of the faces of a folder, in folder order.

    Attributes
    ----------
    names : sequence of str
        File names.
    is_face : ndarray, shape (n,), bool
        Whether the file is a DFL image.
    columns : mapping
        Name of a measure to its values: shape (n,) or (n, length), float64; NaN where the face
        has none.
    source_filenames : sequence of str
        Frame that each face was cut from; empty where it is not known.
    labeled : ndarray, shape (n,), bool
        Whether the face has polygons drawn by hand.
    pixels : ndarray, shape (n,), int64
        Height times width of the image.
    images : sequence of ndarray, shape (h, w, 3), uint8
        Loaded when they are asked for.
    tracks : ndarray, shape (n,), int64
        Track of each face, `face_tracks.NO_TRACK` where it is not known; read when it is asked for.
    """

    names: Sequence[str]
    is_face: npt.NDArray[np.bool_]
    columns: Mapping[str, Floats]
    source_filenames: Sequence[str] = ()
    labeled: npt.NDArray[np.bool_] = field(default_factory=lambda: np.zeros(0, bool))
    pixels: npt.NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))
    images: Sequence[npt.NDArray[np.uint8]] = ()
    tracks: npt.NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))


@dataclass(frozen=True)
class Order:
    """The result of a method: positions in the folder order.

    Attributes
    ----------
    kept : list of int
        Best first.
    trash : list of int
        Rejected; files in neither list stay as they are.
    values : dict
        The number (or text) that decided about a face.
    notes : list of str
        What should be known of how they were ordered.
    """

    kept: list[int]
    trash: list[int] = field(default_factory=list)
    values: dict[int, float | str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Method:
    """A way to sort.

    Attributes
    ----------
    measures : tuple of str
        What it needs of `dfl_tf.facesets.measures.MEASURES`.
    arrange : callable
        `(faces, target=..., similar=...)` to an `Order`.
    help : str
    needs_images : bool
        Whether it compares whole images.
    needs_tracks : bool
        Whether it needs what the extraction noted.
    """

    measures: tuple[str, ...]
    arrange: Callable[..., Order]
    help: str
    needs_images: bool = False
    needs_tracks: bool = False


def _by_value(
    measure: str, *, largest_first: bool = True, zero_is_trash: bool = False
) -> Callable[..., Order]:
    """Sort by a number; faces without one are rejected."""

    def arrange(faces: MeasuredFaces, **_: object) -> Order:
        column = faces.columns[measure]
        usable = ~np.isnan(column)
        if zero_is_trash:
            usable &= column != 0
        chosen = np.flatnonzero(usable)
        keys = -column[chosen] if largest_first else column[chosen]
        kept = chosen[np.argsort(keys, kind="stable")]
        return Order(
            kept=[int(i) for i in kept],
            trash=[int(i) for i in np.flatnonzero(~usable)],
            values={int(i): float(column[i]) for i in kept},
        )

    return arrange


def _by_source_name(faces: MeasuredFaces, **_: object) -> Order:
    known = [i for i, is_face in enumerate(faces.is_face) if is_face]
    kept = sorted(known, key=lambda i: faces.source_filenames[i])
    trash = [i for i, is_face in enumerate(faces.is_face) if not is_face]
    return Order(kept, trash, {i: faces.source_filenames[i] for i in kept})


def _by_histogram(faces: MeasuredFaces, **_: object) -> Order:
    histograms = faces.columns["color_histogram"].reshape(len(faces.names), 3, 256)
    return Order(histogram_chain(histogram_roots(histograms)))


def _by_dissimilarity(faces: MeasuredFaces, **_: object) -> Order:
    sums = dissimilarity(histogram_roots(faces.columns["masked_histogram"]))
    order = np.argsort(-sums, kind="stable")
    return Order([int(i) for i in order], values={int(i): float(sums[i]) for i in order})


def _one_face(faces: MeasuredFaces, **_: object) -> Order:
    """Reject every face of the frames from which more than one face was taken, by the names."""
    numbers: dict[int, list[tuple[int, int]]] = {}
    for i, name in enumerate(faces.names):
        parts = name.rpartition(".")[0].split("_")
        if len(parts) == 2 and all(part.isdecimal() and part.isascii() for part in parts):
            numbers.setdefault(int(parts[0]), []).append((i, int(parts[1])))
    trash = sorted(
        i
        for members in numbers.values()
        if any(number != 0 for _, number in members)
        for i, _ in members
    )
    if not trash:
        return Order([])
    rejected = set(trash)
    return Order([i for i in range(len(faces.names)) if i not in rejected], trash)


def _by_difference(faces: MeasuredFaces, *, similar: bool = True, **_: object) -> Order:
    return Order(image_chain(faces.images, similar=similar))


def _best(sharpness: str) -> Callable[..., Order]:
    def arrange(faces: MeasuredFaces, *, target: int = 2000, **_: object) -> Order:
        column = faces.columns
        usable = np.flatnonzero(~np.isnan(column[sharpness]))
        kept, trash = best_faces(
            column[sharpness][usable],
            column["yaw"][usable],
            column["pitch"][usable],
            histogram_roots(column["gray_histogram"][usable]),
            target=target,
        )
        unusable = np.flatnonzero(np.isnan(column[sharpness]))
        kept_faces = [int(usable[i]) for i in kept]
        return Order(
            kept_faces,
            [int(i) for i in unusable] + [int(usable[i]) for i in trash],
            {i: float(column[sharpness][i]) for i in kept_faces},
        )

    return arrange


def _by_person(faces: MeasuredFaces, *, threshold: float | None = None, **_: object) -> Order:
    """Person after person, the largest group first; in each the most typical face first."""
    grouping = group_faces(
        faces.columns["identity"],
        threshold=threshold or threshold_of(0.5, USUAL_DISTANCE),
        frames=faces.source_filenames,
        boxes=faces.columns["source_box"],
    )
    return Order(
        [i for group in grouping.groups for i in group.members],
        [int(i) for i in np.flatnonzero(grouping.numbers == 0)],
        {i: float(group.number) for group in grouping.groups for i in group.members},
        grouping.notes(),
    )


def _by_track(faces: MeasuredFaces, **_: object) -> Order:
    """Track after track, each in time order; then the faces on no known track."""
    tracks = tracks_in_time(faces.tracks, faces.source_filenames)
    others = [int(i) for i in np.flatnonzero(faces.tracks == NO_TRACK)]
    return Order(
        [i for track in tracks for i in track.members] + others,
        values={i: float(track.number) for track in tracks for i in track.members},
    )


METHODS: dict[str, Method] = {
    "blur": Method(("blur",), _by_value("blur", zero_is_trash=True), "sharpest first"),
    "motion-blur": Method(
        ("motion_blur",),
        _by_value("motion_blur", zero_is_trash=True),
        "least blurred by motion first",
    ),
    "face-yaw": Method(("yaw",), _by_value("yaw"), "from one side to the other"),
    "face-pitch": Method(("pitch",), _by_value("pitch"), "from looking up to looking down"),
    "face-source-rect-size": Method(
        ("source_rect_size",), _by_value("source_rect_size"), "largest in its frame first"
    ),
    "hist": Method(("color_histogram",), _by_histogram, "similar colors side by side"),
    "hist-dissim": Method(
        ("masked_histogram",), _by_dissimilarity, "least like all others (in gray) first"
    ),
    "brightness": Method(("brightness",), _by_value("brightness"), "brightest first"),
    "hue": Method(("hue",), _by_value("hue"), "largest mean hue first"),
    "black": Method(
        ("black",), _by_value("black", largest_first=False), "least black (cut off) first"
    ),
    "origname": Method((), _by_source_name, "by the name of the frame"),
    "oneface": Method((), _one_face, "reject frames with several faces"),
    # the brightness shows which images can be decoded
    "absdiff": Method(
        ("brightness",), _by_difference, "similar images side by side", needs_images=True
    ),
    "final": Method(
        ("gray_sharpness", "yaw", "pitch", "gray_histogram"),
        _best("gray_sharpness"),
        "the best faces: sharp, and varied in pose and expression",
    ),
    "final-fast": Method(
        ("source_rect_size", "yaw", "pitch", "gray_histogram"),
        _best("source_rect_size"),
        "as final, with size in place of sharpness",
    ),
    "identity": Method(("identity", "source_box"), _by_person, "person after person"),
    "track": Method(
        ("source_box",),
        _by_track,
        "track after track of the extraction, each in time order",
        needs_tracks=True,
    ),
}
"""Names of the legacy program to methods, in the order in which it lists them; then our own."""

ALIASES = {"final-by-blur": "final", "final-by-size": "final-fast"}
