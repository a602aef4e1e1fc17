#!/usr/bin/env python3
"""Speed of a training step of XSeg: as it is, and by separate operations, in one process.

    python tools/bench_xseg.py [--precisions float32,bfloat16] [--rounds 5] [--json]

`apart` normalizes, thresholds and blurs by TensorFlow operations, and its convolutions take the
forms of the rule (`dfl_tf.nn.convolution`), as dfl_tf did before; `fused` is what
`dfl-tf xseg train` does. The two take turns step by step. Printed are medians of processor and
wall time, the medians of the ratios (above 1 = fused is faster) and how far the losses of
the first steps from equal weights are apart.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "ops")]

import numpy as np  # noqa: E402

from dfl_tf.options import RunOptions, XSegOptions, default  # noqa: E402


def model_of(precision: str, batch_size: int, *, apart: bool) -> Any:
    """Make an XSeg from the same seed, with one of the two ways of tracing."""
    from dfl_tf import models

    options = default(XSegOptions, batch_size=batch_size)
    model = models.create("XSeg", options, RunOptions(seed=1, precision=precision))
    if apart:
        model.tracing = model.step.tracing = replace(model.tracing, fused=False, forms=None)
    return model


def batch(size: int) -> Any:
    """Return noise as images, and masks with a straight edge."""
    from dfl_tf.data import Batch

    image = np.random.default_rng(0).random((size, 256, 256, 3), np.float32)
    target = np.zeros((size, 256, 256, 1), np.float32)
    target[:, 64:192, 48:208] = 1
    return Batch({"image": image, "target": target})


def measure(precision: str, batch_size: int, rounds: int) -> dict[str, Any]:
    """Let both take turns."""
    faces = batch(batch_size)
    built = {name: model_of(precision, batch_size, apart=name == "apart") for name in WAYS}
    spent: dict[str, list[tuple[float, float]]] = {name: [] for name in WAYS}
    losses: dict[str, list[float]] = {name: [] for name in WAYS}
    for number in range(rounds + 2):
        for name in WAYS if number % 2 else WAYS[::-1]:
            wall, cpu = time.perf_counter(), time.process_time()
            found = built[name].train_step(faces)
            losses[name].append(float(np.mean(found["loss"])))
            if number > 1:  # the first ones trace and warm up
                spent[name].append((time.process_time() - cpu, time.perf_counter() - wall))
    result: dict[str, Any] = {"precision": precision, "batch_size": batch_size, "rounds": rounds}
    for index, kind in enumerate(("processor", "wall")):
        pairs = [(a[index], b[index]) for a, b in zip(*spent.values(), strict=True)]
        apart, fused = (statistics.median(times) for times in zip(*pairs, strict=True))
        ratio = statistics.median(a / b for a, b in pairs)
        result[kind] = {"apart": apart, "fused": fused, "ratio": ratio}
    result["loss_difference"] = max(abs(a - b) for a, b in zip(*losses.values(), strict=True))
    return result


WAYS = ("apart", "fused")


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--precisions", default="float32,bfloat16")
    parser.add_argument("--batch-size", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", action="store_true", help="one line of JSON a precision")
    args = parser.parse_args(arguments)
    from dfl_tf.devices.configure import configure_devices

    configure_devices(RunOptions())
    for precision in args.precisions.split(","):
        result = measure(precision, args.batch_size, args.rounds)
        if args.json:
            print(json.dumps(result), flush=True)
            continue
        times = ", ".join(
            f"{kind} time {found['apart']:.2f} -> {found['fused']:.2f} s ({found['ratio']:.2f}x)"
            for kind, found in ((kind, result[kind]) for kind in ("processor", "wall"))
        )
        print(
            f"XSeg {precision}, batch {args.batch_size}: {times}; losses differ by at most "
            f"{result['loss_difference']:.1e} (medians of {args.rounds} rounds)",
            flush=True,
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
