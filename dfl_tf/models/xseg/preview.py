"""The preview images of XSeg."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from dfl_tf.imaging import side_by_side
from dfl_tf.models.base import PreviewImage
from dfl_tf.models.preview_cells import face_names

if TYPE_CHECKING:
    from dfl_tf.data.batch import Batch
    from dfl_tf.models.xseg.model import XSeg

Array = npt.NDArray[np.float32]


def draw(model: XSeg, training: Batch, *faces: Batch) -> list[PreviewImage]:
    """Show faces with their true and their predicted masks.

    References
    ----------
    workspace.md 7.3
    """
    count = min(4, int(model.options.batch_size), 800 // model.options.resolution)
    image, target = (np.clip(training[name][:count], 0, 1) for name in ("image", "target"))
    predicted = _predict(model, image)
    names = face_names(training, "", count)
    columns, captions = [image, predicted], ["learned"]
    if not model.options.pretrain:
        columns = [overlay(image, target), predicted, overlay(image, predicted)]
        captions = ["learned mask", "what it leaves out"]
    rows = tuple((name, *captions) for name in names)
    previews = [PreviewImage("XSeg training faces", side_by_side(columns), rows)]
    if model.options.pretrain:
        return previews
    for side, batch in zip(("src", "dst"), faces, strict=False):
        image = np.clip(batch["image"][:count], 0, 1)
        predicted = _predict(model, image)
        columns = [image, predicted, overlay(image, predicted)]
        rows = tuple((name, *captions) for name in face_names(batch, side, count))
        previews.append(PreviewImage(f"XSeg {side} faces", side_by_side(columns), rows))
    return previews


def overlay(image: Array, mask: Array) -> Array:
    """Tint green what lies outside the mask.

    Parameters
    ----------
    image : ndarray, shape (n, h, w, 3), float32 in [0, 1], BGR
    mask : ndarray, shape (n, h, w, 1), float32 in [0, 1]

    Returns
    -------
    ndarray, shape (n, h, w, 3), float32 in [0, 1], BGR
    """
    green = np.array([0, 1, 0], np.float32)
    outside = 1 - mask
    return image * mask + 0.5 * image * outside + 0.5 * green * outside


def _predict(model: XSeg, image: Array) -> Array:
    (given,) = model.tensors(image)
    return np.clip(np.asarray(model.predict(given), np.float32), 0, 1)
