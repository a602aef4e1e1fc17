"""Make the images of docs/guide.md from the synthetic people: what good and bad look like.

    python tools/guide_images.py WORKSPACE [--model MODEL_DIR [--collapsed MODEL_DIR]]

WORKSPACE is the synthetic one (frames and aligned faces of both people). Never name one of real
people here. MODEL_DIR holds a small model that was trained on it as the guide says, by hand:

    dfl-tf train WORKSPACE --name guide --resolution 64 --archi df --ae-dims 32 --e-dims 16
        --d-dims 16 --d-mask-dims 16 --face-type wf --batch-size 4 --target-iter 750
    dfl-tf train WORKSPACE --name guide --lr-dropout y --target-iter 900
    dfl-tf train WORKSPACE --name guide --no-random-warp --lr-dropout n --target-iter 1500

with --snapshot-every 150 --snapshots-keep 20 --save-every-iters 150 --log-every 10 each time; the
other one is a copy of it, ruined on purpose:

    dfl-tf train WORKSPACE --model-dir COPY --name guide --gan-power 10 --set lr=0.001
        --no-guard-collapse --target-iter 1560

guide_alignment.jpg    aligned faces: right, and what goes wrong
guide_masks.jpg        masks: right, and what goes wrong
guide_training.jpg     with a model: src, dst and the swap as the iterations go on
guide_losses.png       with a model: its loss plot
guide_merge.jpg        with a model: one frame merged with settings that fit and that do not
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Mapping
from pathlib import Path

import cv2
import numpy as np

from dfl_tf.data import Faceset
from dfl_tf.face import FaceType
from dfl_tf.face.alignment import align_matrix
from dfl_tf.formats import find_models, read_model
from dfl_tf.imaging import read_image, sheet, write_image
from dfl_tf.train.log_facts import book_beside, facts_of
from dfl_tf.train.loss_plot import plot_of_model

QUALITY = 85
SHOWN = (12, 30, 55)
STAGES = {300: "too early", 750: "no detail yet", 1500: "detail"}
"""Iterations of which snapshots are shown, and what is to be seen there."""
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


def training_sheet(workspace: Path, stages: Mapping[str, Path]) -> np.ndarray:
    """A row for each state of a model: a face of both sides, reproduced, and the swap."""
    import dfl_tf

    faces = [Faceset.open(workspace / f"data_{who}" / "aligned") for who in ("src", "dst")]
    src, dst = (faceset[SHOWN[0]].image() for faceset in faces)
    rows, captions = [], []
    for verdict, folder in stages.items():
        (found,) = find_models(folder, "SAEHD")
        model = dfl_tf.load_model(folder, found.name, "SAEHD", training=False)
        side = model.options.resolution
        small = [
            cv2.resize(face, (side, side), interpolation=cv2.INTER_AREA)[None]
            for face in (src, dst)
        ]
        own, other, swap = (np.clip(np.array(out[0][0]), 0, 1) for out in model.view(*small))
        rows.append([src, own, dst, other, swap])
        at = f"at {model.iteration:,}"
        captions.append(["src", at, "dst", at, f"swap: {verdict}"])
    return sheet(rows, captions=captions, cell=150)


def loss_image(folder: Path) -> np.ndarray:
    """The loss plot of a model, with what its log tells."""
    (found,) = find_models(folder, "SAEHD")
    state = read_model(folder, found.name, "SAEHD", only=())
    facts = facts_of(book_beside(folder, f"{found.name}_SAEHD"), state.iteration)
    title = f"{found.name}_SAEHD, iteration {state.iteration}"
    return plot_of_model(state.loss_history, title, state.run, facts)


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
    parser.add_argument("--model", type=Path)
    parser.add_argument("--collapsed", type=Path)
    parser.add_argument("--output", type=Path, default=Path("docs/images"))
    args = parser.parse_args()
    made = {
        "guide_alignment.jpg": alignment_sheet(args.workspace),
        "guide_masks.jpg": masks_sheet(args.workspace),
    }
    if args.model:
        snapshots = args.model / "guide_SAEHD_snapshots"
        stages = {what: snapshots / f"regular-{number}" for number, what in STAGES.items()}
        if args.collapsed:
            stages["collapsed"] = args.collapsed
        made["guide_training.jpg"] = training_sheet(args.workspace, stages)
        made["guide_losses.png"] = loss_image(args.model)
        made["guide_merge.jpg"] = merge_sheet(args.workspace, args.model)
    for name, image in made.items():
        write_image(args.output / name, image, quality=QUALITY)


if __name__ == "__main__":
    main()
