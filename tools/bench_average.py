#!/usr/bin/env python3
"""What averaged weights (ema) cost: steps with and without, in turn, in one process.

    python tools/bench_average.py [--archi df-ud,liae-ud] [--precisions float32,bfloat16]
        [--resolution 128] [--dims 256,64,64,22] [--batch-size 4] [--rounds 3]

One model takes ten steps with the average, then ten without it, and so on: each ten hold one update
of the average, and all else is the same graphs. For each architecture and precision: the median
processor and wall time of a step without, the ratio of the two (medians of the rounds; 1.01 = 1 %
more), and the time of one update alone, by itself and as a share of ten steps. The exit code is 1
if that share is 3 % or more.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "ops"), str(ROOT / "tools")]

from bench_train import batch  # noqa: E402

from dfl_tf.options import RunOptions, SAEHDOptions, default  # noqa: E402

LIMIT = 0.03
"""Share of a step that an average may cost."""


def spent(function: Any, count: int) -> tuple[float, float]:
    """Processor and wall seconds of a call, the mean of `count`."""
    cpu, wall = time.process_time(), time.perf_counter()
    for _ in range(count):
        function()
    return (time.process_time() - cpu) / count, (time.perf_counter() - wall) / count


def measure(archi: str, precision: str, args: argparse.Namespace) -> tuple[str, float]:
    """A line for people, and the share of a step that the average costs."""
    from dfl_tf import models
    from dfl_tf.models.average import EVERY

    dims = dict(zip(("ae_dims", "e_dims", "d_dims", "d_mask_dims"), args.dims, strict=True))
    values = {"resolution": args.resolution, "batch_size": args.batch_size, "archi": archi}
    options = default(SAEHDOptions, **values, **dims, ema=0.999)
    model = models.create("SAEHD", options, RunOptions(seed=1, precision=precision))
    batches, average = batch(options), model.average

    def step() -> None:
        for value in model.train_step(*batches).values():
            value.numpy()
        model.iteration += 1

    def update() -> None:
        for _ in range(EVERY):
            average.step()
        average.wait()

    spent(step, EVERY)  # traces everything, the update included
    with_it: list[tuple[float, float]] = []
    without: list[tuple[float, float]] = []
    for _ in range(args.rounds):
        model.average = None
        without.append(spent(step, EVERY))
        model.average = average
        with_it.append(spent(step, EVERY))
    alone = spent(update, 5)
    plain = [statistics.median(each[kind] for each in without) for kind in (0, 1)]
    ratios = [
        statistics.median(a[kind] / b[kind] for a, b in zip(with_it, without, strict=True))
        for kind in (0, 1)
    ]
    shares = [alone[kind] / EVERY / plain[kind] for kind in (0, 1)]
    text = (
        f"{archi} {precision}: a step {plain[0]:.3f} s of processor, {plain[1]:.3f} s wall; with "
        f"ema {ratios[0]:.3f}x and {ratios[1]:.3f}x; an update alone {1000 * alone[0]:.1f} ms and "
        f"{1000 * alone[1]:.1f} ms, {100 * shares[0]:.2f} % and {100 * shares[1]:.2f} % of ten "
        f"steps ({len(average.weights)} tensors)"
    )
    return text, max(shares)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--archi", default="df-ud,liae-ud")
    parser.add_argument("--precisions", default="float32,bfloat16")
    parser.add_argument("--dims", default="256,64,64,22", help="ae, e, d and d_mask dims")
    parser.add_argument("--resolution", type=int, default=128)
    parser.add_argument("--batch-size", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    args.dims = [int(n) for n in args.dims.split(",")]
    from dfl_tf.devices.configure import configure_devices

    configure_devices(RunOptions())
    worst = 0.0
    for archi in args.archi.split(","):
        for precision in args.precisions.split(","):
            text, share = measure(archi, precision, args)
            worst = max(worst, share)
            print(text, flush=True)
    return 1 if worst >= LIMIT else 0


if __name__ == "__main__":
    sys.exit(main())
