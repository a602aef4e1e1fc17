"""Which faces are in which frame, told by the aligned faces that were cut from them."""

from __future__ import annotations

import logging
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt

from dfl_tf.disk.left_out import LeftOut
from dfl_tf.errors import FacesetError
from dfl_tf.formats.faces.face_folder import find_faces, read_face, read_faces
from dfl_tf.formats.faces.face_metadata import FaceMetadata
from dfl_tf.formats.faces.faceset_pak import read_pak

_NO_FRAME = "faces that name frames which are not there"

log = logging.getLogger(__name__)

Landmarks = npt.NDArray[np.float64]


@dataclass(frozen=True)
class FacesByFrame:
    """Landmarks by frame.

    Attributes
    ----------
    by_stem : dict of str to list of ndarray, shape (68, 2), float64
        Frame pixels, under the frame's name without extension, in file order.
    names : dict of str to list of str
        The names of these faces, in the same order.
    left_out : LeftOut
        What tells no frame and landmarks.
    """

    by_stem: dict[str, list[Landmarks]] = field(default_factory=dict)
    names: dict[str, list[str]] = field(default_factory=dict)
    left_out: LeftOut = field(default_factory=LeftOut)

    @property
    def skipped(self) -> list[tuple[str, str]]:
        """Name and reason of every file that should be a face and tells no landmarks."""
        return self.left_out.skipped

    def of(self, frame: Path) -> list[Landmarks]:
        """Return the landmarks of each face of a frame file; none = [].

        Each is an array of shape (68, 2), float64, in pixels of the frame.
        """
        return self.by_stem.get(frame.stem, [])

    def without_frame(self, frames: Sequence[Path]) -> LeftOut:
        """Count the faces whose frames are none of these."""
        there = {frame.stem for frame in frames}
        missing = LeftOut()
        for stem, names in self.names.items():
            if stem not in there:
                for name in names:
                    missing.add(_NO_FRAME, name, f"its frame is {stem}")
        return missing


def read_frame_faces(aligned: Path) -> FacesByFrame:
    """Collect the source landmarks of a folder of aligned faces or of the pak in it.

    Only `source_filename` and `source_landmarks` of each face are used; a pak hides loose files.

    Raises
    ------
    FacesetError
        If the folder is missing or no file in it tells a frame and landmarks.

    References
    ----------
    merge.md 1.
    """
    pak, listing = find_faces(aligned)
    found = FacesByFrame(left_out=listing.left_out)
    if pak is None:
        entries = read_faces({path.name: path for path in listing.files}, found.left_out)
    else:
        entries = _read_packed(pak, found.left_out)
    for name, metadata in entries:
        if not metadata.source_filename:
            found.left_out.add("faces that do not name their frame", name)
            continue
        try:
            landmarks = metadata.frame_landmarks()
        except FacesetError as error:
            found.left_out.skip(name, error)
            continue
        stem = Path(metadata.source_filename.replace("\\", "/")).stem
        found.by_stem.setdefault(stem, []).append(np.asarray(landmarks, np.float64))
        found.names.setdefault(stem, []).append(name)
    lines = found.left_out.lines(see=f"dfl-tf faceset status --all {shlex.quote(str(aligned))}")
    for line in lines:
        log.warning("%s: %s", aligned, line)
    if not found.by_stem:
        detail = "".join(f"\n  {line}" for line in lines)
        raise FacesetError(
            f"{aligned}: no aligned face names the frame it was cut from "
            f"({len(found.skipped)} files skipped); extract the faces of the frames again{detail}"
        )
    return found


def _read_packed(pak: Path, left_out: LeftOut) -> Iterator[tuple[str, FaceMetadata]]:
    """Go through a pak; the landmarks of the frame are only in the packed JPEGs themselves."""
    faces = read_pak(pak)
    left_out.extend(faces.damaged)
    for index, entry in enumerate(faces.entries):
        metadata = read_face(faces.jpeg(index), entry.filename, left_out)
        if metadata is not None:
            yield entry.filename, metadata
