"""Trained models as the networks that merging asks."""

from __future__ import annotations

import hashlib
import threading
from typing import TYPE_CHECKING

import numpy as np

from dfl_tf.merge.enhancer import Enhancer
from dfl_tf.merge.networks import MergeNetworks
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
    enhancer: Enhancer | None = None,
) -> MergeNetworks:
    """Return what merging asks, answered by models.

    Parameters
    ----------
    model : SwapModel
    morph : float
        Share of src, for models that take one.
    xseg : XSeg, optional
    enhancer : Enhancer, optional
        Super resolution.
    """
    given = morph if model.takes_morph else None

    def predict(images: Floats) -> tuple[Floats, Floats, Floats]:
        swapped = model.swap(images, given)
        return swapped.image, swapped.mask, swapped.dst_mask

    one_at_a_time = threading.Lock()

    def segment_batch(images: Floats) -> Floats:
        with one_at_a_time:
            assert xseg is not None
            return np.asarray(xseg.mask(images), np.float32)[:, :, :, 0]

    def segment(image: Floats) -> Floats:
        return segment_batch(image[None])[0]

    return MergeNetworks(
        predict,
        int(model.options.resolution),
        None if xseg is None else segment,
        None if enhancer is None else enhancer.one,
        None if xseg is None else segment_batch,
        None if enhancer is None or not enhancer.takes_batches else enhancer.many,
    )


def weights_checksum(model: FaceModel) -> str:
    """Return the SHA-256 of all network weights, the same after saving and loading."""
    digest = hashlib.sha256()
    for part in sorted(model.networks):
        for variable in model.networks[part].weights:
            digest.update(f"{part}/{variable.path}".encode())
            digest.update(np.ascontiguousarray(variable.numpy()).tobytes())
    return digest.hexdigest()
