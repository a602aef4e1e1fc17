"""A workspace of faces: poses that differ, masks, polygons, frames, hostile names and links."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from dfl_tf.face.reference_tables import REFERENCE_3D
from dfl_tf.formats import FaceMetadata
from dfl_tf.formats.faces.dfljpg import embed_metadata
from dfl_tf.formats.faces.stored_mask import encode_mask

from .trainings import TAG

SIDE, FACES = 64, 12
FRAME = (180, 320)


def landmarks_at(yaw: float, side: int = SIDE) -> np.ndarray:
    """The landmarks of a head that is turned by so many degrees, in an image of so many pixels."""
    turned = cv2.Rodrigues(np.array([0.0, np.radians(yaw), 0.0]))[0]
    points = REFERENCE_3D.astype(np.float64) @ turned.T + (0, 0, 240)
    return points[:, :2] / points[:, 2:] * side + side / 2


def metadata_of(number: int, **more: object) -> FaceMetadata:
    """What is stored with the face of a number."""
    mask = np.zeros((32, 32), np.float32)
    mask[8:24, 8:24] = 1
    points = landmarks_at(6.0 * number - 33)
    facts: dict[str, object] = {
        "face_type": "whole_face",
        "landmarks": points,
        "source_filename": f"{number:05d}.png",
        "source_rect": (40, 20, 140, 120),
        "source_landmarks": points + np.array((60, 40)),
        "seg_ie_polys": [(1, np.array([(10, 10), (50, 12), (30, 55)], np.float32))]
        if number % 2
        else [],
        "xseg_mask_bytes": encode_mask(mask) if number != 2 else None,
        "shape": (SIDE, SIDE, 3),
    }
    return FaceMetadata(**{**facts, **more})  # type: ignore[arg-type]


def face(number: int, **more: object) -> bytes:
    """The JPEG of a face: stripes that get finer, so each is sharper than the one before."""
    x = np.arange(SIDE)
    stripes = 128 + 100 * np.sin(x * (0.1 + number / 20))
    image = np.repeat(np.tile(stripes, (SIDE, 1))[:, :, None], 3, axis=2).astype(np.uint8)
    image[:, :, 0] = 20 * number
    data = cv2.imencode(".jpg", image)[1].tobytes()
    return embed_metadata(data, metadata_of(number, **more))


def fill_faces(folder: Path, count: int = FACES) -> None:
    """Write faces, and the frames that they are from."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(count):
        (folder / f"{number:05d}.jpg").write_bytes(face(number))
        image = np.full((*FRAME, 3), 40 + 10 * number, np.uint8)
        assert cv2.imwrite(str(folder.parent / f"{number:05d}.png"), image)


def make_faces(root: Path) -> Path:
    """The workspace; a folder with a name like markup, links that lead out, damaged files."""
    for side in ("src", "dst"):
        fill_faces(root / f"data_{side}" / "aligned", FACES if side == "src" else 5)
    (root / "model").mkdir()
    outside = root.parent / "outside"
    fill_faces(outside / "aligned", 2)
    src = root / "data_src"
    (src / "aligned_linked").symlink_to(outside / "aligned")
    odd = src / f"aligned {TAG}"
    odd.mkdir()
    (odd / f"{TAG}.jpg").write_bytes(face(1, source_filename=f"../{TAG}"))
    (odd / "damaged.jpg").write_bytes(b"\xff\xd8\xff" + bytes(40))
    (odd / "leading.jpg").symlink_to(outside / "aligned" / "00000.jpg")
    (odd / "plain.jpg").write_bytes(cv2.imencode(".jpg", np.zeros((20, 10, 3), np.uint8))[1])
    (odd / "up.jpg").write_bytes(face(3, source_filename="../../outside/00001.png"))
    (odd / "linked frame.jpg").write_bytes(face(3, source_filename="linked.png"))
    (src / "linked.png").symlink_to(outside / "00000.png")
    return root
