"""MediaPipe's face mesh, fitted to a region of a frame until it stays in place."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import cv2
import numpy as np
import numpy.typing as npt

from dfl_tf.errors import ModelFileError
from dfl_tf.extract.found import Image
from dfl_tf.extract.mesh.graph import MeshGraph
from dfl_tf.extract.mesh.table import OUTER_EYE_CORNERS

Floats = npt.NDArray[np.float64]

_POINTS = 468  # of the mesh without irises
_MARGIN = 1.5
_STEADY = 0.08
_FAR_OFF = 0.25
_MOST_RUNS = 4


@dataclass(frozen=True, eq=False)
class MeshRegion:
    """A turned square of a frame.

    Attributes
    ----------
    center : ndarray, shape (2,), float64
        x, y in frame pixels.
    side : float
        Pixels.
    angle : float
        Radians; 0 for an upright face, positive clockwise.
    """

    center: Floats
    side: float
    angle: float

    @classmethod
    def around(cls, corners: Floats, left_eye: Floats, right_eye: Floats) -> MeshRegion:
        """The region of a detected box, turned by the line between the eyes.

        Parameters
        ----------
        corners : ndarray, shape (2, 2), float64
            Top left and bottom right corner as (x, y), in pixels.
        left_eye, right_eye : ndarray, shape (2,), float64
        """
        dx, dy = right_eye - left_eye
        side = _MARGIN * float((corners[1] - corners[0]).max())
        return cls(corners.mean(axis=0), side, math.atan2(dy, dx))

    @classmethod
    def of_mesh(cls, mesh: Floats) -> MeshRegion:
        """The region in which to look for a mesh that was found before.

        Parameters
        ----------
        mesh : ndarray, shape (n, 2), float64
            In pixels of the frame.
        """
        left, right = OUTER_EYE_CORNERS
        dx, dy = mesh[right] - mesh[left]
        angle = math.atan2(dy, dx)
        turn = _rotation(angle)
        upright = mesh[:_POINTS] @ turn  # by -angle
        low, high = upright.min(axis=0), upright.max(axis=0)
        return cls(turn @ ((low + high) / 2), _MARGIN * float((high - low).max()), angle)

    def turned(self, angle: float) -> MeshRegion:
        """The same square, turned by a further angle in radians."""
        return MeshRegion(self.center, self.side, self.angle + angle)

    def change(self, other: MeshRegion) -> float:
        """How far another region is from this one, in parts of the side and radians."""
        turn = math.remainder(other.angle - self.angle, 2 * math.pi)
        moved = float(np.linalg.norm(other.center - self.center)) / self.side
        return moved + abs(other.side / self.side - 1) + abs(turn)

    @property
    def usable(self) -> bool:
        """Whether it is a square with pixels."""
        return bool(np.isfinite(self.center).all()) and 1 <= self.side < 1e6


def _rotation(angle: float) -> Floats:
    return np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])


class FrameViews:
    """A frame, and smaller copies of it from which large regions are cut.

    Parameters
    ----------
    image : ndarray, shape (h, w, 3), uint8
    """

    def __init__(self, image: Image) -> None:
        self.image = image
        self._halved: dict[int, Image] = {0: image}

    def crop(self, region: MeshRegion, side: int) -> tuple[Image, Floats]:
        """Cut out a region at side x side pixels.

        Returns
        -------
        image : ndarray, shape (side, side, 3), uint8
        matrix : ndarray, shape (2, 3), float64
            From frame to crop pixels.
        """
        scale = side / region.side
        turn = scale * _rotation(region.angle).T
        matrix = np.column_stack((turn, side / 2 - turn @ region.center))
        level = max(0, math.floor(math.log2(region.side / side))) if scale < 0.5 else 0
        source = self._at(level)
        factors = np.array(self.image.shape[1::-1]) / np.array(source.shape[1::-1])
        reduced = np.column_stack((matrix[:, :2] * factors, matrix[:, 2]))
        return cv2.warpAffine(source, reduced, (side, side), flags=cv2.INTER_LINEAR), matrix

    def _at(self, level: int) -> Image:
        if level not in self._halved:
            height, width = self.image.shape[:2]
            size = max(1, width >> level), max(1, height >> level)
            self._halved[level] = cv2.resize(self.image, size, interpolation=cv2.INTER_AREA)
        return self._halved[level]


@dataclass(frozen=True, eq=False)
class Mesh:
    """A face mesh in a frame.

    Attributes
    ----------
    points : ndarray, shape (478, 2) or (468, 2), float64
        Frame pixels.
    logit : float
        Of the presence of a face the right way round; no probability: on faces it is 13 to 29.
    """

    points: Floats
    logit: float

    @cached_property
    def corners(self) -> Floats:
        """Top left and bottom right corner of the bounding box; shape (2, 2), float64, pixels."""
        return np.stack((self.points.min(axis=0), self.points.max(axis=0)))


@dataclass(frozen=True, eq=False)
class Fit:
    """A mesh, the region in which to look for it next (if usable), and how far that moved."""

    mesh: Mesh
    region: MeshRegion | None
    change: float


class MeshFitter:
    """Fits the mesh to faces.

    Parameters
    ----------
    graph : MeshGraph
        A network of 478 points (Face Mesh V2) or 468 (its predecessor).

    References
    ----------
    Y. Kartynnik et al., "Real-time Facial Surface Geometry from Monocular Video on Mobile GPUs",
    2019; extract.md 8.4, 8.5.
    """

    def __init__(self, graph: MeshGraph) -> None:
        self._graph = graph
        # what was measured on faces of the right and the wrong way round: extract.md 8.5
        newer = graph.side == 256
        self.accepted, self._doubtful = (10.0, 17.0) if newer else (5.0, 18.0)

    def run(self, views: FrameViews, region: MeshRegion) -> Mesh:
        """Run the network once on a region."""
        image, matrix = views.crop(region, self._graph.side)
        rgb = cv2.cvtColor(image, cv2.COLOR_BGR2RGB).astype(np.float32) / np.float32(255)
        outputs = self._graph.run(rgb)
        points = max(outputs, key=np.size).reshape(-1)
        logits = [output.item() for output in outputs if output.shape == (1, 1, 1, 1)]
        if len(points) % 3 or len(points) < 3 * _POINTS or not logits:
            raise ModelFileError("the landmark network has no mesh of 468 points or no presence")
        mesh = points.reshape(-1, 3)[:, :2].astype(np.float64)
        back = cv2.invertAffineTransform(matrix)
        return Mesh(mesh @ back[:, :2].T + back[:, 2], logits[0])

    def converge(self, views: FrameViews, region: MeshRegion, runs: int = _MOST_RUNS) -> Fit:
        """Run until the region that the mesh gives stays in place, at most `runs` times."""
        for number in range(1, runs + 1):
            mesh = self.run(views, region)
            following = MeshRegion.of_mesh(mesh.points)
            if not following.usable:
                return Fit(mesh, None, np.inf)
            change = region.change(following)
            region = following
            if number >= 2 and change < _STEADY:
                break
        return Fit(mesh, region, change)

    def fit(self, views: FrameViews, region: MeshRegion) -> Mesh | None:
        """Find the face of a region at any orientation; None if there is none.

        A mesh put on the wrong way round looks plausible, but has a lower logit. That tells
        little while the mesh still moves, so such a fit is doubtful, too.
        """
        if not region.usable:
            return None
        best = self.converge(views, region)
        if best.mesh.logit < self._doubtful or best.change >= _STEADY:
            quarters = (region.turned(math.pi / 2 * turns) for turns in (1, 2, 3))
            others = [self.converge(views, quarter, runs=2) for quarter in quarters]
            best = max((best, *others), key=lambda fit: fit.mesh.logit)
            if best.region is not None and best.change >= _FAR_OFF:
                best = self.converge(views, best.region)
        return best.mesh if best.mesh.logit >= self.accepted else None
