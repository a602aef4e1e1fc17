"""From a face in a frame to an aligned image with its metadata."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from dfl_tf.extract.found import Box, Image, Points
from dfl_tf.face import FaceType, align_matrix, transform_points
from dfl_tf.face.alignment import polygon_area
from dfl_tf.formats import FaceMetadata
from dfl_tf.formats.faces.dfljpg import embed_metadata
from dfl_tf.imaging import encode_image

_LARGEST_SHARE = 4  # area of the aligned square in boxes of the detector


@dataclass(frozen=True, eq=False)
class AlignedFace:
    """A face as it is stored.

    Attributes
    ----------
    image : ndarray, shape (size, size, 3), uint8, BGR
        The whole frame for `FaceType.MARK_ONLY`.
    metadata : FaceMetadata
    """

    image: Image
    metadata: FaceMetadata

    def jpeg(self, quality: int) -> bytes:
        """Encode as a JPEG file that carries the metadata; quality 1 to 100."""
        return embed_metadata(encode_image(self.image, ".jpg", quality=quality), self.metadata)


def align_face(
    image: Image,
    landmarks: Points,
    box: Box,
    *,
    face_type: FaceType,
    size: int,
    source_filename: str,
    placed_by_hand: bool = False,
) -> AlignedFace | None:
    """Cut a face out of a frame, upright and of one size.

    Parameters
    ----------
    image : ndarray, shape (h, w, 3), uint8, BGR
    landmarks : ndarray, shape (68, 2), float64
        In frame pixels.
    box : tuple of float
        Left, top, right, bottom of the detector's box in frame pixels.
    face_type : FaceType
    size : int
        Side of the aligned image in pixels.
    source_filename : str
        Name of the frame, with its suffix.
    placed_by_hand : bool
        Such faces are kept whatever their box is.

    Returns
    -------
    AlignedFace or None
        None for half, mid-full and full faces whose aligned square has more than four times the
        area of the box: the landmarks are not those of the face in the box.

    Notes
    -----
    The image is sampled bilinearly with a black border, and the corners of the square are rounded
    to whole pixels before its area is taken (kept for compatibility).

    References
    ----------
    extract.md 5.3.
    """
    source = np.asarray(landmarks)
    matrix = None
    if face_type is FaceType.MARK_ONLY:
        aligned = image
        points: npt.NDArray[np.floating] = source
    else:
        matrix = align_matrix(source, size, face_type)
        if (
            face_type <= FaceType.FULL_NO_ALIGN
            and not placed_by_hand
            and _square_area(matrix, size) > _LARGEST_SHARE * polygon_area(_corners(box))
        ):
            return None
        aligned = cv2.warpAffine(image, matrix, (size, size), flags=cv2.INTER_LINEAR)
        points = transform_points(source, matrix)
    metadata = FaceMetadata(
        face_type=face_type.legacy,
        landmarks=np.asarray(points, dtype=np.float64),
        source_filename=source_filename,
        source_rect=tuple(int(side) for side in box),  # type: ignore[arg-type]
        source_landmarks=np.asarray(source, dtype=np.float64),
        image_to_face_mat=matrix,
        shape=aligned.shape,
    )
    return AlignedFace(aligned, metadata)


def aligned_square(matrix: npt.NDArray[np.float64], size: int) -> npt.NDArray[np.int64]:
    """Corners of an aligned image in the frame.

    Parameters
    ----------
    matrix : ndarray, shape (2, 3), float64
        From frame to aligned pixels.
    size : int
        Side of the aligned image.

    Returns
    -------
    ndarray, shape (4, 2), int64
        Whole pixels of the frame, from the top left corner counterclockwise.
    """
    last = size - 1
    corners = np.array([(0, 0), (0, last), (last, last), (last, 0)], dtype=np.float64)
    return np.rint(transform_points(corners, matrix, invert=True)).astype(np.int64)


def _square_area(matrix: npt.NDArray[np.float64], size: int) -> float:
    return polygon_area(aligned_square(matrix, size))


def _corners(box: Box) -> npt.NDArray[np.float32]:
    left, top, right, bottom = box
    return np.array([(left, top), (left, bottom), (right, bottom), (right, top)], dtype=np.float32)
