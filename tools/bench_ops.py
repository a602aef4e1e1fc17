"""Speed of the accelerated operations against their straight forms, all in one run.

Optimizer steps and convolutions: wall time, and the ratio of CPU times of the process, which
matters less when the machine is busy; convolutions with the largest error of both forms. Color
transfer and sample warp: CPU time of one thread, OpenCV with one thread. The forms of a row take
turns; medians. Beside each ratio stands how far the results are apart.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from dfl_tf_ops import color_transfer as fast
from dfl_tf_ops.bilateral import bilateral_filter
from dfl_tf_ops.cubic_warp import warp
from dfl_tf_ops.reference import color_transfer as reference
from dfl_tf_ops.warp import dense_grid

PARAMETERS, TENSORS = 28_900_000, 33
CONVOLUTIONS = (
    (8, 4, 256, 1024), (4, 8, 256, 2048), (4, 16, 512, 512), (4, 32, 256, 512), (4, 64, 128, 128),
    (4, 64, 64, 64), (4, 64, 44, 44),
)  # fmt: skip
"""(images, side, channels in, channels out): of df-ud 128/256/64/64, then two narrow ones."""


@dataclass
class Row:
    name: str
    slow_ms: float
    fast_ms: float
    parity: str

    def __str__(self) -> str:
        ratio = self.slow_ms / self.fast_ms
        return (
            f"{self.name:44} {self.slow_ms:9.2f} {self.fast_ms:9.2f} {ratio:7.2f}x   {self.parity}"
        )


def medians(
    forms: list[Callable[[], object]], rounds: int, clock: Callable[[], float]
) -> list[float]:
    """Milliseconds of each form; they take turns after one call to warm up."""
    for form in forms:
        form()
    times: list[list[float]] = [[] for _ in forms]
    for _ in range(rounds):
        for form, spent in zip(forms, times, strict=True):
            start = clock()
            form()
            spent.append((clock() - start) * 1e3)
    return [statistics.median(spent) for spent in times]


def colored(seed: int, size: int) -> np.ndarray:
    """Smooth colors with fine noise: an image without equal values."""
    rng = np.random.RandomState(seed)
    coarse = cv2.resize(rng.rand(6, 6, 3), (size, size), interpolation=cv2.INTER_CUBIC)
    return np.clip(0.7 * coarse + 0.1 + 0.01 * rng.normal(size=coarse.shape), 0, 1).astype(
        np.float32
    )


def color_rows(size: int, rounds: int) -> Iterator[Row]:
    source, target = colored(1, size), colored(2, size)
    directions = np.random.RandomState(3).normal(size=(10, 5, 3))
    rotations = fast.draw_rotations(np.random.RandomState(4), 20)
    moved = fast.color_transfer_sot(source, target, directions=directions, sigma_space=0)
    change = moved - source
    planes = np.ascontiguousarray(change.transpose(2, 0, 1))
    pairs: dict[str, tuple[Callable[[], np.ndarray], Callable[[], np.ndarray]]] = {
        "idt": (
            lambda: reference.idt(source, target, rotations),
            lambda: fast.color_transfer_idt(source, target, rotations=rotations),
        ),
        "sot core": (
            lambda: reference.sot(source, target, directions, sigma_space=0),
            lambda: fast.color_transfer_sot(source, target, directions=directions, sigma_space=0),
        ),
        "sot whole": (
            lambda: reference.sot(source, target, directions),
            lambda: fast.color_transfer_sot(source, target, directions=directions),
        ),
        "bilateral": (
            lambda: cv2.bilateralFilter(change, 0, 5.0, 16.0),
            lambda: bilateral_filter(planes, 5.0, 16.0).transpose(1, 2, 0),
        ),
        "rct": (
            lambda: reference.rct(source, target),
            lambda: fast.color_transfer_rct(source, target),
        ),
        "lct": (
            lambda: reference.lct(source, target),
            lambda: fast.color_transfer_lct(source, target),
        ),
        "mkl": (
            lambda: reference.mkl(source, target),
            lambda: fast.color_transfer_mkl(source, target),
        ),
    }
    for name, (slow, quick) in pairs.items():
        error = np.abs(slow() - quick())
        times = medians([slow, quick], rounds, time.thread_time)
        yield Row(f"{name} {size}", *times, f"max {error.max():.1e} mean {error.mean():.1e}")


def warp_rows(size: int, rounds: int) -> Iterator[Row]:
    """The sample warp as the legacy program makes it, by OpenCV's passes, and by our kernels."""
    image, cell = colored(1, size), size // 4
    nodes = np.tile(np.linspace(0, size, 5), (5, 1))
    nodes[1:-1, 1:-1] += 0.24 * cell * np.random.RandomState(5).uniform(-1, 1, (3, 3))
    matrix = cv2.getRotationMatrix2D((size // 2, size // 2), 7.0, 1.03)
    inside = slice(cell // 2, cell // 2 + size)

    def legacy_maps() -> np.ndarray:
        shape = (size + cell, size + cell)
        dense = [cv2.resize(positions, shape) for positions in (nodes, nodes.T.copy())]
        return np.stack([d[inside, inside].astype(np.float32) for d in dense])

    def passes() -> np.ndarray:
        moved = cv2.remap(image, *maps, cv2.INTER_CUBIC)
        border = cv2.BORDER_REPLICATE
        moved = cv2.warpAffine(
            moved, matrix, (size, size), flags=cv2.INTER_CUBIC, borderMode=border
        )
        return np.ascontiguousarray(np.clip(moved, 0, 1)[:, ::-1])

    def one_call() -> np.ndarray:
        return warp(
            image, maps=maps, matrix=matrix, size=size, replicate=True, flip=True, clip=True
        )

    maps = dense_grid(nodes, size, cell)
    pairs: dict[str, tuple[Callable[[], np.ndarray], Callable[[], np.ndarray]]] = {
        "warp maps": (legacy_maps, lambda: np.stack(dense_grid(nodes, size, cell))),
        "warp": (passes, one_call),
    }
    for name, (slow, quick) in pairs.items():
        error = np.abs(slow() - quick())
        times = medians([slow, quick], rounds, time.thread_time)
        yield Row(f"{name} {size}", *times, f"max {error.max():.1e} mean {error.mean():.1e}")


class OptimizerCase:
    """AdaBelief over 33 tensors by one of three ways, each with a state of its own."""

    def __init__(self, way: str, keep: float, clip: float) -> None:
        import tensorflow as tf
        from dfl_tf_ops import native

        native.forget()
        os.environ["DFL_TF_NATIVE"] = "require" if way == "native" else "off"
        if way == "native":
            native.backend()
        rng = np.random.default_rng(0)
        sizes = [PARAMETERS // TENSORS + 17 * i for i in range(-TENSORS // 2, TENSORS // 2 + 1)]
        self.grads = [tf.constant(rng.standard_normal(n, np.float32)) for n in sizes[:TENSORS]]
        start = [0.01 * rng.standard_normal(n, np.float32) for n in sizes[:TENSORS]]
        self.var = [tf.Variable(value) for value in start]
        self.m = [tf.Variable(tf.zeros_like(value)) for value in start]
        self.v = [tf.Variable(tf.zeros_like(value)) for value in start]
        self.iters = tf.Variable(0, dtype=tf.int64)
        body = self.plain_ops if way == "plain" else self.face
        self.step = tf.function(lambda grads: body(grads, keep, clip), autograph=False)
        self.step(self.grads)
        native.forget()

    def face(self, grads: list, keep: float, clip: float) -> None:
        import tensorflow as tf
        from dfl_tf_ops import optimizer_step

        scale: object = 1.0
        if clip:
            norm = optimizer_step.global_norm(grads)
            scale = tf.where(norm >= clip, clip / norm, 1.0)
        optimizer_step.adabelief_step(
            self.var,
            self.m,
            self.v,
            grads,
            learning_rate=5e-5,
            clip_scale=scale,
            step=self.iters.assign_add(1),
            dropout=optimizer_step.Dropout(keep=keep, indices=tuple(range(TENSORS))),
        )

    def plain_ops(self, grads: list, keep: float, clip: float) -> None:
        """Update as one would write it with TensorFlow ops, the mask by the stateless generator."""
        import tensorflow as tf

        step = self.iters.assign_add(1)
        if clip:
            grads, _ = tf.clip_by_global_norm(grads, clip)
        for i, (var, m, v, g) in enumerate(zip(self.var, self.m, self.v, grads, strict=True)):
            m.assign(0.9 * m + 0.1 * g)
            v.assign(0.999 * v + 0.001 * tf.square(g - m))
            delta = -5e-5 * m / (tf.sqrt(v) + 1e-6)
            if keep < 1:
                seed = tf.stack([step, i])
                kept = tf.random.stateless_uniform(tf.shape(delta), seed, alg="philox") < keep
                delta *= tf.cast(kept, delta.dtype)
            var.assign_add(delta)

    def run(self) -> None:
        self.step(self.grads)
        self.iters.numpy()

    def apart(self, other: OptimizerCase) -> float:
        return max(
            float(np.abs(a.numpy() - b.numpy()).max())
            for mine, theirs in ((self.var, other.var), (self.m, other.m), (self.v, other.v))
            for a, b in zip(mine, theirs, strict=True)
        )


def wall_and_cpu(forms: list[Callable[[], object]], rounds: int) -> list[tuple[float, float]]:
    """Wall and CPU milliseconds of each form."""
    wall = medians(forms, rounds, time.perf_counter)
    return list(zip(wall, medians(forms, rounds, time.process_time), strict=True))


def optimizer_rows(rounds: int) -> Iterator[Row]:
    for name, keep, clip in (("plain", 1.0, 0.0), ("dropout 0.3 + clip", 0.3, 1.0)):
        plain, fallback, fused = (
            OptimizerCase(way, keep, clip) for way in ("plain", "fallback", "native")
        )
        times = wall_and_cpu([plain.run, fallback.run, fused.run], rounds)
        for way, case, (wall, cpu) in zip(
            ("TF ops", "fallback"), (plain, fallback), times, strict=False
        ):
            apart = "other masks" if keep < 1 and case is plain else f"max {case.apart(fused):.1e}"
            parity = f"{apart}; CPU time {cpu / times[2][1]:.2f}x"
            yield Row(f"AdaBelief, {name}: {way} / fused", wall, times[2][0], parity)


def norm_row(rounds: int) -> Row:
    import tensorflow as tf
    from dfl_tf_ops import native

    os.environ["DFL_TF_NATIVE"] = "require"
    native.forget()
    library = native.library()
    rng = np.random.default_rng(0)
    tensors = [
        tf.constant(rng.standard_normal(PARAMETERS // TENSORS, np.float32)) for _ in range(TENSORS)
    ]
    plain = tf.function(lambda: tf.linalg.global_norm(tensors), autograph=False)
    fused = tf.function(lambda: library.dfl_tf_global_norm(tensors), autograph=False)
    times = wall_and_cpu([lambda: plain().numpy(), lambda: fused().numpy()], rounds)
    exact = reference_norm(tensors)
    errors = [abs(float(f()) / exact - 1) for f in (plain, fused)]
    parity = f"off by {errors[0]:.0e}, {errors[1]:.0e}; CPU time {times[0][1] / times[1][1]:.2f}x"
    return Row("global norm: TF ops / fused", times[0][0], times[1][0], parity)


def plain_convolution(x: Any, kernel: Any, upstream: Any) -> list[Callable[[], Any]]:
    """Result and both gradients by TensorFlow's operations."""
    import tensorflow as tf

    same = {"strides": (1, 1, 1, 1), "padding": "SAME"}
    sizes = (tf.shape(x), tf.shape(kernel))
    return [
        lambda: tf.raw_ops.Conv2D(input=x, filter=kernel, **same),
        lambda: tf.raw_ops.Conv2DBackpropInput(
            input_sizes=sizes[0], filter=kernel, out_backprop=upstream, **same
        ),
        lambda: tf.raw_ops.Conv2DBackpropFilter(
            input=x, filter_sizes=sizes[1], out_backprop=upstream, **same
        ),
    ]


def winograd_convolution(x: Any, kernel: Any, upstream: Any) -> list[Callable[[], Any]]:
    """The same by the C++ operations."""
    import tensorflow as tf
    from dfl_tf_ops import native

    ops, no_bias = native.library(), tf.zeros(0)
    kernel = tf.cast(kernel, tf.float32)
    return [
        lambda: ops.dfl_tf_winograd_conv2d(x=x, kernel=kernel, bias=no_bias),
        lambda: ops.dfl_tf_winograd_conv2d(
            x=upstream, kernel=kernel, bias=no_bias, towards_input=True
        ),
        lambda: ops.dfl_tf_winograd_filter_gradient(x=x, upstream=upstream).gradient,
    ]


def convolution_rows(rounds: int) -> Iterator[Row]:
    """3x3 convolutions of decoders: TensorFlow's, and ours by Winograd."""
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")  # as dfl_tf does
    os.environ["DFL_TF_NATIVE"] = "require"
    import tensorflow as tf
    from dfl_tf_ops import native

    native.forget()
    for dtype in filter(native.has_winograd, ("float32", "bfloat16")):
        for n, side, inputs, outputs in CONVOLUTIONS:
            rng = np.random.default_rng(0)
            shapes = ((n, side, side, inputs), (3, 3, inputs, outputs), (n, side, side, outputs))
            factors = [tf.cast(rng.standard_normal(s, np.float32), dtype) for s in shapes]
            exact = [
                f().numpy() for f in plain_convolution(*(tf.cast(t, "float64") for t in factors))
            ]
            names = ("result", "towards input", "towards kernel")
            pairs = zip(plain_convolution(*factors), winograd_convolution(*factors), strict=True)
            for name, pair, truth in zip(names, pairs, exact, strict=True):
                (slow, slow_cpu), (quick, quick_cpu) = wall_and_cpu(list(pair), rounds)
                errors = [
                    np.abs(tf.cast(f(), "float64").numpy() - truth).max() / np.abs(truth).max()
                    for f in pair
                ]
                parity = f"off by {errors[0]:.0e}, {errors[1]:.0e}"
                title = f"{dtype} {n}x{side}x{side} {inputs}-{outputs} {name}"
                yield Row(title, slow, quick, f"{parity}; CPU time {slow_cpu / quick_cpu:.2f}x")


def reference_norm(tensors: list) -> float:
    from dfl_tf_ops.reference import optimizers

    return optimizers.global_norm([t.numpy() for t in tensors])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=12)
    parser.add_argument("--only", choices=["optimizer", "norm", "convolution", "color", "warp"])
    arguments = parser.parse_args()
    cv2.setNumThreads(1)
    print(f"load {os.getloadavg()[0]:.2f} on {os.cpu_count()} cores, medians of {arguments.rounds}")
    print(f"{'':44} {'slow ms':>9} {'fast ms':>9} {'ratio':>8}   parity")
    if arguments.only in (None, "optimizer"):
        for row in optimizer_rows(arguments.rounds):
            print(row, flush=True)
    if arguments.only in (None, "norm"):
        print(norm_row(arguments.rounds), flush=True)
    for row in (
        convolution_rows(arguments.rounds) if arguments.only in (None, "convolution") else ()
    ):
        print(row, flush=True)
    for kind, rows in (("color", color_rows), ("warp", warp_rows)):
        for size in (128, 256):
            for row in rows(size, arguments.rounds) if arguments.only in (None, kind) else ():
                print(row, flush=True)
    print(f"load {os.getloadavg()[0]:.2f} at the end")


if __name__ == "__main__":
    main()
