"""Benchmarks: counted arithmetic, the search for a batch that fits, comparison of reports."""

from __future__ import annotations

import dataclasses
import json

import pytest
import tensorflow as tf

from dfl_tf.bench import fit as bench_fit
from dfl_tf.bench import flops as bench_flops
from dfl_tf.bench import parts as bench_parts
from dfl_tf.bench.compare import compare, read_report
from dfl_tf.devices.cpu import cpu_bfloat16
from dfl_tf.devices.precision import _cpu_notes, _gpu_notes, precision_notes
from dfl_tf.errors import UsageError
from dfl_tf.models import create
from dfl_tf.nn import convolution
from dfl_tf.options import RunOptions, SAEHDOptions, default
from dfl_tf.train.memory_use import memory, traced_updates

OPTIONS = default(
    SAEHDOptions,
    resolution=64,
    ae_dims=32,
    e_dims=16,
    d_dims=16,
    d_mask_dims=16,
    batch_size=2,
    archi="df",
)


def test_operations_of_products_and_convolutions_are_counted():
    @tf.function
    def graph(x, kernel, weight):
        with tf.GradientTape() as tape:
            tape.watch((kernel, weight, x))
            y = tf.nn.conv2d(x, kernel, 2, "VALID")
            z = tf.matmul(tf.reshape(y, (3, -1)), weight)
        return tape.gradient(z, (x, kernel, weight))

    shapes = ((3, 9, 11, 2), (3, 3, 2, 5), (4 * 5 * 5, 7))
    traced = graph.get_concrete_function(*(tf.TensorSpec(s) for s in shapes)).graph
    counted = [bench_flops.flops_of(op) for op in traced.get_operations()]
    convolution = 2 * 3 * 4 * 5 * (3 * 3 * 2 * 5)
    product = 2 * 3 * 100 * 7
    assert sum(counted) == 3 * convolution + 3 * product


@pytest.mark.slow
@pytest.mark.native
def test_arithmetic_is_that_of_the_definition(monkeypatch):
    """Products that are saved count as well, those with zeros do not."""
    options = dataclasses.replace(OPTIONS, e_dims=32, d_dims=32)
    model = create("SAEHD", options, initialized=False)
    with_fewer = bench_flops.step_flops(model)
    kinds = {op.type for graph in traced_updates(model) for op in graph.get_operations()}
    assert "DflTf>WinogradFilterGradient" in kinds
    monkeypatch.setattr(convolution, "has_winograd", lambda dtype: False)
    assert bench_flops.step_flops(create("SAEHD", options, initialized=False)) == with_fewer


@pytest.mark.slow
def test_a_step_is_three_times_its_forward_pass_and_grows_with_the_batch():
    model = create("SAEHD", OPTIONS, initialized=False)
    two = bench_flops.step_flops(model)
    model.run = RunOptions(accumulate=3)
    assert bench_flops.step_flops(model) == 3 * two
    assert 1e8 < two < 1e11


def test_memory_of_a_plan():
    model = create("SAEHD", OPTIONS, initialized=False)
    sizes = memory(model)
    weights = sum(model.parameter_counts().values()) * 4 / 2**20
    assert sizes["weights"] == pytest.approx(weights)
    assert sizes["slots"] == pytest.approx(2 * weights, rel=1e-3)  # and the counter
    assert sizes["gradients"] == pytest.approx(weights)
    assert sizes["copy while saving"] == pytest.approx(sizes["weights"] + sizes["slots"])
    assert sizes["prepared samples"] == pytest.approx(4 * 2 * (2 * 64 * 64 * 7) * 4 / 2**20)
    parts = list(sizes)[: list(sizes).index("all of these")]
    assert sizes["all of these"] == pytest.approx(sum(sizes[part] for part in parts))


def fake_trial(limit_batch):
    def trial(model_class, options, run, *, limit):
        fits = options.batch_size <= limit_batch
        reason = "" if fits else "out of memory"
        seen = 500.0 + 30 * options.batch_size if fits else limit
        return {"fits": fits, "reason": reason, "peak_mib": seen, "step_seconds": 0.1}

    return trial


@pytest.mark.parametrize("largest", [1, 9, 40])
def test_the_search_closes_in_on_what_fits(monkeypatch, largest):
    monkeypatch.setattr(bench_fit, "_estimate", lambda c, o, r, batch: 100.0 + 30 * batch)
    limit = 500.0 + 30 * largest
    rows = list(
        bench_fit.fit("SAEHD", OPTIONS, RunOptions(), limit=limit, trial=fake_trial(largest))
    )
    tried = [row["batch_size"] for row in rows]
    assert len(tried) == len(set(tried)) <= 6
    assert max((row["batch_size"] for row in rows if row["fits"]), default=0) == largest
    assert all(row["reason"] == "" for row in rows if row["fits"])


def test_a_trial_in_a_process_of_its_own_ends_at_its_limit():
    found = bench_fit.try_batch("SAEHD", OPTIONS, RunOptions(), limit=150.0)
    assert found["fits"] is False
    assert found["reason"] == "out of memory"


def test_reports_are_set_side_by_side(tmp_path):
    a = {"kind": "train", "median_ms": 100.0, "batch_size": 4, "fit": [{"batch_size": 4, "x": 2}]}
    b = {"kind": "train", "median_ms": 50.0, "batch_size": 8, "fit": [{"batch_size": 4, "x": 3}]}
    lines = compare(a, b)
    assert lines[0] == "differs: batch_size 4 | 8"
    table = {line.split()[0]: line.split()[1:] for line in lines[2:]}
    assert table["median_ms"] == ["100", "50", "0.500"]
    assert table["fit.4.x"] == ["2", "3", "1.500"]
    with pytest.raises(UsageError, match="of train, the other one of io"):
        compare(a, {"kind": "io"})
    path = tmp_path / "a.json"
    path.write_text(json.dumps(a), encoding="utf-8")
    assert read_report(path) == a
    path.write_text("[]", encoding="utf-8")
    with pytest.raises(UsageError, match="as a benchmark report"):
        read_report(path)


def test_disk_in_both_formats(tmp_path):
    report = bench_parts.bench_io(bench_parts.synthetic_state(200_000), tmp_path)
    assert set(report["formats"]) == {"legacy", "native"}
    assert report["numbers"] == pytest.approx(600_000, rel=0.1)
    for row in report["formats"].values():
        assert row["mib"] == pytest.approx(2.3, abs=0.4)
    assert list(tmp_path.iterdir()) == []
    assert len(bench_parts.io_lines(report)) == 5


def test_what_is_said_about_precisions():
    assert cpu_bfloat16("fpu avx512_bf16 amx_bf16") == ["amx_bf16", "avx512_bf16"]
    assert cpu_bfloat16("fpu avx2") == []
    assert precision_notes(RunOptions()) == []
    assert _cpu_notes("bfloat16", ["amx_bf16"]) == []
    assert "emulated" in _cpu_notes("bfloat16", [])[0]
    assert "slower than float32" in _cpu_notes("float16", ["amx_bf16"])[0]
    old = {"device_name": "GTX 1080", "compute_capability": (6, 1)}
    new = {"device_name": "RTX 4090", "compute_capability": (8, 9)}
    assert _gpu_notes("bfloat16", [new]) == []
    (note,) = _gpu_notes("bfloat16", [new, old])
    assert "GPU 1 (GTX 1080) has compute capability 6.1; from 8.0" in note
