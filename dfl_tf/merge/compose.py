"""One predicted face put back into its frame."""

from __future__ import annotations

import logging
from dataclasses import dataclass

import cv2
import numpy as np
from dfl_tf_ops.color_transfer import hist_match

from dfl_tf.merge.colors import ColorDraws, recolor
from dfl_tf.merge.crop import FaceCrop
from dfl_tf.merge.degrade import bicubic_degrade, color_degrade, denoise
from dfl_tf.merge.masks import (
    combine_masks,
    mask_is_large_enough,
    resize_cubic,
    seamless_mask,
    soften_mask,
    without_traces,
)
from dfl_tf.merge.motion import NO_MOTION, Motion
from dfl_tf.merge.networks import (
    NOTHING_SEEN,
    MergeNetworks,
    Prediction,
    Seen,
    enhanced,
    segmentation_input,
)
from dfl_tf.merge.sharpen import blur_or_sharpen, motion_blur
from dfl_tf.merge.warping import Floats, Region, Unwarp, whole_frame
from dfl_tf.options import MergeOptions

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class MergedFace:
    """A frame with one face merged, as far as it differs from the frame.

    Attributes
    ----------
    image : ndarray, shape (h, w, 3), float32 BGR
        The region; raw-predict: the aligned face.
    mask : ndarray, shape (h, w, 1), float32
        What of it is the new face.
    region : Region
        Where they lie; outside of it the frame is unchanged and the mask 0.
    """

    image: Floats
    mask: Floats
    region: Region


def merge_face(
    crop: FaceCrop,
    prediction: Prediction,
    settings: MergeOptions,
    networks: MergeNetworks,
    *,
    motion: Motion = NO_MOTION,
    draws: ColorDraws,
    seen: Seen = NOTHING_SEEN,
) -> MergedFace:
    """Swap one face of a frame.

    Parameters
    ----------
    crop : FaceCrop
        Made with the same settings.
    prediction : Prediction
        The network's answer to `crop.network_input`: a face, shape (size, size, 3), and two masks,
        shape (size, size), all float32; clipped to [0, 1].
    settings : MergeOptions
    networks : MergeNetworks
        `segment` is needed by XSeg mask modes, `enhance` by super resolution.
    motion : Motion
        For motion blur.
    draws : ColorDraws
        Only the color transfers idt, sot and mix draw from it.
    seen : Seen
        What the other networks have answered already.

    References
    ----------
    merge.md 3.
    """
    face, *learned = enhanced(crop, prediction, settings, networks, seen)
    mask = _work_mask(crop, face, learned, settings, networks, seen)
    raw = "raw" in settings.mode
    if not raw:
        mask = soften_mask(mask, settings.erode_mask_modifier, settings.blur_mask_modifier)
    pasted_mask = np.clip(Unwarp(crop.mask_matrix, crop.region)(mask), 0, 1)
    pasted_mask = without_traces(pasted_mask)[:, :, None]
    if settings.mode == "original":
        return MergedFace(crop.pixels, pasted_mask, crop.region)
    if settings.mode == "raw-rgb":
        return MergedFace(_paste_square(crop, face), pasted_mask, crop.region)
    crop_mask = resize_cubic(mask, crop.size)[:, :, None]
    if settings.mode == "raw-predict":
        square = whole_frame((crop.size, crop.size))
        return MergedFace(np.clip(face, 0, 1), crop_mask, square)
    if crop.region.empty or not mask_is_large_enough(pasted_mask):
        return MergedFace(crop.pixels, pasted_mask, crop.region)
    blend = _Blend(crop, face, crop_mask, pasted_mask, settings, motion, draws)
    return blend.run()


def _work_mask(
    crop: FaceCrop,
    face: Floats,
    learned: list[Floats],
    settings: MergeOptions,
    networks: MergeNetworks,
    seen: Seen,
) -> Floats:
    """Build the mask of the chosen mode at mask size (merge.md 3, steps 5 and 6)."""

    def segment(name: str) -> Floats:
        mask = seen.masks.get(name)
        if mask is None:
            if networks.segment is None:
                raise ValueError(f"mask mode {settings.mask_mode} needs networks.segment")
            mask = networks.segment(segmentation_input(name, crop, face))
        return resize_cubic(mask.reshape(256, 256), crop.size)

    mask = combine_masks(
        settings.mask_mode,
        {
            "full": lambda: np.ones((crop.size, crop.size), np.float32),
            "dst": lambda: crop.hull,
            "learned-prd": lambda: learned[0],
            "learned-dst": lambda: learned[1],
            "XSeg-prd": lambda: segment("XSeg-prd"),
            "XSeg-dst": lambda: segment("XSeg-dst"),
        },
    )
    return resize_cubic(mask, crop.mask_size)


def _paste_square(crop: FaceCrop, face: Floats) -> Floats:
    """Paste the whole predicted square without a mask (merge.md 3, step 10, raw-rgb)."""
    unwarp = Unwarp(crop.paste_matrix, crop.region)
    inside = unwarp(np.ones_like(face))
    return np.clip(crop.pixels * (1 - inside) + unwarp(face) * inside, 0, 1)


def _mixed(below: Floats, above: Floats, mask: Floats) -> Floats:
    """Lay one image over another: below·(1 − mask) + above·mask."""
    # NumPy is slow at spreading one channel over three.
    opacity = cv2.merge((mask, mask, mask))
    image = below * (1 - opacity)
    image += above * opacity
    return image


class _Blend:
    """The modes overlay, hist-match, seamless and seamless-hist-match (merge.md 4)."""

    def __init__(
        self,
        crop: FaceCrop,
        face: Floats,
        crop_mask: Floats,
        mask: Floats,
        settings: MergeOptions,
        motion: Motion,
        draws: ColorDraws,
    ):
        self.crop, self.face, self.settings = crop, face, settings
        self.motion, self.draws = motion, draws
        self.binary = np.where(crop_mask > 0, np.float32(1), crop_mask)
        self.mask = mask
        self.pixels = crop.pixels
        self.seamless = "seamless" in settings.mode

    def run(self) -> MergedFace:
        settings, crop = self.settings, self.crop
        face = self.face
        if not self.seamless:
            face = self._recolor(face)
        if settings.mode == "hist-match":
            face = self._match_histogram(face)
        pasted = np.clip(Unwarp(crop.paste_matrix, crop.region)(face), 0, 1)
        if self.seamless:
            pasted = self._clone(pasted)
        image = _mixed(self.pixels, pasted, self.mask)
        if not self._refined:
            return self._finish(image, self.mask, crop.region)
        refined = Unwarp(crop.matrix, crop.region)(self._refine(image))
        if not (settings.image_denoise_power or settings.bicubic_degrade_power):
            image = np.clip(_mixed(self.pixels, refined, self.mask), 0, 1)
            return self._finish(image, self.mask, crop.region)
        # From here on the whole frame changes.
        everywhere = whole_frame(crop.frame.shape)
        inside = crop.region.slices
        image, mask = self._degraded_frame(everywhere), np.zeros((*crop.frame.shape, 1), np.float32)
        mask[inside] = self.mask
        image[inside] = _mixed(image[inside], refined, self.mask)
        return self._finish(np.clip(image, 0, 1), mask, everywhere)

    @property
    def _refined(self) -> bool:
        s = self.settings
        return (
            (self.seamless and s.color_transfer_mode != "none")
            or s.mode == "seamless-hist-match"
            or s.motion_blur_power != 0
            or s.blursharpen_amount != 0
            or s.image_denoise_power != 0
            or s.bicubic_degrade_power != 0
        )

    def _recolor(self, face: Floats) -> Floats:
        mode = self.settings.color_transfer_mode
        return recolor(mode, face, self.crop.target, self.binary, self.draws)

    def _match_histogram(self, face: Floats) -> Floats:
        """Step b."""
        weight = np.ones_like(face)
        if self.settings.masked_hist_match:
            weight *= self.binary
        white = 1 - weight
        source = np.minimum(face * weight + white, 1)
        target = self.crop.target * weight + white
        return hist_match(source, target, self.settings.hist_match_threshold)

    def _clone(self, pasted: Floats) -> Floats:
        """Step e; OpenCV writes into the mask that it is given."""
        binary = seamless_mask(self.mask)
        if binary is None:
            return pasted
        mask = (binary[:, :, 0] * np.float32(255)).astype(np.uint8)
        # OpenCV solves for the rectangle around the mask and looks one pixel further.
        left, top, width, height = cv2.boundingRect(mask)
        right, bottom = left + width + 1, top + height + 1
        needed = slice(max(top - 1, 0), bottom), slice(max(left - 1, 0), right)
        center = (int(left + width / 2) - needed[1].start, int(top + height / 2) - needed[0].start)
        source = (pasted[needed] * np.float32(255)).astype(np.uint8)
        frame = self.crop.frame.bytes[self.crop.region.slices]
        below, mask = (np.ascontiguousarray(part[needed]) for part in (frame, mask))
        try:
            cloned = cv2.seamlessClone(source, below, mask, center, cv2.NORMAL_CLONE)
        except cv2.error as error:
            if error.code == cv2.Error.StsNoMem:
                raise MemoryError(str(error)) from error
            log.warning("seamless cloning failed, the face is overlaid instead: %s", error.err)
            return pasted
        result = np.divide(frame, np.float32(255), dtype=np.float32)
        result[needed] = cloned / np.float32(255)
        return result

    def _refine(self, image: Floats) -> Floats:
        """Work on the merged face in the aligned square (steps g.1 to g.5)."""
        settings, crop = self.settings, self.crop
        square = crop.warp_region(image)
        if self.seamless:
            square = self._recolor(square)
        if settings.mode == "seamless-hist-match":
            square = hist_match(square, crop.target, settings.hist_match_threshold)
        length = int(self.motion.power * settings.motion_blur_power / 100)
        if length >= 1:
            length = min(max(length + 1, 2), 50)
            if settings.super_resolution_power != 0:
                length *= 2
            square = motion_blur(square, length, self.motion.angle)
        return blur_or_sharpen(square, settings.blursharpen_amount, settings.sharpen_mode)

    def _degraded_frame(self, everywhere: Region) -> Floats:
        """Steps g.6 and g.7, which act on the frame itself."""
        image = self.crop.frame.floats(everywhere)
        if self.settings.image_denoise_power:
            image = denoise(image, self.settings.image_denoise_power)
        if self.settings.bicubic_degrade_power:
            image = bicubic_degrade(image, self.settings.bicubic_degrade_power)
        return image

    def _finish(self, image: Floats, mask: Floats, region: Region) -> MergedFace:
        """Step h; the palette is made from the whole frame."""
        power = self.settings.color_degrade_power
        if power == 0:
            return MergedFace(image, mask, region)
        everywhere = whole_frame(self.crop.frame.shape)
        full_image, full_mask = image, mask
        if region != everywhere:
            full_image = self.crop.frame.floats(everywhere)
            full_image[region.slices] = image
            full_mask = np.zeros((*self.crop.frame.shape, 1), np.float32)
            full_mask[region.slices] = mask
        return MergedFace(color_degrade(full_image, power), full_mask, everywhere)
