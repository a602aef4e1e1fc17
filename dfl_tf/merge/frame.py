"""A whole frame: all of its faces, and the two images that are written."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from dfl_tf.face import FaceType
from dfl_tf.merge.colors import ColorDraws
from dfl_tf.merge.compose import MergedFace, merge_face
from dfl_tf.merge.crop import FaceCrop
from dfl_tf.merge.motion import NO_MOTION, Motion
from dfl_tf.merge.networks import NOTHING_SEEN, MergeNetworks, Prediction, Seen
from dfl_tf.merge.pixels import FramePixels, Stored
from dfl_tf.merge.warping import Floats
from dfl_tf.options import MergeOptions


@dataclass(frozen=True)
class MergedFrame:
    """What is written for one frame.

    Attributes
    ----------
    image : ndarray, uint8 or uint16 as the frame, shape (h, w, 3) BGR
        With a fourth channel if the frame has alpha; (h, w) for a gray frame without a face.
    mask : ndarray of the same type, shape (h, w)
    """

    image: Stored
    mask: Stored


class FrameCrops:
    """A frame and the faces cut out of it, ready to be shown to the network.

    Parameters
    ----------
    frame : FramePixels
    faces : sequence of ndarray, shape (68, 2), any floating dtype
        Landmarks in frame pixels, in file order; may be empty.
    settings : MergeOptions
    face_type : FaceType
        Of the model.
    size : int
        Side of the network's input.
    """

    def __init__(
        self,
        frame: FramePixels,
        faces: Sequence[npt.NDArray[np.floating]],
        settings: MergeOptions,
        face_type: FaceType,
        size: int,
    ):
        self.frame, self.settings, self.size = frame, settings, size
        self.crops = [FaceCrop(frame, marks, settings, face_type, size) for marks in faces]

    @property
    def network_inputs(self) -> list[Floats]:
        """One (size, size, 3) float32 image a face."""
        return [crop.network_input for crop in self.crops]


def merge_frame(
    cut: FrameCrops,
    predictions: Sequence[Prediction],
    networks: MergeNetworks,
    *,
    settings: MergeOptions | None = None,
    motion: Motion = NO_MOTION,
    draws: ColorDraws,
    seen: Sequence[Seen] = (),
) -> MergedFrame:
    """Merge every face of a frame, each on the original frame, and lay them over each other.

    Parameters
    ----------
    cut : FrameCrops
    predictions : sequence of Prediction
        The answers to `cut.network_inputs`; each as in `merge_face`.
    networks, motion, draws
        As in `merge_face`.
    settings : MergeOptions, optional
        Others than those of `cut`, with the same scale and super resolution.
    seen : sequence of Seen
        What the other networks have answered for each face already; by default nothing.

    References
    ----------
    merge.md 5.
    """
    settings = cut.settings if settings is None else settings
    frame = cut.frame
    if not cut.crops:
        return unmerged_frame(frame, settings, cut.size)
    merged = [
        merge_face(crop, prediction, settings, networks, motion=motion, draws=draws, seen=known)
        for crop, prediction, known in zip(
            cut.crops, predictions, seen or [NOTHING_SEEN] * len(cut.crops), strict=True
        )
    ]
    if settings.mode == "raw-predict":
        image, mask = _combine(merged, np.zeros_like(merged[0].image))
        return MergedFrame(frame.quantized(image), frame.quantized(mask[:, :, 0]))
    region = merged[0].region
    for face in merged[1:]:
        region = region.union(face.region)
    part, part_mask = _combine(merged, frame.floats(region))
    pixels = frame.pixels()
    pixels[region.slices] = frame.quantized(part)
    mask_pixels = np.zeros(frame.shape, frame.dtype)
    mask_pixels[region.slices] = frame.quantized(part_mask[:, :, 0])
    return MergedFrame(frame.with_alpha(pixels), mask_pixels)


def _combine(merged: Sequence[MergedFace], image: Floats) -> tuple[Floats, Floats]:
    """Lay faces over each other, in order, on an image that holds the union of their regions."""
    region = merged[0].region
    for face in merged[1:]:
        region = region.union(face.region)
    mask = np.zeros((*image.shape[:2], 1), np.float32)
    first, *others = merged
    here = first.region.within(region)
    image[here], mask[here] = first.image, first.mask
    for face in others:
        here = face.region.within(region)
        image[here] = image[here] * (1 - face.mask) + face.image * face.mask
        mask[here] = np.clip(mask[here] + face.mask, 0, 1)
    return image, mask


def unmerged_frame(frame: FramePixels, settings: MergeOptions, network_size: int) -> MergedFrame:
    """Return what is written for a frame without a face: itself, or black in raw-predict."""
    if settings.mode == "raw-predict":
        black = np.zeros((network_size, network_size), frame.dtype)
        return MergedFrame(np.repeat(black[:, :, None], 3, axis=2), black)
    image = frame.with_alpha(frame.pixels())
    if frame.gray and frame.alpha is None:
        image = image[:, :, 0].copy()
    return MergedFrame(image, np.zeros(frame.shape, frame.dtype))


def lost_of(
    frame: FramePixels, settings: MergeOptions, faces: int, *, holds_alpha: bool = True
) -> list[str]:
    """Say what of a frame's depth and channels does not reach the result.

    Parameters
    ----------
    frame : FramePixels
    settings : MergeOptions
    faces : int
        Faces in the frame; without one nothing is computed.
    holds_alpha : bool
        Whether what is written can have an alpha channel.

    Returns
    -------
    list of str
        Kinds, as `LeftOut` counts them.
    """
    lost = []
    if frame.deep and frame.dtype == np.uint8:
        lost.append("16 bits of the frame, which are reduced to the 8 of what is written")
    elif frame.deep and faces and "seamless" in settings.mode:
        lost.append("16 bits of the face, which seamless cloning computes in 8 bits")
    if frame.deep and faces and settings.color_degrade_power:
        lost.append("16 bits of the frame, which color_degrade_power reduces to 256 colors")
    if frame.alpha is not None and settings.mode == "raw-predict":
        lost.append("alpha of the frame, since raw-predict writes the face alone")
    elif frame.alpha is not None and not holds_alpha:
        lost.append("alpha of the frame, which JPEG images and videos do not have")
    return lost
