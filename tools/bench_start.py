#!/usr/bin/env python3
"""From the start of the process to the end of the first iteration, on an existing model, by parts.

    python tools/bench_start.py [--model DIR] [--rounds N] [--resolution 128] [--dims 64]
                                [--other ROOT]

Without --model a SAEHD df-ud (54.5 million weights as it stands) is trained for one iteration
first, on the faces of `dfl-tf demo`. Each round starts `dfl-tf train` for one iteration in a
process of its own. Printed are the medians of wall time and of processor time (seconds), of the
whole and of its parts in their order; what runs in other threads beside a part counts to its
processor time. TensorFlow is imported while the model is read: both are in "options and files",
and "tensorflow" is what it takes to set it up. With --other another checkout (the yardstick) takes
turns, and the ratio of the wholes is printed.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
NAME = "start"
PARTS = ("imports", "options and files", "tensorflow", "model", "weights", "streams", "first batch",
         "first step", "rest")  # fmt: skip

CHILD = """
import json, os, resource, sys, time
begun = float(os.environ["BENCH_BEGUN"])
marks = []

def spent():
    used = resource.getrusage(resource.RUSAGE_SELF)
    return time.time() - begun, used.ru_utime + used.ru_stime

def mark(name):
    marks.append((name, *spent()))

from dfl_tf.cli import main, train as command
from dfl_tf.train import segment, start, stepping
mark("imports")

def marked(owner, name, before, after):
    real, done = getattr(owner, name), []
    def wrapped(*args, **kwargs):
        first = not done
        if before and first:
            mark(before)
        result = real(*args, **kwargs)
        if after and first:
            done.append(True)
            mark(after)
        return result
    setattr(owner, name, wrapped)

marked(segment.Builder, "build", "options and files", "streams")
marked(segment.Builder, "create", "tensorflow", "model")
marked(segment.Builder, "fill", None, "weights")
real = stepping.Stepper.step

def step(self):
    model = self._run.model
    train = model.train_step
    def trained(*batches):
        mark("first batch")
        losses = train(*batches)
        for value in losses.values():
            value.numpy()
        mark("first step")
        return losses
    model.train_step = trained
    real(self)
    model.train_step = train
    mark("rest")
    print("BENCH", json.dumps(marks), flush=True)
    os._exit(0)

stepping.Stepper.step = step
main.run(sys.argv[1:])
"""


def train(root: Path, model: Path, words: list[str], child: bool) -> dict[str, tuple[float, float]]:
    """Run `dfl-tf train` from a checkout; the seconds of the parts, if it is the child's."""
    faces = root / "dfl_tf" / "demo_data"
    line = ["train", str(faces), f"--model-dir={model}", f"--name={NAME}", "--no-preview", *words]
    paths = os.pathsep.join([str(root), str(root / "ops")])
    environment = {**os.environ, "PYTHONPATH": paths, "BENCH_BEGUN": repr(time.time())}
    program = ["-c", CHILD] if child else ["-m", "dfl_tf"]
    done = subprocess.run(
        [sys.executable, *program, *line],
        env=environment, cwd=root, capture_output=True, text=True, check=False,
    )  # fmt: skip
    if not child:
        if done.returncode:
            raise SystemExit(done.stdout + done.stderr)
        return {}
    found = [text for text in done.stdout.splitlines() if text.startswith("BENCH ")]
    if not found:
        raise SystemExit(done.stdout + done.stderr)
    parts, before = {}, (0.0, 0.0)
    for name, wall, processor in json.loads(found[0].removeprefix("BENCH ")):
        parts[name] = (wall - before[0], processor - before[1])
        before = wall, processor
    return {**parts, "whole": before}


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--model", type=Path, help="folder of a model of that name, made by this")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--resolution", type=int, default=128)
    parser.add_argument("--dims", type=int, default=64)
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--other", type=Path, help="another checkout to compare with")
    args = parser.parse_args()
    roots = {"here": ROOT} | ({"other": args.other.resolve()} if args.other else {})
    with tempfile.TemporaryDirectory() as folder:
        model = (args.model or Path(folder) / "model").resolve()
        if not model.is_dir():
            train(ROOT, model, [
                f"--resolution={args.resolution}", f"--ae-dims={4 * args.dims}", "--archi=df-ud",
                f"--e-dims={args.dims}", f"--d-dims={args.dims}", f"--batch-size={args.batch}",
                "--target-iter=1",
            ], child=False)  # fmt: skip
        found: dict[str, list[dict[str, tuple[float, float]]]] = {name: [] for name in roots}
        for number in range(args.rounds):
            for name in sorted(roots, reverse=bool(number % 2)):
                copy = Path(folder) / "copy"
                shutil.rmtree(copy, ignore_errors=True)
                shutil.copytree(model, copy)
                found[name].append(train(roots[name], copy, ["--target-iter=2"], child=True))
    for name, rounds in found.items():
        print(f"{name}, medians of {args.rounds} starts: wall s, processor s")
        for part in (*PARTS, "whole"):
            taken = [each[part] for each in rounds if part in each]
            if taken:
                wall, processor = (statistics.median(column) for column in zip(*taken, strict=True))
                print(f"  {part:18} {wall:6.2f}  {processor:6.2f}")
    if args.other:
        for which, what in enumerate(("wall", "processor")):
            ratios = [
                other["whole"][which] / here["whole"][which]
                for here, other in zip(found["here"], found["other"], strict=True)
            ]
            print(f"whole, other / here, {what}: x{statistics.median(ratios):.2f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
