"""Make the images of docs/cleaning.md from the synthetic faces that are shipped (or a workspace).

    python tools/cleaning_images.py [WORKSPACE]

WORKSPACE holds data_src/aligned and data_dst/aligned. Never name one of real people here.
"""

from __future__ import annotations

import sys
from pathlib import Path

import cv2
import numpy as np

import dfl_tf
from dfl_tf.facesets.measure_cache import MeasureCache
from dfl_tf.facesets.measures import MEASURES, MeasuredFace
from dfl_tf.facesets.measuring import face_files
from dfl_tf.facesets.report import figures
from dfl_tf.facesets.report.facts import SCALES, collect
from dfl_tf.formats import read_metadata
from dfl_tf.imaging import decode_image, encode_image, sheet

IMAGES = Path(__file__).resolve().parent.parent / "docs" / "images"
DEMO = Path(dfl_tf.__file__).parent / "demo_data"
SHOWN = ("blur", "motion_blur", "brightness", "black")


def damaged(image: np.ndarray) -> dict[str, np.ndarray]:
    """One face as it may come out of a video: good, and with the errors that the measures see."""
    side = image.shape[1]
    streak = np.zeros((side // 10, side // 10), np.float32)
    streak[len(streak) // 2] = 1 / len(streak)
    cut = image.copy()
    cut[int(0.72 * side) :] = 0
    small = cv2.resize(image, (side // 6, side // 6), interpolation=cv2.INTER_AREA)
    return {
        "good": image,
        "out of focus": cv2.GaussianBlur(image, (0, 0), side / 64),
        "blurred by motion": cv2.filter2D(image, -1, streak),
        "small in its frame": cv2.resize(small, (side, side), interpolation=cv2.INTER_CUBIC),
        "dark": (image * 0.3).astype(np.uint8),
        "cut off": cut,
    }


def measures_sheet(folder: Path) -> np.ndarray:
    """The same face with different errors, and what the measures say of each."""
    file = next(f for f in face_files(folder)[0] if f.name.lower().endswith((".jpg", ".jpeg")))
    data = file.read()
    metadata = file.metadata or read_metadata(data, what=file.name)
    faces = damaged(decode_image(data, what=file.name))
    rows, captions = [[*faces.values()]], [[*faces]]
    for name in SHOWN:
        values = [MEASURES[name].compute(MeasuredFace(f, metadata)) for f in faces.values()]
        rows.append([np.full((4, 160, 3), 32, np.uint8) for _ in values])
        captions.append([f"{name}: {float(value):.4g}" for value in values])
    return sheet(rows, captions=captions, cell=160)


def main() -> None:
    root = Path(sys.argv[1]) if len(sys.argv) > 1 else DEMO
    src, dst = (root / side / "aligned" for side in ("data_src", "data_dst"))
    IMAGES.mkdir(exist_ok=True)
    image = encode_image(measures_sheet(src), ".jpg", quality=88)
    (IMAGES / "cleaning_measures.jpg").write_bytes(image)
    facts = collect(src, dst, cache=MeasureCache(None))
    (IMAGES / "cleaning_poses.png").write_bytes(figures.pose_maps(facts))
    (IMAGES / "cleaning_colors.png").write_bytes(figures.color_map(facts))
    sharpness = next(scale for scale in SCALES if scale.name == "sharpness")
    (IMAGES / "cleaning_sharpness.png").write_bytes(figures.histogram(facts, sharpness))


if __name__ == "__main__":
    main()
