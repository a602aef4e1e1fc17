#!/usr/bin/env python3
"""Time the compilation of the kernels that a training's samples need, in an empty cache folder.

    python tools/bench_compile.py [--modes none,rct] [--top N] [--tree CHECKOUT]

What a first start waits for, and every test run that begins with no kernels: processor time of
each kernel, with those that it calls and without them, and of all. A kernel that is listed twice
is compiled for two sets of types. `--tree` measures another checkout.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--modes", default="none,rct", help="color transfers, by commas")
    parser.add_argument("--top", type=int, default=20, help="kernels that are listed")
    parser.add_argument("--tree", type=Path, default=ROOT, help="the checkout to be measured")
    return parser.parse_args()


def main() -> None:
    options = parse()
    sys.path[:0] = [str(options.tree / part) for part in ("tools", "ops", ".")]
    with tempfile.TemporaryDirectory() as folder:
        os.environ["NUMBA_CACHE_DIR"] = folder
        begin = time.process_time()
        rows = compiled(options.modes.split(","))
        spent = time.process_time() - begin
    print(f"{'kernel':36} with callees   alone  (seconds)")
    for name, whole, alone in sorted(rows, key=lambda row: -row[2])[: options.top]:
        print(f"{name:36} {whole:12.2f} {alone:7.2f}")
    print(
        f"{len(rows)} compilations, {sum(row[2] for row in rows):.1f} s; "
        f"with imports and samples {spent:.1f} s"
    )


def compiled(modes: list[str]) -> list[tuple[str, float, float]]:
    """Make a sample at first sight and one of the cache in each mode; what that compiles.

    Returns
    -------
    list of (name, seconds, seconds without what it calls)
    """
    import bench_samples
    from numba.core import event

    open_now: list[list[float]] = []
    rows = []

    class Watch(event.Listener):
        def on_start(self, event: event.Event) -> None:
            open_now.append([time.thread_time(), 0.0])

        def on_end(self, event: event.Event) -> None:
            begin, inside = open_now.pop()
            whole = time.thread_time() - begin
            if open_now:
                open_now[-1][1] += whole
            kernel = event.data["dispatcher"].py_func
            name = f"{kernel.__module__.rpartition('.')[2]}.{kernel.__name__}"
            rows.append((name, whole, whole - inside))

    event.register("numba:compile", Watch())
    faces = list(bench_samples.Faceset.open(bench_samples.DEFAULT_FACES))[:2]
    for mode in modes:
        spec = bench_samples.saehd_spec(128, mode)
        cache = bench_samples.ArrayCache(2**26)
        for seed in range(2):
            bench_samples.make_sample(faces[0], spec, seed, color_source=faces[1], cache=cache)
    return rows


if __name__ == "__main__":
    main()
