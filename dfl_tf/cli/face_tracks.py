"""Tracks of the faces of a folder: from the journal of the extraction that made them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click
import numpy as np
import numpy.typing as npt

from dfl_tf.errors import DflTfError, FacesetError

if TYPE_CHECKING:
    from dfl_tf.extract.journal import Extraction
    from dfl_tf.facesets.sorting import MeasuredFaces

_SAME_FACE = 0.5  # overlap of the boxes of a face in the journal and in its metadata

Floats = npt.NDArray[np.float64]


def tracks_of(place: Path, faces: MeasuredFaces) -> list[int | None]:
    """Find the track of each face, whatever its file is called now.

    Parameters
    ----------
    place : Path
        A folder of faces, or a pak.
    faces : MeasuredFaces
        With the column `source_box`.

    Returns
    -------
    list
        None for a face that stands in no journal.
    """
    from dfl_tf.extract.journal import read_journal

    try:
        journal = read_journal(_folder(place))
    except DflTfError as error:
        click.echo(f"note: tracks are not used: {error}", err=True)
        journal = None
    return _tracks(journal, faces)


def needed_tracks_of(place: Path, faces: MeasuredFaces) -> list[int | None]:
    """Find the track of each face, for what is nothing without tracks.

    Parameters
    ----------
    place : Path
        A folder of faces, or a pak.
    faces : MeasuredFaces
        With the column `source_box`.

    Raises
    ------
    FacesetError
        No journal is there, or none of the faces stands in it.
    WorkspaceError
        The journal cannot be read.
    """
    from dfl_tf.extract.journal import FILE, read_journal

    journal, path = read_journal(_folder(place)), _folder(place) / FILE
    if journal is None:
        raise FacesetError(
            f"{path}: does not exist, so the tracks of the faces are not known. dfl-tf extract "
            "writes it into the folder of faces; copy it along with them."
        )
    tracks = _tracks(journal, faces)
    if all(track is None for track in tracks):
        raise FacesetError(
            f"{path}: mentions none of the {len(tracks)} faces here, so their tracks are not "
            "known. It must be of the extraction that made them."
        )
    return tracks


def _folder(place: Path) -> Path:
    return place if place.is_dir() else place.parent


def _tracks(journal: Extraction | None, faces: MeasuredFaces) -> list[int | None]:
    known: dict[str, list[tuple[Floats, int]]] = {}
    for record in () if journal is None else journal.records:
        found = [(np.array(face.box, np.float64), face.track) for face in record.faces]
        known[Path(record.name).name] = [(box, track) for box, track in found if track >= 0]
    boxes = faces.columns["source_box"]
    return [
        _track(known.get(frame, []), box) if frame else None
        for frame, box in zip(faces.source_filenames, boxes, strict=True)
    ]


def _track(faces: Sequence[tuple[Floats, int]], box: Floats) -> int | None:
    overlaps = [_overlap(box, other) for other, _ in faces]
    if not overlaps or max(overlaps) < _SAME_FACE:
        return None
    return faces[int(np.argmax(overlaps))][1]


def _overlap(a: Floats, b: Floats) -> float:
    """Intersection over union; 0 where a box is not known."""
    shared = float(np.prod(np.clip(np.minimum(a[2:], b[2:]) - np.maximum(a[:2], b[:2]), 0, None)))
    both = float(np.prod(a[2:] - a[:2]) + np.prod(b[2:] - b[:2])) - shared
    return shared / both if both > 0 else 0.0
