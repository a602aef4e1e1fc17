"""Images of faces for the page: small copies, layers drawn over them, and their frames."""

from __future__ import annotations

import math
import threading
from collections import OrderedDict
from collections.abc import Collection
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from dfl_tf.disk.plain_file import is_safe_name, open_plain
from dfl_tf.disk.text import printable
from dfl_tf.errors import DflTfError
from dfl_tf.extract.debug_images import landmark_lines
from dfl_tf.face import ordered_polygons
from dfl_tf.face.masks import FARTHEST
from dfl_tf.formats import FaceMetadata, read_metadata
from dfl_tf.imaging import decode_image, encode_image, image_size, read_image, to_bgr
from dfl_tf.imaging.files import to_bytes
from dfl_tf.web.answers import IMAGES, NotListed
from dfl_tf.web.context import SiteContext
from dfl_tf.web.faces_listing import FaceListing, FaceListings, ListedFace

Image = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float64]

LANDMARKS, POLYGONS, MASK = "landmarks", "polygons", "mask"
LAYERS = (LANDMARKS, POLYGONS, MASK)
SIDES = (96, 128, 192)
"""Widths of small copies, in pixels."""
FRAME_WIDTH = 1280
_GREEN, _YELLOW, _RED, _TINT = (120, 230, 90), (60, 210, 255), (90, 90, 255), (220, 160, 40)
_QUALITY = 82
_REMEMBERED = 32 << 20
_AT_ONCE = 2
_HEAD = 1 << 20
"""Bytes of a frame in which its size is looked for."""


class FaceImages:
    """Makes images of listed faces; a few at once, whatever is asked.

    Parameters
    ----------
    context : SiteContext
    listings : FaceListings
    """

    def __init__(self, context: SiteContext, listings: FaceListings) -> None:
        self._context, self._listings = context, listings
        self._turns = threading.BoundedSemaphore(_AT_ONCE)
        self._lock = threading.Lock()
        self._made: OrderedDict[tuple[object, ...], bytes] = OrderedDict()
        self._bytes = 0

    def small(
        self, listing: FaceListing, face: ListedFace, side: int, layers: Collection[str]
    ) -> bytes:
        """A small copy as JPEG, with layers drawn into it.

        Parameters
        ----------
        listing : FaceListing
        face : ListedFace
        side : int
            One of `SIDES`: the longer side.
        layers : collection of str
            Of `LAYERS`.

        Raises
        ------
        NotListed
            The file is gone, or no image.
        """
        key = (face.number, side, *sorted(layers))
        with self._lock:
            if key in self._made:
                self._made.move_to_end(key)
                return self._made[key]
        with self._turns:
            data = self._listings.bytes_of(listing, face)
            image = shrunk(_decoded(data, face.name), side)
            if layers:
                metadata = self._metadata(listing, face, data)
                if metadata is not None:
                    draw_layers(image, metadata, layers)
            made = encode_image(image, ".jpg", quality=_QUALITY)
        self._remember(key, made)
        return made

    def whole(self, listing: FaceListing, face: ListedFace) -> tuple[bytes, str]:
        """The image of a face and its media type: the file itself where browsers know the format.

        Raises
        ------
        NotListed
        """
        data = self._listings.bytes_of(listing, face)
        kind = IMAGES.get(Path(face.name).suffix.lower())
        if kind is not None:
            return data, kind
        with self._turns:
            return encode_image(_decoded(data, face.name), ".png"), "image/png"

    def mask(self, listing: FaceListing, face: ListedFace) -> bytes:
        """The applied mask as PNG in one color, as opaque as it is masked.

        Raises
        ------
        NotListed
            There is none.
        FacesetError
            It cannot be decoded.
        """
        with self._turns:
            data = self._listings.bytes_of(listing, face)
            metadata = self._listings.metadata_of(listing, face, data)
            mask = None if metadata is None else metadata.mask()
            if mask is None:
                raise NotListed("mask")
            opacity = np.rint(mask[:, :, 0] * 110).astype(np.uint8)
            image = np.dstack([*(np.full_like(opacity, level) for level in _TINT), opacity])
            return encode_image(image, ".png")

    def facts(self, listing: FaceListing, face: ListedFace) -> dict[str, object]:
        """What is stored with a face, for the page; what cannot be read is said in ``problem``."""
        facts: dict[str, object] = {
            "number": face.number,
            "name": printable(face.name),
            "problem": "",
        }
        data = self._listings.bytes_of(listing, face)
        size = image_size(data)
        height, width = size or (0, 0)
        told = [
            ("File", printable(face.name)),
            ("Image", f"{width}×{height} pixels, {round(face.size / 1024)} kB"),
        ]
        facts |= {"width": width, "height": height, "told": told}
        try:
            metadata = _with_frame(self._listings.metadata_of(listing, face, data), data)
        except DflTfError as error:
            return facts | {"problem": printable(error)}
        if metadata is None:
            return facts | {"problem": "The file holds no face metadata."}
        stored, frame = _stored(metadata), self._frame_facts(listing, metadata)
        told += _in_words(metadata)
        source = stored["source"]
        missing = (
            f"Its frame, {source}, is not beside the faces."
            if source
            else "It is not known which frame it was cut from."
        )
        return facts | stored | {"frame": frame, "missing": "" if frame else missing}

    def frame(self, listing: FaceListing, face: ListedFace) -> bytes:
        """The frame that a face was cut from, as JPEG of at most `FRAME_WIDTH`.

        Raises
        ------
        NotListed
            It is not beside the faces any more.
        WorkspaceError
            It cannot be decoded.
        """
        data = self._listings.bytes_of(listing, face)
        metadata = self._listings.metadata_of(listing, face, data)
        if metadata is None:
            raise NotListed("frame")
        with self._turns:
            image = self._frame(listing, metadata)
            height, width = image.shape[:2]
            if width > FRAME_WIDTH:
                size = FRAME_WIDTH, max(1, round(height * FRAME_WIDTH / width))
                image = np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)
            return encode_image(image, ".jpg", quality=90)

    def _frame(self, listing: FaceListing, metadata: FaceMetadata) -> Image:
        path = self._frame_path(listing, metadata)
        if path is not None:
            return read_image(path)
        name = metadata.source_filename
        for frames in self._context.frames:
            found = frames.shown(listing.place.side, name)
            if found is not None:
                return to_bytes(to_bgr(decode_image(found[1], what=printable(name))))
        raise NotListed("frame")

    def _frame_path(self, listing: FaceListing, metadata: FaceMetadata) -> Path | None:
        """Where the frame is: beside the folder of faces, under the name that is stored."""
        name = metadata.source_filename
        if not is_safe_name(name) or Path(name).suffix.lower() not in (".jpg", ".jpeg", ".png"):
            return None
        try:
            return self._context.inside(listing.place.path.parent / name)
        except DflTfError:
            return None

    def _frame_facts(
        self, listing: FaceListing, metadata: FaceMetadata
    ) -> dict[str, object] | None:
        path = self._frame_path(listing, metadata)
        if path is None:
            return self._frame_elsewhere(listing, metadata)
        try:
            with open_plain(path) as file:
                size = image_size(file.read(_HEAD))
        except OSError:
            return None
        return None if size is None else {"width": size[1], "height": size[0]}

    def _frame_elsewhere(
        self, listing: FaceListing, metadata: FaceMetadata
    ) -> dict[str, object] | None:
        for frames in self._context.frames:
            size = frames.size(listing.place.side, metadata.source_filename)
            if size is not None:
                return {"width": size[0], "height": size[1]}
        return None

    def _metadata(self, listing: FaceListing, face: ListedFace, data: bytes) -> FaceMetadata | None:
        try:
            return self._listings.metadata_of(listing, face, data)
        except DflTfError:  # said where the face is shown alone
            return None

    def _remember(self, key: tuple[object, ...], made: bytes) -> None:
        with self._lock:
            self._bytes += len(made) - len(self._made.pop(key, b""))
            self._made[key] = made
            while self._bytes > _REMEMBERED:
                self._bytes -= len(self._made.popitem(last=False)[1])


def _with_frame(metadata: FaceMetadata | None, data: bytes) -> FaceMetadata | None:
    """Add what a pak does not keep of the frame and the image in it may."""
    if metadata is None or metadata.source_rect is not None:
        return metadata
    try:
        inside = read_metadata(data)
    except DflTfError:
        return metadata
    if inside is None or inside.source_filename != metadata.source_filename:
        return metadata
    return replace(
        metadata, source_rect=inside.source_rect, source_landmarks=inside.source_landmarks
    )


def _decoded(data: bytes, name: str) -> Image:
    try:
        return to_bytes(to_bgr(decode_image(data, what=name)))
    except DflTfError:
        raise NotListed("image") from None


def shrunk(image: Image, side: int) -> Image:
    """An image (h, w, 3) uint8 BGR whose longer side has so many pixels; a copy."""
    height, width = image.shape[:2]
    scale = side / max(height, width)
    size = max(1, round(width * scale)), max(1, round(height * scale))
    kind = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    return np.ascontiguousarray(cv2.resize(image, size, interpolation=kind), np.uint8)


def draw_layers(image: Image, metadata: FaceMetadata, layers: Collection[str]) -> None:
    """Draw what is stored with a face into a copy of it, of any size, in place.

    Parameters
    ----------
    image : ndarray, shape (h, w, 3), uint8, BGR
    metadata : FaceMetadata
    layers : collection of str
        Of `LAYERS`; what the face does not have is not drawn.
    """
    height, width = image.shape[:2]
    scale = width / max(metadata.shape[1], 1)
    if MASK in layers:
        try:
            mask = metadata.mask()
        except DflTfError:
            mask = None
        if mask is not None:
            opacity = cv2.resize(mask[:, :, 0], (width, height))[:, :, None] * 0.43
            tint = np.array(_TINT, np.float32)
            image[:] = (image * (1 - opacity) + tint * opacity).astype(np.uint8)
    if POLYGONS in layers:
        for kind, points in ordered_polygons(metadata.seg_ie_polys):
            whole = _sixteenths(points.astype(np.float64), scale)
            cv2.polylines(image, [whole], True, _YELLOW if kind else _RED, 1, cv2.LINE_AA, 4)
    if LANDMARKS in layers:
        for line, closed in landmark_lines(_sixteenths(metadata.landmarks, scale)):
            cv2.polylines(image, [line], closed, _GREEN, 1, cv2.LINE_AA, 4)


def _sixteenths(points: Floats, scale: float) -> npt.NDArray[np.int32]:
    near = np.clip(points, -FARTHEST, FARTHEST)
    return np.rint((near + 0.5) * scale * 16 - 8).astype(np.int32)


def _stored(metadata: FaceMetadata) -> dict[str, object]:
    points = metadata.landmarks
    return {
        "face_type": printable(metadata.face_type),
        "lines": _lines(points),
        "polygons": [
            {"include": bool(kind), "points": _rounded(corners)}
            for kind, corners in ordered_polygons(metadata.seg_ie_polys)
        ],
        "mask": metadata.xseg_mask_bytes is not None,
        "source": printable(metadata.source_filename),
        "rect": metadata.source_rect,
        "source_lines": []
        if metadata.source_landmarks is None
        else _lines(metadata.source_landmarks),
    }


def _in_words(metadata: FaceMetadata) -> list[tuple[str, str]]:
    told = [
        ("Face type", printable(metadata.face_type).replace("_", " ")),
        ("Frame", printable(metadata.source_filename) or "not known"),
        ("Polygons", str(len(ordered_polygons(metadata.seg_ie_polys)))),
        ("Mask", "none" if metadata.xseg_mask_bytes is None else "applied"),
    ]
    if metadata.source_rect is not None:
        left, top, right, bottom = metadata.source_rect
        told.insert(2, ("Size in the frame", f"{right - left}×{bottom - top} pixels"))
    return told


def _lines(points: Floats) -> list[dict[str, object]]:
    return [
        {"points": _rounded(line), "closed": closed}
        for line, closed in landmark_lines(np.asarray(points, np.float64))
    ]


def _rounded(points: npt.NDArray[np.generic]) -> list[list[float]]:
    return [[_number(x), _number(y)] for x, y in points.tolist()]


def _number(value: float) -> float:
    return round(value, 2) if math.isfinite(value) else 0.0
