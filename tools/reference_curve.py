"""Train the options of the reference curve on a workspace and compare with the legacy trainer.

    python tools/reference_curve.py WORKSPACE [--iterations 200] [--reference reference_loss.npz]

The options are those of the README of the shared faces; without a reference file (keys
`<workspace>_run<k>`, arrays (n, 2) of src and dst losses) only our own means are printed. Every
20-iteration mean should lie between 0.75 times the lower and 1.3 times the higher legacy run.
Nothing is left in the workspace: the model goes into a temporary folder.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "ops")]

from dfl_tf.formats import read_model  # noqa: E402
from dfl_tf.formats.sessions.workspace import Workspace  # noqa: E402
from dfl_tf.options import RunOptions  # noqa: E402
from dfl_tf.options.inputs import OptionInputs  # noqa: E402
from dfl_tf.train.job import run_training  # noqa: E402
from dfl_tf.train.start import prepare  # noqa: E402

OPTIONS = {
    "resolution": 64, "face_type": "wf", "archi": "liae-ud", "ae_dims": 64, "e_dims": 32,
    "d_dims": 32, "d_mask_dims": 16, "batch_size": 4, "masked_training": True,
    "random_warp": True, "adabelief": True, "lr_dropout": "n", "eyes_mouth_prio": False,
    "uniform_yaw": False, "random_hsv_power": 0.0, "ct_mode": "none", "random_src_flip": False,
    "random_dst_flip": False, "clipgrad": False,
}  # fmt: skip
LOWEST, HIGHEST, FIRST = 0.75, 1.3, 0.1


def losses(workspace: Path, iterations: int, seed: int) -> np.ndarray:
    """Train; the loss history, shape (iterations, 2)."""
    with tempfile.TemporaryDirectory() as folder:
        place = replace(Workspace.open(workspace), model=Path(folder))
        values = {**OPTIONS, "target_iter": iterations}
        run = RunOptions(seed=seed, no_preview=True)
        inputs = OptionInputs.of_program(values, "the reference curve", run)
        run_training(prepare(place, "SAEHD", "curve", inputs))
        return np.asarray(read_model(Path(folder), "curve", "SAEHD").loss_history)


def compare(ours: np.ndarray, runs: list[np.ndarray]) -> list[str]:
    """Lines of the table; a line that is out of its band ends with OUT."""
    lines = []
    if runs:
        first = np.mean([run[0] for run in runs], axis=0)
        off = np.abs(ours[0] / first - 1).max()
        verdict = "ok" if off <= FIRST else "OUT"
        lines.append(f"iteration 1: {_pair(ours[0])}  legacy {_pair(first)}  {verdict}")
    for start in range(0, len(ours) - 19, 20):
        mean = ours[start : start + 20].mean(axis=0)
        line = f"{start + 1:>4}-{start + 20:<4}: {_pair(mean)}"
        known = [run[start : start + 20].mean(axis=0) for run in runs if len(run) >= start + 20]
        if known:
            low, high = LOWEST * np.min(known, axis=0), HIGHEST * np.max(known, axis=0)
            inside = bool(((mean >= low) & (mean <= high)).all())
            line += f"  band {_pair(low)} … {_pair(high)}  {'ok' if inside else 'OUT'}"
        lines.append(line)
    return lines


def _pair(values: np.ndarray) -> str:
    return " / ".join(f"{value:.3f}" for value in values)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("workspace", type=Path)
    parser.add_argument("--iterations", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--reference", type=Path)
    args = parser.parse_args()
    reference = args.reference or args.workspace.parent / "reference_loss.npz"
    runs = []
    if reference.exists():
        stored = np.load(reference)
        name = args.workspace.resolve().name
        runs = [stored[key] for key in stored.files if key.startswith(f"{name}_run")]
    lines = compare(losses(args.workspace, args.iterations, args.seed), runs)
    print(f"{args.workspace}: means of src / dst, {len(runs)} legacy runs")
    print("\n".join(lines))
    return 1 if any(line.endswith("OUT") for line in lines) else 0


if __name__ == "__main__":
    sys.exit(main())
