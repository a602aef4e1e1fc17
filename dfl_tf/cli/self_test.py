"""`dfl-tf doctor --self-test`: the fast operations against their plain NumPy twins."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Comparison:
    """Worst difference of a fast operation to its reference, and what is allowed."""

    name: str
    error: float
    tolerance: float

    @property
    def passed(self) -> bool:
        """Whether the error is a number within the tolerance."""
        return bool(self.error <= self.tolerance)


def comparisons() -> Iterator[Comparison]:
    """Run every comparison, one after the other; takes some seconds."""
    yield from _color_transfers()
    yield _warp()
    for optimizer in ("adabelief", "rmsprop"):
        for keep in (1.0, 0.3):
            yield _optimizer(optimizer, keep)
    yield _norm()
    yield from _convolutions()


def _worst(a: object, b: object) -> float:
    return float(np.max(np.abs(np.asarray(a, np.float64) - np.asarray(b, np.float64))))


def _color_transfers() -> Iterator[Comparison]:
    from dfl_tf_ops import color_transfer as fast
    from dfl_tf_ops.reference import color_transfer as plain

    rng = np.random.RandomState(1)
    source, target = (rng.random_sample((64, 64, 3)).astype(np.float32) for _ in range(2))
    directions = rng.normal(size=(10, 5, 3))
    rotations = fast.draw_rotations(rng, 20)
    pairs: dict[str, tuple[Callable[[], object], Callable[[], object], float]] = {
        "rct": (
            lambda: fast.color_transfer_rct(source, target),
            lambda: plain.rct(source, target),
            1e-5,
        ),
        "lct": (
            lambda: fast.color_transfer_lct(source, target),
            lambda: plain.lct(source, target),
            1e-5,
        ),
        "mkl": (
            lambda: fast.color_transfer_mkl(source, target),
            lambda: plain.mkl(source, target),
            1e-5,
        ),
        "idt": (
            lambda: fast.color_transfer_idt(source, target, rotations=rotations),
            lambda: plain.idt(source, target, rotations),
            5e-5,
        ),
        "sot": (
            lambda: fast.color_transfer_sot(source, target, directions=directions),
            lambda: plain.sot(source, target, directions),
            5e-5,
        ),
    }
    for mode, (quick, slow, tolerance) in pairs.items():
        yield Comparison(f"color transfer {mode}", _worst(quick(), slow()), tolerance)


def _warp() -> Comparison:
    from dfl_tf_ops import warp as fast
    from dfl_tf_ops.reference import warp as plain

    nodes = np.linspace(0, 128, 5)[None] + np.random.RandomState(2).normal(size=(5, 5))
    pairs = zip(fast.dense_grid(nodes, 128, 32), plain.dense_grid(nodes, 128, 32), strict=True)
    return Comparison("warp grid", max(_worst(a, b) for a, b in pairs), 1e-4)


def _optimizer(name: str, keep: float) -> Comparison:
    """Three steps of a fused update; the same mask must be drawn on both sides."""
    import tensorflow as tf
    from dfl_tf_ops import optimizer_step as fast
    from dfl_tf_ops.reference import optimizers as plain

    rng = np.random.RandomState(3)
    start = rng.normal(size=(50, 30)).astype(np.float32)
    slots = 2 if name == "adabelief" else 1
    values = [start, *(np.zeros_like(start) for _ in range(slots))]
    variables = [tf.Variable(value) for value in values]
    dropout = fast.Dropout(keep=keep, seed=7, indices=(0,))
    run: Callable[..., None] = getattr(fast, f"{name}_step")
    twin: Callable[..., Sequence[NDArray[np.float32]]] = getattr(plain, name)
    for step in (1, 2, 3):
        gradient = rng.normal(size=start.shape).astype(np.float32)
        run(
            *([variable] for variable in variables),
            [tf.constant(gradient)],
            learning_rate=1e-2,
            clip_scale=1.0,
            step=step,
            dropout=dropout,
        )
        mask = None
        if keep < 1:
            mask = plain.dropout_mask(start.shape, keep, seed=7, index=0, step=step)
        values = list(twin(*values, gradient, learning_rate=1e-2, mask=mask))
    worst = max(_worst(v.numpy(), value) for v, value in zip(variables, values, strict=True))
    return Comparison(f"{name}, keep {keep:g}", worst, 1e-5)


def _norm() -> Comparison:
    import tensorflow as tf
    from dfl_tf_ops import optimizer_step as fast
    from dfl_tf_ops.reference import optimizers as plain

    rng = np.random.RandomState(4)
    arrays = [rng.normal(size=shape).astype(np.float32) for shape in ((40, 50), (7,), (3, 3, 8))]
    norm = float(fast.global_norm([tf.constant(array) for array in arrays]))
    return Comparison("global norm", abs(norm - plain.global_norm(arrays)), 1e-3)


def _convolutions() -> Iterator[Comparison]:
    import tensorflow as tf
    from dfl_tf_ops import convolution as fast
    from dfl_tf_ops.reference import convolution as plain

    rng = np.random.RandomState(5)
    shapes = ((2, 9, 7, 48), (3, 3, 48, 40), (40,), (2, 9, 7, 40))
    x, kernel, bias, upstream = (rng.normal(size=shape) for shape in shapes)
    exact = (
        plain.convolve(x, kernel) + bias,
        *plain.convolve_gradients(x, kernel, upstream),
        upstream.sum(axis=(0, 1, 2)),
    )
    tensors = [tf.constant(array, tf.float32) for array in (x, kernel, bias)]
    with tf.GradientTape() as tape:
        tape.watch(tensors)
        y = fast.convolve_3x3(*tensors)
    found = (y, *tape.gradient(y, tensors, tf.constant(upstream, tf.float32)))
    names = ("", ", gradient of the input", ", gradient of the kernel", ", gradient of the bias")
    for name, a, b in zip(names, found, exact, strict=True):
        yield Comparison(f"convolution{name}", _worst(a, b) / float(np.abs(b).max()), 2e-6)
