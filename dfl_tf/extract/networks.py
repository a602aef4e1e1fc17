"""The detector and the landmarker that the options name, loaded from the files that are there."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from dfl_tf_ops.native_output import import_tensorflow

from dfl_tf.errors import UsageError
from dfl_tf.extract.detectors.s3fd import S3FD
from dfl_tf.extract.found import Detector, Landmarker
from dfl_tf.extract.landmarkers.fan import FAN
from dfl_tf.extract.mesh.load import MeshModels
from dfl_tf.face import FaceType
from dfl_tf.formats.weights.open_models import FAR, MESH, NEAR, find_model
from dfl_tf.formats.weights.release_files import HOME_VARIABLE, find_weights
from dfl_tf.options import ExtractOptions

_LOWER = 3.0  # the logit from which on a mesh is a face, for a closer look (extract.md 8.5)


@dataclass(frozen=True)
class ExtractNetworks:
    """What finds faces, and what finds their landmarks."""

    detector: Detector
    landmarker: Landmarker


@dataclass(frozen=True)
class NetworkFiles:
    """Where the files of networks are.

    Attributes
    ----------
    dfl_home : Path or None
        A DeepFaceLab installation; None: the environment variable ``DFL_HOME``.
    models_dir : Path or None
        A folder of the open models; None: where ``--get-models`` puts them.
    """

    dfl_home: Path | None = None
    models_dir: Path | None = None

    @property
    def names_release(self) -> bool:
        """Whether an installation is named."""
        return self.dfl_home is not None or bool(os.environ.get(HOME_VARIABLE))

    def weights(self, name: str) -> Path:
        """Path of a weight file of the legacy program.

        Raises
        ------
        UsageError
            It is not there, or no installation is named.
        """
        path = find_weights(name, self.dfl_home)
        if path is None:
            raise UsageError(
                f"{name} of DeepFaceLab is needed: name the folder of your installation with "
                f"--dfl-home or {HOME_VARIABLE}, or use --detector mesh and --landmarker mesh."
            )
        return path

    @cached_property
    def mesh(self) -> MeshModels:
        """The open models."""
        return MeshModels.load(self.models_dir)

    @property
    def has_mesh(self) -> bool:
        """Whether the open models are there."""
        try:
            return all(find_model(file, self.models_dir) for file in (NEAR, FAR, MESH))
        except UsageError:
            return False


def load_networks(
    options: ExtractOptions,
    files: NetworkFiles | None = None,
    *,
    closer: bool = False,
    say: Callable[[str], object] = lambda text: None,
) -> ExtractNetworks:
    """Load what the options name.

    Parameters
    ----------
    options : ExtractOptions
    files : NetworkFiles, optional
    closer : bool
        Take what finds more, at the price of time and of things that are not faces: the other
        detector where that is there, and lower thresholds.
    say : callable
        Called with a line on what is slow.

    Raises
    ------
    UsageError
        A file is missing, or options contradict each other.
    ModelFileError
        A file is not what it should be.
    """
    files = files or NetworkFiles()
    name = options.detector
    if name == "auto":
        name = "s3fd" if files.names_release else "mesh"
    if closer and name == "s3fd" and files.has_mesh:
        name = "mesh"
    if options.tiles and name != "mesh":
        raise UsageError("tiles works with detector mesh only; add --detector mesh")
    detector: Detector
    if name == "s3fd":
        start_tensorflow()
        say("loading S3FD")
        detector = S3FD.from_file(files.weights("S3FD.npy"))
    else:
        detector = files.mesh.detector(tiles=options.tiles)
        if closer:
            files.mesh.fitter.accepted -= _LOWER
            detector.version += " closer"
    landmarks = options.landmarker
    if landmarks == "auto":
        landmarks = "fan" if name == "s3fd" else "mesh"
    landmarker: Landmarker
    if landmarks == "fan":
        face_type = FaceType.from_name(options.face_type)
        start_tensorflow()
        file = "3DFAN.npy" if face_type >= FaceType.HEAD else "2DFAN.npy"
        say(f"loading {file}")
        landmarker = FAN.from_file(files.weights(file), second_pass=detector)
    else:
        landmarker = files.mesh.landmarker()
    return ExtractNetworks(detector, landmarker)


def start_tensorflow() -> None:
    """Let every worker compute on one core: results do not depend on their number.

    Where TensorFlow has computed something already, its threads stay as they are.
    """
    threading = import_tensorflow().config.threading
    with contextlib.suppress(RuntimeError):
        threading.set_intra_op_parallelism_threads(1)
        threading.set_inter_op_parallelism_threads(1)
