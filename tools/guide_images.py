"""Make the images of docs/guide.md from the synthetic people: what good and bad look like.

    python tools/guide_images.py WORKSPACE [MODEL_DIR …] [--output docs/images]

WORKSPACE is the synthetic one (frames and aligned faces of both people). Never name one of real
people here. Each MODEL_DIR holds the same small model at another iteration, the oldest first, such
as the snapshots of

    dfl-tf train WORKSPACE --resolution 64 --archi df --ae-dims 32 --e-dims 16 --d-dims 16
        --d-mask-dims 16 --face-type wf --batch-size 4 --target-iter 1000 --snapshot-every 300

guide_alignment.jpg    aligned faces: right, and what goes wrong
guide_masks.jpg        masks: right, and what goes wrong
guide_training.jpg     with models: src, dst and the swap as the iterations go on
guide_merge.jpg        with models: one frame merged with settings that fit and that do not
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from dfl_tf.data import Faceset
from dfl_tf.face import FaceType
from dfl_tf.face.alignment import align_matrix
from dfl_tf.formats import find_models
from dfl_tf.imaging import read_image, sheet, write_image

QUALITY = 85
SHOWN = (12, 30, 55)
FRAME = 20
MERGES = {
    "fits": {},
    "mask-mode full: a box": {"mask_mode": "full"},
    "erode 60: too little face": {"erode_mask_modifier": 60},
    "erode -60, blur 0: an edge": {"erode_mask_modifier": -60, "blur_mask_modifier": 0},
    "no color transfer": {"color_transfer_mode": "none"},
    "raw-predict: what the network says": {"mode": "raw-predict"},
}


def aligned(frame: np.ndarray, landmarks: np.ndarray, size: int = 200) -> np.ndarray:
    matrix = align_matrix(landmarks.astype(np.float64), size, FaceType.WHOLE_FACE)
    return cv2.warpAffine(frame, matrix, (size, size), flags=cv2.INTER_LINEAR)


def alignment_sheet(workspace: Path) -> np.ndarray:
    """One face with the landmarks that it has, and with landmarks that are wrong."""
    face = Faceset.open(workspace / "data_src" / "aligned")[SHOWN[0]]
    image = (face.image() * 255).astype(np.uint8)
    points = face.landmarks
    middle, side = points.mean(axis=0), image.shape[1]
    turn = cv2.getRotationMatrix2D((float(middle[0]), float(middle[1])), 40, 1.0)
    turned = points @ turn[:, :2].T + turn[:, 2]
    shifted = points + np.array((0.16 * side, 0.1 * side))
    grown = (points - middle) * 1.7 + middle
    noisy = cv2.GaussianBlur(image, (0, 0), side / 50)
    cells = {
        "right: upright, filling": aligned(image, points),
        "turned: delete": aligned(image, turned),
        "shifted: delete": aligned(image, shifted),
        "found too large: delete": aligned(image, grown),
        "out of focus: delete": aligned(noisy, points),
    }
    return sheet([[*cells.values()]], captions=[[*cells]], cell=200)


def masks_sheet(workspace: Path) -> np.ndarray:
    """The true mask of a face, and masks as they go wrong."""
    face = Faceset.open(workspace / "data_src" / "aligned")[SHOWN[0]]
    image = face.image()
    side = image.shape[1]
    stored = face.xseg_mask()
    assert stored is not None
    mask = cv2.resize(stored, (side, side))
    hole = mask.copy()
    cv2.circle(hole, (int(0.6 * side), int(0.55 * side)), side // 10, 0.0, -1)
    low = mask.copy()
    low[: int(0.36 * side)] = 0
    wide = cv2.dilate(mask, np.ones((side // 6, side // 6)))
    shown = {
        "right": mask,
        "hole: label it, train on": hole,
        "no forehead": low,
        "takes in the background": wide,
    }
    cells = [image * (0.35 + 0.65 * (m[..., None] > 0.5)) for m in shown.values()]
    return sheet([cells], captions=[[*shown]], cell=200)


def training_sheet(workspace: Path, models: Sequence[Path]) -> np.ndarray:
    """A row for each model: faces of both sides, reproduced, and the swap."""
    import dfl_tf

    rows, captions = [], []
    pairs = []
    for side in ("src", "dst"):
        faces = Faceset.open(workspace / f"data_{side}" / "aligned")
        pairs.append([faces[number % len(faces)].image() for number in SHOWN[:2]])
    for folder in models:
        (found,) = find_models(folder, "SAEHD")
        model = dfl_tf.load_model(folder, found.name, "SAEHD", training=False)
        side = model.options.resolution
        src, dst = (
            np.stack([cv2.resize(face, (side, side), interpolation=cv2.INTER_AREA) for face in of])
            for of in pairs
        )
        own, other, swapped = (np.clip(np.array(out[0]), 0, 1) for out in model.view(src, dst))
        row, names = [], []
        for number in range(len(src)):
            row += [src[number], own[number], dst[number], other[number], swapped[number]]
            names += ["src", f"at {model.iteration:,}", "dst", f"at {model.iteration:,}", "swap"]
        rows.append(row)
        captions.append(names)
    return sheet(rows, captions=captions, cell=112)


def merge_sheet(workspace: Path, folder: Path) -> np.ndarray:
    """One frame, merged with settings that fit and that do not."""
    import dfl_tf

    (found,) = find_models(folder, "SAEHD")
    cells: dict[str, np.ndarray] = {}
    with tempfile.TemporaryDirectory() as work:
        for number, (caption, settings) in enumerate(MERGES.items()):
            out = Path(work) / str(number)
            dfl_tf.merge(
                None,
                settings,
                frames_dir=workspace / "data_dst",
                model_dir=folder,
                name=found.name,
                model_class="SAEHD",
                output_dir=out / "merged",
                output_mask_dir=out / "mask",
                frames=f"{FRAME}:{FRAME}",
            )
            (file,) = (out / "merged").glob("*.png")
            frame = read_image(file)
            height, width = frame.shape[:2]
            cells[caption] = frame[:, (width - height) // 2 : (width + height) // 2]
    names = [*cells]
    half = len(names) // 2
    rows = [names[:half], names[half:]]
    return sheet([[cells[n] for n in row] for row in rows], captions=rows, cell=240)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("workspace", type=Path)
    parser.add_argument("models", type=Path, nargs="*")
    parser.add_argument("--output", type=Path, default=Path("docs/images"))
    args = parser.parse_args()
    made = {
        "guide_alignment": alignment_sheet(args.workspace),
        "guide_masks": masks_sheet(args.workspace),
    }
    if args.models:
        made["guide_training"] = training_sheet(args.workspace, args.models)
        made["guide_merge"] = merge_sheet(args.workspace, args.models[-1])
    for name, image in made.items():
        write_image(args.output / f"{name}.jpg", image, quality=QUALITY)


if __name__ == "__main__":
    main()
