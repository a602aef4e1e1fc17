"""Masks by a network of another program: an ONNX file, such as the occluders of FaceFusion."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from dfl_tf.errors import ModelFileError
from dfl_tf.face import FaceType
from dfl_tf.facesets.xseg_masker import SIDE, Crop, stored_mask
from dfl_tf.formats.faces.mask_record import MaskRecord
from dfl_tf.imaging.image_network import ImageNetwork

Floats = npt.NDArray[np.float32]

_SLACK = 1e-3  # beyond 0 … 1, from rounding in a network


class OnnxMasker:
    """A mask network that is read from an ONNX file.

    Name, layout, size and type of the input stand in the file: images are BGR, 0 to 1, or 0 to 255
    where it takes uint8. The range of the output is found by trying: 0 to 1 is taken as it is, 0 to
    255 is divided, and values below 0 are those of a network that lacks its last sigmoid.

    Parameters
    ----------
    path : Path
    face_type : str, optional
        What the network wants to see: h, mf, f, wf, head, or (by default) ``same`` as the image.

    Raises
    ------
    ModelFileError
        The file is no such network.
    """

    def __init__(self, path: Path, face_type: str | None = None) -> None:
        wanted = face_type or "same"
        self._network = ImageNetwork.open(path, side=SIDE)
        self.face_type = None if wanted == "same" else FaceType.from_name(wanted)
        self.work = f"{self._network.digest} {wanted}"
        self.record = MaskRecord(path.name, None, self._network.digest, wanted)
        self.range = ""
        self.range = self._find_range()

    def _find_range(self) -> str:
        """Which values the network gives, for images that differ as much as images can."""
        side = self._network.side
        rng = np.random.Generator(np.random.PCG64(0))
        noise = rng.random((side, side, 3), np.float32)
        tried = np.stack([np.zeros_like(noise), np.ones_like(noise), noise])
        values = self._raw(tried)
        least, most = float(values.min()), float(values.max())
        if least < -_SLACK:
            return "logits"
        if most <= 1 + _SLACK:
            return "0 to 1"
        if most <= 255 + _SLACK:
            return "0 to 255"
        raise ModelFileError(
            f"{self._network.path}: its output goes from {least:.3g} to {most:.3g}; a mask goes "
            "from 0 to 1 or 0 to 255, or is a logit."
        )

    def _raw(self, images: Floats) -> Floats:
        """What the network gives, as (n, side, side)."""
        given = images * np.float32(255) if self._network.dtype is np.uint8 else images
        output = self._network.run(given)
        shape, side = output.shape, self._network.side
        plane = output.size // max(len(images), 1)
        if plane != side * side or shape[1:].count(1) != len(shape) - 3:
            raise ModelFileError(
                f"{self._network.path}: its output is {shape} for {len(images)} images of {side} "
                "pixels; a mask has the size of the image and one channel."
            )
        return output.reshape(len(images), side, side)

    def masks(self, crops: Sequence[Crop]) -> list[bytes]:
        """The encoded masks of some crops."""
        side = self._network.side
        raw = self._raw(np.stack([_resized(crop.image, side) for crop in crops]))
        if self.range == "0 to 255":
            raw = raw / np.float32(255)
        elif self.range == "logits":
            raw = np.float32(0.5) * (1 + np.tanh(raw / 2))
        raw = np.clip(raw, 0, 1)
        return [
            stored_mask(_resized(mask, SIDE)[:, :, None], crop)
            for mask, crop in zip(raw, crops, strict=True)
        ]

    def described(self) -> str:
        """What was read from the file, for people."""
        network = self._network
        layout = "(n, 3, h, w)" if network.channels_first else "(n, h, w, 3)"
        kind = np.dtype(network.dtype).name
        return (
            f"{network.path.name}: input {network.input_name} {layout}, {network.side} pixels, "
            f"{kind}; output {self.range}"
        )


def _resized(image: Floats, side: int) -> Floats:
    if image.shape[:2] == (side, side):
        return image
    kind = cv2.INTER_AREA if side < image.shape[0] else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(image, (side, side), interpolation=kind), np.float32)
