"""Train an XSeg model on hand-drawn masks and measure it on faces that it has not seen.

    python tools/xseg_iou.py [WORKSPACE] [--iterations 300] [--goal 0.85]

Faces with polygons are trained on, but for every `--hold-out`th of them; all others are held out
and must carry a stored true mask to be measured. What the trained model makes of them, by the way
of `dfl-tf xseg apply`, is compared with these masks: intersection over union. Beside it stands what
the polygons themselves reach, which is all that a model can learn from them.

Nothing is written to the workspace. With `--model-dir` the model is kept, and an existing one is
trained on up to `--iterations`. Exit code 1 if the mean is below the goal.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "ops")]

from dfl_tf.data import Faceset  # noqa: E402
from dfl_tf.data.faceset import FaceSample  # noqa: E402
from dfl_tf.face import polygon_mask  # noqa: E402
from dfl_tf.facesets.xseg_masker import SIDE, XSegMasker, crop  # noqa: E402
from dfl_tf.formats.faces.dfljpg import read_metadata  # noqa: E402
from dfl_tf.formats.faces.stored_mask import decode_mask  # noqa: E402
from dfl_tf.formats.sessions.workspace import Workspace  # noqa: E402
from dfl_tf.options import RunOptions  # noqa: E402
from dfl_tf.options.inputs import OptionInputs  # noqa: E402
from dfl_tf.train.job import run_training  # noqa: E402
from dfl_tf.train.start import prepare  # noqa: E402

SIDES = ("data_src", "data_dst")
BATCH = 8


def split(faces: Iterable[FaceSample], hold_out: int) -> tuple[list[FaceSample], list[FaceSample]]:
    """Faces to train on, and faces with a true mask to measure."""
    trained: list[FaceSample] = []
    unseen: list[FaceSample] = []
    drawn = 0
    for face in faces:
        if face.polygons:
            drawn += 1
        if face.polygons and drawn % hold_out:
            trained.append(face)
        elif face.xseg_bytes is not None:
            unseen.append(face)
    return trained, unseen


def overlap(one: NDArray[np.float32], other: NDArray[np.float32]) -> float:
    """Intersection over union of two masks of equal shape."""
    a, b = one >= 0.5, other >= 0.5
    return float((a & b).sum() / max(1, (a | b).sum()))


def measure(masker: XSegMasker, faces: list[FaceSample]) -> NDArray[np.float64]:
    """Overlap of the model's mask with the stored one, for each face."""
    results = []
    for start in range(0, len(faces), BATCH):
        some = faces[start : start + BATCH]
        crops = []
        for face in some:
            data = face.bytes()
            metadata = read_metadata(data, what=face.name)
            if metadata is None:
                raise SystemExit(f"{face.name}: no face metadata")
            crops.append(crop(metadata, data, masker.face_type, face.name))
        for face, encoded in zip(some, masker.masks(crops), strict=True):
            results.append(overlap(decode_mask(encoded), true_mask(face)))
    return np.asarray(results)


def true_mask(face: FaceSample) -> NDArray[np.float32]:
    """The stored mask at the side of the masks that `xseg apply` writes."""
    import cv2

    mask = face.xseg_mask()
    if mask is None:
        raise SystemExit(f"{face.name}: no stored mask")
    resized = cv2.resize(mask, (SIDE, SIDE), interpolation=cv2.INTER_LINEAR)
    return np.asarray(resized, np.float32).reshape(SIDE, SIDE, 1)


def ceiling(faces: list[FaceSample]) -> float:
    """Mean overlap of the polygons with the stored masks of the same faces."""
    import cv2

    values = []
    for face in faces:
        if face.xseg_bytes is None:
            continue
        drawn = polygon_mask(face.shape, face.polygons)
        drawn = cv2.resize(drawn, (SIDE, SIDE), interpolation=cv2.INTER_LINEAR)
        values.append(overlap(drawn.reshape(SIDE, SIDE, 1), true_mask(face)))
    return float(np.mean(values)) if values else float("nan")


def train_on(faces: dict[str, list[FaceSample]], model: Path, args: argparse.Namespace) -> None:
    """Train an XSeg in the folder `model` on these faces, by the way of `dfl-tf train`."""
    with tempfile.TemporaryDirectory() as folder:
        for side, some in faces.items():
            aligned = Path(folder) / side / "aligned"
            aligned.mkdir(parents=True)
            for face in some:
                (aligned / face.name).write_bytes(face.bytes())
        face_type = next(face for some in faces.values() for face in some).face_type.option
        values = {
            "face_type": face_type,
            "batch_size": args.batch_size,
            "target_iter": args.iterations,
        }
        run = RunOptions(seed=args.seed, stop_after=args.stop_after, save_every_iters=50)
        place = Workspace.open(Path(folder), model=model)
        inputs = OptionInputs.of_program(values, "this tool", run)
        run_training(prepare(place, "XSeg", None, inputs))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("workspace", type=Path, nargs="?", default=ROOT / "dfl_tf" / "demo_data")
    parser.add_argument("--iterations", type=int, default=300)
    parser.add_argument("--batch-size", type=int, default=4)
    parser.add_argument("--hold-out", type=int, default=5, help="every Nth labeled face is kept")
    parser.add_argument("--stop-after", type=float, default=0.0, help="seconds")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--goal", type=float, default=0.85)
    parser.add_argument("--model-dir", type=Path, help="keep the model there")
    args = parser.parse_args()
    trained, unseen = {}, []
    for side in SIDES:
        faces = Faceset.open(args.workspace / side / "aligned")
        trained[side], rest = split(faces, args.hold_out)
        unseen += rest
    labeled = [face for some in trained.values() for face in some]
    print(f"{len(labeled)} faces to train on, {len(unseen)} to measure", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        model = args.model_dir or Path(folder)
        model.mkdir(parents=True, exist_ok=True)
        train_on(trained, model, args)
        values = measure(XSegMasker.load(model), unseen)
    drawn = ceiling([*labeled, *(face for face in unseen if face.polygons)])
    print(
        f"IoU on unseen faces: mean {values.mean():.4f}, median {np.median(values):.4f}, worst "
        f"{values.min():.4f}; the polygons themselves reach {drawn:.4f}"
    )
    return 0 if values.mean() >= args.goal else 1


if __name__ == "__main__":
    sys.exit(main())
