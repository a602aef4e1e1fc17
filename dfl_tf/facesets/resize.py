"""Aligned faces of another size or face type.

References
----------
tools.md 8; facesets.md 6.
"""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np

from dfl_tf.errors import FacesetError
from dfl_tf.face import FaceType, align_matrix, transform_points
from dfl_tf.formats import FaceMetadata
from dfl_tf.formats.faces.dfljpg import embed_metadata
from dfl_tf.formats.faces.stored_mask import encode_mask
from dfl_tf.imaging import decode_image, encode_image, to_bgr

SMALLEST, LARGEST = 128, 2048
_QUALITY = 100
_MASK = 256


def resize_face(jpeg: bytes, metadata: FaceMetadata, size: int, wanted: FaceType | None) -> bytes:
    """Make an aligned face of another size.

    Parameters
    ----------
    jpeg : bytes
    metadata : FaceMetadata
    size : int
        Side of the new image in pixels.
    wanted : FaceType or None
        Another crop, cut out of the old image (what lies outside of that is black); None keeps
        the one of the face.

    Returns
    -------
    bytes
        A JPEG file of quality 100 with its metadata. The XSeg mask keeps its size of 256 pixels.

    Raises
    ------
    FacesetError
        The image is not square, or there is no crop of its face type.
    """
    image = to_bgr(decode_image(jpeg, what="the image"))
    height, width = image.shape[:2]
    if height != width:
        raise FacesetError(f"is {width}x{height}, and only square images can be resized")
    own = FaceType.from_name(metadata.face_type)
    face_type = own if wanted is None else wanted
    if not face_type.croppable or (wanted is not None and not own.croppable):
        raise FacesetError(f"is of the type {own.legacy}, which has no crop of its own")
    if face_type is own:
        scale = size / width
        matrix = np.array([[scale, 0, 0], [0, scale, 0]])
        resized = cv2.resize(image, (size, size), interpolation=cv2.INTER_LANCZOS4)
        mask = metadata.xseg_mask_bytes
    else:
        matrix = align_matrix(metadata.landmarks, size, face_type)
        resized = cv2.warpAffine(image, matrix, (size, size), flags=cv2.INTER_LANCZOS4)
        mask = _turned_mask(metadata, width, face_type)
    source = metadata.source_landmarks
    changed = replace(
        metadata,
        face_type=face_type.legacy,
        landmarks=transform_points(metadata.landmarks, matrix).astype(np.float64),
        image_to_face_mat=None if source is None else align_matrix(source, size, face_type),
        seg_ie_polys=[
            (kind, transform_points(points, matrix).astype(np.float32) if len(points) else points)
            for kind, points in metadata.seg_ie_polys
        ],
        xseg_mask_bytes=mask,
        shape=(size, size, 3),
    )
    return embed_metadata(encode_image(resized, ".jpg", quality=_QUALITY), changed)


def _turned_mask(metadata: FaceMetadata, width: int, face_type: FaceType) -> bytes | None:
    mask = metadata.mask()
    if mask is None:
        return None
    matrix = align_matrix(metadata.landmarks * (_MASK / width), _MASK, face_type)
    turned = cv2.warpAffine(mask[:, :, 0], matrix, (_MASK, _MASK), flags=cv2.INTER_LANCZOS4)
    return encode_mask((turned >= 0.5).astype(np.float32))
