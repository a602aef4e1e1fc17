"""Polygons drawn by hand, on one face of a folder: written only to the file they were drawn on."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from dfl_tf.disk.checksums import Rewriting, digest
from dfl_tf.disk.folder_lock import only_writer
from dfl_tf.errors import FacesetError
from dfl_tf.face import ordered_polygons
from dfl_tf.face.masks import FARTHEST
from dfl_tf.face.polygons import Polygon
from dfl_tf.facesets.face_file import read_face_file, rewrite_face_file
from dfl_tf.facesets.xseg_store import image_digest
from dfl_tf.formats import FaceMetadata

FEWEST_POINTS = 3
"""A polygon with fewer encloses nothing, and is not stored."""


class ChangedFaceError(FacesetError):
    """The file is not the one that was drawn on; nothing was written."""


def usable_polygons(given: Sequence[tuple[int, npt.ArrayLike]]) -> list[Polygon]:
    """Polygons that can be stored, includes first.

    Parameters
    ----------
    given : sequence of (int, array_like)
        Kind (1 includes, 0 excludes) and points, shape (n, 2), in pixels of the image.

    Returns
    -------
    list of (int, ndarray)
        Points of shape (n, 2), float32.

    Raises
    ------
    ValueError
        A kind is another, a polygon has fewer than three points, or a point is not two finite
        numbers or lies too far away.
    """
    for number, (kind, points) in enumerate(given, 1):
        array = np.asarray(points, np.float64)
        if kind not in (0, 1):
            raise ValueError(f"polygon {number} is of kind {kind}; 1 includes, 0 excludes")
        if array.ndim != 2 or array.shape[1] != 2 or len(array) < FEWEST_POINTS:
            raise ValueError(
                f"polygon {number} has the shape {array.shape}; a polygon has at least "
                f"{FEWEST_POINTS} points (x, y)"
            )
        if not np.abs(array).max() <= FARTHEST:  # nor NaN
            raise ValueError(f"polygon {number} has a point more than {FARTHEST} pixels away")
    return ordered_polygons(given)


def same_polygons(one: Sequence[Polygon], other: Sequence[Polygon]) -> bool:
    """Whether two labels are the same, point by point; what cannot enclose anything is ignored.

    Parameters
    ----------
    one, other : sequence of (int, ndarray)
        Kind and points, shape (n, 2), float32, in any order of the kinds.
    """
    first, second = (
        [(kind, points) for kind, points in ordered_polygons(each) if len(points) >= FEWEST_POINTS]
        for each in (one, other)
    )
    return len(first) == len(second) and all(
        a == b and np.array_equal(p, q) for (a, p), (b, q) in zip(first, second, strict=True)
    )


def write_label(path: Path, polygons: Sequence[Polygon], *, drawn_on: str, image: str) -> str:
    """Put polygons in the place of those of a face, if it is the file that they were drawn on.

    Parameters
    ----------
    path : Path
        A JPEG with face metadata.
    polygons : sequence of (int, ndarray)
        From `usable_polygons`: points of shape (n, 2), float32. None removes the label.
    drawn_on : str
        SHA-256 of the file that was drawn on, in hex.
    image : str
        Its `image_digest`. If the file holds this image with these polygons already, an earlier
        answer was lost, and all is well.

    Returns
    -------
    str
        SHA-256 of the file as it is now.

    Raises
    ------
    ChangedFaceError
        The file was changed, replaced, renamed or removed meanwhile.
    FacesetError, WorkspaceError
        It cannot be read or written, or the polygons do not fit into it. It is untouched.
    """
    with Rewriting(path.parent) as sums, only_writer(path.parent):
        metadata, old = _unchanged(path, drawn_on, image, polygons)
        if same_polygons(metadata.seg_ie_polys, polygons):
            return digest(old)
        changed = replace(metadata, seg_ie_polys=list(polygons))
        return digest(rewrite_face_file(path, changed, old=old, sums=sums))


def _unchanged(
    path: Path, drawn_on: str, image: str, polygons: Sequence[Polygon]
) -> tuple[FaceMetadata, bytes]:
    """The file that was drawn on, or the same with these polygons already."""
    if not os.path.lexists(path):
        raise ChangedFaceError(
            f"{path.name} no longer exists: it was renamed, sorted, filtered or removed "
            "since it was drawn on. Nothing was written."
        )
    metadata, old = read_face_file(path)
    same_image = image_digest(old) == image
    same = same_image and same_polygons(metadata.seg_ie_polys, polygons)
    if not same and digest(old) != drawn_on:
        what = "changed" if same_image else "replaced by another image"
        raise ChangedFaceError(
            f"{path.name}: was {what} since it was drawn on (another window, or a command such "
            "as apply, sort or extract). Nothing was written."
        )
    return metadata, old
