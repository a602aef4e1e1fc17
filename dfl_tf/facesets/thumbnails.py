"""Small copies of faces; each is read once, however often it is shown."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from dfl_tf.errors import DflTfError
from dfl_tf.facesets.measuring import FaceFile, face_files
from dfl_tf.imaging import decode_image, encode_image, to_bgr

SIDE = 96


def small_face(file: FaceFile, side: int) -> npt.NDArray[np.uint8] | None:
    """A face as (side, side, 3) uint8 BGR; None if it cannot be read any more."""
    try:
        image = to_bgr(decode_image(file.read(), what=file.name))
    except (DflTfError, OSError):
        return None
    small = cv2.resize(image, (side, side), interpolation=cv2.INTER_AREA)
    return np.asarray(small, dtype=np.uint8)


class Thumbnails:
    """The faces of a folder or pak as JPEG images of 96 px."""

    def __init__(self, place: Path) -> None:
        self._files = {file.name: file for file in face_files(place)[0]}
        self._made: dict[str, bytes] = {}

    def jpeg(self, name: str) -> bytes:
        """The small copy of a face; empty if it cannot be read any more."""
        if name not in self._made:
            file = self._files.get(name)
            image = None if file is None else small_face(file, SIDE)
            self._made[name] = b"" if image is None else encode_image(image, ".jpg", quality=80)
        return self._made[name]
