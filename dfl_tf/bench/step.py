"""Where the time of a training goes: ``dfl-tf bench train``. Nothing of it is saved."""

from __future__ import annotations

import functools
import statistics
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from dfl_tf.bench import machine, profile
from dfl_tf.bench.flops import step_flops
from dfl_tf.bench.machine import Report
from dfl_tf.bench.profile import Half
from dfl_tf.devices.configure import configure_devices
from dfl_tf.formats import write_model
from dfl_tf.train.batch_source import Facesets
from dfl_tf.train.host_copies import HostCopies
from dfl_tf.train.start import Prepared, builder

if TYPE_CHECKING:
    import tensorflow as tf

    from dfl_tf.data import Batch
    from dfl_tf.models.base import FaceModel, Update
    from dfl_tf.train.batch_source import BatchSource


def bench_train(
    prepared: Prepared,
    *,
    iterations: int,
    loaded_after: float | None = None,
    profiled: bool = False,
) -> Report:
    """Train for some iterations without saving and say where the time went.

    Parameters
    ----------
    prepared : Prepared
        The model, its options, its folders. The folders are only read.
    iterations : int
        Timed ones, after two that trace the graphs.
    loaded_after : float, optional
        Seconds between the start of the program and this call, for the list of what happens
        before the first iteration.
    profiled : bool
        Whether to profile the step as well (`dfl_tf.bench.profile`); all of the report is then
        that of operations which run one at a time.

    Returns
    -------
    dict
        JSON-able; `train_lines` makes a text of it. All parts of an iteration are medians in
        milliseconds. The halves of a step are timed on their own, so they need not add up to it
        exactly.
    """
    start: dict[str, float] = {}
    if loaded_after is not None:
        start["program"] = loaded_after
    with timed(start, "faces"):
        facesets = Facesets.open(prepared.workspace, pretrain=prepared.pretrain)
    with timed(start, "model"):
        configure_devices(prepared.run)
        if profiled:
            profile.one_at_a_time()
        make = builder(prepared)
        model = make.create(prepared.settings, prepared.state)
        batch_source, *_ = make.open_and_fill(model, prepared.settings, prepared.state, facesets)
    try:
        with timed(start, "first batch"):
            batches = next(batch_source)
        with timed(start, "first step"):
            _finish(model.train_step(*batches))
        model.iteration += 1
        peaks = [machine.gemm_peak(model.run.precision)]
        rows = _iterations(model, batch_source, iterations)
        peaks.append(machine.gemm_peak(model.run.precision))
        halves = _halves(model, batches, max(3, iterations // 4))
    finally:
        batch_source.close()
    report = _report(prepared, model, rows, halves, start, max(peaks))
    if profiled:
        report["profile"] = profile.profile(
            model, halves_of(model, batches, named=True), peak=max(peaks)
        )
    return report


class timed:
    """Context that adds the seconds it took to a table."""

    def __init__(self, table: dict[str, float], name: str) -> None:
        self._table, self._name = table, name

    def __enter__(self) -> None:
        self._start = time.perf_counter()

    def __exit__(self, *_: object) -> None:
        self._table[self._name] = time.perf_counter() - self._start


def _finish(losses: Mapping[str, tf.Tensor]) -> None:
    """Wait until the device has done a step."""
    for value in losses.values():
        value.numpy()


def _iterations(
    model: FaceModel, batch_source: BatchSource, count: int
) -> list[tuple[float, float, int]]:
    """For each iteration its milliseconds, those of waiting, and its images."""
    rows = []
    for number in range(count + 1):
        waited, start = batch_source.wait_seconds, time.perf_counter()
        batches = next(batch_source)
        _finish(model.train_step(*batches))
        model.iteration += 1
        spent = (time.perf_counter() - start) * 1e3
        if number:  # the first one fills the queue
            wait = min(spent, (batch_source.wait_seconds - waited) * 1e3)
            rows.append((spent, wait, sum(batch.size for batch in batches)))
    return rows


def halves_of(
    model: FaceModel, batches: Sequence[Batch], *, named: bool = False
) -> Iterator[tuple[Half, Half]]:
    """Trace gradients (of one piece of a batch) and update of each update of a step, and do them.

    Parameters
    ----------
    model : FaceModel
    batches : sequence of Batch
    named : bool
        See `Tracing`.

    Yields
    ------
    (Half, Half)
    """
    import tensorflow as tf

    from dfl_tf.models.compiling import gradient_graph

    inputs = model.inputs(*batches)
    for update in model.updates:
        given = [*inputs, *model.draws(update, inputs[0].shape[0])]
        given = [x[: x.shape[0] // model.run.accumulate] for x in given]
        gradients = gradient_graph(
            model.step,
            update,
            compiled=model.step.xla.get(update.optimizer, False),
            named=named,
        )
        apply = tf.function(functools.partial(model.step.apply_gradients, update), autograph=False)
        losses, grads = gradients(given)

        def forward_backward(
            gradients: tf.types.experimental.PolymorphicFunction = gradients,
            given: list[tf.Tensor] = given,
        ) -> None:
            _finish(gradients(given)[0])

        def move(
            apply: tf.types.experimental.PolymorphicFunction = apply,
            grads: list[tf.Tensor] = grads,
            update: Update = update,
        ) -> None:
            apply(grads)
            update.variables[0].numpy()

        _finish(losses)
        move()
        yield (
            Half(forward_backward, gradients.get_concrete_function(given).graph),
            Half(move, apply.get_concrete_function(grads).graph),
        )


def _halves(model: FaceModel, batches: Sequence[Batch], rounds: int) -> tuple[float, float]:
    """Milliseconds of forward and backward passes, and of updates, of all of a step."""
    both = [0.0, 0.0]
    for pair in halves_of(model, batches):
        for number, (half, times) in enumerate(zip(pair, (model.run.accumulate, 1), strict=True)):
            both[number] += times * statistics.median(machine.milliseconds(half.run, rounds))
    return both[0], both[1]


def _saving(prepared: Prepared, model: FaceModel) -> dict[str, float]:
    """Seconds that a save stops the training, and that writing the files takes beside it."""
    spent: dict[str, float] = {}
    copies = HostCopies()
    copies.prepare(model.state(views=True))  # as at the start of a training
    copies.wait()
    with timed(spent, "copy_s"):
        state = copies.take(model.state(views=True)).state
    state = replace(state, options=prepared.settings.legacy())
    kind: Literal["native", "legacy"] = "native" if prepared.place.format == "native" else "legacy"
    with tempfile.TemporaryDirectory() as folder, timed(spent, "write_s"):
        write_model(Path(folder), prepared.place.name, state, format=kind)
    return {name: round(seconds, 3) for name, seconds in spent.items()}


def _report(
    prepared: Prepared,
    model: FaceModel,
    rows: list[tuple[float, float, int]],
    halves: tuple[float, float],
    start: dict[str, float],
    peak: float,
) -> Report:
    peak_memory = machine.peak_memory_mib()  # before the save below
    whole = machine.spread([row[0] for row in rows])
    flops = step_flops(model)
    precision = model.run.precision
    return {
        "kind": "train",
        "machine": machine.facts(),
        "model": prepared.place.storage,
        "options": prepared.settings.legacy(),
        "precision": precision,
        "xla": model.run.xla,
        "xla_used": dict(model.step.xla),
        "batch_size": model.options.batch_size,
        "accumulate": model.run.accumulate,
        "parameters": sum(model.parameter_counts().values()),
        "iterations": len(rows),
        **whole,
        "images_per_second": round(
            sum(row[2] for row in rows) / (sum(row[0] for row in rows) / 1e3), 2
        ),
        "parts_ms": {
            "data wait": round(statistics.median(row[1] for row in rows), 3),
            "forward and backward": round(halves[0], 3),
            "update": round(halves[1], 3),
        },
        "save": _saving(prepared, model),
        "gflop_per_iteration": round(flops / 1e9, 3),
        "gemm_peak_gflops": round(peak, 1),
        "share_of_peak": round(flops / 1e6 / whole["median_ms"] / peak, 4),
        "peak_memory_mib": round(peak_memory, 1),
        "start_s": {name: round(seconds, 2) for name, seconds in start.items()},
    }


def train_lines(report: Report) -> list[str]:
    """The report for people."""
    parts, save, found = report["parts_ms"], report["save"], report["machine"]
    start = report["start_s"]
    lines = [
        f"{report['model']}: {report['parameters']:,} parameters, batch {report['batch_size']}"
        f" x {report['accumulate']}, {report['precision']}, XLA {report['xla']}",
        f"{found['cores']} cores, load {found['load']:.1f}, TensorFlow {found['tensorflow']}, "
        f"native operations {found['native_ops']}",
        "",
        f"iteration       {report['median_ms']:10.1f} ms median, {report['p95_ms']:.1f} ms p95 "
        f"({report['iterations']} iterations)",
        f"images          {report['images_per_second']:10.1f} a second (src and dst)",
        *(f"  {name:<20} {value:8.1f} ms" for name, value in parts.items()),
        f"a save          {save['copy_s'] * 1e3:10.1f} ms of pause, then {save['write_s']:.2f} s "
        "of writing beside the training",
        f"arithmetic      {report['gflop_per_iteration']:10.2f} GFLOP in convolutions and dense "
        f"layers: {100 * report['share_of_peak']:.0f} % of this machine's matrix peak "
        f"({report['gemm_peak_gflops']:.0f} GFLOP/s), saved multiplications counted too",
        f"memory          {report['peak_memory_mib']:10.0f} MiB at most",
        f"first iteration {sum(start.values()):10.1f} s after the start: "
        + ", ".join(f"{name} {seconds:.1f}" for name, seconds in start.items()),
    ]
    if "profile" in report:
        lines += profile.profile_lines(report["profile"])
    for row in report.get("fit", []):
        lines.append(fit_line(row))
    return lines


def fit_line(row: Report) -> str:
    """One tried batch size."""
    verdict = "fits" if row["fits"] else f"does not fit ({row['reason']})"
    seen = f", {row['peak_mib']:.0f} MiB seen" if row["peak_mib"] else ""
    return (
        f"batch {row['batch_size']:<5} {verdict}: {row['estimate_mib']:.0f} MiB estimated{seen}"
        f" of {row['limit_mib']:.0f} MiB"
    )
