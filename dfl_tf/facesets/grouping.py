"""Which faces show the same person: groups by complete linkage of their identity vectors.

In a group no two faces are farther from each other than the threshold, and no two come from one
frame. Complete linkage keeps both promises by itself once faces of one frame are infinitely far
from each other.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
from scipy.cluster.hierarchy import fcluster, linkage
from scipy.spatial.distance import cdist, pdist

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.intp]

EXACT = 10_000
"""Most faces that are compared each with each."""

_NEVER = 1e6  # between faces of one frame; finite, since SciPy refuses infinity
_SAME_FACE = 0.5  # overlap (intersection over union) of two boxes of one frame that are one face
_BLOCK = 2_000


@dataclass(frozen=True)
class Group:
    """Faces of one person.

    Attributes
    ----------
    number : int
        From 1, the largest group first.
    members : list of int
        The most typical face first, then by distance from it.
    distances : list of float
        From the most typical face.
    spread : float
        Largest distance between two of them.
    nearest : int
        The group that is most like it; 0 if there is no other.
    nearest_distance : float
        Between the most typical faces of the two.
    """

    number: int
    members: list[int]
    distances: list[float]
    spread: float
    nearest: int = 0
    nearest_distance: float = float("nan")


@dataclass(frozen=True)
class Grouping:
    """All faces by person.

    Attributes
    ----------
    groups : list of Group
    threshold : float
    sampled : int
        Faces that were compared each with each; the others were assigned. 0 if all were.
    numbers : ndarray, shape (n,), integer dtype `intp`
        Group of each face; 0 for a face without a vector.
    """

    groups: list[Group]
    threshold: float
    sampled: int = 0
    numbers: Ints = field(default_factory=lambda: np.zeros(0, np.intp))

    def notes(self) -> list[str]:
        """What should be known of how they were grouped."""
        if not self.sampled:
            return []
        return [
            f"more than {self.sampled:,} faces: a sample of so many was compared each with each, "
            "the others were assigned to its groups"
        ]


def threshold_of(strictness: float, scale: float) -> float:
    """Largest distance within a group.

    Parameters
    ----------
    strictness : float
        0 (one large group rather than two) to 1 (two groups rather than a wrong face); 0.5 is the
        usual distance.
    scale : float
        The usual distance of the network.
    """
    return scale * (1.5 - strictness)


def group_faces(
    vectors: Floats,
    *,
    threshold: float,
    frames: Sequence[str] = (),
    boxes: Floats | None = None,
    exact: int = EXACT,
) -> Grouping:
    """Group faces by person.

    Parameters
    ----------
    vectors : ndarray, shape (n, k), float64
        NaN for faces that have none; they belong to no group.
    threshold : float
        Largest distance within a group.
    frames : sequence of str
        Frame of each face; empty where it is not known.
    boxes : ndarray, shape (n, 4), float64
        Left, top, right, bottom in the frame. Two faces of one frame whose boxes overlap by half
        are the same face twice and may be in one group.
    exact : int
        With more faces, a sample of so many, evenly spread, is compared each with each; the others
        are assigned to its groups, and what fits into none is grouped in the same way.

    Returns
    -------
    Grouping
    """
    usable = np.flatnonzero(~np.isnan(vectors).any(axis=1))
    rivals = _rivals(usable, frames, boxes)
    clusters: list[list[int]] = []
    left = usable
    while len(left):
        sample, rest = _split(left, exact)
        fresh = _clustered(vectors, sample, rivals, threshold)
        left = _assign(vectors, rest, fresh, rivals, threshold)
        clusters += fresh
    groups = _described(vectors, clusters)
    numbers = np.zeros(len(vectors), np.intp)
    for group in groups:
        numbers[group.members] = group.number
    sampled = exact if len(usable) > exact else 0
    return Grouping(groups, threshold, sampled, numbers)


def _split(faces: Ints, exact: int) -> tuple[Ints, Ints]:
    """An evenly spread sample, and the rest."""
    if len(faces) <= exact:
        return faces, faces[:0]
    chosen = np.zeros(len(faces), bool)
    chosen[np.arange(exact) * len(faces) // exact] = True
    return faces[chosen], faces[~chosen]


def _rivals(faces: Ints, frames: Sequence[str], boxes: Floats | None) -> dict[int, set[int]]:
    """For each face, the others that are of the same frame and certainly another person."""
    of_frame: dict[str, list[int]] = {}
    for i in faces:
        if len(frames) and frames[i]:
            of_frame.setdefault(frames[i], []).append(int(i))
    rivals: dict[int, set[int]] = {}
    for members in of_frame.values():
        for place, a in enumerate(members):
            for b in members[place + 1 :]:
                if boxes is None or not _same_place(boxes[a], boxes[b]):
                    rivals.setdefault(a, set()).add(b)
                    rivals.setdefault(b, set()).add(a)
    return rivals


def _same_place(a: Floats, b: Floats) -> bool:
    corner, far = np.maximum(a[:2], b[:2]), np.minimum(a[2:], b[2:])
    shared = float(np.prod(np.clip(far - corner, 0, None)))
    both = float(np.prod(a[2:] - a[:2]) + np.prod(b[2:] - b[:2])) - shared
    return both > 0 and shared / both >= _SAME_FACE  # False as well where a box is not known


def _clustered(
    vectors: Floats, faces: Ints, rivals: dict[int, set[int]], threshold: float
) -> list[list[int]]:
    n = len(faces)
    if n == 1:
        return [[int(faces[0])]]
    distances = pdist(vectors[faces])
    place = {int(face): i for i, face in enumerate(faces)}
    for face, others in rivals.items():
        a = place.get(face, -1)
        for b in (place.get(other, -1) for other in others):
            if 0 <= a < b:
                distances[n * a - a * (a + 1) // 2 + b - a - 1] = _NEVER
    labels = fcluster(linkage(distances, "complete"), threshold, criterion="distance")
    found: dict[int, list[int]] = {}
    for face, label in zip(faces, labels, strict=True):
        found.setdefault(int(label), []).append(int(face))
    return list(found.values())


def _assign(
    vectors: Floats,
    faces: Ints,
    clusters: list[list[int]],
    rivals: dict[int, set[int]],
    threshold: float,
) -> Ints:
    """Put faces into the clusters that they fit into; return those that fit into none.

    A face fits if it is near enough to all members that the sample gave, and rivals of none; of
    several the one whose farthest member is nearest takes it.
    """
    if not len(faces):
        return faces
    members = np.concatenate([np.array(cluster) for cluster in clusters])
    starts = np.cumsum([0, *(len(cluster) for cluster in clusters[:-1])])
    sets = [set(cluster) for cluster in clusters]
    left = []
    for start in range(0, len(faces), _BLOCK):
        block = faces[start : start + _BLOCK]
        farthest = np.maximum.reduceat(cdist(vectors[block], vectors[members]), starts, axis=1)
        for face, row in zip(block, farthest, strict=True):
            others = rivals.get(int(face), set())
            for number in np.argsort(row, kind="stable"):
                if row[number] > threshold:
                    left.append(face)
                    break
                if not others & sets[number]:
                    clusters[number].append(int(face))
                    sets[number].add(int(face))
                    break
            else:
                left.append(face)
    return np.array(left, np.intp)


def _described(vectors: Floats, clusters: list[list[int]]) -> list[Group]:
    clusters = sorted(clusters, key=lambda members: (-len(members), min(members)))
    groups, typical = [], []
    for number, cluster in enumerate(clusters, start=1):
        members = np.array(sorted(cluster))
        center = vectors[members].mean(axis=0)
        middle = members[np.argmin(np.linalg.norm(vectors[members] - center, axis=1))]
        distances = np.linalg.norm(vectors[members] - vectors[middle], axis=1)
        order = np.argsort(distances, kind="stable")
        typical.append(vectors[middle])
        groups.append(
            Group(
                number,
                [int(i) for i in members[order]],
                [float(d) for d in distances[order]],
                _spread(vectors[members]),
            )
        )
    return _with_neighbors(groups, np.array(typical))


def _spread(vectors: Floats) -> float:
    """Largest distance between two vectors, in blocks of bounded memory."""
    blocks = range(0, len(vectors), _BLOCK)
    return max(float(cdist(vectors[i : i + _BLOCK], vectors).max()) for i in blocks)


def _with_neighbors(groups: list[Group], typical: Floats) -> list[Group]:
    if len(groups) < 2:
        return groups
    found = []
    for start in range(0, len(groups), _BLOCK):
        distances = cdist(typical[start : start + _BLOCK], typical)
        for row, group in zip(distances, groups[start : start + _BLOCK], strict=True):
            row[group.number - 1] = np.inf
            nearest = int(np.argmin(row))
            found.append(
                Group(
                    group.number,
                    group.members,
                    group.distances,
                    group.spread,
                    nearest + 1,
                    float(row[nearest]),
                )
            )
    return found
