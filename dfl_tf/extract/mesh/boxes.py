"""MediaPipe's face detectors: boxes and six key points."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from dfl_tf.errors import ModelFileError
from dfl_tf.extract.found import Image
from dfl_tf.extract.mesh.graph import MeshGraph

Floats = npt.NDArray[np.float64]

_OVERLAP = 0.3
# Stride of the cells and anchors in each, by the side of the input image.
_GRIDS = {256: ((16, 2), (32, 6)), 192: ((4, 1),), 128: ((8, 2), (16, 6))}


@dataclass(frozen=True, eq=False)
class Boxes:
    """Faces that a detector found, best first.

    Attributes
    ----------
    points : ndarray, shape (n, 8, 2), float64
        Top-left and bottom-right corner of the box, then the key points: eye on the left of the
        image, eye on its right, nose, mouth, two ears; in frame pixels.
    scores : ndarray, shape (n,), float64, in [0, 1]
    """

    points: Floats
    scores: Floats

    def __len__(self) -> int:
        return len(self.scores)


def anchors(side: int) -> Floats:
    """Centers of the cells in which the detector of an input size looks.

    Returns
    -------
    ndarray, shape (n, 2), float64 in [0, 1]
        x and y in parts of the input's side.

    Raises
    ------
    ModelFileError
        There is no detector of this input size.
    """
    if side not in _GRIDS:
        raise ModelFileError(f"no face detector with an input of {side}x{side} pixels is known")
    parts = []
    for stride, count in _GRIDS[side]:
        centers = (np.arange(side // stride) + 0.5) / (side // stride)
        y, x = np.meshgrid(centers, centers, indexing="ij")
        parts.append(np.repeat(np.stack((x.ravel(), y.ravel()), axis=1), count, axis=0))
    return np.concatenate(parts)


class BoxDetector:
    """Finds faces of any orientation; the eye points of turned faces are often wrong.

    References
    ----------
    V. Bazarevsky et al., "BlazeFace: Sub-millisecond Neural Face Detection on Mobile GPUs", 2019;
    extract.md 8.3.
    """

    def __init__(self, graph: MeshGraph) -> None:
        self._graph = graph
        self._anchors = anchors(graph.side)

    def find(self, image: Image, threshold: float) -> Boxes:
        """Find faces in an image (h, w, 3) uint8 BGR with a score of at least `threshold`."""
        square, scale, offset = _framed(image, self._graph.side)
        rgb = cv2.cvtColor(square, cv2.COLOR_BGR2RGB).astype(np.float32)
        outputs = self._graph.run(rgb / np.float32(127.5) - np.float32(1))
        by_width = {output.shape[-1]: output[0].astype(np.float64) for output in outputs}
        found = self._decode(by_width[16], by_width[1][:, 0], threshold)
        return Boxes((found.points * self._graph.side - offset) / scale, found.scores)

    def _decode(self, values: Floats, raw: Floats, threshold: float) -> Boxes:
        scores = 1 / (1 + np.exp(-np.clip(raw, -100, 100)))
        pairs = values.reshape(len(values), 8, 2) / self._graph.side
        size = pairs[:, 1]
        keep = (scores >= threshold) & (size > 0).all(axis=1)
        pairs, size, places = pairs[keep], size[keep], self._anchors[keep]
        center = pairs[:, 0] + places
        corners = (center - size / 2, center + size / 2)
        points = np.stack((*corners, *(pairs[:, j] + places for j in range(2, 8))), axis=1)
        return merge_boxes(Boxes(points, scores[keep]))


def _framed(image: Image, side: int) -> tuple[Image, float, Floats]:
    """Fit an image into a black square; the factor and the offset of its pixels."""
    height, width = image.shape[:2]
    scale = side / max(height, width)
    new_size = max(1, round(width * scale)), max(1, round(height * scale))
    # area averaging from a half downwards: what the golden of the larger detector was made with
    method = cv2.INTER_AREA if scale < 0.5 else cv2.INTER_LINEAR_EXACT
    left, top = (side - new_size[0]) // 2, (side - new_size[1]) // 2
    square = np.zeros((side, side, 3), np.uint8)
    square[top : top + new_size[1], left : left + new_size[0]] = cv2.resize(
        image, new_size, interpolation=method
    )
    return square, scale, np.array((left, top), dtype=np.float64)


def overlaps(corners: Floats, others: Floats) -> Floats:
    """Intersection over union of one box with others.

    Parameters
    ----------
    corners : ndarray, shape (2, 2), float64
        Top left and bottom right corner as (x, y), in pixels.
    others : ndarray, shape (n, 2, 2), float64

    Returns
    -------
    ndarray, shape (n,), float64 in [0, 1]
    """
    start, end = np.maximum(corners[0], others[:, 0]), np.minimum(corners[1], others[:, 1])
    common = np.maximum(end - start, 0).prod(axis=1)
    area = (corners[1] - corners[0]).prod()
    union = area + (others[:, 1] - others[:, 0]).prod(axis=1) - common
    return common / np.where(union > 0, union, 1)


def merge_boxes(boxes: Boxes) -> Boxes:
    """Replace boxes that overlap by their mean, weighted by the scores."""
    order = np.argsort(-boxes.scores, kind="stable")
    points, scores = [], []
    while len(order):
        near = overlaps(boxes.points[order[0], :2], boxes.points[order, :2]) > _OVERLAP
        near[0] = True
        members = order[near]
        weights = boxes.scores[members]
        points.append((boxes.points[members] * weights[:, None, None]).sum(0) / weights.sum())
        scores.append(boxes.scores[order[0]])
        order = order[~near]
    return Boxes(np.array(points).reshape(-1, 8, 2), np.array(scores))


def drop_overlapping(boxes: Boxes, overlap: float = _OVERLAP) -> Boxes:
    """Drop boxes that overlap a better one."""
    order = np.argsort(-boxes.scores, kind="stable")
    kept = []
    while len(order):
        kept.append(order[0])
        near = overlaps(boxes.points[order[0], :2], boxes.points[order[1:], :2]) > overlap
        order = order[1:][~near]
    return Boxes(boxes.points[kept].reshape(-1, 8, 2), boxes.scores[kept])
