"""Hand-drawn segmentation polygons and the mask that they enclose."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import cv2
import numpy as np
import numpy.typing as npt

from dfl_tf.face.masks import FARTHEST

INCLUDE = 1

Polygon = tuple[int, npt.NDArray[np.float32]]


def ordered_polygons(polygons: Iterable[tuple[int, npt.ArrayLike]]) -> list[Polygon]:
    """Return polygons as (kind, points float32 (n, 2)), includes first, else in their order."""
    result = [
        (int(kind), np.asarray(pts, dtype=np.float32).reshape(-1, 2)) for kind, pts in polygons
    ]
    return sorted(result, key=lambda polygon: polygon[0] != INCLUDE)


def polygon_mask(
    shape: Sequence[int], polygons: Iterable[tuple[int, npt.ArrayLike]]
) -> npt.NDArray[np.float32]:
    """Fill include polygons with 1, then exclude polygons with 0.

    Parameters
    ----------
    shape : sequence of int
        (height, width, …) of the image.
    polygons : iterable of (kind, points)
        Kind 1 includes, 0 excludes; points (n, 2) in pixels, truncated to integers.

    Returns
    -------
    ndarray, shape (height, width, 1), float32, 0 or 1

    References
    ----------
    data.md 1.3.
    """
    mask = np.zeros((shape[0], shape[1]), dtype=np.uint8)
    for kind, points in ordered_polygons(polygons):
        if len(points):
            whole = np.clip(points, -FARTHEST, FARTHEST).astype(np.int32)
            cv2.fillPoly(mask, [whole], 1 if kind == INCLUDE else 0)
    return mask.astype(np.float32)[:, :, None]


def encloses(shape: Sequence[int], polygons: Sequence[tuple[int, npt.ArrayLike]]) -> bool:
    """Whether the polygons, drawn on an image of `shape`, enclose any pixel; see `polygon_mask`."""
    return any(kind == INCLUDE for kind, _ in polygons) and bool(
        polygon_mask(shape, polygons).any()
    )
