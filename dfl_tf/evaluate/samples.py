"""The faces that are measured: which of a set, and as arrays.

References
----------
data.md 4.1, 4.2: faces as they are trained on, but not warped, moved, mirrored or recolored.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import cv2
import numpy as np
import numpy.typing as npt
from dfl_tf_ops.process import cores

from dfl_tf.data import FaceSample, Faceset, OutputSpec, SampleSpec
from dfl_tf.data.heldout import Frame, frames_of
from dfl_tf.data.sample import make_sample
from dfl_tf.disk.left_out import LeftOut
from dfl_tf.face import FaceType, align_matrix
from dfl_tf.jobs.pool import ordered

Image = npt.NDArray[np.float32]

_DIGITS = 16  # of a checksum, in results


@dataclass(frozen=True)
class MeasuredSample:
    """A face that is measured.

    Attributes
    ----------
    name : str
        Its file name; with its person, ``person/name``, where a pak has persons.
    digest : str
        Beginning of the SHA-256 of its file.
    image : ndarray, shape (r, r, 3), float32 in [0, 1], BGR
        At the size and crop of the model.
    mask : ndarray, shape (r, r, 1), float32 in [0, 1]
    landmarks : ndarray, shape (68, 2), float64
        Pixels of `image`.
    follows : bool
        Whether it is of the frame after that of the face before it in its list.
    embedded : bool
        Whether its identity is measured.
    """

    name: str
    digest: str
    image: Image
    mask: Image
    landmarks: npt.NDArray[np.float64]
    follows: bool = False
    embedded: bool = False


@dataclass(frozen=True)
class Choice:
    """Some faces of a faceset in the order of their frames.

    Attributes
    ----------
    indices : tuple of int
    follows : tuple of bool
        Whether the face continues the one before it: the next frame of the same clip, and the only
        face of its frame.
    embedded : tuple of bool
        Whether its identity is measured.
    """

    indices: tuple[int, ...]
    follows: tuple[bool, ...]
    embedded: tuple[bool, ...]

    def __len__(self) -> int:
        return len(self.indices)


def choose(faceset: Faceset, most: int = 0, embedded: int = 0) -> Choice:
    """Choose faces evenly over the clips, in pairs of neighbors where there are some.

    Parameters
    ----------
    faceset : Faceset
    most : int
        Faces at most; 0 = all.
    embedded : int
        Of how many of those, at most, the identity is measured.
    """
    frames = frames_of(faceset.origins())
    order = sorted(range(len(frames)), key=lambda i: (frames[i], faceset.name(i)))
    if most and most < len(order):
        order = _spread_pairs(order, most)
    follows = [False, *_following(order, frames)][: len(order)]
    every = set(_spread(len(order), embedded)) if embedded else set()
    return Choice(
        tuple(order), tuple(follows), tuple(place in every for place in range(len(order)))
    )


def _spread(count: int, most: int) -> list[int]:
    """At most so many places, evenly from the first to the last."""
    return [int(place) for place in np.unique(np.linspace(0, count - 1, most).round())][:most]


def _spread_pairs(order: Sequence[int], most: int) -> list[int]:
    """Neighbors in twos, evenly spread."""
    if most < 2:
        return list(order[:most])
    starts = np.linspace(0, len(order) - 2, most // 2).astype(int)
    places = sorted({int(place) + step for place in starts for step in (0, 1)})
    return [order[place] for place in places]


def _following(order: Sequence[int], frames: Sequence[Frame]) -> Iterator[bool]:
    """Whether a face is the only one of its frame, which is the one after that of the face before.

    Of a frame with several faces nothing says which of them continues which.
    """
    counts: dict[Frame, int] = {}
    for frame in frames:
        counts[frame] = counts.get(frame, 0) + 1
    for first, second in pairwise(order):
        one, other = frames[first], frames[second]
        alone = counts[one] == counts[other] == 1
        yield alone and one.clip == other.clip and other.number == one.number + 1


def load(
    faceset: Faceset,
    choice: Choice,
    resolution: int,
    face_type: FaceType,
    *,
    left_out: LeftOut,
    workers: int | None = None,
) -> Iterator[MeasuredSample]:
    """Load the chosen faces one after the other; those that cannot be read are counted.

    Parameters
    ----------
    faceset : Faceset
    choice : Choice
    resolution : int
        r, that of the model.
    face_type : FaceType
        That of the model.
    left_out : LeftOut
        Gets what cannot be read.
    workers : int, optional
        Threads; by default one a core.
    """
    before = True
    places = range(len(choice))

    def work(place: int) -> MeasuredSample:
        face = faceset[choice.indices[place]]
        return _made(face, resolution, face_type, choice.follows[place], choice.embedded[place])

    for outcome in ordered(work, places, workers=workers or cores()):
        if outcome.error is not None:
            left_out.skip(faceset.name(choice.indices[outcome.item]), outcome.error)
            before = False
            continue
        sample = outcome.get()
        if not before and sample.follows:
            sample = MeasuredSample(**{**vars(sample), "follows": False})
        before = True
        yield sample


def _made(
    face: FaceSample, resolution: int, face_type: FaceType, follows: bool, embedded: bool
) -> MeasuredSample:
    spec = SampleSpec(
        resolution=resolution,
        face_type=face_type,
        outputs={
            "image": OutputSpec(transform=False),
            "mask": OutputSpec(kind="mask", transform=False),
        },
    )
    arrays = make_sample(face, spec, seed=0)
    name = face.name if face.person_name is None else f"{face.person_name}/{face.name}"
    return MeasuredSample(
        name,
        hashlib.sha256(face.bytes()).hexdigest()[:_DIGITS],
        arrays["image"],
        np.clip(arrays["mask"], 0, 1),
        landmarks_at(face, resolution, face_type),
        follows,
        embedded,
    )


def landmarks_at(face: FaceSample, resolution: int, face_type: FaceType) -> npt.NDArray[np.float64]:
    """The landmarks of a face in pixels of the crop that a model of this type and size sees.

    Returns
    -------
    ndarray, shape (68, 2), float64
    """
    if FaceType.MVE_CUSTOM in (face_type, face.face_type) or face_type == face.face_type:
        scale = resolution / np.array([face.shape[1], face.shape[0]], np.float64)
        return (face.landmarks + 0.5) * scale - 0.5
    matrix = align_matrix(face.landmarks, resolution, face_type)
    points = cv2.transform(face.landmarks[None].astype(np.float64), matrix.astype(np.float64))
    return np.asarray(points[0], np.float64)
