"""Packed facesets (`faceset.pak`): one file with the metadata of all faces and their JPEGs.

References: data.md 2.1 to 2.4.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Required, SupportsFloat, SupportsInt, TypedDict

import cv2
import numpy as np
import numpy.typing as npt

from dfl_tf.disk import durable
from dfl_tf.disk.left_out import LeftOut, Omission
from dfl_tf.disk.plain_file import is_safe_name, open_plain, read_plain
from dfl_tf.disk.write_errors import check_space
from dfl_tf.errors import UNUSABLE, FacesetError
from dfl_tf.face import FaceType
from dfl_tf.formats.faces.face_metadata import (
    FaceMetadata,
    StoredPolygons,
    eyebrows_from_stored,
    points_array,
    polygons_from_stored,
    polygons_to_stored,
)
from dfl_tf.formats.faces.stored_mask import (
    encode_mask,
    mask_bytes_from_stored,
    mask_bytes_to_stored,
)
from dfl_tf.formats.pickles.safe_pickle import EnumValue, dumps_legacy, loads

PAK_NAME = "faceset.pak"
VERSION = 1
_SAMPLE_TYPE = EnumValue("samplelib.Sample", "SampleType", 1)
FACE_TYPE_VALUES = {each.legacy: each.value for each in FaceType}
"""Numbers of the face types by their names in face files."""


@dataclass(frozen=True, kw_only=True)
class PakEntry:
    """One face of a pak.

    Attributes
    ----------
    filename : str
        Base name only.
    person_name : str or None
    metadata : FaceMetadata
        From the pak's own list, which is what training uses (not the JPEG's APP15).
    offset, size : int
        Where its JPEG lies in the file, absolute, in bytes.
    """

    filename: str
    person_name: str | None
    metadata: FaceMetadata
    offset: int
    size: int


class PakFaceset:
    """A read pak: its entries at once, the JPEGs when asked for.

    Attributes
    ----------
    path : Path
    entries : tuple of PakEntry
    damaged : tuple of Omission
        Faces of the list that cannot be used; they stand nowhere in `entries`.
    """

    def __init__(
        self, path: Path, entries: Sequence[PakEntry], damaged: Iterable[Omission] = ()
    ) -> None:
        self.path = path
        self.entries = tuple(entries)
        self.damaged = tuple(damaged)

    def __len__(self) -> int:
        return len(self.entries)

    def __getitem__(self, index: int) -> PakEntry:
        return self.entries[index]

    def jpeg(self, index: int) -> bytes:
        """The original JPEG file of entry `index`, verbatim. Safe from several threads.

        Raises
        ------
        FacesetError
            The pak cannot be read any more.
        """
        entry = self.entries[index]
        try:
            with open_plain(self.path) as file:
                file.seek(entry.offset)
                data = file.read(entry.size)
        except OSError as error:
            raise FacesetError(f"{self.path}: cannot be read ({error.strerror}).") from None
        if len(data) != entry.size:
            raise FacesetError(f"{self.path}: became shorter while it was in use.")
        return data


def read_pak(path: Path) -> PakFaceset:
    """Read the list of a packed faceset; no image is read yet.

    Raises
    ------
    FacesetError
        Missing, truncated, of another version, or with sizes that do not fit the file; unsafe
        or unusable metadata names the face.
    """
    try:
        with open_plain(path) as file:
            size = os.fstat(file.fileno()).st_size
            config_size = _config_size(file.read(16), path)
            if config_size > size - 16:
                raise FacesetError(
                    f"{path}: truncated, its list needs {config_size} bytes, {size - 16} follow."
                )
            stored = loads(file.read(config_size), what=f"{path} (list of faces)", points=True)
            if not isinstance(stored, list) or not all(isinstance(s, dict) for s in stored):
                raise FacesetError(f"{path}: its list of faces is not a list of dictionaries.")
            table_size = 8 * (len(stored) + 1)
            start = 16 + config_size + table_size
            if start > size:
                raise FacesetError(f"{path}: truncated inside its table of offsets.")
            table = file.read(table_size)
    except OSError as error:
        raise FacesetError(f"{path}: cannot be read ({error.strerror}).") from None
    offsets = list(struct.unpack(f"<{len(stored) + 1}Q", table))
    if size < offsets[-1]:
        # absolute (legacy) or relative, it is an end that must be there
        raise FacesetError(
            f"{path}: truncated, {size} bytes are there and the images end at {offsets[-1]}."
        )
    damaged = LeftOut()
    return PakFaceset(path, _entries(path, stored, offsets, start, size, damaged), damaged)


def _config_size(data: bytes, path: Path) -> int:
    if len(data) < 16:
        raise FacesetError(f"{path}: truncated, not even a header is there.")
    version, config_size = struct.unpack("<QQ", data)
    if version != VERSION:
        raise FacesetError(
            f"{path}: version {version} of packed facesets is unknown, {VERSION} is readable. "
            "Unpack it with the program that made it."
        )
    return config_size


class _StoredFace(TypedDict, total=False):
    """An entry as it should be (data.md 2.2); what is there is checked."""

    filename: Required[str]
    person_name: str | None
    face_type: SupportsInt | str | None
    shape: Required[Sequence[int]]
    landmarks: Required[npt.ArrayLike]
    source_filename: str | None
    eyebrows_expand_mod: SupportsFloat | None
    seg_ie_polys: StoredPolygons | None
    xseg_mask: npt.NDArray[np.floating] | None
    xseg_mask_compressed: npt.NDArray[np.uint8] | bytes | None


def _entries(
    path: Path,
    stored: list[_StoredFace],
    offsets: list[int],
    start: int,
    size: int,
    damaged: LeftOut,
) -> list[PakEntry]:
    count = len(stored)
    # The last entry is the end of the file as an absolute number (a legacy slip): clamp.
    ends = [start + offset for offset in offsets[1:count]] + [size]
    entries = []
    for index, config in enumerate(stored):
        begin, end = start + offsets[index], min(ends[index], size)
        name = str(config.get("filename"))[:80]
        if begin >= end:
            damaged.add(UNUSABLE, name, f"face {index} has no bytes")
            continue
        try:
            entries.append(_entry(config, begin, end - begin))
        except (FacesetError, TypeError, ValueError, KeyError, IndexError, OverflowError) as error:
            damaged.add(UNUSABLE, name, f"face {index}: {error}")
    if damaged and not entries:
        shown = "; ".join(f"{name}: {reason}" for name, reason in damaged.skipped[:5])
        raise FacesetError(f"{path}: damaged, no face in it can be used: {shown}.")
    return entries


def _entry(config: _StoredFace, offset: int, size: int) -> PakEntry:
    filename, person = config["filename"], config.get("person_name")
    for name in (filename, person):
        if name is not None and not is_safe_name(name):
            raise FacesetError(f"{ascii(name)[:80]} is not a plain file name")
    shape = tuple(int(n) for n in config["shape"])
    if len(shape) != 3 or not all(0 < n <= 65535 for n in shape):
        raise FacesetError(f"shape {shape} is not an image size")
    polys = config.get("seg_ie_polys")
    brows = config.get("eyebrows_expand_mod")
    metadata = FaceMetadata(
        face_type=_face_type_name(config.get("face_type")),
        landmarks=points_array(config["landmarks"], 68),
        source_filename=str(config.get("source_filename") or ""),
        eyebrows_expand_mod=1.0 if brows is None else eyebrows_from_stored(brows),
        seg_ie_polys=[] if polys is None else polygons_from_stored(polys),
        xseg_mask_bytes=_mask(config),
        shape=(shape[0], shape[1], shape[2]),
    )
    return PakEntry(
        filename=filename, person_name=person, metadata=metadata, offset=offset, size=size
    )


def _mask(config: _StoredFace) -> bytes | None:
    compressed = config.get("xseg_mask_compressed")
    if compressed is not None:
        return mask_bytes_from_stored(compressed)
    mask = config.get("xseg_mask")  # very old paks: a float mask, uncompressed
    if mask is None:
        return None
    if not isinstance(mask, np.ndarray) or mask.dtype.kind != "f" or mask.ndim not in (2, 3):
        raise FacesetError("xseg_mask is not a float mask")
    try:
        return encode_mask(mask)
    except cv2.error:
        raise FacesetError("xseg_mask cannot be encoded") from None


def _face_type_name(value: SupportsInt | str | None) -> str:
    if value is None:
        return "full_face"
    if isinstance(value, str):
        return value.lower()
    try:
        return FaceType(int(value)).legacy
    except ValueError:
        raise FacesetError(f"face type number {int(value)} is unknown") from None


PakImage = Path | bytes | tuple[PakFaceset, int]
PakFace = tuple[str, str | None, FaceMetadata, PakImage]


def _size_of(image: PakImage) -> int:
    if isinstance(image, bytes):
        return len(image)
    return image.stat().st_size if isinstance(image, Path) else image[0][image[1]].size


def _bytes_of(image: PakImage) -> bytes:
    if isinstance(image, bytes):
        return image
    return read_plain(image) if isinstance(image, Path) else image[0].jpeg(image[1])


def write_pak(path: Path, faces: Iterable[PakFace]) -> int:
    """Write a packed faceset, atomically; the images go through one at a time.

    Parameters
    ----------
    path : Path
        Usually `<folder>/faceset.pak`.
    faces : iterable of (filename, person_name, metadata, JPEG)
        In sample order. The JPEG is a file, its bytes, or a face of another pak by its number;
        it is copied verbatim.

    Returns
    -------
    int
        Number of faces.

    References
    ----------
    data.md 2.1 (the last table entry keeps the absolute end of file), 2.2.
    """
    listed = list(faces)
    for filename, person, _, _ in listed:
        if not is_safe_name(filename) or (person is not None and not is_safe_name(person)):
            whose = "" if person is None else f" of person {person}"
            raise FacesetError(f"{path}: {filename}{whose} is not a plain file name.")
    sizes = [_size_of(jpeg) for _, _, _, jpeg in listed]
    config = dumps_legacy([_config(*face[:3]) for face in listed], protocol=4)
    start = 16 + len(config) + 8 * (len(listed) + 1)
    offsets = [0]
    for size in sizes:
        offsets.append(offsets[-1] + size)
    offsets[-1] += start

    def content(write: Callable[[bytes], object]) -> None:
        write(struct.pack("<QQ", VERSION, len(config)))
        write(config)
        write(struct.pack(f"<{len(offsets)}Q", *offsets))
        for (filename, _, _, jpeg), size in zip(listed, sizes, strict=True):
            data = _bytes_of(jpeg)
            if len(data) != size:
                raise FacesetError(f"{filename}: changed while it was packed. Nothing was written.")
            write(data)

    check_space(path.parent, offsets[-1])
    durable.write_stream(path, content)
    return len(listed)


def _config(filename: str, person: str | None, metadata: FaceMetadata) -> dict[str, object]:
    if metadata.face_type not in FACE_TYPE_VALUES:
        raise FacesetError(f"{filename}: face type {metadata.face_type!r} has no legacy number.")
    mask = metadata.xseg_mask_bytes
    number = FACE_TYPE_VALUES[metadata.face_type]
    return {
        "sample_type": _SAMPLE_TYPE,
        "filename": filename,
        "face_type": EnumValue("facelib.FaceType", "FaceType", number),
        "shape": tuple(int(n) for n in metadata.shape),
        "landmarks": metadata.landmarks.tolist(),
        "seg_ie_polys": polygons_to_stored(metadata.seg_ie_polys),
        "xseg_mask": None,
        "xseg_mask_compressed": None if mask is None else mask_bytes_to_stored(mask),
        "eyebrows_expand_mod": float(metadata.eyebrows_expand_mod),
        "source_filename": metadata.source_filename,
        "person_name": person,
    }
