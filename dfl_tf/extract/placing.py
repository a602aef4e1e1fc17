"""Faces that somebody puts into single frames, or takes out of them, after an extraction.

They are cut out, stored and noted as if they had been found, and marked as made by hand, so a later
extraction keeps them. What is taken out goes to the trash folder and can be brought back. A change
says what it is based on, and is refused if the frame has another record by now.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from dfl_tf.disk import checksums, moves
from dfl_tf.disk.durable import move_into, sha256_of, sync_folder, write_file
from dfl_tf.disk.folder_lock import only_writer
from dfl_tf.disk.lock_file import locked_file
from dfl_tf.disk.plain_file import read_plain, version_of
from dfl_tf.errors import DflTfError, UsageError, WorkspaceError
from dfl_tf.extract.align import AlignedFace
from dfl_tf.extract.found import Box, Image, Points
from dfl_tf.extract.frame_faces import prepare_frame
from dfl_tf.extract.frame_work import (
    Folders,
    bounding_box,
    cut_face,
    free_name,
    is_face_of,
    move_to_trash,
)
from dfl_tf.extract.journal import (
    FILE,
    LOCK,
    WRITING,
    Extraction,
    append_record,
    digest_of,
    read_journal,
    rounded,
)
from dfl_tf.extract.records import FrameRecord, GivenFace, RecordedFace
from dfl_tf.extract.sources import DecodedFrame
from dfl_tf.face import landmarks_error
from dfl_tf.face.reference_tables import REFERENCE_3D
from dfl_tf.formats.faces.dfljpg import read_metadata
from dfl_tf.formats.faces.face_folder import list_faces
from dfl_tf.formats.faces.faceset_pak import PAK_NAME
from dfl_tf.options import ExtractOptions, from_mapping

_OF_A_FACE = ("face_type", "image_size", "jpeg_quality")
_SMALLEST_BOX = 2.0  # pixels
_SAME_POINT = 0.01  # pixels; the journal rounds to a tenth of that

Decode = Callable[[FrameRecord], DecodedFrame]
"""Reads a frame again."""


class FrameChangedError(DflTfError):
    """Somebody else, or an extraction, has changed the frame since it was shown."""


@dataclass(frozen=True, eq=False)
class PlacedFrame:
    """A frame after a change.

    Attributes
    ----------
    record : FrameRecord
    digest : str
        What a further change is based on.
    """

    record: FrameRecord
    digest: str


def mean_face(box: Box) -> Points:
    """Landmarks of a mean face, seen from the front, that fills a box: where a user may begin.

    Returns
    -------
    ndarray, shape (68, 2), float64
        In pixels of the frame.
    """
    corners = np.asarray(box, np.float64).reshape(2, 2)
    points = REFERENCE_3D[:, :2].astype(np.float64)
    low, high = points.min(axis=0), points.max(axis=0)
    made: Points = corners[0] + (points - low) / (high - low) * (corners[1] - corners[0])
    return made


class FacePlacing:
    """Changes the faces of single frames in a folder of faces.

    Parameters
    ----------
    folders : Folders
    decode : callable
    """

    def __init__(self, folders: Folders, decode: Decode) -> None:
        self.folders = folders
        self._decode = decode
        self._content = Extraction()
        self._seen: tuple[int, ...] | None = None

    @property
    def content(self) -> Extraction:
        """What the journal says now; read again only if it has changed.

        Raises
        ------
        WorkspaceError
            There is none, or it cannot be read.
        """
        stamp = self._stamp()
        if stamp is None or stamp != self._seen:
            content = read_journal(self.folders.faces)
            if content is None or not content.runs:
                raise WorkspaceError(
                    f"{self.folders.faces}: there is no journal of an extraction. dfl-tf extract "
                    "makes one; with --resume it keeps the faces that are there."
                )
            self._content, self._seen = content, stamp
        return self._content

    def frame(self, name: str) -> PlacedFrame:
        """What is known of a frame.

        Raises
        ------
        WorkspaceError
            It was not extracted.
        """
        record = self.content.frames.get(name)
        if record is None:
            raise WorkspaceError(f"{name}: was not extracted yet; extract it first.")
        return PlacedFrame(record, digest_of(record))

    def image(self, record: FrameRecord) -> Image:
        """The pixels of a frame: uint8, BGR, shape (h, w, 3).

        Raises
        ------
        WorkspaceError
            It cannot be read, or is not the one that was extracted.
        """
        decoded = self._decode(record)
        if record.stamp[2] and decoded.stamp[2] != record.stamp[2]:
            raise WorkspaceError(
                f"{record.name}: the frame was changed since it was extracted; extract it again "
                f"first (dfl-tf extract --redo {Path(record.name).stem})."
            )
        return prepare_frame(decoded.image)

    def place(
        self, name: str, face: GivenFace, *, based_on: str, instead: int | None = None
    ) -> PlacedFrame:
        """Put a face into a frame.

        Parameters
        ----------
        name : str
            Of the frame.
        face : GivenFace
            With landmarks.
        based_on : str
            `PlacedFrame.digest` of the frame as the user saw it.
        instead : int, optional
            Which face of the record it replaces.

        Raises
        ------
        FrameChangedError
            The frame has another record now.
        UsageError
            The landmarks are not those of a face, or another process writes the folder.
        WorkspaceError
            A file cannot be read or written.
        """
        with self._changing(name, based_on) as record:
            made, new = self._made(record, face)
            faces, removed = list(record.faces), record.removed
            place = len(faces) if instead is None else instead
            if instead is not None:
                old = _chosen(faces, instead)
                removed = (*removed, *self._moved_out(record, old))
                del faces[instead]
            faces.insert(place, self._stored(replace(record, faces=tuple(faces)), new, made))
            return self._noted(replace(record, faces=tuple(faces), removed=removed))

    def remove(self, name: str, number: int, *, based_on: str) -> PlacedFrame:
        """Take a face out of a frame; its file goes to the trash folder. Errors as in `place`."""
        with self._changing(name, based_on) as record:
            faces = list(record.faces)
            removed = self._moved_out(record, _chosen(faces, number))
            del faces[number]
            changed = replace(record, faces=tuple(faces), removed=(*record.removed, *removed))
            return self._noted(changed)

    def restore(self, name: str, number: int, *, based_on: str) -> PlacedFrame:
        """Bring back a face that was taken out, with its file; errors as in `place`.

        Parameters
        ----------
        number : int
            In `FrameRecord.removed`.
        """
        with self._changing(name, based_on) as record:
            removed = list(record.removed)
            face = self._moved_back(record, _chosen(removed, number))
            del removed[number]
            changed = replace(record, faces=(*record.faces, face), removed=tuple(removed))
            return self._noted(changed)

    # -- files ----------------------------------------------------------------------------------

    @contextmanager
    def _changing(self, name: str, based_on: str) -> Iterator[FrameRecord]:
        faces = self.folders.faces
        if not faces.is_dir():
            raise WorkspaceError(f"{faces}: there is no such folder; extract the frames first.")
        if (faces / PAK_NAME).exists():
            raise UsageError(f"{faces}: its faces are packed; dfl-tf faceset unpack first.")
        with locked_file(faces / LOCK, doing=WRITING), only_writer(faces):
            if any((faces / each).exists() for each in (moves.PLAN, moves.PLACING)):
                raise UsageError(
                    f"{faces}: its files were being moved (sorted, named) when that was "
                    "interrupted; the same command completes it."
                )
            shown = self.frame(name)
            if shown.digest != based_on:
                raise FrameChangedError(
                    f"{name}: was changed meanwhile, by an extraction or in another window."
                )
            yield shown.record

    def _made(self, record: FrameRecord, face: GivenFace) -> tuple[AlignedFace, RecordedFace]:
        points = face.landmarks
        error = "they are missing" if points is None else landmarks_error(points)
        if points is None or error:
            raise UsageError(f"{record.name}: the landmarks are not those of a face: {error}.")
        box = face.box or bounding_box(points)
        if min(box[2] - box[0], box[3] - box[1]) < _SMALLEST_BOX:
            raise UsageError(f"{record.name}: the box of the face has no size.")
        new = RecordedFace(box, 1.0, points, 1.0, by_hand=True)
        (new,) = rounded(replace(record, faces=(new,))).faces
        made = cut_face(record.name, new, self.image(record), self._options())
        if isinstance(made, str):
            raise UsageError(f"{record.name}: {made}.")
        return made, new

    def _options(self) -> ExtractOptions:
        """Those of the extraction, as far as they concern a single face."""
        run = self.content.last_run or self.content.runs[-1]
        known = {key: run["settings"][key] for key in _OF_A_FACE if key in run["settings"]}
        return from_mapping(ExtractOptions, known, origin=FILE)[0]

    def _stored(self, record: FrameRecord, face: RecordedFace, made: AlignedFace) -> RecordedFace:
        faces = self.folders.faces
        data = made.jpeg(self._options().jpeg_quality)
        name = free_name(record.name, _Taken(faces, record, data))
        write_file(faces / name, data)
        value = checksums.digest(data)
        self._listed(name, value)
        return replace(face, file=name, sha256=value)

    def _moved_out(self, record: FrameRecord, face: RecordedFace) -> tuple[RecordedFace, ...]:
        """The face as `FrameRecord.removed` has it; nothing of one that was never stored."""
        if not face.file:
            return ()
        path = self._file_of(record, face)
        if path is None:  # deleted, or a change was killed when it had moved the file
            return (replace(face, file=self._in_trash(record, face)),)
        there = move_to_trash(path, self.folders.trash)
        sync_folder(self.folders.faces)
        checksums.forget(self.folders.faces, [path.name])
        return (replace(face, file=there),)

    def _file_of(self, record: FrameRecord, face: RecordedFace) -> Path | None:
        """The file of a face, also after it was renamed (sorted); None if it is gone."""
        named = self.folders.faces / face.file
        if _holds(named, record, face):
            return named
        others = list_faces(self.folders.faces).files
        return next((path for path in others if _holds(path, record, face)), None)

    def _in_trash(self, record: FrameRecord, face: RecordedFace) -> str:
        """The file name of a face in the trash folder; empty if it has none there."""
        if not self.folders.trash.is_dir():
            return ""
        known = {each.file for each in record.removed}
        there = [path for path in list_faces(self.folders.trash).files if path.name not in known]
        return next((path.name for path in there if _holds(path, record, face)), "")

    def _moved_back(self, record: FrameRecord, face: RecordedFace) -> RecordedFace:
        source = self.folders.trash / face.file
        if face.file and is_face_of(source, record.name):
            name = free_name(record.name, _Taken(self.folders.faces, record))
            move_into(source, self.folders.faces / name)
            self._listed(name, sha256_of(self.folders.faces / name))
            return replace(face, file=name)
        made, _ = self._made(record, GivenFace(face.box, face.landmarks))
        return self._stored(record, replace(face, file="", sha256=""), made)

    def _listed(self, name: str, value: str) -> None:
        if checksums.read_sums(self.folders.faces) is not None:
            checksums.add(self.folders.faces, {name: value})

    def _noted(self, record: FrameRecord) -> PlacedFrame:
        append_record(self.folders.faces, record)
        self._content.frames[record.name] = record
        self._seen = self._stamp()
        return PlacedFrame(record, digest_of(record))

    def _stamp(self) -> tuple[int, ...]:
        return version_of(self.folders.faces / FILE)


class _Taken:
    """Names that a new face cannot have; a killed change may have stored its data already."""

    def __init__(self, folder: Path, record: FrameRecord, data: bytes = b"") -> None:
        self._folder, self._names = folder, {face.file for face in record.faces}
        self._data = data

    def __contains__(self, name: object) -> bool:
        path = self._folder / str(name)
        return name in self._names or (os.path.lexists(path) and not self._has_it(path))

    def _has_it(self, path: Path) -> bool:
        try:
            return bool(self._data) and read_plain(path, limit=len(self._data)) == self._data
        except OSError:
            return False


def _holds(path: Path, record: FrameRecord, face: RecordedFace) -> bool:
    """Whether a file is this face of a frame, under whatever name."""
    try:
        metadata = read_metadata(path)
    except DflTfError:
        return False
    if metadata is None or metadata.source_filename != record.name or face.landmarks is None:
        return False
    points = metadata.source_landmarks
    return points is not None and bool(np.allclose(points, face.landmarks, atol=_SAME_POINT))


def _chosen(faces: list[RecordedFace], number: int) -> RecordedFace:
    if not 0 <= number < len(faces):
        raise UsageError(f"face {number}: the frame has {len(faces)}.")
    return faces[number]
