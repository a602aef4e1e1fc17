"""Draw the images of docs/extraction.md from the synthetic people of workspace_s.

    python tools/draw_extraction.py WORKSPACE [--models-dir DIR] [--output docs/images]

extraction_faces.jpg     frames with box and landmarks as `mesh` finds them
extraction_coverage.jpg  the strip of a clip with something of each kind to look at, made of frames
                         that are moved, enlarged, turned, joined and emptied
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np

from dfl_tf.extract.coverage import measure_coverage, weak_score
from dfl_tf.extract.cuts import frame_look
from dfl_tf.extract.found import Detector, Image, Landmarker
from dfl_tf.extract.frame_faces import find_faces, prepare_frame
from dfl_tf.extract.mesh.load import MeshModels
from dfl_tf.extract.records import FrameRecord, RecordedFace
from dfl_tf.extract.thumbnails import coverage_strip, thumbnail
from dfl_tf.extract.tracks import assign_tracks
from dfl_tf.imaging import read_image, sheet, write_image

QUALITY = 80
SHOWN = (("src", 10), ("src", 23), ("src", 50), ("dst", 9), ("dst", 21))


def frame_of(workspace: Path, side: str, number: int) -> Image:
    return prepare_frame(read_image(workspace / f"data_{side}" / f"{number:05d}.jpg"))


def changed(image: Image, *, zoom: float = 1.0, turn: float = 0.0, x: float = 0.0) -> Image:
    """Enlarge and turn a frame about its center, and shift it."""
    height, width = image.shape[:2]
    matrix = cv2.getRotationMatrix2D((width / 2, height / 2), turn, zoom)
    matrix[0, 2] += x
    return cv2.warpAffine(image, matrix, (width, height), borderMode=cv2.BORDER_REFLECT)


def clip(workspace: Path) -> list[Image]:
    """Frames of which some are worth a look."""
    plain = frame_of(workspace, "src", 10)
    other = frame_of(workspace, "src", 11)
    height, width = plain.shape[:2]
    half = cv2.resize(plain, (width // 2, height // 2), interpolation=cv2.INTER_AREA)
    pair = np.zeros_like(plain)
    pair[height // 4 : height // 4 + height // 2] = np.concatenate((half, half), axis=1)
    empty = cv2.GaussianBlur(plain, (0, 0), 60)
    dark = (plain * 0.04).astype(np.uint8)
    steps = [plain, other, empty, empty, plain, changed(other, x=130), changed(other, x=130)]
    steps += [changed(plain, zoom=0.7), plain, changed(plain, turn=40), plain, pair, pair, plain]
    return [*steps, dark, other]


def found_in(images: list[Image], detector: Detector, landmarker: Landmarker) -> list[FrameRecord]:
    records = []
    for number, image in enumerate(images, start=1):
        faces = tuple(
            RecordedFace(
                face.box,
                face.score,
                None if face.landmarks is None else face.landmarks.points,
                0.0 if face.landmarks is None else face.landmarks.score,
            )
            for face in find_faces(image, detector, landmarker).faces
        )
        height, width = image.shape[:2]
        records.append(
            FrameRecord(f"{number:05d}.jpg", number, height, width, faces, look=frame_look(image))
        )
    return assign_tracks(records)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("workspace", type=Path)
    parser.add_argument("--models-dir", type=Path)
    parser.add_argument("--output", type=Path, default=Path("docs/images"))
    options = parser.parse_args()
    models = MeshModels.load(options.models_dir)
    detector, landmarker = models.detector(), models.landmarker()
    images = [frame_of(options.workspace, side, number) for side, number in SHOWN]
    found = found_in(images, detector, landmarker)
    shown = [thumbnail(i, r.faces, 300) for i, r in zip(images, found, strict=True)]
    write_image(
        options.output / "extraction_faces.jpg", sheet([shown[:3], shown[3:]]), quality=QUALITY
    )
    images = clip(options.workspace)
    # the clip is cut together, but its jumps are to be seen: without looks it is one shot
    records = [replace(r, look=b"") for r in found_in(images, detector, landmarker)]
    coverage = measure_coverage(records, weak_below=weak_score("mesh"))
    print("\n".join(coverage.lines()))
    strip = coverage_strip(coverage, lambda frame: images[frame.number - 1], each=4, width=160)
    if strip is not None:
        write_image(options.output / "extraction_coverage.jpg", strip, quality=QUALITY)


if __name__ == "__main__":
    main()
