"""Measuring all faces of a folder or pak: in parallel, once, remembered by content."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt
from dfl_tf_ops.process import cores

from dfl_tf.data.identity import IDENTITY_MEASURE, make_embedder
from dfl_tf.disk.left_out import LeftOut
from dfl_tf.disk.plain_file import read_plain
from dfl_tf.errors import FacesetError
from dfl_tf.facesets.measure_cache import MeasureCache
from dfl_tf.facesets.measures import MEASURES, Measure, MeasuredFace, identity_measure
from dfl_tf.facesets.sorting import MeasuredFaces
from dfl_tf.formats import FaceMetadata, read_metadata, read_pak
from dfl_tf.formats.faces.dfljpg import MAX_IMAGE_BYTES
from dfl_tf.formats.faces.face_folder import find_faces
from dfl_tf.imaging import decode_image, to_bgr
from dfl_tf.imaging.files import to_bytes
from dfl_tf.imaging.headers import image_size
from dfl_tf.jobs.pool import ordered
from dfl_tf.jobs.progress import Progress

Floats = npt.NDArray[np.float64]

_BATCH = 500  # faces whose values are written to the cache at once


@dataclass(frozen=True)
class FaceFile:
    """One image of a faceset.

    Attributes
    ----------
    name : str
        File name; with its person, ``person/name``, where a pak has persons.
    read : callable
        Gives the bytes of the file.
    path : Path or None
        None for a face of a pak.
    metadata : FaceMetadata or None
        For a face of a pak, from the pak's own list.
    """

    name: str
    read: Callable[[], bytes] = field(repr=False)
    path: Path | None = None
    metadata: FaceMetadata | None = None


def face_files(place: Path) -> tuple[list[FaceFile], LeftOut]:
    """List the images of a folder or a pak, in folder order, and what else lies there.

    Images without metadata count: some ways to sort take them.

    Raises
    ------
    FacesetError
        There is no such folder or pak.
    """
    pak, listing = find_faces(place)
    if pak is not None:
        faceset = read_pak(pak)
        files = []
        for i, entry in enumerate(faceset.entries):
            name = (
                entry.filename
                if entry.person_name is None
                else f"{entry.person_name}/{entry.filename}"
            )
            files.append(
                FaceFile(name, lambda i=i: faceset.jpeg(i), metadata=entry.metadata)  # type: ignore[misc]
            )
        listing.left_out.extend(faceset.damaged)
        return files, listing.left_out
    return [
        FaceFile(path.name, lambda path=path: _bytes(path), path)  # type: ignore[misc]
        for path in listing.files
    ], listing.left_out


def _bytes(path: Path) -> bytes:
    try:
        return read_plain(path, limit=MAX_IMAGE_BYTES)
    except OSError as error:
        raise FacesetError(f"{path}: cannot be read ({error.strerror})") from None


@dataclass(frozen=True)
class _Facts:
    """What is kept of a face's metadata; masks of 100,000 faces would not fit into memory."""

    is_face: bool
    source_filename: str
    labeled: bool
    pixels: int

    @classmethod
    def of(cls, data: bytes, metadata: FaceMetadata | None) -> _Facts:
        height, width = image_size(data) or (0, 0)
        if metadata is None:
            return cls(False, "", False, height * width)
        name, labeled = metadata.source_filename, bool(metadata.seg_ie_polys)
        return cls(True, name, labeled, height * width)


@dataclass(frozen=True)
class _Face:
    """What one file gave: its digest, its values, and what must be remembered."""

    digest: bytes
    facts: _Facts
    values: dict[str, Floats]
    computed: tuple[Measure, ...]


def measure_faces(
    place: Path,
    names: Sequence[str | Measure],
    *,
    cache: MeasureCache,
    workers: int | None = None,
    compute: bool = True,
    progress: Progress | None = None,
) -> tuple[MeasuredFaces, LeftOut]:
    """Measure all faces of a folder or pak.

    Parameters
    ----------
    place : Path
        A folder of aligned faces, or a pak.
    names : sequence of str or Measure
        Keys of `MEASURES`, or measures that depend on what the user names.
    cache : MeasureCache
        Values of files that were measured before are taken from there.
    workers : int, optional
        Threads; by default the cores of this process.
    compute : bool
        False takes only what was measured before; all else has no value.
    progress : callable, optional
        Called with (done, total).

    Returns
    -------
    (MeasuredFaces, LeftOut)
        Files that cannot be read stand in the second only.

    Raises
    ------
    FacesetError
    """
    files, left_out = face_files(place)
    wanted = [_known(name) for name in names]
    for measure in wanted if compute else ():
        measure.ready()

    def work(file: FaceFile) -> _Face:
        return _measured(file, wanted, cache, compute)

    kept: list[FaceFile] = []
    faces: list[_Face] = []
    pending: list[_Face] = []
    for number, outcome in enumerate(ordered(work, files, workers=workers or cores()), start=1):
        if outcome.error is not None:
            left_out.skip(outcome.item.name, outcome.error)
        else:
            face = outcome.get()
            kept.append(outcome.item)
            faces.append(face)
            pending.append(face)
        if len(pending) >= _BATCH:
            _remember(cache, pending)
            pending = []
        if progress is not None:
            progress(number, len(files))
    _remember(cache, pending)
    return MeasuredFaces(
        names=[file.name for file in kept],
        is_face=np.array([face.facts.is_face for face in faces], dtype=bool),
        columns={measure.name: _column(measure, faces) for measure in wanted},
        source_filenames=[face.facts.source_filename for face in faces],
        labeled=np.array([face.facts.labeled for face in faces], dtype=bool),
        pixels=np.array([face.facts.pixels for face in faces], dtype=np.int64),
    ), left_out


def _known(measure: str | Measure) -> Measure:
    if isinstance(measure, Measure):
        return measure
    return identity_measure(make_embedder()) if measure == IDENTITY_MEASURE else MEASURES[measure]


def _measured(
    file: FaceFile, wanted: Sequence[Measure], cache: MeasureCache, compute: bool
) -> _Face:
    data = file.read()
    digest = hashlib.sha256(data).digest()
    metadata = file.metadata
    if metadata is None and file.name.lower().endswith((".jpg", ".jpeg")):
        metadata = read_metadata(data, what=file.name)
    usable = [m for m in wanted if metadata is not None or not m.needs_metadata]
    lengths = {(m.name, m.version): max(m.length, 1) for m in usable}
    values = cache.get(digest, lengths) if lengths else {}
    missing = [measure for measure in usable if compute and measure.name not in values]
    if missing:
        face = MeasuredFace(to_bytes(to_bgr(decode_image(data, what=file.name))), metadata)
        for measure in missing:
            values[measure.name] = np.atleast_1d(np.asarray(measure.compute(face), np.float64))
    return _Face(digest, _Facts.of(data, metadata), values, tuple(missing))


def _remember(cache: MeasureCache, faces: Sequence[_Face]) -> None:
    cache.put(
        (face.digest, (measure.name, measure.version), face.values[measure.name])
        for face in faces
        for measure in face.computed
    )


def _column(measure: Measure, faces: Sequence[_Face]) -> Floats:
    length = max(measure.length, 1)
    column = np.full((len(faces), length), np.nan)
    for row, face in zip(column, faces, strict=True):
        if measure.name in face.values:
            row[:] = face.values[measure.name]
    return column if measure.length else column[:, 0]
