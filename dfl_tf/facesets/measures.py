"""What can be measured of an aligned face; one function a measure, one table of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import cv2
import numpy as np
import numpy.typing as npt
from dfl_tf_ops.canny import canny
from dfl_tf_ops.sharpness import BLOCK, sharpness

from dfl_tf.data.identity import Embedder
from dfl_tf.face import estimate_pitch_yaw_roll, hull_mask
from dfl_tf.formats import FaceMetadata

Image = npt.NDArray[np.uint8]
_THUMB = 16

Value = float | npt.NDArray[np.float64]


@dataclass(frozen=True)
class MeasuredFace:
    """An aligned face as the measures see it.

    Attributes
    ----------
    image : ndarray, shape (h, w, 3), uint8, BGR
    metadata : FaceMetadata or None
        None for an image that is not a DFL image.
    """

    image: Image
    metadata: FaceMetadata | None

    @property
    def known(self) -> FaceMetadata:
        """The metadata of a measure that needs it."""
        assert self.metadata is not None
        return self.metadata

    @property
    def landmarks(self) -> npt.NDArray[np.float64]:
        """In pixels of the image; shape (68, 2), float64."""
        return self.known.landmarks

    @cached_property
    def hull(self) -> npt.NDArray[np.float32]:
        """The face by its landmarks without stored eyebrows; shape (h, w, 1), float32, 0 or 1."""
        return hull_mask(self.image.shape, self.known.landmarks)

    @cached_property
    def masked(self) -> Image:
        """The image, shape (h, w, 3), uint8 BGR, black outside of the face if there is metadata."""
        if self.metadata is None:
            return self.image
        return self.image * (self.hull != 0)  # of 8 bits: the mask is 0 or 1

    @cached_property
    def gray(self) -> Image:
        """The whole image in gray, shape (h, w), uint8."""
        return cv2.cvtColor(self.image, cv2.COLOR_BGR2GRAY)

    @cached_property
    def pose(self) -> tuple[float, float, float]:
        """Pitch, yaw and roll in radians."""
        return estimate_pitch_yaw_roll(self.known.landmarks, self.image.shape[1])

    @cached_property
    def hsv(self) -> Image:
        """Hue (0 to 179), saturation and value (0 to 255) of the image; shape (h, w, 3), uint8."""
        return cv2.cvtColor(self.image, cv2.COLOR_BGR2HSV)


def _sharpness_of(gray: Image) -> float:
    return sharpness(gray, canny(gray)) if min(gray.shape) >= BLOCK else 0.0


def blur(face: MeasuredFace) -> float:
    """Sharpness of the face, 0 (blurred) to 1."""
    return _sharpness_of(cv2.cvtColor(face.masked, cv2.COLOR_BGR2GRAY))


def gray_sharpness(face: MeasuredFace) -> float:
    """Sharpness of the face, turned to gray before it is masked (as `final` wants it)."""
    return _sharpness_of(face.gray * (face.hull[:, :, 0] != 0))


def motion_blur(face: MeasuredFace) -> float:
    """Variance of the Laplacian over the face; smaller with blur in any direction."""
    return float(cv2.Laplacian(face.masked, cv2.CV_64F, ksize=11).var())


def yaw(face: MeasuredFace) -> float:
    """Yaw in radians."""
    return face.pose[1]


def pitch(face: MeasuredFace) -> float:
    """Pitch in radians."""
    return face.pose[0]


def source_rect_size(face: MeasuredFace) -> float:
    """Area of the face's box in its frame, in square pixels; 0 where none is stored."""
    if face.known.source_rect is None:
        return 0.0
    left, top, right, bottom = np.array(face.known.source_rect, dtype=np.float32)
    x = np.array([left, left, right, right])
    y = np.array([top, bottom, bottom, top])
    doubled = np.dot(x, np.roll(y, 1)) - np.dot(y, np.roll(x, 1))
    return float(0.5 * np.abs(doubled))


def source_box(face: MeasuredFace) -> npt.NDArray[np.float64]:
    """Left, top, right, bottom of the face in its frame, in pixels; NaN where none is stored.

    Returns
    -------
    ndarray, shape (4,), float64
    """
    if face.known.source_rect is None:
        return np.full(4, np.nan)
    return np.array(face.known.source_rect, np.float64)


def brightness(face: MeasuredFace) -> float:
    """Mean of the HSV value, 0 to 255."""
    return float(face.hsv[:, :, 2].mean())


def face_color(face: MeasuredFace) -> npt.NDArray[np.float64]:
    """Mean blue, green and red of the face by its landmarks, 0 to 255; shape (3,), float64."""
    inside = face.hull[:, :, 0] > 0
    pixels = face.image[inside] if inside.any() else face.image.reshape(-1, 3)
    return pixels.mean(axis=0, dtype=np.float64)


def hue(face: MeasuredFace) -> float:
    """Mean of the hue, 0 to 179, as if it were no circle (kept for compatibility)."""
    return float(face.hsv[:, :, 0].mean())


def black(face: MeasuredFace) -> float:
    """Number of channel values that are 0."""
    return float(face.image.size - np.count_nonzero(face.image))


def _histogram(image: Image, channel: int) -> npt.NDArray[np.float64]:
    return cv2.calcHist([image], [channel], None, [256], [0, 256]).reshape(256).astype(np.float64)


def color_histogram(face: MeasuredFace) -> npt.NDArray[np.float64]:
    """Counts of the 256 values of B, G and R; shape (768,), float64."""
    return np.concatenate([_histogram(face.image, channel) for channel in range(3)])


def gray_histogram(face: MeasuredFace) -> npt.NDArray[np.float64]:
    """Counts of the 256 gray values of the whole image; shape (256,), float64."""
    return _histogram(face.gray, 0)


def masked_histogram(face: MeasuredFace) -> npt.NDArray[np.float64]:
    """Counts of the 256 gray values of the face, black outside; shape (256,), float64."""
    return _histogram(cv2.cvtColor(face.masked, cv2.COLOR_BGR2GRAY), 0)


def thumbnail(face: MeasuredFace) -> npt.NDArray[np.float64]:
    """The image reduced to 16x16 pixels, B, G and R in [0, 255]; shape (768,), float64."""
    small = cv2.resize(
        face.image.astype(np.float32), (_THUMB, _THUMB), interpolation=cv2.INTER_AREA
    )
    return small.reshape(-1).astype(np.float64)


def _nothing_to_load() -> None:
    pass


@dataclass(frozen=True)
class Measure:
    """One measure.

    Attributes
    ----------
    name : str
    compute : callable
        Takes a `MeasuredFace`; a number, or a vector of `length` numbers.
    needs_metadata : bool
        Whether an image without metadata has no value.
    length : int
        0 for a number.
    version : int
        Raised when the result changes, so that remembered values are computed again.
    ready : callable
        Called once before faces are measured; says what is missing for it.
    """

    name: str
    compute: Callable[[MeasuredFace], Value]
    needs_metadata: bool = True
    length: int = 0
    version: int = 1
    ready: Callable[[], object] = _nothing_to_load


def identity_measure(embedder: Embedder) -> Measure:
    """Who a face is, as a measure: the vector of an embedder."""
    return Measure(embedder.key, embedder.vector, length=embedder.length, ready=embedder.ready)


MEASURES = {
    measure.name: measure
    for measure in (
        Measure("blur", blur),
        Measure("gray_sharpness", gray_sharpness),
        Measure("motion_blur", motion_blur),
        Measure("yaw", yaw),
        Measure("pitch", pitch),
        Measure("source_rect_size", source_rect_size),
        Measure("source_box", source_box, length=4),
        Measure("brightness", brightness, needs_metadata=False),
        Measure("face_color", face_color, length=3),
        Measure("hue", hue, needs_metadata=False),
        Measure("black", black, needs_metadata=False),
        Measure("thumbnail", thumbnail, needs_metadata=False, length=3 * _THUMB**2),
        Measure("color_histogram", color_histogram, needs_metadata=False, length=768),
        Measure("gray_histogram", gray_histogram, needs_metadata=False, length=256),
        Measure("masked_histogram", masked_histogram, needs_metadata=False, length=256),
    )
}
