"""XSeg masks as they are stored with a face: encoded images of one channel.

References: data.md 1.3.
"""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from dfl_tf.errors import FacesetError, WorkspaceError
from dfl_tf.imaging import decode_image

MAX_MASK_BYTES = 50_000
"""An encoded XSeg mask larger than this is encoded again as JPEG (data.md 1.3)."""


def decode_mask(encoded: bytes) -> npt.NDArray[np.float32]:
    """Decode a stored mask to shape (h, w, 1), float32 in [0, 1].

    Raises
    ------
    FacesetError
        No readable image, or one that declares too many pixels.
    """
    try:
        image = decode_image(encoded, what="its XSeg mask")
    except WorkspaceError as error:
        raise FacesetError(f"{error}; apply or remove the mask again") from None
    if image.dtype != np.uint8:
        raise FacesetError("its XSeg mask has 16 bits; apply or remove the mask again")
    return np.divide(image[:, :, :1], np.float32(255), dtype=np.float32)


def encode_mask(mask: npt.NDArray[np.floating]) -> bytes:
    """Encode a mask as the legacy program does: PNG, or JPEG if that is over 50,000 bytes.

    Parameters
    ----------
    mask : ndarray, shape (h, w) or (h, w, c), any floating dtype, in [0, 1]
        Channel 0 is kept; values are clipped and truncated to 8 bits.

    References
    ----------
    data.md 1.3.
    """
    plane = mask if mask.ndim == 2 else mask[:, :, 0]
    return encode_plane(np.clip(plane * 255, 0, 255).astype(np.uint8), MAX_MASK_BYTES)


def encode_plane(plane: npt.NDArray[np.uint8], limit: int) -> bytes:
    """Encode a mask as PNG, or as the best JPEG that has at most `limit` bytes.

    Parameters
    ----------
    plane : ndarray, shape (h, w), uint8
    limit : int
    """
    done, png = cv2.imencode(".png", plane)
    if done and len(png) <= limit:
        return png.tobytes()
    for quality in range(100, -1, -1):
        done, jpeg = cv2.imencode(".jpg", plane, [cv2.IMWRITE_JPEG_QUALITY, quality])
        if done and len(jpeg) <= limit:
            return jpeg.tobytes()
    raise FacesetError(f"the XSeg mask does not fit into {limit} bytes at any quality.")


def mask_bytes_from_stored(value: object) -> bytes:
    """The encoded mask from an ndarray of shape (n,) or (n, 1), or from bytes."""
    if isinstance(value, bytes | bytearray):
        return bytes(value)
    array = np.asarray(value)
    if array.dtype != np.uint8:
        raise ValueError(f"dtype {array.dtype}, expected uint8")
    return array.tobytes()


def mask_bytes_to_stored(mask: bytes) -> npt.NDArray[np.uint8]:
    """The form in which old image libraries gave it and old decoders want it: (n, 1) uint8."""
    return np.frombuffer(mask, np.uint8).reshape(-1, 1)
