"""Drawn faces with metadata, as files, so that broken ones can be made of them."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from dfl_tf.face.reference_tables import REFERENCE_3D
from dfl_tf.formats.faces.dfljpg import embed_metadata
from dfl_tf.formats.faces.face_metadata import FaceMetadata
from dfl_tf.imaging import encode_image

GOLDEN = Path(__file__).resolve().parents[1] / "golden" / "data"
SRC, DST = (GOLDEN / "workspace" / side / "aligned" for side in ("data_src", "data_dst"))


def face_jpeg(number: int, size: int = 96, **metadata: object) -> bytes:
    """A smooth random image whose landmarks are those of a frontal face."""
    rng = np.random.RandomState(number)
    image = cv2.GaussianBlur(rng.random_sample((size, size, 3)), (15, 15), 0)
    image = (cv2.normalize(image, None, 0, 255, cv2.NORM_MINMAX)).astype(np.uint8)
    landmarks = REFERENCE_3D[:, :2].astype(np.float64) * (size / 256) + (0.5 * size, 0.55 * size)
    values = {
        "face_type": "whole_face",
        "landmarks": landmarks,
        "source_filename": f"{number:05d}.png",
        "shape": (size, size, 3),
        **metadata,
    }
    return embed_metadata(encode_image(image, ".jpg"), FaceMetadata(**values))


@pytest.fixture
def make_faces(tmp_path):
    """Write a folder of faces: `make_faces(count)` gives its path."""

    def make(count: int, name: str = "aligned", **metadata: object) -> Path:
        folder = tmp_path / name
        folder.mkdir(parents=True, exist_ok=True)
        for number in range(count):
            (folder / f"{number:05d}_0.jpg").write_bytes(face_jpeg(number, **metadata))
        return folder

    return make
