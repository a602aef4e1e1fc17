"""Samples and batches for XSeg: heavily degraded faces with their segmentation masks."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence

import cv2
import numpy as np
import numpy.typing as npt

from dfl_tf.data.augment import apply_warp, draw_warp
from dfl_tf.data.cache import ArrayCache
from dfl_tf.data.choose import ShuffledOrder, derive_seed
from dfl_tf.data.faceset import FaceSample, Faceset
from dfl_tf.data.spec import XSegSpec
from dfl_tf.data.stream import Made, Rooms, SampleStream
from dfl_tf.disk.left_out import LeftOut
from dfl_tf.errors import DflTfError, FacesetError
from dfl_tf.face import FaceType, align_matrix, polygon_mask
from dfl_tf.formats.faces.face_folder import EMPTY_LABELS
from dfl_tf.imaging import filters
from dfl_tf.imaging.filters import resize_to

_log = logging.getLogger(__name__)

Array = npt.NDArray[np.float32]
Rng = np.random.RandomState

_BACKGROUND_RANGES = {
    "rotation_range": (-180.0, 180.0),
    "scale_range": (-0.10, 0.10),
    "tx_range": (-0.10, 0.10),
    "ty_range": (-0.10, 0.10),
}
_ORDER, _BACKGROUND_ORDER, _SAMPLE, _REPLACEMENT = range(8, 12)


def segmented_samples(facesets: Sequence[Faceset]) -> list[FaceSample]:
    """Return the faces that XSeg can learn from.

    Those with polygons that enclose anything; if there are none, those with an applied mask.
    Polygons that enclose nothing are counted and said.

    Raises
    ------
    FacesetError
        If no face has either.

    References
    ----------
    data.md 6.3.
    """
    pool = [(faceset, *known) for faceset in facesets for known in faceset.facts()]
    empty = LeftOut()
    for faceset, index, facts in pool:
        if facts.empty_label:
            empty.add(EMPTY_LABELS, faceset.name(index))
    for line in empty.lines():
        _log.warning("%s", line)
    drawn = [(faceset, index) for faceset, index, facts in pool if facts.polygons]
    usable = drawn or [(faceset, index) for faceset, index, facts in pool if facts.masked]
    if not usable:
        raise FacesetError(
            f"none of the {len(pool)} faces has a hand-drawn mask or an applied XSeg mask; "
            "draw some on the page of dfl-tf web, or fetch them into this workspace"
        )
    return [faceset[index] for faceset, index in usable]


def load_segmented(sample: FaceSample, resolution: int, face_type: FaceType) -> tuple[Array, Array]:
    """Return the face and its mask in the crop that XSeg is trained on.

    Returns
    -------
    image : ndarray, shape (resolution, resolution, 3), float32, BGR
        May overshoot [0, 1].
    mask : ndarray, shape (resolution, resolution, 1), float32
        From the polygons, else from the applied mask, binarized before the resampling.

    References
    ----------
    data.md 6.3, step 1.
    """
    image = sample.image()
    height, width = image.shape[:2]
    mask: Array | None
    if sample.labeled:
        mask = polygon_mask(image.shape, sample.polygons)
    else:
        mask = sample.xseg_mask()
        if mask is None:
            raise FacesetError(f"{sample.name}: has neither polygons nor a mask")
        mask = (mask >= 0.5).astype(np.float32)
    if face_type == sample.face_type:
        return (
            resize_to(image, resolution, cv2.INTER_LANCZOS4),
            resize_to(mask, resolution, cv2.INTER_LANCZOS4),
        )
    if mask.shape[:2] != (height, width):
        mask = cv2.resize(mask, (width, height), interpolation=cv2.INTER_LANCZOS4)
    matrix = align_matrix(sample.landmarks, resolution, face_type)
    size = (resolution, resolution)
    image = cv2.warpAffine(image, matrix, size, flags=cv2.INTER_LANCZOS4)
    mask = cv2.warpAffine(mask, matrix, size, flags=cv2.INTER_LANCZOS4)
    return image, mask.reshape(resolution, resolution, 1)


def make_xseg_sample(
    load: Callable[[], tuple[Array, Array]],
    load_background: Callable[[], tuple[Array, Array]],
    resolution: int,
    rng: Rng,
) -> tuple[Array, Array]:
    """Make one degraded image and its mask.

    Parameters
    ----------
    load, load_background : callable
        Give (image, mask) of the face and, if one is wanted, of the face behind it, as
        `load_segmented`. They are called when the legacy program chooses these faces, so they may
        draw from `rng`.
    resolution : int
    rng : numpy.random.RandomState
        All draws, in the legacy order.

    Returns
    -------
    image : ndarray, shape (resolution, resolution, 3), float32, BGR, [0, 1]
    mask : ndarray, shape (resolution, resolution, 1), float32, 0 or 1

    References
    ----------
    data.md 6.3.
    """
    image, mask = load()
    if rng.randint(2) == 0:
        image = _put_background(image, mask, *load_background(), resolution, rng)
    warp = draw_warp(resolution, flip=True, rng=rng, warp_rng=rng)
    maps = warp.maps()
    image, mask = (
        apply_warp(
            array,
            warp,
            maps=maps,
            transform=True,
            flip=True,
            replicate=replicate,
            interpolation=cv2.INTER_CUBIC,
        )
        for array, replicate in ((image, True), (mask, False))
    )
    image = np.ascontiguousarray(np.clip(image, 0, 1))
    mask = np.ascontiguousarray((mask >= 0.5).astype(np.float32))
    return _degrade(image, mask, resolution, rng), mask


def _put_background(
    image: Array, mask: Array, behind: Array, behind_mask: Array, resolution: int, rng: Rng
) -> Array:
    """Lay the background of another face, without its face, behind the face."""
    warp = draw_warp(resolution, flip=True, rng=rng, warp_rng=rng, **_BACKGROUND_RANGES)
    behind, behind_mask = (
        np.ascontiguousarray(
            apply_warp(
                array,
                warp,
                maps=None,
                transform=True,
                flip=True,
                replicate=replicate,
                interpolation=cv2.INTER_CUBIC,
            )
        )
        for array, replicate in ((behind, True), (behind_mask, False))
    )
    behind = behind * (1 - behind_mask)
    behind = _recolor(behind, rng)
    cover = 1 - (1 - behind_mask) * (1 - mask)
    share = 0.15 + 0.85 * float(rng.random_sample())
    mixed: Array = image * share + behind * (1 - share)
    return image * cover + mixed * (1 - cover)


def _recolor(image: Array, rng: Rng, mask: Array | None = None) -> Array:
    if rng.randint(2) == 0:
        return filters.random_hsv_shift(image, rng, mask=mask)
    return filters.random_rgb_levels(image, rng, mask=mask)


def _degrade(image: Array, mask: Array, resolution: int, rng: Rng) -> Array:
    """Flares, colors, blurs, resampling and compression; draws in the legacy order."""

    def circle() -> Array:
        return filters.random_faded_circle((resolution, resolution), rng)

    for region in (mask, 1 - mask):
        if rng.randint(2) == 0:
            kernel = rng.randint(resolution // 4, resolution)
            kernel = kernel - kernel % 2 + 1
            flare = cv2.GaussianBlur(image * region, (kernel, kernel), 0)
            image = image + flare
    # Each filter's circle is drawn before the filter's own draws.
    if rng.randint(2) == 0:
        image = filters.random_hsv_shift(image, rng, mask=circle())
    else:
        image = filters.random_rgb_levels(image, rng, mask=circle())
    if rng.randint(2) == 0:
        image = filters.random_sharpen(image, rng, 25, 5, mask=circle())
    else:
        image = filters.random_motion_blur(image, rng, 25, 5, mask=circle())
        image = filters.random_gaussian_blur(image, rng, 25, 5, mask=circle())
    nearest = rng.randint(2) == 0
    kind = cv2.INTER_NEAREST if nearest else cv2.INTER_LINEAR
    image = filters.random_resize(image, rng, 25, 75, kind, mask=circle())
    image = np.clip(image, 0, 1)
    return filters.random_jpeg(image, rng, 25, mask=circle())


class XSegStream(SampleStream):
    """Batches of `image` and `target`, its mask, for XSeg training.

    Parameters
    ----------
    facesets : sequence of Faceset
        src and dst; the faces with masks are taken, see `segmented_samples`.
    resolution : int
    face_type : FaceType
    batch_size : int
    seed : int
    workers, prefetch, position, cache_mb, cache, offsets
        As for `BatchStream`.

    References
    ----------
    data.md 6.3; decision 8.
    """

    def __init__(
        self,
        facesets: Sequence[Faceset],
        resolution: int,
        face_type: FaceType,
        batch_size: int,
        *,
        seed: int,
        workers: int = 0,
        prefetch: int = 3,
        position: int = 0,
        cache_mb: float = 256,
        cache: ArrayCache | None = None,
        offsets: Sequence[int] | None = None,
    ) -> None:
        self.samples = segmented_samples(facesets)
        self._resolution, self._face_type, self._seed = resolution, face_type, seed
        self._cache = ArrayCache(int(cache_mb * 2**20)) if cache is None else cache
        self._order = ShuffledOrder(len(self.samples), seed, _ORDER)
        self._background_order = ShuffledOrder(len(self.samples), seed, _BACKGROUND_ORDER)
        super().__init__(
            self._make,
            XSegSpec(resolution=resolution, face_type=face_type).shapes,
            batch_size,
            workers=workers,
            prefetch=prefetch,
            position=position,
            offsets=offsets,
        )

    def _make(self, position: int, attempt: int, _rooms: Rooms) -> Made:
        used = face = self.samples[self._index(self._order, _REPLACEMENT, position, attempt)]

        def load_background() -> tuple[Array, Array]:
            nonlocal used
            used = self.samples[
                self._index(self._background_order, _BACKGROUND_ORDER, position, attempt)
            ]
            return self._load(used)

        rng = np.random.RandomState(derive_seed(self._seed, _SAMPLE, position, attempt))
        try:
            image, mask = make_xseg_sample(
                lambda: self._load(face), load_background, self._resolution, rng
            )
        except (DflTfError, OSError, cv2.error) as error:
            return Made(used.name, reason=str(error))
        return Made(face.name, face.key, {"image": image, "target": mask})

    def _index(self, order: ShuffledOrder, stream: int, position: int, attempt: int) -> int:
        if attempt == 0:
            return order(position)
        return derive_seed(self._seed, stream, position, attempt) % len(self.samples)

    def _load(self, sample: FaceSample) -> tuple[Array, Array]:
        key = sample.key, self._resolution, self._face_type
        image = self._cache.get((*key, "image"))
        mask = self._cache.get((*key, "mask"))
        found = image is not None and mask is not None
        self._cache.count(found=found)
        if image is None or mask is None:
            image, mask = load_segmented(sample, self._resolution, self._face_type)
            self._cache.put((*key, "image"), image)
            self._cache.put((*key, "mask"), mask)
        return image, mask
