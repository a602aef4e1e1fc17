"""Train a small model for 50,000 iterations: memory, open files and time per iteration stay flat.

    python tools/endurance.py [--class Toy|SAEHD] [--iterations 50000] [--points 50] [--json]

The toy of docs/own-model.md is small enough for so many; a SAEHD model takes some tenths of a
second for each. The faces are those of `dfl-tf demo`; it saves every thousandth of the run (50
iterations at least), draws previews with each save and writes its log. At each of `--points` points
it takes resident memory, open files, threads, and the processor time per iteration since the point
before (wall time depends on what else runs). The first fifth is left out, for caches fill and
graphs are made in it. Flat means: the median of the last fifth is at most `GROWTH` times that of
the second one, and hardly a file or thread more. A line through all points tells slow growth from
noise: what it adds over the run must be within that, too. Exit code 1 if not.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
import threading
import time
from dataclasses import asdict, dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "ops"), str(ROOT / "tests" / "own_model")]

from dfl_tf_ops.process import resident_memory  # noqa: E402
from toy import KIND  # noqa: E402

import dfl_tf  # noqa: E402
from dfl_tf.options import register_model  # noqa: E402

GROWTH = {"memory_mb": 1.05, "milliseconds": 1.10}
BUSY = 2
"""Files and threads more: a save may be under way, or not, where they are counted."""
OPTIONS = {
    "Toy": {"resolution": 64, "toy_dims": 4, "batch_size": 2, "face_type": "wf"},
    "SAEHD": {
        "resolution": 64, "archi": "df", "ae_dims": 32, "e_dims": 16, "d_dims": 16,
        "d_mask_dims": 16, "batch_size": 2, "face_type": "wf", "models_opt_on_gpu": False,
    },
}  # fmt: skip


@dataclass
class Point:
    """What was seen at an iteration."""

    iteration: int
    memory_mb: float
    files: int
    threads: int
    milliseconds: float


class Watch:
    """Takes the points; called with every event of the run."""

    def __init__(self, every: int) -> None:
        self._every, self._used = every, time.process_time()
        self.points: list[Point] = []

    def __call__(self, event: object) -> None:
        if getattr(event, "kind", "") != "iteration":
            return
        iteration = event.iteration  # type: ignore[attr-defined]
        if iteration % self._every:
            return
        used = time.process_time()
        self.points.append(
            Point(
                iteration,
                round((resident_memory() or 0) / 2**20, 1),
                len(os.listdir("/dev/fd")),
                threading.active_count(),
                round(1000 * (used - self._used) / self._every, 3),
            )
        )
        self._used = used


def verdicts(points: list[Point]) -> dict[str, float]:
    """Growth of each figure: the last fifth by the second, and what a line through all adds."""
    fifth = max(1, len(points) // 5)
    steady = points[fifth:]
    found = {}
    for name in ("memory_mb", "milliseconds", "files", "threads"):
        values = [float(getattr(point, name)) for point in steady]
        first, last = (statistics.median(part) for part in (values[:fifth], values[-fifth:]))
        slope = statistics.linear_regression(range(len(values)), values).slope
        found[name] = round(max(last, first + slope * (len(values) - 1)) / max(first, 1e-9), 3)
        if name in ("files", "threads"):
            found[name] = last - first
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--class", choices=OPTIONS, default="Toy", dest="model_class")
    parser.add_argument("--iterations", type=int, default=50_000)
    parser.add_argument("--points", type=int, default=50)
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    watch = Watch(max(1, args.iterations // args.points))
    saves = max(50, args.iterations // 1000)
    with tempfile.TemporaryDirectory() as folder:
        workspace = Path(folder) / "workspace"
        for side in ("src", "dst"):
            (workspace / f"data_{side}").mkdir(parents=True)
            (workspace / f"data_{side}" / "aligned").symlink_to(
                ROOT / "dfl_tf" / "demo_data" / f"data_{side}" / "aligned"
            )
        run = {"save_every_iters": saves, "log_every": 0, "seed": 1}
        options = OPTIONS[args.model_class] | {"target_iter": args.iterations}
        if args.model_class == "Toy":
            register_model(KIND)
        dfl_tf.train(workspace, args.model_class, options, run=run, callbacks=[watch])
    growth = verdicts(watch.points)
    flat = all(growth[name] <= most for name, most in GROWTH.items()) and all(
        growth[name] <= BUSY for name in ("files", "threads")
    )
    if not args.json:
        for point in watch.points:
            print("  ".join(f"{name} {value}" for name, value in asdict(point).items()))
    print(json.dumps({"iterations": args.iterations, "growth": growth, "losses": int(not flat)}))
    return 0 if flat else 1


if __name__ == "__main__":
    sys.exit(main())
