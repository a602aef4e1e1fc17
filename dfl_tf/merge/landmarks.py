"""Which faces are in which frame, told by the aligned faces that were cut from them."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt

from dfl_tf.errors import DflTfError, FacesetError
from dfl_tf.formats.dfljpg import FaceMetadata, read_metadata
from dfl_tf.formats.faceset_pak import PAK_NAME, read_pak

log = logging.getLogger(__name__)

_PICTURE_SUFFIXES = {".jpg", ".jpeg", ".png", ".tif", ".tiff"}

Landmarks = npt.NDArray[np.float64]


@dataclass(frozen=True)
class FrameFaces:
    """Landmarks by frame.

    Attributes
    ----------
    by_stem : dict of str to list of ndarray (68, 2)
        Frame pixels, under the frame's name without extension, in file order.
    skipped : list of (str, str)
        Name and reason of every file that tells nothing.
    """

    by_stem: dict[str, list[Landmarks]] = field(default_factory=dict)
    skipped: list[tuple[str, str]] = field(default_factory=list)

    def of(self, frame: Path) -> list[Landmarks]:
        """Return the faces of a frame file; none = []."""
        return self.by_stem.get(frame.stem, [])


def read_frame_faces(aligned: Path) -> FrameFaces:
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
    if not aligned.is_dir() and not aligned.is_file():
        raise FacesetError(
            f"{aligned}: there is no such folder; give the aligned faces of the frames"
        )
    pak = aligned if aligned.is_file() else aligned / PAK_NAME
    found = FrameFaces()
    entries = _pak_entries(pak, found) if pak.is_file() else _folder_entries(aligned, found)
    for name, metadata in entries:
        if not metadata.source_filename:
            continue
        if metadata.source_landmarks is None:
            found.skipped.append((name, "holds no landmarks of its frame"))
            continue
        stem = Path(metadata.source_filename.replace("\\", "/")).stem
        landmarks = np.asarray(metadata.source_landmarks, np.float64)
        found.by_stem.setdefault(stem, []).append(landmarks)
    for name, reason in found.skipped[:5]:
        log.warning("skipped %s: %s", name, reason)
    if len(found.skipped) > 5:
        log.warning("%d files of %s were skipped", len(found.skipped), aligned)
    if not found.by_stem:
        raise FacesetError(
            f"{aligned}: no aligned face tells the frame it was cut from "
            f"({len(found.skipped)} files skipped); extract the faces of the frames again"
        )
    return found


def _folder_entries(folder: Path, found: FrameFaces) -> Iterator[tuple[str, FaceMetadata]]:
    paths = (p for p in folder.iterdir() if p.suffix.lower() in _PICTURE_SUFFIXES)
    for path in sorted(paths, key=str):
        try:
            metadata = read_metadata(path)
        except DflTfError as fault:
            found.skipped.append((path.name, str(fault)))
            continue
        if metadata is None:
            found.skipped.append((path.name, "is not a DFL image"))
        else:
            yield path.name, metadata


def _pak_entries(pak: Path, found: FrameFaces) -> Iterator[tuple[str, FaceMetadata]]:
    """Go through a pak; the landmarks of the frame are only in the packed JPEGs themselves."""
    faces = read_pak(pak)
    for index, entry in enumerate(faces.entries):
        try:
            metadata = read_metadata(faces.jpeg(index), what=entry.filename)
        except DflTfError as fault:
            found.skipped.append((entry.filename, str(fault)))
            continue
        if metadata is None:
            found.skipped.append((entry.filename, "is not a DFL image"))
        else:
            yield entry.filename, metadata
