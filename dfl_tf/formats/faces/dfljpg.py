"""Face metadata inside a JPEG (APP15): reading leniently, writing what old programs read.

References: data.md 1.1 to 1.4, design decisions 7 and 30.
"""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np

from dfl_tf.disk import durable
from dfl_tf.disk.plain_file import read_plain
from dfl_tf.errors import DflTfError, FacesetError
from dfl_tf.formats.faces.face_metadata import FaceMetadata, metadata_from_dict, metadata_to_dict
from dfl_tf.formats.faces.jpeg_segments import (
    APP0,
    APP15,
    JpegSegment,
    image_shape,
    join_segments,
    split_segments,
)
from dfl_tf.formats.faces.stored_mask import decode_mask, encode_plane, mask_bytes_to_stored
from dfl_tf.formats.pickles.safe_pickle import dumps_legacy, loads

MAX_PAYLOAD = 65533
"""Largest APP15 payload: a length field of 16 bits that counts itself."""

_APP14 = 0xEE  # says how the colors of the pixels are coded

MAX_IMAGE_BYTES = 256 << 20
"""An aligned face is far smaller; a larger file is refused before it is read."""


def read_metadata(source: bytes | Path, *, what: str = "image") -> FaceMetadata | None:
    """The metadata of an aligned face.

    Parameters
    ----------
    source : bytes or Path
        A JPEG. Baseline or progressive, restart intervals, any order of APP segments, bytes
        after the end, and a scan without its end marker are accepted.
    what : str
        Name for messages when `source` is bytes.

    Returns
    -------
    FaceMetadata or None
        None when it is an image without (or with empty) metadata, or no JPEG at all.

    Raises
    ------
    FacesetError
        Damaged JPEG, or metadata that is not of this form; all that is wrong is in the message.
    LegacyFormatError
        The metadata is not a readable pickle (`UnsafePickleError`: it names forbidden things).
    """
    data, name = _read(source, what)
    if data[:2] != b"\xff\xd8":
        return None
    segments = split_segments(data, what=name)
    payloads = [segment.body[2:] for segment in segments if segment.marker == APP15]
    if not payloads:
        return None
    stored = None
    for payload in payloads:  # all are checked, the last one counts
        stored = loads(payload, what=f"{name} (APP15)")
    if not isinstance(stored, dict):
        raise FacesetError(f"{name}: its metadata is a {type(stored).__name__}, not a dictionary.")
    if not stored:
        return None
    return metadata_from_dict(stored, shape=image_shape(segments, name), what=name)


def _read(source: bytes | Path, what: str) -> tuple[bytes, str]:
    if isinstance(source, bytes):
        return source, what
    try:
        return read_plain(source, limit=MAX_IMAGE_BYTES), str(source)
    except OSError as error:
        raise FacesetError(f"{source}: cannot be read ({error.strerror}).") from None


def embed_metadata(data: bytes, metadata: FaceMetadata, *, what: str = "image") -> bytes:
    """The bytes of JPEG `data` with `metadata` in it; pixels are not re-encoded.

    All old APP15 segments go; the new one stands right after the last APP segment. If the payload
    is too large, the XSeg mask is encoded smaller.

    Raises
    ------
    FacesetError
        `data` is not a JPEG, or the metadata does not fit even then.

    References
    ----------
    data.md 1.4.
    """
    payload = _payload(metadata, what)
    segments = [s for s in split_segments(data, what=what) if s.marker != APP15]
    apps = [i for i, segment in enumerate(segments) if APP0 <= segment.marker <= APP15]
    place = apps[-1] + 1 if apps else 1
    body = struct.pack(">H", len(payload) + 2) + payload
    segments.insert(place, JpegSegment(APP15, body))
    return join_segments(segments)


def strip_metadata(data: bytes, *, what: str = "image") -> bytes:
    """The JPEG without any APP15 segment."""
    return join_segments(s for s in split_segments(data, what=what) if s.marker != APP15)


def pixels_only(data: bytes, *, what: str = "image") -> bytes:
    """The JPEG without what makes programs turn or recolor it (EXIF, ICC), or is no image.

    Everything that decodes it then shows the pixels as training sees them.
    """
    kept = (APP0, _APP14)
    return join_segments(
        s
        for s in split_segments(data, what=what)
        if not APP0 <= s.marker <= APP15 or s.marker in kept
    )


def write_metadata(path: Path, metadata: FaceMetadata) -> None:
    """Replace the metadata of the JPEG at `path`, atomically.

    Raises
    ------
    FacesetError
        It cannot be read or the metadata does not fit; the file is untouched.
    WorkspaceError
        It cannot be written; the file is untouched.
    """
    data, name = _read(path, "")
    durable.write_file(path, embed_metadata(data, metadata, what=name))


def _payload(metadata: FaceMetadata, what: str) -> bytes:
    stored = metadata_to_dict(metadata)
    payload = dumps_legacy(stored, protocol=3)
    if len(payload) <= MAX_PAYLOAD:
        return payload
    mask = metadata.xseg_mask_bytes
    stored.pop("xseg_mask", None)
    rest = len(dumps_legacy(stored, protocol=3))
    if mask is not None and rest < MAX_PAYLOAD - 1024:
        try:
            plane = np.rint(decode_mask(mask)[:, :, 0] * 255).astype(np.uint8)
            smaller = encode_plane(plane, MAX_PAYLOAD - 512 - rest)
        except DflTfError as error:
            raise FacesetError(f"{what}: {error}") from None
        return dumps_legacy(stored | {"xseg_mask": mask_bytes_to_stored(smaller)}, protocol=3)
    raise FacesetError(
        f"{what}: the metadata needs {len(payload)} bytes, a JPEG holds {MAX_PAYLOAD}. Simplify "
        "its polygons; the file was not changed."
    )
