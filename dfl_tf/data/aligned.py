"""The image and the masks of a face in the crop that a model is trained on."""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import cached_property
from typing import TYPE_CHECKING

import cv2
import numpy as np
import numpy.typing as npt

from dfl_tf.data.cache import ArrayCache
from dfl_tf.data.faceset import FaceSample
from dfl_tf.data.spec import MaskKind, SampleSpec
from dfl_tf.face import (
    FaceType,
    align_matrix,
    eyes_mask,
    eyes_mouth_mask,
    face_masks,
    hull_mask,
)
from dfl_tf.imaging import to_float
from dfl_tf.imaging.filters import resize_to

if TYPE_CHECKING:
    from dfl_tf_ops.packed import Packed

Array = npt.NDArray[np.float32]


class _Room(threading.local):
    """Images of the working thread at the size of a face, reused: fresh memory costs time."""

    shape: tuple[int, ...] = ()

    def take(self, shape: tuple[int, ...]) -> tuple[Array, Array, Array]:
        """Return an image and two masks, not set."""
        if self.shape != shape:
            self.image = np.empty(shape, np.float32)
            self.masks = np.empty((2, *shape[:2], 1), np.float32)
            self.shape = shape
        return self.image, self.masks[0], self.masks[1]


_room = _Room()


class TrainingCrop:
    """A face in the crop of a spec; what is not in the cache is made once.

    Parameters
    ----------
    sample : FaceSample
    spec : SampleSpec
    cache : ArrayCache
    at_once : bool
        Whether the image and the masks of a face that is not in the cache are made in as few calls
        as possible, by kernels (`face.face_masks`); the outcome is the same.

    Attributes
    ----------
    found : bool
        Whether all that was asked for was in the cache.
    """

    def __init__(
        self, sample: FaceSample, spec: SampleSpec, cache: ArrayCache, *, at_once: bool
    ) -> None:
        self._sample, self._spec, self._cache, self._at_once = sample, spec, cache, at_once
        self.found = True
        self._decoded: Array | None = None
        self._drawn: dict[MaskKind, Array] = {}

    @cached_property
    def _matrix(self) -> npt.NDArray[np.float64]:
        return align_matrix(self._sample.landmarks, self._spec.resolution, self._spec.face_type)

    def image(self, replicate: bool) -> Array | Packed:
        """Return the image, shape (resolution, resolution, 3), float32, perhaps packed.

        It is not to be written to.
        """
        key = self._key("image", replicate)
        kept = self._cache.kept(key)
        if kept is not None:
            return kept
        if self._decoded is None:
            self._look()
        assert self._decoded is not None
        image = self._aligned(self._decoded, cv2.INTER_CUBIC, replicate)
        # Resized, they are no bytes any more.
        as_stored = image.shape == self._sample.shape
        return self._made(key, image, packs=as_stored)

    def mask(self, kind: MaskKind) -> Array | Packed:
        """Return a mask, shape (resolution, resolution, 1), float32, perhaps packed.

        It is not to be written to.
        """
        key = self._key(kind)
        kept = self._cache.kept(key)
        if kept is not None:
            return kept
        if kind not in self._drawn:
            self._look()
        if kind not in self._drawn:
            self._drawn[kind] = draw_mask(self._sample, kind, full=self._drawn.get("full"))
        return self._made(key, self._aligned(self._drawn[kind], cv2.INTER_LINEAR, False))

    def _made(self, key: tuple[object, ...], array: Array, *, packs: bool = True) -> Array:
        self.found = False
        self._cache.put(key, array, packs=packs)
        return array

    def _key(self, *what: object) -> tuple[object, ...]:
        return (self._sample.key, self._spec.resolution, self._spec.face_type, *what)

    def _aligned(self, image: Array, interpolation: int, replicate: bool) -> Array:
        aligned = align(
            image,
            self._sample,
            self._spec.resolution,
            self._spec.face_type,
            interpolation=interpolation,
            replicate=replicate,
            matrix=lambda: self._matrix,
        )
        return aligned.copy() if aligned is image and self._at_once else aligned

    def _look(self) -> None:
        """Decode the image and draw the masks that the cache has not."""
        sample, spec = self._sample, self._spec
        missing = any(self._key("image", way) not in self._cache for way in spec.borders)
        if not self._at_once:
            if missing and self._decoded is None:
                self._decoded = sample.image()
            return
        kinds = spec.drawn_masks & {"full", "eyes_mouth"}
        wanted = {kind for kind in kinds if self._key(kind) not in self._cache}
        image, full, soft = _room.take(sample.shape)
        pixels = None
        if missing:
            stored = sample.pixels(quick=True)
            if wanted and stored.dtype == np.uint8:
                pixels = stored.view(np.uint8)
            else:
                self._decoded = to_float(stored)
        if not wanted:
            return
        face = applied_mask(sample)
        self._drawn["full"], drawn = face_masks(
            sample.shape,
            sample.landmarks,
            sample.eyebrows_expand_mod,
            face=face,
            eyes_mouth="eyes_mouth" in wanted,
            pixels=pixels,
            image=None if pixels is None else image,
            rooms=(full, soft),
        )
        if drawn is not None:
            self._drawn["eyes_mouth"] = drawn
        if pixels is not None:
            self._decoded = image


def align(
    image: Array,
    sample: FaceSample,
    resolution: int,
    face_type: FaceType,
    *,
    interpolation: int,
    replicate: bool,
    matrix: Callable[[], npt.NDArray[np.float64]] | None = None,
) -> Array:
    """Bring an image or mask of a sample to the crop and size that a model is trained on.

    A face of the same type is only resized; one of another type is re-cropped by its landmarks.
    Cubic results may overshoot [0, 1] (kept).

    Parameters
    ----------
    image : ndarray, shape (h, w, c), float32
        In the geometry of the sample.
    sample : FaceSample
    resolution : int
    face_type : FaceType
    interpolation : int
        OpenCV flag.
    replicate : bool
        Whether the re-crop continues the image beyond its border; else 0.
    matrix : callable, optional
        Gives the matrix of the re-crop, if somebody has it already.

    Returns
    -------
    ndarray, shape (resolution, resolution, c), float32

    References
    ----------
    data.md 4.1, step 2.
    """
    free = FaceType.MVE_CUSTOM in (face_type, sample.face_type)
    # Given its room, OpenCV gives the interpreter's lock away once a call, not four times.
    room = np.empty((resolution, resolution, image.shape[2]), np.float32)
    if face_type == sample.face_type or free:
        return resize_to(image, resolution, interpolation, room=room)
    moves = align_matrix(sample.landmarks, resolution, face_type) if matrix is None else matrix()
    border = cv2.BORDER_REPLICATE if replicate else cv2.BORDER_CONSTANT
    return cv2.warpAffine(
        image, moves, (resolution, resolution), dst=room, flags=interpolation, borderMode=border
    )


def draw_mask(sample: FaceSample, kind: MaskKind, *, full: Array | None = None) -> Array:
    """Draw a mask of a sample at the size of its image, (h, w, 1) float32.

    Polygons are not used: only XSeg training takes them. `full` can hand in the "full" mask if
    it is drawn already.

    References
    ----------
    data.md 4.2, step 1.
    """
    if full is None and kind in ("full", "eyes_mouth"):
        full = _full_mask(sample)
    if kind == "full" and full is not None:
        return full
    if kind == "eyes":
        return eyes_mask(sample.shape, sample.landmarks)
    if kind == "eyes_mouth" and full is not None:
        return eyes_mouth_mask(sample.shape, sample.landmarks, full)
    return np.zeros((*sample.shape[:2], 1), dtype=np.float32)


def _full_mask(sample: FaceSample) -> Array:
    mask = applied_mask(sample)
    if mask is None:
        return hull_mask(sample.shape, sample.landmarks, sample.eyebrows_expand_mod)
    return mask


def applied_mask(sample: FaceSample) -> Array | None:
    """Return the XSeg mask of a sample at the size of its image, (h, w, 1) float32, or None."""
    mask = sample.xseg_mask()
    if mask is None:
        return None
    height, width = sample.shape[:2]
    if mask.shape[:2] != (height, width):
        room = np.empty((height, width, 1), np.float32)
        mask = cv2.resize(mask, (width, height), dst=room, interpolation=cv2.INTER_CUBIC)
    return np.clip(mask, 0, 1, out=mask)
