"""Images on disk ⇄ arrays, for any path that the system takes."""

from __future__ import annotations

import os
from pathlib import Path
from typing import overload

import cv2
import numpy as np
import numpy.typing as npt

from dfl_tf.disk.durable import replacing
from dfl_tf.disk.plain_file import read_plain
from dfl_tf.errors import WorkspaceError
from dfl_tf.imaging.headers import check_image, pixel_limit

ByteImage = npt.NDArray[np.uint8]
FloatImage = npt.NDArray[np.float32]
StoredImage = npt.NDArray[np.uint8] | npt.NDArray[np.uint16]

# Bytes of a pixel with four channels of 16 bits that is not compressed, and of all else in a file.
_LARGEST_PIXEL, _METADATA = 8, 64 << 20


def decode_image(data: bytes | npt.NDArray[np.uint8], *, what: str = "image") -> StoredImage:
    """Decode an encoded image as it is stored.

    Parameters
    ----------
    data : bytes, or ndarray, shape (length,), uint8
        A whole JPEG, PNG, TIFF… file.
    what : str
        Name for the error message.

    Returns
    -------
    ndarray, shape (h, w, c), uint8 or uint16
        c is 1 (gray), 3 (BGR) or 4 (BGRA). No EXIF rotation is applied.

    Raises
    ------
    WorkspaceError
        If the bytes are not an image, or declare more pixels than the limit
        (`headers.pixel_limit`).
    """
    buffer = np.frombuffer(data, dtype=np.uint8)
    check_image(buffer.data, what=what)
    try:
        image = cv2.imdecode(buffer, cv2.IMREAD_UNCHANGED)
    except cv2.error as error:
        raise WorkspaceError(f"{what}: cannot be decoded as an image ({error.err})") from error
    if image is None:
        raise WorkspaceError(f"{what}: cannot be decoded as an image ({len(buffer)} bytes)")
    if image.dtype.kind != "u" or image.dtype.itemsize > 2:
        raise WorkspaceError(f"{what}: pixels are {image.dtype}; 8 and 16 bits are read")
    return image if image.ndim == 3 else image[:, :, None]


@overload
def to_bgr(image: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]: ...
@overload
def to_bgr(image: npt.NDArray[np.uint16]) -> npt.NDArray[np.uint16]: ...
@overload
def to_bgr(image: npt.NDArray[np.floating]) -> npt.NDArray[np.floating]: ...
def to_bgr(
    image: StoredImage | npt.NDArray[np.floating],
) -> StoredImage | npt.NDArray[np.floating]:
    """Give an image three channels: gray is repeated, alpha is dropped.

    Parameters
    ----------
    image : ndarray, shape (h, w) or (h, w, c), any dtype
        Gray (c = 1 or 2), BGR or BGRA.

    Returns
    -------
    ndarray, shape (h, w, 3), dtype of `image`
        The input itself if it has three channels.
    """
    if image.ndim == 2:
        image = image[:, :, None]
    if image.shape[2] < 3:
        return np.repeat(image[:, :, :1], 3, axis=2)
    return image if image.shape[2] == 3 else np.ascontiguousarray(image[:, :, :3])


def to_float(image: StoredImage) -> FloatImage:
    """Scale stored pixels to [0, 1]: 8 bits by 255, 16 bits by 65535.

    Parameters
    ----------
    image : ndarray, any shape, uint8 or uint16

    Returns
    -------
    ndarray, same shape, float32
    """
    largest = 65535 if image.dtype == np.uint16 else 255
    return np.divide(image, np.float32(largest), dtype=np.float32)


def to_uint8(image: npt.NDArray[np.floating]) -> ByteImage:
    """Clip [0, 1] to 0 … 255 and truncate, as the legacy program does.

    Parameters
    ----------
    image : ndarray, any shape, any floating dtype

    Returns
    -------
    ndarray, same shape, uint8
    """
    return np.clip(image * 255, 0, 255).astype(np.uint8)


def read_image_unchanged(path: str | os.PathLike[str]) -> StoredImage:
    """Read an image as it is stored; see `decode_image`."""
    try:
        data = read_plain(Path(path), limit=_LARGEST_PIXEL * pixel_limit() + _METADATA)
    except OSError as error:
        raise WorkspaceError(f"{path}: cannot be read ({error.strerror})") from error
    return decode_image(data, what=str(path))


def read_image(path: str | os.PathLike[str]) -> ByteImage:
    """Read an image as uint8 BGR, shape (h, w, 3); 16 bits are reduced to 8."""
    return to_bytes(to_bgr(read_image_unchanged(path)))


def to_bytes(image: StoredImage) -> ByteImage:
    """Return an image of any shape, uint8 or uint16, as uint8: of 16 bits the upper eight."""
    shown = image >> 8 if image.dtype == np.uint16 else image
    return shown.astype(np.uint8, copy=False)


def encode_image(image: StoredImage, suffix: str, *, quality: int = 95) -> bytes:
    """Encode an image.

    Parameters
    ----------
    image : ndarray, shape (h, w) or (h, w, c), uint8 or uint16
        Gray, BGR or BGRA; JPEG takes uint8 without alpha.
    suffix : str
        ".jpg", ".png", ".tif"… in any letter case.
    quality : int
        Of a JPEG, 1 … 100.

    Raises
    ------
    ValueError
        If the image or the suffix cannot be encoded.
    """
    if image.dtype not in (np.uint8, np.uint16):
        raise ValueError(f"an image to encode must be uint8 or uint16; received {image.dtype}")
    kind = suffix.lower()
    options = [cv2.IMWRITE_JPEG_QUALITY, int(quality)] if kind in (".jpg", ".jpeg") else []
    try:
        done, data = cv2.imencode(kind, image, options)
    except cv2.error as error:
        raise ValueError(f"cannot encode {image.shape} as {suffix!r}: {error.msg}") from error
    if not done:
        raise ValueError(f"cannot encode {image.shape} {image.dtype} as {suffix!r}")
    return data.tobytes()


def write_image(path: str | os.PathLike[str], image: StoredImage, *, quality: int = 95) -> None:
    """Write an image; the file appears whole or stays as it was.

    Parameters
    ----------
    path : path-like
        The suffix decides the format.
    image, quality
        As for `encode_image`.

    Raises
    ------
    WorkspaceError
        If the file cannot be written.
    """
    target = Path(path)
    data = encode_image(image, target.suffix, quality=quality)
    # Thousands of frames are written so: the content is on the disk before it has its name, the
    # entry of the folder is made durable once, by who writes them (`durable.sync_folder`).
    with replacing(target, sync=False) as file:
        file.write(data)
