#!/usr/bin/env python3
"""Speed of a training step in several variants that take turns in one process.

    python tools/bench_train.py [--archi df-ud,liae-ud] [--rounds 5] [--only plain] [--json FILE]
    python tools/bench_train.py --onednn        # TensorFlow with its oneDNN kernels and without
    python tools/bench_train.py --against TREE  # this checkout and another one, in turn

Variants: `same order` computes as the legacy program does (src and dst apart, four output
convolutions, slopes apart from their convolution, two-dimensional windows, an update out of
TensorFlow operations); `best` is what `dfl-tf train` does; `fallback` is best without the C++
update; `xla`; `bfloat16`. The first one exists in this tool only.

For each: median processor time and wall time of a step, the ratio of processor times to
`same order` and to `best` (above 1 = faster), the share of the peak of matrix products measured in
the same run (the best of several tries), once for each second of processor time and once for each
second of wall time with all threads, and parity: cosine and largest relative error of the first
moments after one step from equal weights, against `best`.

`--against` starts a process of `best` in each checkout, in float32 and in bfloat16; the two take
turns step by step, and the ratio is the median of the rounds (above 1 = this one is faster).

TensorFlow decides on its oneDNN kernels once a process: `--onednn` starts processes of `best` in
turn, with and without. dfl_tf switches them on (`TF_ENABLE_ONEDNN_OPTS`).
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest import mock

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "ops")]

import numpy as np  # noqa: E402

from dfl_tf.options import RunOptions, SAEHDOptions, default  # noqa: E402

_SIDE = 2048  # of the matrices whose product is the peak
VARIANTS = ("same order", "best", "fallback", "xla", "bfloat16")


@contextlib.contextmanager
def without_native() -> Iterator[None]:
    """Trace with TensorFlow's operations in place of the C++ ones."""
    from dfl_tf_ops import native

    with mock.patch.dict(os.environ, {"DFL_TF_NATIVE": "off"}):
        native.forget()
        yield
    native.forget()


@contextlib.contextmanager
def same_order() -> Iterator[None]:
    """Trace the step in the order of operations of the legacy program."""
    import tensorflow as tf

    from dfl_tf.models import assembly, df_liae, targets
    from dfl_tf.models.df_liae import Decoder
    from dfl_tf.models.generator import DecoderOutput, Generator
    from dfl_tf.nn import losses
    from dfl_tf.nn.tensors import depth_to_space

    def codes(self: Any, src: Any, dst: Any) -> Any:
        code_src, code_dst = (self.networks["encoder"](x) for x in (src, dst))
        if self.archi.flavor == "df":
            src_code, dst_code = (self.networks["inter"](x) for x in (code_src, code_dst))
            return src_code, dst_code, dst_code
        ab_src, ab_dst = (self.networks["inter_AB"](x) for x in (code_src, code_dst))
        b_dst = self.networks["inter_B"](code_dst)
        pairs = ((ab_src, ab_src), (b_dst, ab_dst), (ab_dst, ab_dst))
        return tuple(tf.concat(pair, axis=-1) for pair in pairs)

    def decode(self: Any, src: Any, dst: Any) -> Any:
        shared = self.archi.flavor == "liae"
        names = ("decoder", "decoder") if shared else ("decoder_src", "decoder_dst")
        sides = zip(names, (src, dst), strict=True)
        return [DecoderOutput(*self.networks[name](x)) for name, side in sides for x in side]

    def out_shuffled(self: Any, x: Any) -> Any:
        convs = (self.out_conv, self.out_conv1, self.out_conv2, self.out_conv3)
        return depth_to_space(tf.concat([conv(x) for conv in convs], axis=-1))

    def blur(x: Any, sigma: float) -> Any:
        return losses._depthwise(x, losses.blur_kernel(sigma), "SAME")

    def leaky_relu(x: Any, slope: float, *, shuffled: bool = False) -> Any:
        result = tf.nn.leaky_relu(x, slope)
        return depth_to_space(result) if shuffled else result

    with (
        mock.patch.object(df_liae, "leaky_relu", leaky_relu),
        mock.patch.object(Generator, "codes", codes),
        mock.patch.object(Generator, "decode", decode),
        mock.patch.object(Decoder, "_out_shuffled", out_shuffled),
        mock.patch.object(assembly, "slow_weight_gradients", return_value=False),
        mock.patch.object(losses, "_SEPARABLE_FROM", 10**9),
        mock.patch.object(losses, "gaussian_blur", blur),
        mock.patch.object(targets, "gaussian_blur", blur),
        without_native(),
    ):
        yield


CONTEXTS: dict[str, Callable[[], Any]] = {"same order": same_order, "fallback": without_native}
SETTINGS: dict[str, dict[str, Any]] = {
    "dropout+clip": {"lr_dropout": "y", "clipgrad": True},
    "plain": {},
}
RUNS = {"xla": {"xla": "on"}, "bfloat16": {"precision": "bfloat16"}}


@dataclass
class Row:
    """One variant's measurements."""

    variant: str
    cosine: float
    worst: float
    cpu: list[float] = field(default_factory=list)
    wall: list[float] = field(default_factory=list)


def first_moments(model: Any) -> list[np.ndarray]:
    optimizer = model.optimizers["src_dst_opt"]
    return [optimizer.slot("ms", v).numpy() for v in model.updates[0].variables]


def parity(moments: list[np.ndarray], reference: list[np.ndarray]) -> tuple[float, float]:
    """Cosine of all entries, and the largest error of a tensor relative to its maximum."""
    a, b = (np.concatenate([m.ravel() for m in some]) for some in (moments, reference))
    cosine = float(a @ b / (np.linalg.norm(a) * np.linalg.norm(b)))
    pairs = zip(moments, reference, strict=True)
    return cosine, max(float(np.abs(x - y).max() / max(np.abs(y).max(), 1e-30)) for x, y in pairs)


def batch(options: Any) -> tuple[Any, ...]:
    """Smooth images and masks of ones and zeros, the same for all variants."""
    import cv2

    from dfl_tf.data import Batch

    rng = np.random.default_rng(0)
    side = options.resolution

    def image() -> np.ndarray:
        coarse = [
            cv2.resize(rng.random((8, 8, 3)), (side, side)) for _ in range(options.batch_size)
        ]
        return np.clip(np.stack(coarse), 0, 1).astype(np.float32)

    def one() -> Any:
        mask = np.zeros((options.batch_size, side, side, 1), np.float32)
        mask[:, side // 8 : -side // 8, side // 6 : -side // 6] = 1
        arrays = {"image": image(), "target": image(), "mask": mask, "eyes_mouth": mask}
        return Batch(arrays)

    return one(), one()


def measure(archi: str, switches: dict[str, Any], args: argparse.Namespace) -> dict[str, Any]:
    """Build all variants, then let them take turns."""
    from dfl_tf import models
    from dfl_tf.bench.flops import step_flops
    from dfl_tf.bench.machine import gemm_peak

    dims = dict(zip(("ae_dims", "e_dims", "d_dims", "d_mask_dims"), args.dims, strict=True))
    values = {"resolution": args.resolution, "batch_size": args.batch_size, "archi": archi}
    options = default(SAEHDOptions, **values, **dims, **switches)
    batches = batch(options)
    built, rows, reference = {}, {}, None
    for name in sorted(args.variants, key=lambda name: name != "best"):
        model = models.create("SAEHD", options, RunOptions(seed=1, **RUNS.get(name, {})))
        model.step.say = print
        with CONTEXTS.get(name, contextlib.nullcontext)():
            model.train_step(*batches)
        moments = first_moments(model)
        reference = reference or moments
        rows[name] = Row(name, *parity(moments, reference))
        built[name] = model
        print(f"  {name}: traced, load {os.getloadavg()[0]:.1f}", file=sys.stderr, flush=True)
    flops = step_flops(built["best"])
    peaks = dict.fromkeys(("float32", "bfloat16"), 0.0)
    wall_peaks = dict(peaks)
    for number in range(args.rounds):
        for dtype in peaks:
            peaks[dtype] = max(peaks[dtype], cpu_peak(dtype))
            wall_peaks[dtype] = max(wall_peaks[dtype], gemm_peak(dtype, size=_SIDE, seconds=0.3))
        names = list(built)
        for name in names[number % len(names) :] + names[: number % len(names)]:
            wall, cpu = time.perf_counter(), time.process_time()
            for value in built[name].train_step(*batches).values():
                value.numpy()
            rows[name].cpu.append(time.process_time() - cpu)
            rows[name].wall.append(time.perf_counter() - wall)
    return {
        "archi": archi,
        "switches": switches,
        "gflop": flops / 1e9,
        "load": os.getloadavg()[0],
        "peak_gflop_per_cpu_second": peaks,
        "peak_gflop_per_wall_second": wall_peaks,
        "rows": [vars(row) for row in rows.values()],
    }


def cpu_peak(dtype: str, size: int = _SIDE) -> float:
    """GFLOP of a matrix product per second of processor time."""
    import tensorflow as tf

    factor = tf.cast(tf.random.stateless_uniform((size, size), (1, 2)), dtype)
    tf.matmul(factor, factor).numpy()
    best = float("inf")
    for _ in range(3):
        start = time.process_time()
        tf.matmul(factor, factor).numpy()
        best = min(best, time.process_time() - start)
    return 2 * size**3 / best / 1e9


def said(switches: dict[str, Any]) -> str:
    return ", ".join(f"{k}={v}" for k, v in switches.items()) or "plain"


def lines(result: dict[str, Any]) -> list[str]:
    peaks, wall_peaks = (result[f"peak_gflop_per_{kind}_second"] for kind in ("cpu", "wall"))
    switched = said(result["switches"])
    medians = {row["variant"]: statistics.median(row["cpu"]) for row in result["rows"]}
    text = [
        f"{result['archi']} ({switched}): {result['gflop']:.0f} GFLOP a step, load "
        f"{result['load']:.1f}; peak of matrix products, GFLOP for a second of processor / wall: "
        + ", ".join(f"{dtype} {peaks[dtype]:.0f} / {wall_peaks[dtype]:.0f}" for dtype in peaks),
        f"{'':12} {'CPU s':>8} {'wall s':>8} {'/ same':>7} {'/ best':>7} {'of peak':>14}   parity",
    ]
    for row in result["rows"]:
        name, spent = row["variant"], medians[row["variant"]]
        wall = statistics.median(row["wall"])
        dtype = "bfloat16" if name == "bfloat16" else "float32"
        share, wall_share = (
            100 * result["gflop"] / seconds / peak[dtype]
            for seconds, peak in ((spent, peaks), (wall, wall_peaks))
        )
        same = f"{medians['same order'] / spent:6.2f}x" if "same order" in medians else "      -"
        text.append(
            f"{name:12} {spent:8.3f} {wall:8.3f} {same} "
            f"{medians['best'] / spent:6.2f}x {share:5.0f} / {wall_share:3.0f} %   "
            f"cosine {row['cosine']:.6f}, worst {row['worst']:.1e}"
        )
    return text


def with_and_without_onednn(argv: list[str]) -> int:
    """Run this tool with variant `best` in processes that differ in oneDNN only, in turn."""
    import tempfile

    found: dict[str, dict[str, list[float]]] = {}
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.json"
        for setting in ("1", "0", "0", "1"):
            command = [sys.executable, __file__, *argv, "--variants", "best", "--json", str(report)]
            environment = {**os.environ, "TF_ENABLE_ONEDNN_OPTS": setting}
            subprocess.run(command, env=environment, stdout=subprocess.DEVNULL, check=True)
            for result in json.loads(report.read_text(encoding="utf-8")):
                title = f"{result['archi']} {result['switches'] or 'plain'}"
                times = found.setdefault(title, {"0": [], "1": []})
                times[setting] += result["rows"][0]["cpu"]
    for title, times in found.items():
        without, with_it = (statistics.median(times[setting]) for setting in ("0", "1"))
        print(
            f"{title}: {with_it:.3f} CPU s a step with oneDNN, {without:.3f} without: "
            f"{without / with_it:.2f}x"
        )
    return 0


CHILD = """
import json, sys, time
import numpy as np
tree = sys.argv[1]
sys.path.insert(0, tree + "/tools")
import bench_train
from dfl_tf import models
spec = json.loads(sys.stdin.readline())
options = bench_train.default(bench_train.SAEHDOptions, **spec["options"])
run = bench_train.RunOptions(seed=1, precision=spec["precision"])
model, batches = models.create("SAEHD", options, run), bench_train.batch(options)
for _ in sys.stdin:
    wall, cpu = time.perf_counter(), time.process_time()
    losses = [float(np.mean(value)) for value in model.train_step(*batches).values()]
    spent = [time.process_time() - cpu, time.perf_counter() - wall]
    print(json.dumps({"losses": losses, "spent": spent}), flush=True)
"""
"""Takes a step for each line of stdin, with the code of a checkout: each tree has its own."""


def against(tree: Path, args: argparse.Namespace) -> int:
    """Print the ratio of another checkout's step times to this one's; 1 if their losses differ."""
    dims = dict(zip(("ae_dims", "e_dims", "d_dims", "d_mask_dims"), args.dims, strict=True))
    equal = True
    wanted = [SETTINGS[name] for name in SETTINGS if args.only in (None, name)]
    for archi, switches, precision in itertools.product(
        args.archi.split(","), wanted, ("float32", "bfloat16")
    ):
        values = {"resolution": args.resolution, "batch_size": args.batch_size, "archi": archi}
        spec = {"options": {**values, **dims, **switches}, "precision": precision}
        children = [child_of(each, spec) for each in (ROOT, tree)]
        spent: list[list[list[float]]] = [[], []]
        losses: list[list[list[float]]] = [[], []]
        for number in range(args.rounds + 2):
            for index in (0, 1) if number % 2 else (1, 0):
                found = one_step(children[index])
                losses[index].append(found["losses"])
                if number > 1:  # the first ones trace and warm up
                    spent[index].append(found["spent"])
        for child in children:
            child.communicate()
        equal &= losses[0] == losses[1]
        ratios = [
            statistics.median(b[kind] / a[kind] for a, b in zip(*spent, strict=True))
            for kind in (0, 1)
        ]
        print(
            f"{archi} ({said(switches)}) {precision}: processor time {ratios[0]:.3f}x, wall time "
            f"{ratios[1]:.3f}x as fast as {tree.name} (medians of {args.rounds} rounds), "
            f"losses {'equal' if losses[0] == losses[1] else 'DIFFER'}",
            flush=True,
        )
    return 0 if equal else 1


def child_of(tree: Path, spec: dict[str, Any]) -> subprocess.Popen[str]:
    """A process that takes steps with the code of a checkout."""
    command = [sys.executable, "-c", CHILD, str(tree)]
    child = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=tree
    )
    assert child.stdin is not None
    child.stdin.write(json.dumps(spec) + "\n")
    return child


def one_step(child: subprocess.Popen[str]) -> dict[str, Any]:
    """Ask for a step; what the process says of it."""
    assert child.stdin is not None
    assert child.stdout is not None
    child.stdin.write("\n")
    child.stdin.flush()
    for line in child.stdout:
        if line.startswith('{"losses"'):
            found: dict[str, Any] = json.loads(line)
            return found
    raise RuntimeError("the process of a checkout has ended; see its messages above")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--archi", default="df-ud,liae-ud")
    parser.add_argument("--dims", default="256,64,64,22", help="ae, e, d and d_mask dims")
    parser.add_argument("--resolution", type=int, default=128)
    parser.add_argument("--batch-size", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--variants", default=",".join(VARIANTS))
    parser.add_argument("--only", choices=("plain", "dropout+clip"), help="one of the two settings")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--onednn", action="store_true", help="with and without oneDNN, in turn")
    parser.add_argument("--against", type=Path, metavar="TREE", help="another checkout")
    args = parser.parse_args()
    if args.onednn:
        return with_and_without_onednn([word for word in sys.argv[1:] if word != "--onednn"])
    args.dims = [int(n) for n in args.dims.split(",")]
    if args.against:
        return against(args.against.resolve(), args)
    args.variants = args.variants.split(",")
    if "best" not in args.variants:
        parser.error("best must be one of the variants")
    from dfl_tf.devices.configure import configure_devices

    configure_devices(RunOptions())
    results = []
    for archi in args.archi.split(","):
        for name, switches in SETTINGS.items():
            if args.only in (None, name):
                results.append(measure(archi, switches, args))
                print("\n".join(lines(results[-1])), flush=True)
    if args.json:
        args.json.write_text(json.dumps(results, indent=1), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
