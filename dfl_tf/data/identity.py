"""Who a face is: a vector of numbers that lies near those of other images of the same person.

By default dlib's face recognition network looks at the aligned image by its own 68 landmarks; no
detector is needed. Vectors are remembered as a measure, by the content of the file; they are never
stored in faces.

References
----------
Design decision 41. D. E. King, dlib face recognition model v1 (2017, CC0).
"""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from functools import cached_property
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Protocol

import cv2
import numpy as np
import numpy.typing as npt

from dfl_tf.errors import UsageError
from dfl_tf.extras import install_command
from dfl_tf.face.alignment import umeyama
from dfl_tf.formats.weights.open_models import IDENTITY, find_model, read_model_file
from dfl_tf.imaging.image_network import ImageNetwork

if TYPE_CHECKING:
    import dlib

Floats = npt.NDArray[np.float64]
Image = npt.NDArray[np.uint8]

IDENTITY_MEASURE = "identity"
"""Name of the measure where no other network is named."""

USUAL_DISTANCE = 0.6
"""Euclidean distance of dlib's network at which two faces are as likely one person as two."""

_SMALLEST = 256  # dlib rounds landmarks to pixels: smaller images are enlarged first
_ONNX_SIDE = 112
_FIVE_POINTS = np.array(
    [
        (38.2946, 51.6963),
        (73.5318, 51.5014),
        (56.0252, 71.7366),
        (41.5493, 92.3655),
        (70.7299, 92.2041),
    ]
)  # eyes, nose, corners of the mouth in an image of 112 px (J. Deng et al., ArcFace, 2019)


class FaceImage(Protocol):
    """What an embedder is given."""

    @property
    def image(self) -> Image:
        """Shape (h, w, 3), uint8, BGR."""

    @property
    def landmarks(self) -> Floats:
        """In pixels of the image; shape (68, 2), float64."""


class Embedder(ABC):
    """Turns an aligned face into a vector.

    Attributes
    ----------
    name : str
        With the version, for reports.
    key : str
        Names the values in the cache of measures.
    length : int
        Of a vector.
    scale : float
        The Euclidean distance at which two faces are as likely one person as two.
    """

    name: str
    key: str
    length: int
    scale: float

    @abstractmethod
    def vector(self, face: FaceImage) -> Floats:
        """The vector of a face that has landmarks; shape (length,), float64."""

    def ready(self) -> None:  # noqa: B027 - most need nothing
        """Load what is needed; called once, before the first face.

        Raises
        ------
        UsageError
            The measure is not offered here; the text says how to get it.
        """


class DlibEmbedder(Embedder):
    """dlib's face recognition network (128 numbers); runs on one core.

    Parameters
    ----------
    models : Path, optional
        Folder of fetched models; by default the user's.
    """

    name, key, length, scale = "dlib face recognition v1", IDENTITY_MEASURE, 128, USUAL_DISTANCE

    def __init__(self, models: Path | None = None) -> None:
        self._models = models
        self._lock = threading.Lock()

    @cached_property
    def _dlib(self) -> ModuleType:
        try:
            import dlib
        except ImportError:
            raise UsageError(
                "persons cannot be told apart here: dlib is not installed. Get it by "
                f"`{install_command('identity')}` and `dfl-tf extract --get-models identity`, "
                "or name another network with --embedder FILE.onnx."
            ) from None
        return dlib

    @cached_property
    def _network(self) -> dlib.face_recognition_model_v1:
        dlib = self._dlib
        read_model_file(IDENTITY, self._models)  # checked: dlib trusts what it opens
        return dlib.face_recognition_model_v1(str(find_model(IDENTITY, self._models)))

    def ready(self) -> None:
        """Load dlib and its network."""
        with self._lock:
            _ = self._network

    def vector(self, face: FaceImage) -> Floats:
        """The 128 numbers of a face; see `Embedder.vector`."""
        image, landmarks = face.image, face.landmarks
        zoom = -(-_SMALLEST // max(image.shape[:2]))
        if zoom > 1:
            image = cv2.resize(image, None, fx=zoom, fy=zoom, interpolation=cv2.INTER_CUBIC)
            landmarks = (landmarks + 0.5) * zoom - 0.5
        image_rgb = np.ascontiguousarray(image[:, :, ::-1])
        with self._lock:
            dlib = self._dlib
            points = [dlib.point(int(x), int(y)) for x, y in np.rint(landmarks)]
            box = dlib.rectangle(0, 0, image.shape[1] - 1, image.shape[0] - 1)
            found = dlib.full_object_detection(box, points)
            vector = self._network.compute_face_descriptor(image_rgb, found)
        return np.array(vector, np.float64)


class OnnxEmbedder(Embedder):
    """A network of the user's own: RGB images of 112 px, aligned by five points.

    Files that take uint8 get 0 to 255, all others -1 to 1. Vectors are brought to length 1.

    Raises
    ------
    ModelFileError
        The file is no such network.
    """

    scale = 1.15

    def __init__(self, path: Path) -> None:
        self._network = ImageNetwork.open(path, side=_ONNX_SIDE)
        self._lock = threading.Lock()
        self.name = f"{path.name} ({self._network.digest[:12]})"
        self.key = f"identity {self._network.digest[:32]}"
        self.length = self._vector(np.zeros((self._network.side,) * 2 + (3,), np.uint8)).size

    def _vector(self, image: Image) -> Floats:
        given = image[:, :, ::-1].astype(np.float32)
        if self._network.dtype is not np.uint8:
            given = given / 127.5 - 1
        return self._network.run(given[None])[0].reshape(-1).astype(np.float64)

    def vector(self, face: FaceImage) -> Floats:
        """The vector of a face, of Euclidean length 1; see `Embedder.vector`."""
        side = self._network.side
        five = five_points(face.landmarks)
        matrix = umeyama(five, _FIVE_POINTS * (side / _ONNX_SIDE))[:2]
        chip = cv2.warpAffine(face.image, matrix, (side, side), flags=cv2.INTER_AREA)
        with self._lock:
            vector = self._vector(np.asarray(chip, np.uint8))
        return vector / max(float(np.linalg.norm(vector)), 1e-12)


def five_points(landmarks: npt.ArrayLike) -> Floats:
    """Middles of the eyes, tip of the nose, corners of the mouth.

    Parameters
    ----------
    landmarks : array_like, shape (68, 2)

    Returns
    -------
    ndarray, shape (5, 2), float64
    """
    points = np.asarray(landmarks, np.float64)
    eyes = points[36:42].mean(axis=0), points[42:48].mean(axis=0)
    return np.stack([*eyes, points[30], points[48], points[54]])


def make_embedder(onnx: Path | None = None, models: Path | None = None) -> Embedder:
    """The embedder that a command line names: a file of the user's own, or dlib's network."""
    return DlibEmbedder(models) if onnx is None else OnnxEmbedder(onnx)
