"""What detectors and landmarkers find, and what they must offer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

Image = npt.NDArray[np.uint8]
Points = npt.NDArray[np.float64]
Box = tuple[float, float, float, float]
"""Left, top, right, bottom in pixels; may reach beyond the image."""


@dataclass(frozen=True, eq=False)
class Detection:
    """A face that a detector found.

    Attributes
    ----------
    box : tuple of float
        Left, top, right, bottom in pixels of the image.
    score : float
        How sure the detector is; the scale is the detector's own.
    points : ndarray, shape (k, 2), float64, or None
        Key points such as eyes and nose, where the detector gives any.
    landmarks : ndarray, shape (68, 2), float64, or None
        Where the detector finds them on the way.
    """

    box: Box
    score: float
    points: Points | None = None
    landmarks: Points | None = None

    @property
    def area(self) -> float:
        """Width times height of the box."""
        left, top, right, bottom = self.box
        return (right - left) * (bottom - top)


@dataclass(frozen=True, eq=False)
class Landmarks:
    """The 68 landmarks of a face.

    Attributes
    ----------
    points : ndarray, shape (68, 2), float64
        In pixels of the image, in the order of iBUG 300-W.
    score : float
        How sure the landmarker is; the scale is the landmarker's own.
    """

    points: Points
    score: float = 1.0


class Detector(Protocol):
    """Finds faces in an image.

    Attributes
    ----------
    name, version : str
        Stored with an extraction, so that faces of different detectors are not mixed unnoticed.
    """

    name: str
    version: str

    def detect(self, image: Image) -> list[Detection]:
        """Find faces in an image of shape (h, w, 3), uint8, BGR, the largest first."""

    def search(self, image: Image) -> list[Detection]:
        """Look more closely at an image in which `detect` found nothing at any orientation.

        Takes and gives what `detect` does: an image of shape (h, w, 3), uint8, BGR.
        """


class Landmarker(Protocol):
    """Finds the 68 landmarks of faces that a detector found.

    Attributes
    ----------
    name, version : str
    """

    name: str
    version: str

    def find(self, image: Image, detections: Sequence[Detection]) -> list[Landmarks | None]:
        """Find landmarks in an image, shape (h, w, 3), uint8 BGR; None where there is no face."""


class LandmarksFailedError(ValueError):
    """A box in which no landmarks can be found, such as one of no size."""
