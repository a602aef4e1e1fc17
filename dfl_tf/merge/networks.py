"""The networks that merging asks, and what they are shown and answer."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import cv2
import numpy as np

from dfl_tf.merge.crop import FaceCrop
from dfl_tf.merge.masks import resize_cubic
from dfl_tf.merge.warping import Floats
from dfl_tf.options import MergeOptions

Prediction = tuple[Floats, Floats, Floats]
"""Face (size, size, 3) and the masks learned-prd and learned-dst (size, size)."""


@dataclass(frozen=True)
class MergeNetworks:
    """What is asked while faces are merged; all take and give float32 BGR in [0, 1].

    `predict` takes a batch (n, size, size, 3) and gives the faces (n, size, size, 3) and the masks
    learned-prd and learned-dst, (n, size, size) or (n, size, size, 1). `segment` (XSeg) takes
    (256, 256, 3) and gives a mask of as many pixels; `enhance` (super resolution) takes
    (size, size, 3) and gives the face with four times the side. `segment_batch` and
    `enhance_batch` do the same for n faces at once, where that can be asked for.
    """

    predict: Callable[[Floats], tuple[Floats, Floats, Floats]]
    size: int
    segment: Callable[[Floats], Floats] | None = None
    enhance: Callable[[Floats], Floats] | None = None
    segment_batch: Callable[[Floats], Floats] | None = None
    enhance_batch: Callable[[Floats], Floats] | None = None

    def predictions(self, images: Floats) -> list[Prediction]:
        """Predict a batch of faces, shape (n, size, size, 3), float32 BGR in [0, 1].

        Returns
        -------
        list of `Prediction`, one for each face
            Face of shape (size, size, 3) and two masks of shape (size, size), float32.
        """
        faces, masks, target_masks = (np.asarray(a, np.float32) for a in self.predict(images))
        square = (-1, self.size, self.size)
        return list(zip(faces, masks.reshape(square), target_masks.reshape(square), strict=True))


XSEG_MASKS = ("XSeg-prd", "XSeg-dst")


@dataclass(frozen=True)
class Seen:
    """What XSeg and the enhancer have answered for a face; what is missing is asked when needed.

    Attributes
    ----------
    fine : ndarray, shape (4 size, 4 size, 3), float32, or None
        The face enlarged.
    masks : mapping of str to ndarray, 256 x 256 float32
        By name in `XSEG_MASKS`.
    """

    fine: Floats | None = None
    masks: Mapping[str, Floats] = field(default_factory=dict)


NOTHING_SEEN = Seen()


def enhanced(
    crop: FaceCrop,
    prediction: Prediction,
    settings: MergeOptions,
    networks: MergeNetworks,
    seen: Seen,
) -> Prediction:
    """Clip the prediction, and enlarge it by the enhancer if wanted (merge.md 3, step 4).

    Parameters
    ----------
    crop, prediction, settings, networks, seen
        As in `merge_face`.

    Returns
    -------
    Prediction
        Arrays of shape (side, side, c), float32, as large as `crop`.
    """
    face, mask, target_mask = (np.clip(a, 0, 1) for a in prediction)
    if settings.super_resolution_power != 0:
        fine = seen.fine
        if fine is None:
            if networks.enhance is None:
                raise ValueError("super resolution needs networks.enhance")
            fine = networks.enhance(face)
        part = np.float32(settings.super_resolution_power / 100.0)
        coarse = cv2.resize(face, (crop.size, crop.size))
        face = np.clip(coarse * (1 - part) + fine * part, 0, 1)
        mask, target_mask = (resize_cubic(m, crop.size) for m in (mask, target_mask))
    return face, mask, target_mask


def segmentation_input(name: str, crop: FaceCrop, face: Floats) -> Floats:
    """Return what XSeg is shown for one of `XSEG_MASKS`, shape (256, 256, 3), float32 BGR.

    Parameters
    ----------
    name : str
    crop : FaceCrop
    face : ndarray, shape (size, size, 3), float32
        The new face, from `enhanced`.
    """
    return resize_cubic(face, 256) if name == "XSeg-prd" else crop.segmentation_input()
