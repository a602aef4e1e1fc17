"""The default detector: MediaPipe's detectors propose, the face mesh decides."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import numpy as np
import numpy.typing as npt

from dfl_tf.extract.found import Detection, Image
from dfl_tf.extract.mesh.boxes import BoxDetector, Boxes, drop_overlapping, overlaps
from dfl_tf.extract.mesh.fitting import FrameViews, Mesh, MeshFitter, MeshRegion
from dfl_tf.extract.mesh.table import landmarks_of

Floats = npt.NDArray[np.float64]

TILES = (2, 4, 8)
"""How finely a frame without a face is divided, one after the other."""

_PROPOSED = 0.5  # score of a candidate
_LOOKED_AGAIN = 0.3
_SURROUNDINGS = 2.5  # side of the square around a candidate, in sides of its box
_SAME_FACE = 0.4  # overlap of two meshes
_TILE_OVERLAP = 1.25
_SMALLEST_TILE = 160


class MeshDetector:
    """Finds faces, and their 68 landmarks on the way.

    Parameters
    ----------
    near, far : BoxDetector
        For large and for small faces; `near` also looks at candidates a second time.
    fitter : MeshFitter
    tiles : int
        Divide every frame this finely from the start; 0 = look at the whole frame.
    version : str
        Which models these are.

    References
    ----------
    extract.md 8.5.
    """

    name = "mesh"

    def __init__(
        self,
        near: BoxDetector,
        far: BoxDetector,
        fitter: MeshFitter,
        *,
        tiles: int = 0,
        version: str = "",
    ) -> None:
        self._near, self._far, self._fitter = near, far, fitter
        self._tiles = tiles
        self.version = version

    def detect(self, image: Image) -> list[Detection]:
        """Find the faces of an image (h, w, 3) uint8 BGR, the largest first."""
        if self._tiles:
            return self._faces(image, self._in_tiles(image, self._tiles))
        return self._faces(image, self._both(image))

    def search(self, image: Image) -> list[Detection]:
        """Look at parts of an image, finer and finer; see `Detector.search`."""
        for tiles in TILES:
            found = self._faces(image, self._in_tiles(image, tiles))
            if found:
                return found
        return []

    def _both(self, image: Image) -> list[Boxes]:
        return [detector.find(image, _PROPOSED) for detector in (self._near, self._far)]

    def _in_tiles(self, image: Image, tiles: int) -> list[Boxes]:
        height, width = image.shape[:2]
        side = max(math.ceil(_TILE_OVERLAP * max(height, width) / tiles), _SMALLEST_TILE)
        found = []
        for top in _starts(height, side):
            for left in _starts(width, side):
                for boxes in self._both(image[top : top + side, left : left + side]):
                    found.append(Boxes(boxes.points + np.array((left, top)), boxes.scores))
        return found

    def _faces(self, image: Image, proposals: Sequence[Boxes]) -> list[Detection]:
        points = np.concatenate([boxes.points for boxes in proposals])
        scores = np.concatenate([boxes.scores for boxes in proposals])
        views = FrameViews(image)
        meshes = []
        for candidate in drop_overlapping(Boxes(points, scores)).points:
            box = self._closer(image, candidate)
            mesh = self._fitter.fit(views, MeshRegion.around(box[:2], box[2], box[3]))
            if mesh is not None:
                meshes.append(mesh)
        faces = [_detection(mesh) for mesh in distinct(meshes)]
        return sorted(faces, key=lambda face: face.area, reverse=True)

    def _closer(self, image: Image, candidate: Floats) -> Floats:
        """The box and key points (8, 2) of a candidate after a look from nearer.

        Without it small faces in large frames come out 6 to 15 % off.
        """
        corners = candidate[:2]
        reach = float((corners[1] - corners[0]).max())
        center = corners.mean(axis=0)
        side = max(1, round(_SURROUNDINGS * reach))
        start = np.rint(center - side / 2).astype(int)
        found = self._near.find(_cut(image, start, side), _LOOKED_AGAIN)
        for box in found.points + start:  # best first
            if np.linalg.norm(box[:2].mean(axis=0) - center) <= reach / 2:
                return box
        return candidate


def _starts(length: int, side: int) -> list[int]:
    """Where tiles begin on an axis: evenly, `side` long, overlapping."""
    count = math.ceil(_TILE_OVERLAP * length / side)
    last = max(length - side, 0)
    return sorted({round(last * i / max(count - 1, 1)) for i in range(count)})


def _cut(image: Image, start: npt.NDArray[np.int64], side: int) -> Image:
    """A square of a frame, black outside of it."""
    square = np.zeros((side, side, 3), np.uint8)
    low = np.maximum(start, 0)
    high = np.minimum(start + side, image.shape[1::-1])
    if (high > low).all():
        to, until = low - start, high - start
        square[to[1] : until[1], to[0] : until[0]] = image[low[1] : high[1], low[0] : high[0]]
    return square


def distinct(meshes: Iterable[Mesh]) -> list[Mesh]:
    """Meshes of different faces: the better one where two overlap."""
    kept: list[Mesh] = []
    for mesh in sorted(meshes, key=lambda found: found.logit, reverse=True):
        others = np.array([other.corners for other in kept]).reshape(-1, 2, 2)
        if not (overlaps(mesh.corners, others) > _SAME_FACE).any():
            kept.append(mesh)
    return kept


def _detection(mesh: Mesh) -> Detection:
    (left, top), (right, bottom) = np.trunc(mesh.corners).tolist()
    return Detection((left, top, right, bottom), mesh.logit, landmarks=landmarks_of(mesh.points))
