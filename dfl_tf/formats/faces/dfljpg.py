"""Face metadata inside a JPEG (APP15): reading leniently, writing what old programs read.

References: data.md 1.1 to 1.4, design decisions 7 and 30.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

from dfl_tf.disk import durable
from dfl_tf.disk.plain_file import read_plain
from dfl_tf.errors import DflTfError, FacesetError, WorkspaceError
from dfl_tf.face import landmarks_fault
from dfl_tf.face.masks import FARTHEST
from dfl_tf.formats.pickles.safe_pickle import dumps_legacy, loads
from dfl_tf.imaging import decode_image

SOI, EOI, SOS, APP0, APP15 = 0xD8, 0xD9, 0xDA, 0xE0, 0xEF
_FRAME_HEADERS = frozenset((0xC0, 0xC1, 0xC2, 0xC3, 0xC5, 0xC6, 0xC7, 0xC9, 0xCA, 0xCB))
_STANDALONE = frozenset((0x01, *range(0xD0, 0xDA)))

MAX_PAYLOAD = 65533
"""Largest APP15 payload: a length field of 16 bits that counts itself."""

MAX_IMAGE_BYTES = 256 << 20
"""An aligned face is far smaller; a larger file is refused before it is read."""

MAX_MASK_BYTES = 50_000
"""An encoded XSeg mask larger than this is encoded again as JPEG (data.md 1.3)."""

MAX_EYEBROWS = 100
"""Eyebrows are moved by half of their distance to the eyes times this; 4 is the most in use."""


@dataclass(kw_only=True)
class FaceMetadata:
    """What the legacy program stores with an aligned face.

    Attributes
    ----------
    face_type : str
        Legacy name in lower case, e.g. `whole_face`; `full_face` where the file says nothing.
    landmarks : ndarray, shape (68, 2), float64
        x, y in pixels of this image; may lie outside.
    source_filename : str
        Name of the frame; empty if not set.
    source_rect : tuple of 4 int, or None
        left, top, right, bottom in the frame.
    source_landmarks : ndarray, shape (68, 2), float64, or None
        In frame pixels.
    image_to_face_mat : ndarray, shape (2, 3), float64, or None
        Frame to aligned image.
    eyebrows_expand_mod : float
    seg_ie_polys : list of (int, ndarray)
        Manual masks in pixels of this image: kind (1 include, 0 exclude) and points, shape
        (n, 2), float32. Include polygons come first; the order within a kind is kept.
    xseg_mask_bytes : bytes or None
        The applied mask, an encoded single-channel image (PNG or JPEG).
    shape : tuple of 3 int
        Height, width, channels of this image, from its frame header.
    extra : dict
        Keys that we do not know; written back unchanged.
    """

    face_type: str = "full_face"
    landmarks: npt.NDArray[np.float64]
    source_filename: str = ""
    source_rect: tuple[int, int, int, int] | None = None
    source_landmarks: npt.NDArray[np.float64] | None = None
    image_to_face_mat: npt.NDArray[np.float64] | None = None
    eyebrows_expand_mod: float = 1.0
    seg_ie_polys: list[tuple[int, npt.NDArray[np.float32]]] = field(default_factory=list)
    xseg_mask_bytes: bytes | None = None
    shape: tuple[int, int, int] = (0, 0, 0)
    extra: dict[str, Any] = field(default_factory=dict)

    def frame_landmarks(self) -> npt.NDArray[np.float64]:
        """The landmarks in pixels of the frame, shape (68, 2), float64.

        Raises
        ------
        FacesetError
            There are none, or no face can be aligned by them.
        """
        if self.source_landmarks is None:
            raise FacesetError("holds no landmarks of its frame (source_landmarks)")
        fault = landmarks_fault(self.source_landmarks)
        if fault:
            raise FacesetError(f"unusable source_landmarks: {fault}")
        return self.source_landmarks

    def mask(self) -> npt.NDArray[np.float32] | None:
        """The decoded XSeg mask, shape (h, w, 1), float32 in [0, 1]; None if there is none.

        Raises
        ------
        FacesetError
            The stored mask is no readable image.

        References
        ----------
        data.md 1.3 (of a mask with several channels, channel 0 counts).
        """
        if self.xseg_mask_bytes is None:
            return None
        return decode_mask(self.xseg_mask_bytes)


class JpegSegment(NamedTuple):
    """One JPEG segment. `body` holds everything after the marker (length field, data, scan)."""

    marker: int
    body: bytes


# -- reading -----------------------------------------------------------------------------------
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
        None when it is a picture without (or with empty) metadata, or no JPEG at all.

    Raises
    ------
    FacesetError
        Damaged JPEG, or metadata that is not of this form; all that is wrong is in the message.
    LegacyFormatError
        The metadata is no readable pickle (`UnsafePickleError`: it names forbidden things).
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
    return metadata_from_dict(stored, shape=_image_shape(segments, name), what=name)


def split_segments(data: bytes, *, what: str = "image") -> list[JpegSegment]:
    """The segments of a JPEG, from SOI to EOI (one is added if the scan has no end).

    Raises
    ------
    FacesetError
        It does not have the form of a JPEG.
    """
    segments: list[JpegSegment] = []
    position = 0
    while position < len(data):
        while data[position : position + 2] == b"\xff\xff":  # fill bytes are legal
            position += 1
        head = data[position : position + 2]
        if len(head) < 2 or head[0] != 0xFF:
            raise FacesetError(
                f"{what}: damaged JPEG, no marker at byte {position} of {len(data)}."
            )
        marker = head[1]
        if (marker == SOI) != (not segments):
            raise FacesetError(f"{what}: damaged JPEG, misplaced start marker at byte {position}.")
        position += 2
        if marker in _STANDALONE:
            segments.append(JpegSegment(marker, b""))
            if marker == EOI:
                return segments
            continue
        length = int.from_bytes(data[position : position + 2], "big")
        end = position + length
        if length < 2 or end > len(data):
            raise FacesetError(
                f"{what}: truncated JPEG, segment FF{marker:02X} at byte {position - 2} declares "
                f"{length} bytes, {len(data) - position} are left."
            )
        if marker == SOS:
            found = data.find(b"\xff\xd9", end)
            end = len(data) if found < 0 else found
        segments.append(JpegSegment(marker, data[position:end]))
        position = end
    if not any(segment.marker == SOS for segment in segments):
        raise FacesetError(f"{what}: truncated JPEG, it ends before its image data.")
    return [*segments, JpegSegment(EOI, b"")]


def join_segments(segments: Iterable[JpegSegment]) -> bytes:
    """The bytes of a JPEG made of `segments`."""
    return b"".join(bytes((0xFF, marker)) + body for marker, body in segments)


def _read(source: bytes | Path, what: str) -> tuple[bytes, str]:
    if isinstance(source, bytes):
        return source, what
    try:
        return read_plain(source, limit=MAX_IMAGE_BYTES), str(source)
    except OSError as error:
        raise FacesetError(f"{source}: cannot be read ({error.strerror}).") from None


def _image_shape(segments: list[JpegSegment], what: str) -> tuple[int, int, int]:
    for segment in segments:
        if segment.marker in _FRAME_HEADERS and len(segment.body) >= 7:
            height, width = struct.unpack(">HH", segment.body[3:7])
            if height and width:
                return height, width, 3
    raise FacesetError(f"{what}: damaged JPEG, it says no size.")


# -- dictionary <-> metadata -------------------------------------------------------------------
_KNOWN = (
    "face_type",
    "landmarks",
    "source_filename",
    "source_rect",
    "source_landmarks",
    "image_to_face_mat",
    "eyebrows_expand_mod",
    "seg_ie_polys",
    "xseg_mask",
)


def metadata_from_dict(
    stored: dict[str, Any], *, shape: tuple[int, int, int], what: str
) -> FaceMetadata:
    """Metadata from the stored dictionary of data.md 1.3; all faults in one error.

    Raises
    ------
    FacesetError
    """
    faults: list[str] = []

    def take(key: str, convert: Any, default: Any) -> Any:
        value = stored.get(key)
        if value is None:
            return default
        try:
            return convert(value)
        except (TypeError, ValueError, IndexError, KeyError, OverflowError) as error:
            faults.append(f"{key} ({error})")
            return default

    landmarks = take("landmarks", lambda v: points_array(v, 68), None)
    if landmarks is None and stored.get("landmarks") is None:
        faults.append("landmarks (missing)")
    values: dict[str, Any] = {
        "face_type": take("face_type", _text, "full_face").lower(),
        "source_filename": take("source_filename", _text, ""),
        "source_rect": take("source_rect", _rect, None),
        "source_landmarks": take("source_landmarks", lambda v: points_array(v, 68), None),
        "image_to_face_mat": take("image_to_face_mat", _matrix, None),
        "eyebrows_expand_mod": take("eyebrows_expand_mod", eyebrows_from_stored, 1.0),
        "seg_ie_polys": take("seg_ie_polys", polygons_from_stored, []),
        "xseg_mask_bytes": take("xseg_mask", mask_bytes_from_stored, None),
    }
    if faults:
        raise FacesetError(f"{what}: unusable metadata: {'; '.join(faults)}.")
    extra = {key: value for key, value in stored.items() if key not in _KNOWN}
    return FaceMetadata(landmarks=landmarks, shape=shape, extra=extra, **values)


def metadata_to_dict(metadata: FaceMetadata) -> dict[str, Any]:
    """The dictionary that is stored, without absent values, in forms that every build reads."""
    stored: dict[str, Any] = {
        "face_type": metadata.face_type,
        "landmarks": metadata.landmarks.tolist(),
        "source_filename": metadata.source_filename or None,
        "source_rect": metadata.source_rect and [int(v) for v in metadata.source_rect],
        "source_landmarks": _as_list(metadata.source_landmarks),
        "image_to_face_mat": _as_list(metadata.image_to_face_mat),
    }
    if metadata.eyebrows_expand_mod != 1.0:
        stored["eyebrows_expand_mod"] = float(metadata.eyebrows_expand_mod)
    if metadata.seg_ie_polys:
        stored["seg_ie_polys"] = polygons_to_stored(metadata.seg_ie_polys)
    if metadata.xseg_mask_bytes is not None:
        stored["xseg_mask"] = mask_bytes_to_stored(metadata.xseg_mask_bytes)
    stored |= metadata.extra
    return {key: value for key, value in stored.items() if value is not None}


def _as_list(array: npt.NDArray[np.float64] | None) -> list[Any] | None:
    return None if array is None else array.tolist()


def points_array(value: Any, count: int | None = None) -> npt.NDArray[np.float64]:
    """Points as float64 of shape (n, 2), every value finite."""
    points = np.asarray(value, dtype=np.float64)
    if points.ndim != 2 or points.shape[1] != 2 or (count is not None and len(points) != count):
        raise ValueError(f"shape {points.shape}, expected ({count or 'n'}, 2)")
    if not np.isfinite(points).all():
        raise ValueError("a value is not finite")
    return points


def polygons_from_stored(value: Any) -> list[tuple[int, npt.NDArray[np.float32]]]:
    """Manual masks from either stored form, include polygons first (data.md 1.3).

    Returns
    -------
    list of (int, ndarray)
        Kind (1 includes, 0 excludes) and points, shape (n, 2), float32, in pixels of the image.

    Raises
    ------
    ValueError
        A kind is another, or points are no pairs of numbers or lie too far away.
    """
    if isinstance(value, dict):
        pairs = [(entry["type"], entry["pts"]) for entry in value["polys"]]
    else:
        pairs = [(entry[0], entry[1]) for entry in value]
    polygons = []
    for kind, points in pairs:
        if int(kind) not in (0, 1):
            raise ValueError(f"polygon type {kind}, allowed are 0 and 1")
        raw = np.asarray(points, dtype=np.float64)
        array = points_array(raw) if raw.size else np.zeros((0, 2))
        if np.abs(array).max(initial=0) > FARTHEST:
            raise ValueError(f"a polygon reaches {np.abs(array).max():.3g} pixels away")
        polygons.append((int(kind), array.astype(np.float32)))
    return sorted(polygons, key=lambda polygon: -polygon[0])


def polygons_to_stored(polygons: list[tuple[int, npt.NDArray[np.float32]]]) -> dict[str, Any]:
    """The stored form of manual masks.

    Parameters
    ----------
    polygons : list of (int, ndarray)
        See `polygons_from_stored`.
    """
    return {
        "polys": [
            {"type": int(kind), "pts": np.asarray(points, dtype=np.float32)}
            for kind, points in polygons
        ]
    }


def mask_bytes_from_stored(value: Any) -> bytes:
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


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"a {type(value).__name__}, expected text")
    return value


def eyebrows_from_stored(value: Any) -> float:
    """How far eyebrows are moved, as a float in range."""
    number = float(value)
    if not abs(number) <= MAX_EYEBROWS:  # nor NaN
        raise ValueError(f"{number:.3g}, allowed are -{MAX_EYEBROWS} to {MAX_EYEBROWS}")
    return number


def _rect(value: Any) -> tuple[int, int, int, int]:
    left, top, right, bottom = (int(v) for v in value)
    return left, top, right, bottom


def _matrix(value: Any) -> npt.NDArray[np.float64]:
    matrix = np.asarray(value, dtype=np.float64)
    if matrix.shape != (2, 3) or not np.isfinite(matrix).all():
        raise ValueError(f"shape {matrix.shape}, expected (2, 3) of finite numbers")
    return matrix


# -- masks -------------------------------------------------------------------------------------
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
    return image[:, :, :1].astype(np.float32) / np.float32(255)


def encode_mask(mask: npt.NDArray[np.floating[Any]]) -> bytes:
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
    return _encode_plane(np.clip(plane * 255, 0, 255).astype(np.uint8), MAX_MASK_BYTES)


def _encode_plane(plane: npt.NDArray[np.uint8], limit: int) -> bytes:
    done, png = cv2.imencode(".png", plane)
    if done and len(png) <= limit:
        return png.tobytes()
    for quality in range(100, -1, -1):
        done, jpeg = cv2.imencode(".jpg", plane, [cv2.IMWRITE_JPEG_QUALITY, quality])
        if done and len(jpeg) <= limit:
            return jpeg.tobytes()
    raise FacesetError(f"the XSeg mask does not fit into {limit} bytes at any quality.")


# -- writing -----------------------------------------------------------------------------------
def embed_metadata(data: bytes, metadata: FaceMetadata, *, what: str = "image") -> bytes:
    """The bytes of JPEG `data` with `metadata` in it; pixels are not re-encoded.

    All old APP15 segments go; the new one stands right after the last APP segment. If the payload
    is too large, the XSeg mask is encoded smaller.

    Raises
    ------
    FacesetError
        `data` is no JPEG, or the metadata does not fit even then.

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
    mask = stored.pop("xseg_mask", None)
    rest = len(dumps_legacy(stored, protocol=3))
    if mask is not None and rest < MAX_PAYLOAD - 1024:
        try:
            plane = np.rint(decode_mask(mask.tobytes())[:, :, 0] * 255).astype(np.uint8)
            smaller = _encode_plane(plane, MAX_PAYLOAD - 512 - rest)
        except DflTfError as error:
            raise FacesetError(f"{what}: {error}") from None
        return dumps_legacy(stored | {"xseg_mask": mask_bytes_to_stored(smaller)}, protocol=3)
    raise FacesetError(
        f"{what}: the metadata needs {len(payload)} bytes, a JPEG holds {MAX_PAYLOAD}. Simplify "
        "its polygons; the file was not changed."
    )
