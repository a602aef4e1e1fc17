"""The default landmarker: the 68 landmarks as points of a face mesh."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from dfl_tf.extract.found import Detection, Image, Landmarks
from dfl_tf.extract.mesh.fitting import FrameViews, MeshFitter, MeshRegion
from dfl_tf.extract.mesh.table import landmarks_of


class MeshLandmarker:
    """Takes the landmarks that the detector brought, or fits a mesh to its box.

    Parameters
    ----------
    fitter : MeshFitter
    version : str
        Which model this is.
    """

    name = "mesh"

    def __init__(self, fitter: MeshFitter, *, version: str = "") -> None:
        self._fitter = fitter
        self.version = version

    def find(self, image: Image, detections: Sequence[Detection]) -> list[Landmarks | None]:
        """Find landmarks in an image (h, w, 3) uint8 BGR; None where a box holds no face."""
        views = FrameViews(image)
        return [self._one(views, face) for face in detections]

    def _one(self, views: FrameViews, face: Detection) -> Landmarks | None:
        if face.landmarks is not None:
            return Landmarks(face.landmarks, face.score)
        corners = np.array(face.box, dtype=np.float64).reshape(2, 2)
        mesh = self._fitter.fit(
            views, MeshRegion.around(corners, *np.array([(0.0, 0.0), (1.0, 0.0)]))
        )
        return None if mesh is None else Landmarks(landmarks_of(mesh.points), mesh.logit)
