"""What is stored with an aligned face, and the dictionary that it is stored as.

References: data.md 1.3, design decisions 7 and 30.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, SupportsFloat, SupportsInt, TypedDict, TypeVar

import numpy as np
import numpy.typing as npt

from dfl_tf.errors import FacesetError
from dfl_tf.face import landmarks_error
from dfl_tf.face.masks import FARTHEST
from dfl_tf.formats.faces.stored_mask import (
    decode_mask,
    mask_bytes_from_stored,
    mask_bytes_to_stored,
)

MAX_EYEBROWS = 100
"""Eyebrows are moved by half of their distance to the eyes times this; 4 is the most in use."""

_T = TypeVar("_T")
_D = TypeVar("_D")


class _StoredPolygon(TypedDict):
    type: SupportsInt
    pts: npt.ArrayLike


class _PolygonTable(TypedDict):
    polys: list[_StoredPolygon]


StoredPolygons = _PolygonTable | Iterable[tuple[SupportsInt, npt.ArrayLike]]
"""Both forms in which files hold manual masks."""


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
    extra: dict[str, object] = field(default_factory=dict)

    def frame_landmarks(self) -> npt.NDArray[np.float64]:
        """The landmarks in pixels of the frame, shape (68, 2), float64.

        Raises
        ------
        FacesetError
            There are none, or no face can be aligned by them.
        """
        if self.source_landmarks is None:
            raise FacesetError("holds no landmarks of its frame (source_landmarks)")
        error = landmarks_error(self.source_landmarks)
        if error:
            raise FacesetError(f"unusable source_landmarks: {error}")
        return self.source_landmarks

    def mask(self) -> npt.NDArray[np.float32] | None:
        """The decoded XSeg mask, shape (h, w, 1), float32 in [0, 1]; None if there is none.

        Raises
        ------
        FacesetError
            The stored mask is not a readable image.

        References
        ----------
        data.md 1.3 (of a mask with several channels, channel 0 counts).
        """
        if self.xseg_mask_bytes is None:
            return None
        return decode_mask(self.xseg_mask_bytes)


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
    stored: Mapping[str, object], *, shape: tuple[int, int, int], what: str
) -> FaceMetadata:
    """Metadata from the stored dictionary of data.md 1.3; all errors in one error.

    Raises
    ------
    FacesetError
    """
    errors: list[str] = []

    def take(key: str, convert: Callable[[Any], _T], default: _D) -> _T | _D:
        value = stored.get(key)
        if value is None:
            return default
        try:
            return convert(value)
        except (TypeError, ValueError, IndexError, KeyError, OverflowError) as error:
            errors.append(f"{key} ({error})")
            return default

    landmarks = take("landmarks", lambda v: points_array(v, 68), None)
    if landmarks is None and stored.get("landmarks") is None:
        errors.append("landmarks (missing)")
    face_type = take("face_type", _text, "full_face").lower()
    source_filename = take("source_filename", _text, "")
    source_rect = take("source_rect", _rect, None)
    source_landmarks = take("source_landmarks", lambda v: points_array(v, 68), None)
    image_to_face_mat = take("image_to_face_mat", _matrix, None)
    eyebrows = take("eyebrows_expand_mod", eyebrows_from_stored, 1.0)
    polygons = take("seg_ie_polys", polygons_from_stored, [])
    mask = take("xseg_mask", mask_bytes_from_stored, None)
    if errors or landmarks is None:
        raise FacesetError(f"{what}: unusable metadata: {'; '.join(errors)}.")
    extra = {key: value for key, value in stored.items() if key not in _KNOWN}
    return FaceMetadata(
        face_type=face_type,
        landmarks=landmarks,
        source_filename=source_filename,
        source_rect=source_rect,
        source_landmarks=source_landmarks,
        image_to_face_mat=image_to_face_mat,
        eyebrows_expand_mod=eyebrows,
        seg_ie_polys=polygons,
        xseg_mask_bytes=mask,
        shape=shape,
        extra=extra,
    )


def metadata_to_dict(metadata: FaceMetadata) -> dict[str, object]:
    """The dictionary that is stored, without absent values, in forms that every build reads."""
    stored: dict[str, object] = {
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


def _as_list(array: npt.NDArray[np.float64] | None) -> list[list[float]] | None:
    return None if array is None else array.tolist()


def points_array(value: npt.ArrayLike, count: int | None = None) -> npt.NDArray[np.float64]:
    """Points as float64 of shape (n, 2), every value finite."""
    points = np.asarray(value, dtype=np.float64)
    if points.ndim != 2 or points.shape[1] != 2 or (count is not None and len(points) != count):
        raise ValueError(f"shape {points.shape}, expected ({count or 'n'}, 2)")
    if not np.isfinite(points).all():
        raise ValueError("a value is not finite")
    return points


def polygons_from_stored(value: StoredPolygons) -> list[tuple[int, npt.NDArray[np.float32]]]:
    """Manual masks from either stored form, include polygons first (data.md 1.3).

    Returns
    -------
    list of (int, ndarray)
        Kind (1 includes, 0 excludes) and points, shape (n, 2), float32, in pixels of the image.

    Raises
    ------
    ValueError
        A kind is another, or points are not pairs of numbers or lie too far away.
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


def polygons_to_stored(polygons: list[tuple[int, npt.NDArray[np.float32]]]) -> dict[str, object]:
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


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(f"a {type(value).__name__}, expected text")
    return value


def eyebrows_from_stored(value: SupportsFloat) -> float:
    """How far eyebrows are moved, as a float in range."""
    number = float(value)
    if not abs(number) <= MAX_EYEBROWS:  # nor NaN
        raise ValueError(f"{number:.3g}, allowed are -{MAX_EYEBROWS} to {MAX_EYEBROWS}")
    return number


def _rect(value: Iterable[SupportsInt]) -> tuple[int, int, int, int]:
    left, top, right, bottom = (int(v) for v in value)
    return left, top, right, bottom


def _matrix(value: npt.ArrayLike) -> npt.NDArray[np.float64]:
    matrix = np.asarray(value, dtype=np.float64)
    if matrix.shape != (2, 3) or not np.isfinite(matrix).all():
        raise ValueError(f"shape {matrix.shape}, expected (2, 3) of finite numbers")
    return matrix
