"""The parts of a training on their own: samples, fused operations, disk."""

from __future__ import annotations

import contextlib
import os
import statistics
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from dfl_tf_ops.process import cores

from dfl_tf.bench import machine
from dfl_tf.bench.machine import Report
from dfl_tf.formats import ModelState, read_model, write_model
from dfl_tf.options import DEFAULT_MODEL
from dfl_tf.train.host_copies import HostCopies

if TYPE_CHECKING:
    import tensorflow as tf

    from dfl_tf.formats.models.tensor import Tensor
    from dfl_tf.models.base import FaceModel
    from dfl_tf.train.batch_source import Facesets

_COLOR_MODES = ("rct", "lct", "mkl", "idt", "sot")


def bench_samples(model: FaceModel, facesets: Facesets, *, seconds: float) -> Report:
    """Draw batches as fast as they come, with one worker and with more.

    Parameters
    ----------
    model : FaceModel
        Says which samples it wants.
    facesets : Facesets
    seconds : float
        For each number of workers.
    """
    from dfl_tf.train.batch_source import open_batch_source

    available = cores()
    rows = []
    for workers in sorted({1, 2, max(1, available // 2), min(8, available)}):
        batch_source = open_batch_source(
            model, facesets, replace(model.run, workers=workers, prefetch=2), {}
        )
        try:
            start, images = time.perf_counter(), 0
            for _ in range(4):  # the queue, and faces seen for the first time
                images += sum(batch.size for batch in next(batch_source))
            first = (time.perf_counter() - start) / images
            images, spent, begin = 0, time.process_time(), time.perf_counter()
            while time.perf_counter() - begin < seconds:
                images += sum(batch.size for batch in next(batch_source))
            wall = time.perf_counter() - begin
            spent = time.process_time() - spent
        finally:
            batch_source.close()
        rows.append(
            {
                "workers": workers,
                "images_per_second": round(images / wall, 1),
                "cpu_ms_per_image": round(spent / images * 1e3, 2),
                "first_ms_per_image": round(first * 1e3, 2),
            }
        )
    return {
        "kind": "samples",
        "machine": machine.facts(),
        "resolution": next(iter(model.sample_specs().values())).resolution,
        "ct_mode": getattr(model.effective, "ct_mode", "none"),
        "faces": [len(facesets.src), len(facesets.dst)],
        "workers": rows,
    }


def samples_lines(report: Report) -> list[str]:
    """The report for people."""
    return [
        f"samples at {report['resolution']}, color transfer {report['ct_mode']}, "
        f"{' and '.join(map(str, report['faces']))} faces, load {report['machine']['load']:.1f}",
        *(
            f"{row['workers']:>3} workers {row['images_per_second']:9.1f} images/s, "
            f"{row['cpu_ms_per_image']:.2f} ms of processor time each "
            f"(the first ones {row['first_ms_per_image']:.1f} ms)"
            for row in report["workers"]
        ),
    ]


def bench_ops(*, parameters: int = 4_000_000, rounds: int = 7) -> Report:
    """Time the fused update against TensorFlow's operations, color transfer, and products."""
    rows = [_update(parameters, rounds, keep) for keep in (1.0, 0.3)]
    return {
        "kind": "ops",
        "machine": machine.facts(),
        "gemm_gflops": {
            dtype: round(machine.gemm_peak(dtype), 1) for dtype in ("float32", "bfloat16")
        },
        "updates": rows,
        "color_transfer_ms": _color_transfers(rounds),
    }


def _update(parameters: int, rounds: int, keep: float) -> Report:
    """One AdaBelief step, fused and as TensorFlow operations, and how far they are apart."""
    import tensorflow as tf
    from dfl_tf_ops import optimizer_step

    side = int((parameters / 8) ** 0.5)
    rng = np.random.default_rng(0)
    gradients = [tf.constant(rng.standard_normal((side, side), np.float32)) for _ in range(8)]
    forms: Report = {}
    values = {}
    for name in ("fused", "TensorFlow"):
        sets = [[tf.Variable(tf.zeros((side, side))) for _ in range(8)] for _ in range(3)]

        def step(sets: list[list[tf.Variable]] = sets) -> None:
            variables, ms, vs = sets
            optimizer_step.adabelief_step(
                variables,
                ms,
                vs,
                gradients,
                learning_rate=5e-5,
                clip_scale=1.0,
                step=1,
                dropout=optimizer_step.Dropout(keep=keep, indices=tuple(range(8))),
            )

        forms[name] = tf.function(step, autograph=False)
        with _native("auto" if name == "fused" else "off"):
            forms[name]()
        values[name] = [v.numpy() for v in sets[0]]
    times: dict[str, list[float]] = {name: [] for name in forms}
    for _ in range(rounds):
        for name, form in forms.items():
            times[name] += machine.milliseconds(form, 1, warm_up=0)
    medians = {name: statistics.median(spent) for name, spent in times.items()}
    error = max(
        float(np.max(np.abs(a - b)))
        for a, b in zip(values["fused"], values["TensorFlow"], strict=True)
    )
    return {
        "parameters": 8 * side * side,
        "keep": keep,
        "fused_ms": round(medians["fused"], 2),
        "tensorflow_ms": round(medians["TensorFlow"], 2),
        "difference": error,
    }


@contextlib.contextmanager
def _native(mode: str) -> Iterator[None]:
    """Trace with or without the fused operations."""
    from dfl_tf_ops import native

    before = os.environ.get("DFL_TF_NATIVE")
    try:
        os.environ["DFL_TF_NATIVE"] = mode
        native.forget()
        yield
    finally:
        os.environ.pop("DFL_TF_NATIVE")
        if before is not None:
            os.environ["DFL_TF_NATIVE"] = before
        native.forget()


def _color_transfers(rounds: int) -> dict[str, float]:
    from dfl_tf_ops.color_transfer import color_transfer

    rng = np.random.default_rng(0)
    faces = rng.random((2, 128, 128, 3), dtype=np.float32)
    found = {}
    for mode in _COLOR_MODES:

        def transfer(mode: str = mode) -> None:
            color_transfer(mode, faces[0], faces[1], rng=np.random.RandomState(1))

        spent = machine.milliseconds(transfer, rounds, clock=time.thread_time)
        found[mode] = round(statistics.median(spent), 2)
    return found


def ops_lines(report: Report) -> list[str]:
    """The report for people."""
    found = report["machine"]
    peaks = ", ".join(f"{dtype} {rate:.0f}" for dtype, rate in report["gemm_gflops"].items())
    lines = [
        f"load {found['load']:.1f}, native operations {found['native_ops']}",
        f"matrix products (GFLOP/s): {peaks}",
    ]
    lines += [
        f"AdaBelief, {row['parameters'] / 1e6:.0f} M parameters, keep {row['keep']:g}: fused "
        f"{row['fused_ms']:.1f} ms, TensorFlow {row['tensorflow_ms']:.1f} ms "
        f"({row['tensorflow_ms'] / row['fused_ms']:.1f}x), difference {row['difference']:.1g}"
        for row in report["updates"]
    ]
    modes = ", ".join(f"{mode} {spent:.1f}" for mode, spent in report["color_transfer_ms"].items())
    return [*lines, f"color transfer at 128 (ms of one thread): {modes}"]


def synthetic_state(parameters: int) -> ModelState:
    """A state of about `parameters` weights and twice as many slots, as AdaBelief has them."""
    tensor = 4_194_304
    count = max(1, round(parameters / tensor))
    shape = (1024, max(1, parameters // count // 1024))
    rng = np.random.default_rng(0)
    names = [f"dense{i}/weight:0" for i in range(count)]
    value = rng.standard_normal(shape, np.float32)
    network: dict[str, Tensor] = {name: value + np.float32(i) for i, name in enumerate(names)}
    slots: dict[str, Tensor] = {"iters:0": np.int64(1)}
    for slot in ("ms", "vs"):
        for i, name in enumerate(names):
            slots[f"{slot}_encoder/{name.replace(':', '_')}:0"] = value * np.float32(i + 1)
    return ModelState(
        model_class=DEFAULT_MODEL,
        iteration=1,
        options={"resolution": 128},
        loss_history=[[1.0, 1.0]],
        tensors={"encoder": network, "src_dst_opt": slots},
    )


def bench_io(state: ModelState, folder: Path) -> Report:
    """Save and load a state in both formats in a temporary folder inside `folder`.

    Parameters
    ----------
    state : ModelState
    folder : Path
        On the disk to measure. Nothing is left in it.
    """
    before = machine.resident_mib() or 0.0
    copies = HostCopies()
    pause = machine.milliseconds(lambda: copies.take(_views(state)), 1, warm_up=1)[0]
    rows = {}
    for kind in ("legacy", "native"):
        with tempfile.TemporaryDirectory(dir=folder, prefix="dfl-tf-bench-") as place:
            target = Path(place)
            start = time.perf_counter()
            write_model(target, "bench", state, format=kind)
            written = time.perf_counter() - start
            size = sum(file.stat().st_size for file in target.rglob("*") if file.is_file())
            start = time.perf_counter()
            read_model(target, "bench", state.model_class)
            rows[kind] = {
                "write_s": round(written, 3),
                "read_s": round(time.perf_counter() - start, 3),
                "mib": round(size / 2**20, 1),
            }
    held = sum(np.asarray(x).nbytes for part in state.tensors.values() for x in part.values())
    return {
        "kind": "io",
        "machine": machine.facts(),
        "folder": str(folder),
        "numbers": held // 4,
        "copy_ms": round(pause, 1),
        "resident_before_mib": round(before, 1),
        "peak_memory_mib": round(machine.peak_memory_mib(), 1),
        "formats": rows,
    }


def _views(state: ModelState) -> ModelState:
    """The state as views, which a save must copy as it copies live variables."""
    tensors = {
        part: {name: np.asarray(x)[...] if np.ndim(x) else x for name, x in arrays.items()}
        for part, arrays in state.tensors.items()
    }
    return replace(state, tensors=tensors)


def io_lines(report: Report) -> list[str]:
    """The report for people."""
    return [
        f"{report['numbers'] / 1e6:.0f} M numbers (weights and slots) in {report['folder']}, load "
        f"{report['machine']['load']:.1f}",
        f"the copy that a training waits for at a save: {report['copy_ms']:.0f} ms",
        *(
            f"{kind:<7} {row['mib']:8.0f} MiB: write {row['write_s']:.2f} s "
            f"({row['mib'] / row['write_s']:.0f} MiB/s), read {row['read_s']:.2f} s"
            for kind, row in report["formats"].items()
        ),
        f"memory at most {report['peak_memory_mib']:.0f} MiB "
        f"({report['resident_before_mib']:.0f} MiB before)",
    ]
