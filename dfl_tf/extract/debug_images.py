"""Debug images: frames with what was found in them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import cv2
import numpy as np
import numpy.typing as npt

from dfl_tf.extract.align import AlignedFace, aligned_square
from dfl_tf.extract.found import Image
from dfl_tf.face import transform_points
from dfl_tf.face.masks import hull_mask

QUALITY = 50
"""Of the JPEG files."""

_GREEN, _BLUE, _RED = (0, 255, 0), (255, 0, 0), (0, 0, 255)
# points of each line, and whether it is closed
_LINES: tuple[tuple[range, bool], ...] = (
    (range(17), False),
    (range(17, 22), False),
    (range(22, 27), False),
    (range(27, 36), False),
    (range(36, 42), True),
    (range(42, 48), True),
    (range(48, 60), True),
    (range(60, 68), True),
)
_NOSE_TIP, _LAST_OF_NOSE = 30, 35
_TRIANGLE = np.array([(0.05, 0.0), (0.1, 0.1), (0.0, 0.1)])


def draw_faces(image: Image, faces: Sequence[AlignedFace]) -> Image:
    """Draw stored faces into a copy of their frame.

    The face is darkened inside its hull; landmarks are green, the box of the detector is blue,
    the aligned square is red with a mark at its top-left corner. Nothing is drawn for faces that
    were not cut out (`FaceType.MARK_ONLY`).

    Parameters
    ----------
    image : ndarray, shape (h, w, 3), uint8, BGR
    faces : sequence of AlignedFace

    References
    ----------
    extract.md 5.4.
    """
    drawn = image.copy()
    for face in faces:
        matrix, points = face.metadata.image_to_face_mat, face.metadata.source_landmarks
        if matrix is None or points is None or face.metadata.source_rect is None:
            continue
        _draw_landmarks(drawn, points)
        left, top, right, bottom = (int(side) for side in face.metadata.source_rect)
        cv2.rectangle(drawn, (left, top), (right, bottom), _BLUE, 2)
        size = face.image.shape[0]
        square = aligned_square(matrix, size).astype(np.int32)
        cv2.polylines(drawn, [square], True, _RED, 2)
        triangle = transform_points(_TRIANGLE * size, matrix, invert=True)
        cv2.fillPoly(drawn, [np.rint(triangle).astype(np.int32)], _RED, lineType=cv2.LINE_AA)
    return drawn


def landmark_lines(
    points: npt.NDArray[np.generic],
) -> Iterator[tuple[npt.NDArray[np.generic], bool]]:
    """The lines of a face (jaw, brows, nose, eyes, mouth), and whether each is closed.

    Parameters
    ----------
    points : ndarray, shape (68, 2), any dtype

    Yields
    ------
    tuple of ndarray, shape (n, 2), dtype of `points`, and bool
    """
    for part, closed in _LINES:
        line = points[list(part)]
        if part.stop - 1 == _LAST_OF_NOSE:
            line = np.concatenate((line, points[_NOSE_TIP : _NOSE_TIP + 1]))
        yield line, closed


def _draw_landmarks(drawn: Image, points: npt.NDArray[np.float64]) -> None:
    inside = hull_mask(drawn.shape, points)[:, :, 0] > 0
    drawn[inside] //= 2
    whole = np.rint(points).astype(np.int32)
    for line, closed in landmark_lines(whole):
        cv2.polylines(drawn, [line], closed, _GREEN, 1, lineType=cv2.LINE_AA)
    for number, (x, y) in enumerate(whole.tolist()):
        radius = 2 if number < 17 else 1
        cv2.circle(drawn, (x, y), radius, _GREEN, -1, lineType=cv2.LINE_AA)
