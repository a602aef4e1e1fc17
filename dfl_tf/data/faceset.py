"""A set of aligned faces, in a folder or in a pak, whose images are read when they are needed."""

from __future__ import annotations

import contextlib
import logging
import os
import shlex
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import overload

import cv2
import numpy as np
import numpy.typing as npt

from dfl_tf.data.face_index import FaceFacts, FaceIndex, Stamp
from dfl_tf.data.heldout import FaceOrigin
from dfl_tf.disk.left_out import LeftOut
from dfl_tf.disk.listing import FACE_SUFFIXES
from dfl_tf.disk.plain_file import open_plain, read_plain
from dfl_tf.errors import DflTfError, FacesetError
from dfl_tf.face import FaceType, estimate_pitch_yaw_roll, landmarks_error, ordered_polygons
from dfl_tf.face.polygons import Polygon, encloses
from dfl_tf.formats.faces.dfljpg import MAX_IMAGE_BYTES, read_metadata
from dfl_tf.formats.faces.face_folder import NO_METADATA, NOT_JPEG, find_faces
from dfl_tf.formats.faces.face_metadata import FaceMetadata
from dfl_tf.formats.faces.faceset_pak import PAK_NAME, read_pak
from dfl_tf.formats.faces.jpeg_segments import APP15
from dfl_tf.formats.faces.stored_mask import decode_mask
from dfl_tf.imaging import decode_image, size_error, to_bgr, to_float
from dfl_tf.imaging.files import StoredImage

_SILENTLY_READ = 4000

_log = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False, slots=True)
class FaceSample:
    """One aligned face: its metadata in memory, its image on disk.

    Attributes
    ----------
    name : str
        File name; unique within a person of a faceset.
    key : str
        Unique within the process.
    face_type : FaceType
    shape : tuple of int
        (height, width, 3) of the image.
    landmarks : ndarray, shape (68, 2), float64
        Pixels of the image, possibly outside of it.
    eyebrows_expand_mod : float
    source_filename : str or None
        The frame that the face was cut from.
    person_name : str or None
    polygons : tuple of (kind, points)
        Hand-drawn masks, includes first.
    xseg_bytes : bytes or None
        Encoded mask.
    """

    name: str
    key: str
    face_type: FaceType
    shape: tuple[int, int, int]
    landmarks: npt.NDArray[np.float64]
    eyebrows_expand_mod: float = 1.0
    source_filename: str | None = None
    person_name: str | None = None
    polygons: tuple[Polygon, ...] = ()
    xseg_bytes: bytes | None = field(default=None, repr=False)
    read: Callable[[], bytes] = field(default=bytes, repr=False)

    def bytes(self) -> bytes:
        """Return the JPEG file."""
        return self.read()

    def image(self) -> npt.NDArray[np.float32]:
        """Decode the image: (h, w, 3) float32, BGR, [0, 1]."""
        return to_float(self.pixels())

    def pixels(self, *, quick: bool = False) -> StoredImage:
        """Decode the image: (h, w, 3), uint8 or uint16, BGR.

        With `quick` a file is read by a kernel, in one call: for the threads of a training, which
        have loaded numba anyway.
        """
        data = self.read.quickly() if quick and isinstance(self.read, _FaceFile) else self.read()
        image = to_bgr(decode_image(data, what=self.key))
        if image.shape != self.shape:
            raise FacesetError(
                f"{self.key}: the image has {image.shape[1]}x{image.shape[0]} pixels, its metadata "
                f"{self.shape[1]}x{self.shape[0]}"
            )
        return image

    def xseg_mask(self) -> npt.NDArray[np.float32] | None:
        """Decode the XSeg mask at its own size: (s, s, 1) float32, [0, 1]; None without one."""
        if self.xseg_bytes is None:
            return None
        return decode_mask(self.xseg_bytes)

    def pitch_yaw_roll(self) -> tuple[float, float, float]:
        """Estimate the head's pose in radians (data.md 7.6).

        Raises
        ------
        FacesetError
            The landmarks are not those of a head.
        """
        try:
            pose = estimate_pitch_yaw_roll(self.landmarks, self.shape[1])
        except cv2.error as error:
            raise _bad_landmarks(f"no pose fits them ({error.err})") from None
        if not np.isfinite(pose).all():
            raise _bad_landmarks("no pose fits them")
        return pose

    @property
    def labeled(self) -> bool:
        """Whether the hand-drawn polygons enclose anything of the image."""
        return encloses(self.shape, self.polygons)


class Faceset(Sequence[FaceSample]):
    """Aligned faces in their fixed order.

    The metadata of a folder of up to `eager` images is read when it is opened. In a larger one
    each image is only asked whether it carries any, and its metadata is read at first use: a
    face whose metadata turns out to be damaged then raises `DflTfError` from its index. What
    `facts` learns of a larger one is remembered between runs (`FaceIndex`).

    Attributes
    ----------
    path : Path
        The folder or pak.
    left_out : LeftOut
        Everything in the folder or pak that is not used.

    References
    ----------
    data.md 1.5, 2.4, 3.1.
    """

    def __init__(
        self,
        path: Path,
        samples: Sequence[FaceSample | Path],
        left_out: LeftOut | None = None,
        index: FaceIndex | None = None,
        places: Sequence[int] | None = None,
    ) -> None:
        self.path = path
        self.left_out = LeftOut() if left_out is None else left_out
        self._samples = list(samples)
        self._index = index
        self._places = range(len(self._samples)) if places is None else places

    @classmethod
    def open(cls, path: str | Path, *, eager: int = 4000) -> Faceset:
        """Open a folder of aligned faces, a folder with a `faceset.pak`, or a pak.

        A pak in the folder hides the loose images. The order is that of the sorted paths.

        Raises
        ------
        FacesetError
            If the path does not exist or no usable face is in it.
        """
        place = Path(path)
        pak, found = find_faces(place)
        if pak is not None:
            return cls._from_pak(pak, eager, found.left_out)
        return cls._from_files(place, found.files, found.left_out, eager)

    @classmethod
    def _from_files(
        cls, folder: Path, files: Sequence[Path], left_out: LeftOut, eager: int
    ) -> Faceset:
        index = None if len(files) <= eager else FaceIndex(folder, _stamps(files))
        samples: list[FaceSample | Path] = []
        for path in files:
            known = index.get(path.name) if index else None
            try:
                if known is not None and known.reason:
                    raise FacesetError(known.reason, kind=known.kind)
                if known is not None:
                    samples.append(path)
                else:
                    samples.append(_sample_from_file(path) if index is None else _probed(path))
            except (DflTfError, OSError) as error:
                left_out.skip(path.name, error)
        return cls(folder, samples, left_out, index)._checked()

    @classmethod
    def _from_pak(cls, path: Path, eager: int, left_out: LeftOut) -> Faceset:
        pak = read_pak(path)
        samples: list[FaceSample] = []
        left_out.extend(pak.damaged)
        for number, entry in enumerate(pak.entries):
            try:
                sample = sample_from_metadata(
                    entry.filename,
                    entry.metadata,
                    key=f"{path}#{number}",
                    read=partial(pak.jpeg, number),
                    person_name=entry.person_name,
                )
            except FacesetError as error:
                left_out.skip(entry.filename, error)
            else:
                samples.append(sample)
        index = None
        if len(samples) > eager:
            stat = path.stat()
            stamp = stat.st_size, stat.st_mtime_ns
            index = FaceIndex(path, {str(place): stamp for place in range(len(samples))})
        return cls(path, samples, left_out, index)._checked()

    @property
    def skipped(self) -> list[tuple[str, str]]:
        """Name and reason of every file that should be a face and is not a usable one."""
        return self.left_out.skipped

    def _checked(self) -> Faceset:
        lines = self.left_out.lines(
            see=f"dfl-tf faceset status --all {shlex.quote(str(self.path))}"
        )
        for line in lines:
            _log.warning("%s: %s", self.path, line)
        if not self._samples:
            detail = "".join(f"\n  {line}" for line in lines)
            raise FacesetError(
                f"{self.path}: no aligned face found ({len(self.skipped)} images skipped); "
                f"put the aligned .jpg files or a {PAK_NAME} there{detail}"
            )
        return self

    def face_types(self) -> Counter[FaceType]:
        """Count the faces of each type; of a large faceset what `facts` remembers."""
        if self._index is None:
            return Counter(sample.face_type for sample in self)
        return Counter(FaceType(facts.face_type) for _, facts in self.facts())

    def __len__(self) -> int:
        return len(self._samples)

    @overload
    def __getitem__(self, index: int) -> FaceSample: ...
    @overload
    def __getitem__(self, index: slice) -> list[FaceSample]: ...
    def __getitem__(self, index: int | slice) -> FaceSample | list[FaceSample]:
        """Return the sample of an index."""
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        sample = self._samples[index]
        if isinstance(sample, Path):
            sample = self._samples[index] = _sample_from_file(sample)
        return sample

    def facts(self) -> Iterator[tuple[int, FaceFacts]]:
        """Yield index and facts of each face; damaged ones are named, counted, left out.

        The samples themselves are not kept: memory stays bounded.
        """
        remembered = self._index
        if remembered is not None and len(remembered) < len(self) - _SILENTLY_READ:
            _log.warning("%s: indexing %d faces (first run only) …", self.path, len(self))
        packed = self.path.is_file()
        for index in range(len(self)):
            # names in a pak may be double
            key = str(self._places[index]) if packed else self.name(index)
            facts = None if remembered is None else remembered.get(key)
            if facts is None:
                facts = self._learn(index, key)
            if not facts.reason:
                yield index, facts
        if remembered is not None:
            remembered.save()

    def _learn(self, index: int, key: str) -> FaceFacts:
        """Read a face and say what choosing needs to know of it."""
        sample, name = self._samples[index], self.name(index)
        try:
            if isinstance(sample, Path):
                sample = _sample_from_file(sample)
            yaw = sample.pitch_yaw_roll()[1]
        except (DflTfError, OSError) as error:
            kind = getattr(error, "kind", "unreadable files")
            facts = FaceFacts(reason=str(error), kind=kind)
            _log.warning("skipped %s: %s", name, error)
            self.left_out.skip(name, error)
            if isinstance(error, OSError):
                return facts  # the disk's error, perhaps for now only: not remembered
        else:
            facts = FaceFacts(
                yaw=yaw,
                polygons=sample.labeled,
                masked=sample.xseg_bytes is not None,
                empty_label=bool(sample.polygons) and not sample.labeled,
                face_type=int(sample.face_type),
                source=sample.source_filename or "",
            )
        if self._index is not None:
            self._index.put(key, facts)
        return facts

    def name(self, index: int) -> str:
        """Return the file name of a face without reading the file."""
        return self._samples[index].name

    def key(self, index: int) -> str:
        """Return `FaceSample.key` of a face without reading the file."""
        sample = self._samples[index]
        return str(sample) if isinstance(sample, Path) else sample.key

    def identity(self, index: int) -> str:
        """Return what a face is called in its folder or pak: its name, after that of its person."""
        sample = self._samples[index]
        person = "" if isinstance(sample, Path) else sample.person_name
        return f"{person}/{sample.name}" if person else sample.name

    def stamps(self) -> dict[str, Stamp]:
        """Return size and time of change of the file of each face, by `FaceSample.key`."""
        keys = [self.key(index) for index in range(len(self))]
        if not self.path.is_file():
            return _stamps(map(Path, keys), by=str)
        stat = self.path.stat()
        return dict.fromkeys(keys, (stat.st_size, stat.st_mtime_ns))

    def origins(self) -> list[FaceOrigin]:
        """Return what the names of each face say about its frame; see `facts` for a large set."""
        sources: dict[int, str] = {}
        if any(isinstance(sample, Path) for sample in self._samples):
            sources = {index: facts.source for index, facts in self.facts()}
        return [
            FaceOrigin(sample.name, sources.get(index, ""))
            if isinstance(sample, Path)
            else FaceOrigin(sample.name, sample.source_filename or "", sample.person_name or "")
            for index, sample in enumerate(self._samples)
        ]

    def subset(self, indices: Iterable[int]) -> Faceset:
        """Return the faceset of some of the faces, in the order that is given."""
        chosen = list(indices)
        return Faceset(
            self.path,
            [self._samples[index] for index in chosen],
            self.left_out,
            self._index,
            [self._places[index] for index in chosen],
        )


def _stamps(
    files: Iterable[Path], *, by: Callable[[Path], str] = lambda path: path.name
) -> dict[str, Stamp]:
    """Return size and time of change by name; what is gone meanwhile has none."""
    stamps = {}
    for path in files:
        with contextlib.suppress(OSError):
            stat = path.stat()
            stamps[by(path)] = stat.st_size, stat.st_mtime_ns
    return stamps


@dataclass(frozen=True)
class _FaceFile:
    """Reads the file of a face."""

    path: Path

    def __call__(self) -> bytes:
        return read_plain(self.path, limit=MAX_IMAGE_BYTES)

    def quickly(self) -> bytes | npt.NDArray[np.uint8]:
        """Read it in one call, if that succeeds, to where the next call of the thread reads to."""
        from dfl_tf_ops.whole_file import read_whole

        data = read_whole(self.path, MAX_IMAGE_BYTES)
        return self() if data is None else data


def _sample_from_file(path: Path) -> FaceSample:
    _check_suffix(path)
    read = _FaceFile(path)
    data = read()
    metadata = read_metadata(data, what=str(path))
    if metadata is None:
        raise FacesetError("not a DFL image (no face metadata in the file)", kind=NO_METADATA)
    if b"\xff\xd9" not in data:
        # The metadata are readable (decision 30), but OpenCV decodes no pixel of such a file.
        raise FacesetError("the image is cut off (the JPEG has no end marker)")
    return sample_from_metadata(path.name, metadata, key=str(path), read=read)


def _probed(path: Path) -> Path:
    """Return the path if the file is a JPEG with a metadata segment; nothing is decoded."""
    _check_suffix(path)
    with open_plain(path) as file:
        head = file.read(2)
        while head == b"\xff\xd8":
            marker = file.read(4)
            if len(marker) < 4 or marker[0] != 0xFF or marker[1] in (0xD9, 0xDA):
                break
            if marker[1] == APP15:
                return path
            file.seek(int.from_bytes(marker[2:], "big") - 2, os.SEEK_CUR)
    raise FacesetError("not a DFL image (no face metadata in the file)", kind=NO_METADATA)


def _check_suffix(path: Path) -> None:
    if path.suffix.lower() not in FACE_SUFFIXES:
        raise FacesetError("not a DFL image (only JPEG files carry metadata)", kind=NOT_JPEG)


def sample_from_metadata(
    name: str,
    metadata: FaceMetadata,
    *,
    key: str,
    read: Callable[[], bytes],
    person_name: str | None = None,
) -> FaceSample:
    """Make a sample of a face's metadata.

    Raises
    ------
    FacesetError
        If the face type is unknown or the landmarks are not usable.
    """
    try:
        face_type = FaceType.from_name(metadata.face_type)
    except ValueError as error:
        raise FacesetError(str(error), kind="faces of an unknown type") from None
    return FaceSample(
        name=name,
        key=key,
        face_type=face_type,
        shape=_checked_shape(metadata.shape),
        landmarks=_checked_landmarks(metadata.landmarks),
        eyebrows_expand_mod=float(metadata.eyebrows_expand_mod),
        source_filename=metadata.source_filename or None,
        person_name=person_name,
        polygons=tuple(ordered_polygons(metadata.seg_ie_polys)),
        xseg_bytes=metadata.xseg_mask_bytes,
        read=read,
    )


def _checked_landmarks(landmarks: npt.ArrayLike) -> npt.NDArray[np.float64]:
    error = landmarks_error(landmarks)
    if error:
        raise _bad_landmarks(error)
    return np.asarray(landmarks, dtype=np.float64)


def _bad_landmarks(error: str) -> FacesetError:
    return FacesetError(f"unusable landmarks: {error}", kind="faces with unusable landmarks")


def _checked_shape(shape: Sequence[int]) -> tuple[int, int, int]:
    if len(shape) < 2:
        raise FacesetError(f"the image has no size (shape {tuple(shape)})")
    height, width = int(shape[0]), int(shape[1])
    error = size_error(height, width)
    if error:
        raise FacesetError(error, kind="faces with too many pixels or none")
    return height, width, 3
