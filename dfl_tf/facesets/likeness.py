"""Faces that are like some images of a person, and not like others'."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from scipy.spatial.distance import cdist

from dfl_tf.data.identity import Embedder
from dfl_tf.disk.left_out import LeftOut
from dfl_tf.disk.listing import IMAGE_SUFFIXES, list_folder
from dfl_tf.errors import DflTfError, FacesetError, UsageError
from dfl_tf.facesets.face_tracks import medians_of_tracks, track_numbers
from dfl_tf.facesets.measures import MeasuredFace
from dfl_tf.formats import FaceMetadata, read_metadata
from dfl_tf.imaging import decode_image, to_bgr
from dfl_tf.imaging.files import to_bytes

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]
LandmarksOf = Callable[[npt.NDArray[np.uint8]], Sequence[Floats]]
"""Takes an image, (h, w, 3) uint8 BGR; gives the landmarks of all faces in it, each (68, 2)."""

NO_FACE = "images without a face"
SEVERAL = "images with several faces, of which the largest is taken"
_RANGE = (0.6, 1.4)  # of the usual distance: where a threshold is looked for


@dataclass(frozen=True)
class Decision:
    """Which faces are like the wanted person.

    Attributes
    ----------
    kept : ndarray, shape (n,), bool
        False as well for faces without a vector.
    like, unlike : ndarray, shape (n,), float64
        Distance to the nearest image of the wanted and of the unwanted persons; of a face on a
        track the median over the track. NaN without such images, or without a vector.
    threshold : float
        What was decided by.
    proposed : float
        The middle of the widest gap between the distances, near the usual distance.
    """

    kept: Bools
    like: Floats
    unlike: Floats
    threshold: float
    proposed: float

    def lines(self) -> list[str]:
        """The distances and the threshold, for people."""
        lines = []
        for name, values in (("--like", self.like), ("--not-like", self.unlike)):
            known = values[~np.isnan(values)]
            if known.size:
                least, low, middle, high, most = np.percentile(known, (0, 10, 50, 90, 100))
                lines.append(
                    f"distances to {name}: {least:.2f} to {most:.2f}; median {middle:.2f}, "
                    f"80 % from {low:.2f} to {high:.2f}"
                )
        lines.append(
            f"{int(self.kept.sum())} of {len(self.kept)} faces by a threshold of "
            f"{self.threshold:.2f}; proposed: {self.proposed:.2f}"
        )
        return lines


def reference_vectors(
    places: Sequence[Path], embedder: Embedder, *, landmarks_of: LandmarksOf | None = None
) -> tuple[Floats, LeftOut]:
    """Vectors of images of a person.

    Parameters
    ----------
    places : sequence of Path
        Images or folders of them: aligned faces, or any images where faces can be looked for.
    embedder : Embedder
    landmarks_of : callable, optional
        Finds faces in images without metadata; without it they are left out. From an image, shape
        (h, w, 3), uint8 BGR, to the landmarks of its faces, shape (68, 2), float64.

    Returns
    -------
    vectors : ndarray, shape (n, k), float64
    left_out : LeftOut

    Raises
    ------
    UsageError
        A place does not exist, or no face is in any of the images.
    """
    embedder.ready()
    left_out = LeftOut()
    vectors = []
    for path in _images(places, left_out):
        try:
            face = _face(path, landmarks_of, left_out)
            if face is not None:
                vectors.append(embedder.vector(face))
        except (DflTfError, OSError) as error:
            left_out.skip(path.name, error)
    if not vectors:
        named = ", ".join(str(place) for place in places)
        reasons = "".join(f"\n  {line}" for line in left_out.lines())
        raise UsageError(f"no face was found in {named}; name images that show one.{reasons}")
    return np.array(vectors), left_out


def _images(places: Sequence[Path], left_out: LeftOut) -> list[Path]:
    images = []
    for place in places:
        if place.is_dir():
            listing = list_folder(place, IMAGE_SUFFIXES, what="images", error=FacesetError)
            left_out.extend(listing.left_out)
            images += listing.files
        elif place.exists():
            images.append(place)
        else:
            raise UsageError(f"{place}: there is no such image or folder.")
    return images


def _face(path: Path, landmarks_of: LandmarksOf | None, left_out: LeftOut) -> MeasuredFace | None:
    from dfl_tf.disk.plain_file import read_plain
    from dfl_tf.formats.faces.dfljpg import MAX_IMAGE_BYTES

    data = read_plain(path, limit=MAX_IMAGE_BYTES)
    metadata = None
    if path.suffix.lower() in (".jpg", ".jpeg"):
        metadata = read_metadata(data, what=path.name)
    image = to_bytes(to_bgr(decode_image(data, what=path.name)))
    if metadata is None:
        found = list(landmarks_of(image)) if landmarks_of is not None else []
        if not found:
            left_out.add(NO_FACE, path.name)
            return None
        if len(found) > 1:
            left_out.add(SEVERAL, path.name)
        largest = max(found, key=lambda points: float(np.prod(np.ptp(points, axis=0))))
        metadata = FaceMetadata(landmarks=np.asarray(largest, np.float64))
    return MeasuredFace(image, metadata)


def decide(
    vectors: Floats,
    *,
    like: Floats | None = None,
    unlike: Floats | None = None,
    scale: float,
    threshold: float | None = None,
    tracks: Sequence[int | None] = (),
) -> Decision:
    """Decide which faces are like some and not like others.

    Parameters
    ----------
    vectors : ndarray, shape (n, k), float64
        NaN for faces that have none.
    like, unlike : ndarray, shape (m, k), float64, optional
        At least one of the two. A face is kept if it is within the threshold of a wanted image and
        nearer to it than to any unwanted one; with unwanted images only, if it is beyond the
        threshold of all of them.
    scale : float
        The usual distance of the network.
    threshold : float, optional
        By default the proposed one.
    tracks : sequence, optional
        Track of each face; None or -1 for a face on none. A track is kept or dropped as a whole.
        By default no face is on one.

    Returns
    -------
    Decision
    """
    if like is None and unlike is None:
        raise ValueError("like or unlike is needed")
    numbers = track_numbers(tracks or [None] * len(vectors))
    near = medians_of_tracks(_nearest(vectors, like), numbers)
    far = medians_of_tracks(_nearest(vectors, unlike), numbers)
    proposed = propose_threshold(near if like is not None else far, scale)
    used = proposed if threshold is None else threshold
    if like is None:
        kept = far > used
    elif unlike is None:
        kept = near <= used
    else:
        kept = (near <= used) & (near < far)
    return Decision(kept, near, far, used, proposed)


def _nearest(vectors: Floats, references: Floats | None) -> Floats:
    if references is None:
        return np.full(len(vectors), np.nan)
    blocks = (vectors[i : i + 2000] for i in range(0, len(vectors), 2000))
    return np.concatenate([np.zeros(0), *(cdist(b, references).min(axis=1) for b in blocks)])


def propose_threshold(distances: Floats, scale: float) -> float:
    """The middle of the widest gap between distances, near the usual distance of the network.

    Parameters
    ----------
    distances : ndarray, shape (n,), float64
        NaN is ignored.
    scale : float
        The usual distance, which is proposed where no distance is near it.
    """
    low, high = (factor * scale for factor in _RANGE)
    inside = distances[(distances > low) & (distances < high)]
    edges = np.sort(np.concatenate([inside, [low, high]]))
    gaps = np.diff(edges)
    widest = int(np.argmax(gaps))
    return float((edges[widest] + edges[widest + 1]) / 2) if inside.size else scale
