"""Tracks of the faces of a folder: from the journal of the extraction that made them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from dfl_tf.errors import DflTfError, FacesetError

if TYPE_CHECKING:
    from dfl_tf.extract.journal import Extraction
    from dfl_tf.facesets.sorting import MeasuredFaces


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
    from dfl_tf.facesets.face_tracks import match_tracks

    records = () if journal is None else journal.records
    return match_tracks(records, faces.source_filenames, faces.columns["source_box"])
