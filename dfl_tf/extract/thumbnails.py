"""Small images of frames with what was found in them, to look at many at once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import PurePath

import cv2
import numpy as np

from dfl_tf.extract.coverage import KINDS, Coverage
from dfl_tf.extract.debug_images import landmark_lines
from dfl_tf.extract.found import Image
from dfl_tf.extract.records import FrameRecord, RecordedFace
from dfl_tf.imaging import sheet

WIDTH = 200
"""Of a thumbnail, in pixels."""

EACH = 8
"""Thumbnails of a kind."""

_BOX, _LINES = (255, 96, 0), (0, 255, 0)

ReadFrame = Callable[[FrameRecord], Image | None]


def thumbnail(image: Image, faces: Sequence[RecordedFace], width: int = WIDTH) -> Image:
    """Shrink a frame (h, w, 3) uint8 BGR to a width, and draw boxes and landmarks into it."""
    scale = width / image.shape[1]
    size = width, max(1, round(image.shape[0] * scale))
    small = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    for face in faces:
        left, top, right, bottom = (round(side * scale) for side in face.box)
        cv2.rectangle(small, (left, top), (right, bottom), _BOX, 1)
        if face.landmarks is not None:
            points = np.rint((face.landmarks + 0.5) * scale * 16 - 8).astype(np.int32)
            for line, closed in landmark_lines(points):
                cv2.polylines(small, [line], closed, _LINES, 1, cv2.LINE_AA, 4)
    return small


def coverage_strip(
    coverage: Coverage, read: ReadFrame, *, each: int = EACH, width: int = WIDTH
) -> Image | None:
    """Lay out examples of each kind that a coverage lists, a row a kind.

    Parameters
    ----------
    coverage : Coverage
    read : callable
        Gives the image (h, w, 3) uint8 BGR of a frame; None if it is not there.
    each : int
        Examples of a kind at most, evenly over all of its frames.
    width : int
        Of an example in pixels.

    Returns
    -------
    ndarray, shape (h, w, 3), uint8, BGR, or None
        None if nothing is listed or no frame is there.
    """
    rows, captions = [], []
    for kind in KINDS:
        places = coverage.found.get(kind.name, ())
        row, names = [], []
        for place in _spread(places, each):
            frame = coverage.frames[place]
            image = read(frame)
            if image is not None:
                row.append(thumbnail(image, frame.faces, width))
                names.append(f"{kind.name}: {PurePath(frame.name).stem}")
        if row:
            rows.append(row)
            captions.append(names)
    return sheet(rows, captions=captions) if rows else None


def _spread(places: Sequence[int], count: int) -> list[int]:
    """At most `count` of the places, evenly: the first, the last, and between."""
    chosen = np.linspace(0, len(places) - 1, min(count, len(places)))
    return [places[i] for i in np.rint(chosen).astype(int).tolist()]
