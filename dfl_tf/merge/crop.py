"""A face cut out of its frame."""

from __future__ import annotations

from functools import cached_property

import cv2
import numpy as np
import numpy.typing as npt

from dfl_tf.face import FaceType, align_matrix, hull_mask
from dfl_tf.merge.pixels import FramePixels
from dfl_tf.merge.warping import Floats, crop_region, warp
from dfl_tf.options import MergeOptions


class FaceCrop:
    """A face cut out of its frame: matrices, region, aligned image and masks.

    Parameters
    ----------
    frame : FramePixels
    landmarks : ndarray, shape (68, 2), any floating dtype
        In frame pixels.
    settings : MergeOptions
    face_type : FaceType
        Of the model.
    size : int
        Side of the network's input.

    References
    ----------
    merge.md 3, steps 1 to 3.
    """

    def __init__(
        self,
        frame: FramePixels,
        landmarks: npt.NDArray[np.floating],
        settings: MergeOptions,
        face_type: FaceType,
        size: int,
    ):
        self.frame, self.landmarks, self.face_type = frame, landmarks, face_type
        self.settings = settings
        self.network_size = size
        self.mask_size = size * 4
        self.size = size * 4 if settings.super_resolution_power != 0 else size
        scale = 1.0 + 0.01 * settings.output_face_scale
        self.matrix = align_matrix(landmarks, self.size, face_type, 1.0)
        self.paste_matrix = align_matrix(landmarks, self.size, face_type, scale)
        self.mask_matrix = self.paste_matrix
        if self.mask_size != self.size:
            self.mask_matrix = align_matrix(landmarks, self.mask_size, face_type, scale)
        self.region = crop_region(
            frame.shape,
            (
                (self.matrix, self.size),
                (self.paste_matrix, self.size),
                (self.mask_matrix, self.mask_size),
            ),
        )
        self.pixels = frame.floats(self.region)
        self._canvas = frame.canvas(self.region, self.pixels)
        self.target = np.clip(warp(self._canvas, self.matrix, self.size), 0, 1)

    @cached_property
    def hull(self) -> Floats:
        """The mask of the landmarks' hull in the crop, shape (size, size), float32 in [0, 1]."""
        in_frame = hull_mask(self.frame.shape, self.landmarks)[:, :, 0]
        return np.clip(warp(in_frame, self.matrix, self.size), 0, 1)

    @property
    def network_input(self) -> Floats:
        """The aligned face, shape (network_size, network_size, 3), float32 BGR in [0, 1]."""
        return cv2.resize(self.target, (self.network_size, self.network_size))

    def segmentation_input(self) -> Floats:
        """The aligned face for XSeg, shape (256, 256, 3), float32 BGR.

        Not clipped to [0, 1], although cubic sampling overshoots (kept for compatibility).
        """
        return warp(self._canvas, align_matrix(self.landmarks, 256, self.face_type), 256)

    def warp_region(self, pixels: Floats) -> Floats:
        """Cut the aligned square out of new pixels of the region.

        Parameters
        ----------
        pixels : ndarray, shape (*region.shape, 3), float32, BGR

        Returns
        -------
        ndarray, shape (size, size, 3), float32, BGR
            Not clipped.
        """
        return warp(self.frame.canvas(self.region, pixels), self.matrix, self.size)
