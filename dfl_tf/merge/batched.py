"""The networks asked for the faces of several frames at once."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from dfl_tf.merge.crop import FaceCrop
from dfl_tf.merge.networks import (
    XSEG_MASKS,
    MergeNetworks,
    Prediction,
    Seen,
    enhanced,
    segmentation_input,
)
from dfl_tf.merge.warping import Floats

log = logging.getLogger(__name__)

Place = tuple[FaceCrop, Prediction]


class Answer(NamedTuple):
    """What the networks made of one face.

    Attributes
    ----------
    prediction : Prediction
        Arrays of shape (size, size, c), float32.
    seen : Seen
    """

    prediction: Prediction
    seen: Seen


def ask(
    crops: Sequence[FaceCrop | None], networks: MergeNetworks, batch: int
) -> list[Answer | None]:
    """Ask all networks for some faces.

    Parameters
    ----------
    crops : sequence of FaceCrop or None
        The faces of a group of frames, each in its place; None where nothing is wanted. What a
        face gets may depend on its place in a batch, never on what is in the other places.
    networks : MergeNetworks
    batch : int
        Faces that a network is shown at once. Always that many: unused places are zeros.

    Returns
    -------
    list of Answer or None, one for each place
        None where there is no face.
    """
    empty = np.zeros((networks.size, networks.size, 3), np.float32)
    answers: list[Answer | None] = []
    for first in range(0, len(crops), batch):
        part = list(crops[first : first + batch])
        if all(crop is None for crop in part):
            answers += [None] * len(part)
            continue
        part += [None] * (batch - len(part))
        images = np.stack([empty if crop is None else crop.network_input for crop in part])
        predictions = networks.predictions(images)
        faces = [
            None if crop is None else (crop, prediction)
            for crop, prediction in zip(part, predictions, strict=True)
        ]
        answers += [
            None if face is None else Answer(face[1], seen)
            for face, seen in zip(faces, see(faces, networks), strict=True)
        ]
    return answers


def see(places: Sequence[Place | None], networks: MergeNetworks) -> list[Seen]:
    """Ask XSeg and the enhancer for all faces of a batch that need them.

    Parameters
    ----------
    places : sequence of (FaceCrop, Prediction) or None
        A whole batch: images of shape (side, side, 3), float32, as in `merge_face`. Every network
        is shown as many images as there are places, zeros where it is not needed, so that a
        face gets the same answer in a resumed run.
    networks : MergeNetworks
        What cannot be asked in batches is left to `merge_face`.

    Returns
    -------
    list of Seen, one for each place
        Arrays of shape (side, side, c), float32.
    """
    small = [
        np.clip(place[1][0], 0, 1)
        if place is not None and place[0].settings.super_resolution_power
        else None
        for place in places
    ]
    seen = [Seen(fine) for fine in _asked(networks.enhance_batch, small)]
    if networks.segment_batch is None:
        return seen
    masks: list[dict[str, Floats]] = [{} for _ in places]
    for name in XSEG_MASKS:
        shown = [
            _shown(name, place, known, networks) for place, known in zip(places, seen, strict=True)
        ]
        for found, mask in zip(masks, _asked(networks.segment_batch, shown), strict=True):
            if mask is not None:
                found[name] = mask
    return [Seen(known.fine, found) for known, found in zip(seen, masks, strict=True)]


def _shown(name: str, place: Place | None, known: Seen, networks: MergeNetworks) -> Floats | None:
    """What XSeg is shown of a face for one of its masks; None if that is not needed."""
    if place is None or name not in place[0].settings.mask_mode:
        return None
    crop, prediction = place
    if name == "XSeg-prd" and crop.settings.super_resolution_power and known.fine is None:
        return None  # the enhancer is asked later
    face, *_ = enhanced(crop, prediction, crop.settings, networks, known)
    return segmentation_input(name, crop, face)


def _asked(
    network: Callable[[Floats], Floats] | None, images: list[Floats | None]
) -> list[Floats | None]:
    shape = next((image.shape for image in images if image is not None), None)
    nothing: list[Floats | None] = [None] * len(images)
    if network is None or shape is None:
        return nothing
    empty = np.zeros(shape, np.float32)
    try:
        found = network(np.stack([empty if image is None else image for image in images]))
    except Exception as error:  # whatever a user's network raises
        log.warning(
            "%d faces at once failed, so each is asked for by itself (%s)", len(images), error
        )
        return nothing
    return [
        None if image is None else np.asarray(answer, np.float32)
        for image, answer in zip(images, found, strict=True)
    ]
