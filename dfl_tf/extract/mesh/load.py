"""The open models as a detector and a landmarker."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from dfl_tf.extract.detectors.mesh import MeshDetector
from dfl_tf.extract.landmarkers.mesh import MeshLandmarker
from dfl_tf.extract.mesh.boxes import BoxDetector
from dfl_tf.extract.mesh.fitting import MeshFitter
from dfl_tf.extract.mesh.graph import MeshGraph
from dfl_tf.formats.weights.open_models import (
    FAR,
    MESH,
    NEAR,
    OLDER_MESH,
    ModelFile,
    read_model_file,
)


@dataclass(frozen=True)
class MeshModels:
    """The networks of the open default.

    Attributes
    ----------
    near, far : BoxDetector
    fitter : MeshFitter
    version : str
        Beginning of the SHA-256 of the landmark model.
    """

    near: BoxDetector
    far: BoxDetector
    fitter: MeshFitter
    version: str

    @classmethod
    def load(cls, folder: Path | None = None, *, older: bool = False) -> MeshModels:
        """Load the models that were fetched.

        Parameters
        ----------
        folder : Path, optional
            A folder of the user's own; see `dfl_tf.formats.weights.open_models`.
        older : bool
            Take the mesh of 468 points in place of that of 478.

        Raises
        ------
        UsageError, ModelFileError
        """
        mesh = OLDER_MESH if older else MESH

        def graph(file: ModelFile) -> MeshGraph:
            return MeshGraph(read_model_file(file, folder), what=file.name)

        return cls(
            BoxDetector(graph(NEAR)),
            BoxDetector(graph(FAR)),
            MeshFitter(graph(mesh)),
            mesh.sha256[:16],
        )

    def detector(self, *, tiles: int = 0) -> MeshDetector:
        """The detector; see `MeshDetector`."""
        return MeshDetector(self.near, self.far, self.fitter, tiles=tiles, version=self.version)

    def landmarker(self) -> MeshLandmarker:
        """The landmarker."""
        return MeshLandmarker(self.fitter, version=self.version)
