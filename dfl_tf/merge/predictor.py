"""Trained models as the networks that merging asks."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from dfl_tf.merge.compose import MergeNetworks
from dfl_tf.merge.warping import Floats

if TYPE_CHECKING:
    from dfl_tf.models.base import FaceModel
    from dfl_tf.models.swap import SwapModel
    from dfl_tf.models.xseg.model import XSeg


def networks_of(
    model: SwapModel,
    *,
    morph: float = 1.0,
    xseg: XSeg | None = None,
    enhance: Callable[[Floats], Floats] | None = None,
) -> MergeNetworks:
    """Return what merging asks, answered by models.

    Parameters
    ----------
    model : SwapModel
    morph : float
        Share of src, for models that take one.
    xseg : XSeg, optional
    enhance : callable, optional
        Super resolution: (h, w, 3) float32 in [0, 1] to four times the side.
    """
    given = morph if model.takes_morph else None

    def predict(images: Floats) -> tuple[Floats, Floats, Floats]:
        swapped = model.swap(images, given)
        return swapped.image, swapped.mask, swapped.dst_mask

    one_at_a_time = threading.Lock()

    def segment(image: Floats) -> Floats:
        with one_at_a_time:
            assert xseg is not None
            return np.asarray(xseg.mask(image[None]), np.float32)[0, :, :, 0]

    return MergeNetworks(
        predict,
        int(model.options.resolution),
        None if xseg is None else segment,
        enhance,
    )


def weights_checksum(model: FaceModel) -> str:
    """Return the SHA-256 of all network weights, the same after saving and loading."""
    digest = hashlib.sha256()
    for part in sorted(model.networks):
        for variable in model.networks[part].weights:
            digest.update(f"{part}/{variable.path}".encode())
            digest.update(np.ascontiguousarray(variable.numpy()).tobytes())
    return digest.hexdigest()
