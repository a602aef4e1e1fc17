"""XSeg masks of aligned faces, as `xseg apply` stores them.

References
----------
tools.md 7; models.md 4.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, cast

import cv2
import numpy as np
from numpy.typing import NDArray

from dfl_tf.errors import ModelFileError, UsageError
from dfl_tf.face import FaceType, align_matrix, transform_points
from dfl_tf.formats import FaceMetadata, ModelState, find_models, read_model
from dfl_tf.formats.faces.mask_record import MaskRecord
from dfl_tf.formats.faces.stored_mask import encode_mask
from dfl_tf.formats.models.legacy import read_part
from dfl_tf.imaging import decode_image, to_bgr, to_float
from dfl_tf.options import XSegOptions

if TYPE_CHECKING:
    from dfl_tf.models.xseg.model import XSeg

SIDE = 256
PART = "XSeg_256"
Image = NDArray[np.float32]


@dataclass(frozen=True)
class Crop:
    """A face as the network sees it, and the way back.

    Attributes
    ----------
    image : ndarray, shape (256, 256, 3), float32, BGR, 0..1
    matrix : ndarray, shape (2, 3), or None
        From the image to the crop; None when the face type is the same.
    width : int
        Width of the image.
    """

    image: Image
    matrix: NDArray[np.float64] | None
    width: int


def crop(metadata: FaceMetadata, jpeg: bytes, face_type: FaceType | None, what: str) -> Crop:
    """Cut a face as the XSeg model was trained to see it.

    Parameters
    ----------
    face_type : FaceType or None
        Of the XSeg model; None = the same as the image's.

    Notes
    -----
    Kept for compatibility: a crop of another face type is warped bilinearly (the legacy program
    means Lanczos, but passes it in the wrong place), then resized by Lanczos.
    """
    image = to_float(to_bgr(decode_image(jpeg, what=what)))
    width = image.shape[1]
    own = FaceType.from_name(metadata.face_type)
    matrix = None
    if face_type is not None and face_type != own:
        landmarks = metadata.frame_landmarks()
        wanted = align_matrix(landmarks, width, face_type)
        given = align_matrix(landmarks, width, own)
        corners = np.array([(0, 0), (width, 0), (0, width)], np.float32)
        in_frame = transform_points(corners, wanted, invert=True)
        in_image = transform_points(in_frame, given).astype(np.float32)
        matrix = cv2.getAffineTransform(in_image, corners)
        image = cv2.warpAffine(image, matrix, (width, width), flags=cv2.INTER_LINEAR)
    return Crop(_resized(image, SIDE), matrix, width)


def stored_mask(raw: Image, source: Crop) -> bytes:
    """The encoded mask that goes into the file: 256 px, 0 or 1.

    Parameters
    ----------
    raw : ndarray, shape (256, 256, 1), float32
        What the network says of `source.image`.
    """
    mask = raw[:, :, 0]
    if source.matrix is not None:
        mask = _resized(mask, source.width)
        size = (source.width, source.width)
        back = cv2.WARP_INVERSE_MAP | cv2.INTER_LANCZOS4
        mask = _resized(cv2.warpAffine(mask, source.matrix, size, flags=back), SIDE)
    return encode_mask((mask >= 0.5).astype(np.float32))


def _resized(image: Image, side: int) -> Image:
    if image.shape[:2] == (side, side):
        return image
    return np.asarray(cv2.resize(image, (side, side), interpolation=cv2.INTER_LANCZOS4))


class Masker(Protocol):
    """What masks faces."""

    @property
    def face_type(self) -> FaceType | None:
        """What it wants to see; None = the same as each image's."""

    @property
    def work(self) -> str:
        """Names the weights; a journal of other weights is not used."""

    @property
    def record(self) -> MaskRecord | None:
        """What is noted beside the faces."""

    def masks(self, crops: Sequence[Crop]) -> list[bytes]:
        """The encoded masks of some crops."""


class XSegMasker:
    """An XSeg model that masks faces.

    Parameters
    ----------
    model : XSeg
    face_type : FaceType or None
        What it was trained on; None = the same as each image's.
    work : str
        Names the weights; a journal of other weights is not used.
    record : MaskRecord, optional
        What is noted beside the faces.
    """

    def __init__(
        self,
        model: XSeg,
        face_type: FaceType | None,
        work: str,
        record: MaskRecord | None = None,
    ) -> None:
        self._model, self.face_type, self.work, self.record = model, face_type, work, record

    @classmethod
    def load(cls, place: Path, face_type: str | None = None) -> XSegMasker:
        """Load a trained XSeg of a model folder, or bare weights.

        Parameters
        ----------
        place : Path
            A model folder; ``XSeg_256.npy``; or a folder that has it, such as the generic weights
            of a DeepFaceLab release.
        face_type : str, optional
            h, mf, f, wf, head or ``same``; by default what the model was trained on, and ``same``
            for bare weights.
        """
        state = read_xseg(place)
        wanted = face_type or str(state.options.get("face_type") or "same")
        digest = hashlib.sha256()
        for name, tensor in state.tensors[PART].items():
            digest.update(name.encode() + np.ascontiguousarray(tensor).tobytes())
        from dfl_tf import models
        from dfl_tf.options import default

        stored = {} if wanted == "same" else {"face_type": wanted}
        model = models.create(
            XSegOptions.NAME, default(XSegOptions, **stored), training=False, initialized=False
        )
        model.load_state(ModelState(**{**vars(state), "options": {}}))
        known = None if wanted == "same" else FaceType.from_name(wanted)
        sha256 = digest.hexdigest()
        # bare weights do not know how long they were trained
        iteration = state.iteration if state.options else None
        record = MaskRecord(state_name(place), iteration, sha256, wanted)
        return cls(cast("XSeg", model), known, f"{sha256} {wanted}", record)

    def masks(self, crops: Sequence[Crop]) -> list[bytes]:
        """The encoded masks of some crops."""
        raw = self._model.mask(np.stack([crop.image for crop in crops]))
        return [stored_mask(mask, crop) for mask, crop in zip(raw, crops, strict=True)]


def state_name(place: Path) -> str:
    """What the XSeg model at a place is called: XSeg in its folder, or the file."""
    folder = place if place.is_dir() else place.parent
    return f"XSeg in {folder.absolute().name}"


def read_xseg(place: Path) -> ModelState:
    """The XSeg model at a place; see `XSegMasker.load`.

    Raises
    ------
    UsageError
        If there is none.
    ModelFileError
        If its files are damaged.
    """
    if place.is_dir() and find_models(place, XSegOptions.NAME):
        state = read_model(place, XSegOptions.NAME, XSegOptions.NAME, only=(PART,))
        if PART not in state.tensors:
            raise ModelFileError(f"{place}: the XSeg model has no {PART}.npy")
        return state
    file = place / f"{PART}.npy" if place.is_dir() else place
    if not file.is_file():
        raise UsageError(
            f"{place}: no XSeg weights are there. Name a model folder with a trained XSeg, or the "
            f"folder of {PART}.npy in your DeepFaceLab (_internal/model_generic_xseg)."
        )
    return ModelState(
        model_class=XSegOptions.NAME,
        iteration=0,
        options={},
        loss_history=[],
        tensors={PART: read_part(file)},
    )
