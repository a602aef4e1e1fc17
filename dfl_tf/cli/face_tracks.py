"""Tracks of the faces of a folder: from the journal of the extraction that made them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click
import numpy as np
import numpy.typing as npt

from dfl_tf.errors import DflTfError

_SAME_FACE = 0.5  # overlap of the boxes of a face in the journal and in its metadata

Floats = npt.NDArray[np.float64]


def tracks_of(place: Path, frames: Sequence[str], boxes: Floats) -> list[int | None]:
    """Find the track of each face, whatever its file is called now.

    Parameters
    ----------
    place : Path
        A folder of faces, or a pak.
    frames : sequence of str
        Frame of each face, from its metadata; empty where it is not known.
    boxes : ndarray, shape (n, 4)
        Left, top, right, bottom in the frame, from the metadata; NaN where they are not known.

    Returns
    -------
    list
        None for a face that stands in no journal.
    """
    from dfl_tf.extract.journal import read_journal

    try:
        journal = read_journal(place if place.is_dir() else place.parent)
    except DflTfError as error:
        click.echo(f"note: tracks are not used: {error}", err=True)
        journal = None
    known: dict[str, list[tuple[Floats, int]]] = {}
    for record in () if journal is None else journal.records:
        faces = [(np.array(face.box, np.float64), face.track) for face in record.faces]
        known[Path(record.name).name] = [(box, track) for box, track in faces if track >= 0]
    return [
        _track(known.get(frame, []), box) if frame else None
        for frame, box in zip(frames, boxes, strict=True)
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
