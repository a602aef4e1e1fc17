"""What is done with one frame: look for faces, cut them out, store them. Runs in any thread."""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import os
import time
from collections import Counter
from collections.abc import Container, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from dfl_tf.disk.durable import make_folder, move_into, replacing
from dfl_tf.disk.left_out import Omission
from dfl_tf.disk.plain_file import read_plain
from dfl_tf.errors import DflTfError
from dfl_tf.extract.align import AlignedFace, align_face
from dfl_tf.extract.cuts import frame_look
from dfl_tf.extract.debug_images import QUALITY, draw_faces
from dfl_tf.extract.found import Box, Detection, Image, Landmarks, Points
from dfl_tf.extract.frame_faces import (
    SMALLEST_FRAME,
    FrameFace,
    FrameFaces,
    find_faces,
    prepare_frame,
)
from dfl_tf.extract.journal import rounded
from dfl_tf.extract.networks import ExtractNetworks
from dfl_tf.extract.records import FrameRecord, GivenFace, RecordedFace
from dfl_tf.extract.smoothing import steady_landmarks
from dfl_tf.extract.sources import DecodedFrame, SourceFrame
from dfl_tf.extract.tracks import box_overlaps
from dfl_tf.face import FaceType, landmarks_error
from dfl_tf.formats.faces.dfljpg import read_metadata
from dfl_tf.imaging import encode_image
from dfl_tf.options import ExtractOptions

NOT_STORED = "faces that were found and not stored"
TOO_SMALL = f"frames with a side below {SMALLEST_FRAME} pixels"
SAME_FACE = 0.4
"""Overlap of boxes from which on a face that is found is the one that somebody has put there."""
_NO_LANDMARKS = "no landmarks were found in its box"
_NOT_ITS_BOX = "its landmarks are not those of the face in its box"


@dataclass(frozen=True)
class Folders:
    """Where faces go.

    Attributes
    ----------
    faces : Path
    """

    faces: Path

    @property
    def debug(self) -> Path:
        """Where debug images go."""
        return self.faces.with_name(self.faces.name + "_debug")

    @property
    def trash(self) -> Path:
        """Where replaced faces go."""
        return self.faces.with_name(self.faces.name + "_trash")


@dataclass(frozen=True, eq=False)
class ExtractTask:
    """One frame, and what is known about it.

    Attributes
    ----------
    frame : SourceFrame
    given : tuple of GivenFace, or None
        Where the user says that its faces are; None: they are looked for.
    given_checksum : int
    done : FrameRecord or None
        What an earlier run made of the frame, which stays if the frame is the same.
    before : FrameRecord or None
        What an earlier run made of the frame, which is replaced.
    found : FrameRecord or None
        The faces, found before; they are only stored.
    """

    frame: SourceFrame
    given: tuple[GivenFace, ...] | None = None
    given_checksum: int = 0
    done: FrameRecord | None = None
    before: FrameRecord | None = None
    found: FrameRecord | None = None


@dataclass(frozen=True, eq=False)
class FrameResult:
    """What became of a frame.

    Attributes
    ----------
    record : FrameRecord
    left_out : tuple of Omission
    kept : bool
        Whether the record is that of an earlier run.
    seconds : Counter
        By stage.
    set_aside : tuple of str
        Older faces that went to the trash folder.
    """

    record: FrameRecord
    left_out: tuple[Omission, ...] = ()
    kept: bool = False
    seconds: Counter[str] = field(default_factory=Counter)
    set_aside: tuple[str, ...] = ()


@dataclass(frozen=True)
class FrameWork:
    """Does the work on frames.

    Attributes
    ----------
    networks : ExtractNetworks
    options : ExtractOptions
    folders : Folders
    run : int
        See `FrameRecord.run`.
    store : bool
        False to look for faces only.
    """

    networks: ExtractNetworks
    options: ExtractOptions
    folders: Folders
    run: int = 0
    store: bool = True

    def __call__(self, task: ExtractTask) -> FrameResult:
        """Work on one frame.

        Raises
        ------
        DflTfError
            The frame cannot be used.
        """
        seconds: Counter[str] = Counter()
        frame = task.frame
        with _timed(seconds, "read"):
            decoded = frame.decode()
            if task.done is not None and task.done.stamp[2] == decoded.stamp[2]:
                return FrameResult(task.done, kept=True, seconds=seconds)
            image = prepare_frame(decoded.image)
        left_out = list(decoded.left_out)
        if min(image.shape[:2]) < SMALLEST_FRAME and task.given is None:
            size = f"{decoded.image.shape[1]}x{decoded.image.shape[0]}"
            left_out.append(Omission(TOO_SMALL, frame.name, f"{size}, no face is looked for"))
        with _timed(seconds, "find"):
            looked = self._look(task, image)
        record = self._record(task, decoded, looked)
        if self.store and task.before is not None:
            record = self._with_faces_by_hand(record, task.before)
        if image.size:
            record = replace(record, look=frame_look(image))
        set_aside: list[str] = []
        if self.store:
            with _timed(seconds, "align"):
                record, aligned, files = self._align(record, image, given=task.given is not None)
            with _timed(seconds, "write"):
                set_aside = self._write(task, files, image, aligned)
            left_out += [
                Omission(NOT_STORED, f"{frame.name}, face {number}", face.dropped)
                for number, face in enumerate(record.faces)
                if face.dropped
            ]
        return FrameResult(rounded(record), tuple(left_out), False, seconds, tuple(set_aside))

    def _look(self, task: ExtractTask, image: Image) -> FrameFaces:
        if task.found is not None:
            faces = [
                FrameFace(face.box, _landmarks_of(face), face.score) for face in task.found.faces
            ]
            return FrameFaces(tuple(faces), task.found.rotation)
        if task.given is not None:
            return FrameFaces(tuple(self._given(image, face) for face in task.given))
        looked = find_faces(
            image,
            self.networks.detector,
            self.networks.landmarker,
            rotations=[int(turn) for turn in self.options.rotations],
            max_faces=self.options.max_faces,
        )
        if not self.options.smooth:
            return looked
        return replace(looked, faces=tuple(self._steadied(image, face) for face in looked.faces))

    def _steadied(self, image: Image, face: FrameFace) -> FrameFace:
        if face.landmarks is None:
            return face
        landmarks = steady_landmarks(image, face.box, face.landmarks, self.networks.landmarker)
        return replace(face, landmarks=landmarks)

    def _given(self, image: Image, given: GivenFace) -> FrameFace:
        if given.landmarks is not None:
            points = given.landmarks
            return FrameFace(given.box or bounding_box(points), Landmarks(points), 1.0)
        assert given.box is not None
        (found,) = self.networks.landmarker.find(image, [Detection(given.box, 1.0)])
        return FrameFace(given.box, found, 1.0)

    def _record(self, task: ExtractTask, decoded: DecodedFrame, looked: FrameFaces) -> FrameRecord:
        faces = [
            RecordedFace(
                box=face.box,
                score=face.score,
                landmarks=None if face.landmarks is None else face.landmarks.points,
                landmark_score=0.0 if face.landmarks is None else face.landmarks.score,
            )
            for face in looked.faces
        ]
        return FrameRecord(
            name=task.frame.name,
            number=task.frame.number,
            height=decoded.image.shape[0],
            width=decoded.image.shape[1],
            faces=tuple(faces),
            rotation=looked.rotation,
            stamp=decoded.stamp,
            run=self.run,
            given=task.given_checksum,
        )

    def _with_faces_by_hand(self, record: FrameRecord, before: FrameRecord) -> FrameRecord:
        """Keep what somebody has put into the frame or taken out of it, with its files."""
        by_hand = [
            face
            if is_face_of(self.folders.faces / face.file, record.name)
            else replace(face, file="", sha256="")
            for face in before.faces
            if face.by_hand
        ]
        found = record.faces
        if by_hand and found:
            boxes = [np.array([face.box for face in each], np.float64) for each in (found, by_hand)]
            nearest = box_overlaps(*boxes).max(axis=1)
            found = tuple(
                face for face, share in zip(found, nearest, strict=True) if share <= SAME_FACE
            )
        return replace(record, faces=(*found, *by_hand), removed=before.removed)

    def _align(
        self, record: FrameRecord, image: Image, *, given: bool
    ) -> tuple[FrameRecord, list[AlignedFace], dict[str, bytes]]:
        """Cut out the faces; the record with their files, the faces, and the files by name.

        A face that has a file keeps it.
        """
        faces: list[RecordedFace] = []
        aligned: list[AlignedFace] = []
        files: dict[str, bytes] = {}
        kept = {face.file for face in record.faces if face.file}
        for face in record.faces:
            made = cut_face(record.name, face, image, self.options, given=given)
            if isinstance(made, str):
                faces.append(replace(face, dropped=made))
                continue
            aligned.append(made)
            if face.file:
                faces.append(face)
                continue
            name = free_name(record.name, {*files, *kept})
            data = made.jpeg(self.options.jpeg_quality)
            files[name] = data
            faces.append(replace(face, file=name, sha256=hashlib.sha256(data).hexdigest()))
        return replace(record, faces=tuple(faces)), aligned, files

    def _write(
        self,
        task: ExtractTask,
        files: dict[str, bytes],
        image: Image,
        aligned: Sequence[AlignedFace],
    ) -> list[str]:
        """Store the faces; the names of older files that went to the trash folder."""
        faces, trash = self.folders.faces, self.folders.trash
        set_aside = [name for name, data in files.items() if _put(faces / name, data, trash)]
        if task.before is not None:
            for face in task.before.faces:
                path = faces / face.file
                stays = face.by_hand or face.file in files
                if face.file and not stays and is_face_of(path, task.frame.name):
                    move_to_trash(path, trash)
                    set_aside.append(face.file)
        if self.options.debug_images and image.size:
            drawn = encode_image(draw_faces(image, aligned), ".jpg", quality=QUALITY)
            path = self.folders.debug / f"{Path(task.frame.name).stem}.jpg"
            with replacing(path, sync=False) as file:
                file.write(drawn)
        return set_aside


def cut_face(
    name: str, face: RecordedFace, image: Image, options: ExtractOptions, *, given: bool = False
) -> AlignedFace | str:
    """A face as it is stored, or why it is not.

    Parameters
    ----------
    name : str
        Of the frame.
    face : RecordedFace
    image : ndarray, shape (h, w, 3), uint8, BGR
        See `prepare_frame`.
    options : ExtractOptions
    given : bool
        Whether the user has said where the face is: then its box may be of any form.
    """
    if face.landmarks is None:
        return _NO_LANDMARKS
    if _shorter_side(face.box) < options.min_size and not face.by_hand:
        width, height = face.box[2] - face.box[0], face.box[3] - face.box[1]
        return f"{width:.0f}x{height:.0f} pixels are less than min_size"
    error = landmarks_error(face.landmarks)
    if error:
        return f"unusable landmarks: {error}"
    made = align_face(
        image,
        face.landmarks,
        face.box,
        face_type=FaceType.from_name(options.face_type),
        size=options.image_size,
        source_filename=name,
        placed_by_hand=given or face.by_hand,
    )
    return _NOT_ITS_BOX if made is None else made


def free_name(frame: str, taken: Container[str]) -> str:
    """The first name for a face of a frame that is not taken."""
    stem = Path(frame).stem
    return next(name for k in itertools.count() if (name := f"{stem}_{k}.jpg") not in taken)


def _landmarks_of(face: RecordedFace) -> Landmarks | None:
    return None if face.landmarks is None else Landmarks(face.landmarks, face.landmark_score)


def _shorter_side(box: Box) -> float:
    return min(box[2] - box[0], box[3] - box[1])


def _put(path: Path, data: bytes, trash: Path) -> bool:
    """Store a face; whatever else has its name goes to the trash folder: whether there was that."""
    there = os.path.lexists(path)
    if there:
        with contextlib.suppress(OSError):
            if read_plain(path, limit=len(data)) == data:
                return False
        move_to_trash(path, trash)
    with replacing(path, sync=False) as file:
        file.write(data)
    return there


def move_to_trash(path: Path, trash: Path) -> str:
    """Move a file to the trash folder; the name that it has there, another where its is taken."""
    make_folder(trash, follow=False)
    target, number = trash / path.name, 0
    while os.path.lexists(target):
        number += 1
        target = trash / f"{path.stem} ({number}){path.suffix}"
    move_into(path, target)
    return target.name


def is_face_of(path: Path, frame: str) -> bool:
    """Whether a file is a face of this frame; the user may have renamed or replaced it."""
    try:
        metadata = read_metadata(path)
    except DflTfError:
        return False
    return metadata is not None and metadata.source_filename == frame


@contextlib.contextmanager
def _timed(seconds: Counter[str], stage: str) -> Iterator[None]:
    start = time.perf_counter()
    try:
        yield
    finally:
        seconds[stage] += time.perf_counter() - start  # type: ignore[assignment]


def bounding_box(points: Points) -> Box:
    """The smallest box that holds points, shape (n, 2), float64."""
    (left, top), (right, bottom) = points.min(axis=0).tolist(), points.max(axis=0).tolist()
    return left, top, right, bottom
