"""Polygons around an applied mask, as a beginning of a label."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
import numpy.typing as npt

from dfl_tf.face.polygons import INCLUDE, Polygon, ordered_polygons

_COARSE = 1 / 256
"""How far a polygon may be from the edge of the mask, as a part of the image's side."""
_SMALLEST = 1 / 2000
"""Spots and holes that are a smaller part of the image are left out."""


def mask_outline(mask: npt.NDArray[np.float32], shape: Sequence[int]) -> list[Polygon]:
    """Enclose a mask by polygons: outer edges include, the edges of holes exclude.

    Parameters
    ----------
    mask : ndarray, shape (h, w, 1), float32, [0, 1]
        At any size; from 0.5 on a pixel counts.
    shape : sequence of int
        (height, width, …) of the image.

    Returns
    -------
    list of (int, ndarray)
        Kind and points, shape (n, 2), float32, in pixels of the image: in the middle of pixels.
        Largest first within a kind; none where the mask is empty.

    Notes
    -----
    Exclude polygons are painted last, so a spot inside of a hole cannot be described: it is lost.
    """
    height, width = shape[0], shape[1]
    resized = cv2.resize(mask[:, :, 0], (width, height), interpolation=cv2.INTER_CUBIC)
    inside = (resized >= 0.5).astype(np.uint8)
    outlines, levels = cv2.findContours(inside, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
    found = []
    for number, outline in enumerate(outlines):
        area = cv2.contourArea(outline)
        if area < _SMALLEST * height * width:
            continue
        points = cv2.approxPolyDP(outline, _COARSE * max(height, width), True)[:, 0]
        if len(points) >= 3:
            is_hole = levels[0][number][3] >= 0
            centers = points.astype(np.float32) + np.float32(0.5)
            found.append((area, 1 - INCLUDE if is_hole else INCLUDE, centers))
    found.sort(key=lambda each: -each[0])
    return ordered_polygons((kind, points) for _, kind, points in found)
