"""Where a step goes, by kind of operation."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from dfl_tf.bench import profile
from dfl_tf.bench.flops import step_flops
from dfl_tf.bench.profile import KINDS, PRODUCTS, TracedOp, kind_of
from dfl_tf.bench.step import halves_of
from dfl_tf.data.batch import Batch
from dfl_tf.errors import UsageError
from dfl_tf.models import create
from dfl_tf.options import SAEHDOptions, default

NETWORKS = ("encoder", "decoder_src")
STEP = (("step", "gradients"),)


@pytest.mark.parametrize(
    ("origin", "kind"),
    [
        (TracedOp("_MklNativeFusedConv2D", "encoder/down/BiasAdd"), profile.FORWARD),
        (TracedOp("DflTf>WinogradConv2D", "c_5", towards_input=True), profile.BY_INPUT),
        (TracedOp("DflTf>WinogradConv2D", "encoder/c"), profile.FORWARD),
        (TracedOp("DflTf>WinogradFilterGradient", "c"), profile.BY_WEIGHTS),
        (TracedOp("_MklNativeConv2DBackpropFilterWithBias", "x"), profile.BY_WEIGHTS),
        (TracedOp("Conv2DBackpropInput", "x"), profile.BY_INPUT),
        (TracedOp("_MklMatMul", "m", calls=(("convolution", "gradient_by_taps"),)),
         profile.BY_WEIGHTS),
        (TracedOp("Pack", "p", calls=(("convolution", "gradient_by_taps"),)), profile.BY_WEIGHTS),
        (TracedOp("_MklFusedMatMul", "encoder/dense1/BiasAdd"), profile.DENSE),
        (TracedOp("MatMul", "m", calls=(("losses", "gaussian_blur"),)), profile.LOSSES),
        (TracedOp("Cast", "encoder/Cast"), profile.CASTS),
        (TracedOp("LeakyReluGrad", "l", calls=STEP), profile.ACTIVATIONS),
        (TracedOp("DflTf>FrnTlu", "encoder/f"), profile.ACTIVATIONS),
        (TracedOp("BiasAddGrad", "gradient_tape/encoder/d/BiasAdd/BiasAddGrad"), profile.BIASES),
        (TracedOp("_MklTranspose", "gradient_tape/decoder_src_1/t/transpose"), profile.SHUFFLES),
        (TracedOp("DepthToSpace", "d"), profile.SHUFFLES),
        (TracedOp("DepthwiseConv2dNative", "dssim/depthwise"), profile.DSSIM),
        (TracedOp("Mul", "gradient_tape/dssim_1/mul/Mul", calls=STEP), profile.DSSIM),
        (TracedOp("Mul", "gradient_tape/mul_3/Mul", calls=STEP), profile.LOSSES),
        (TracedOp("Mean", "Mean", calls=(("targets", "reconstruction_loss"),)), profile.LOSSES),
        (TracedOp("Mul", "m", calls=(("legacy_optimizer", "norm"),)), profile.UPDATE),
        (TracedOp("AddN", "AddN_3", calls=STEP), profile.REST),
        (TracedOp("AddV2", "encoder/add"), profile.REST),
    ],
)  # fmt: skip
def test_what_an_operation_is_for(origin, kind):
    assert kind_of(origin, NETWORKS) == kind


@pytest.fixture(scope="module")
def report():
    options = default(
        SAEHDOptions, resolution=64, ae_dims=32, e_dims=16, d_dims=16, d_mask_dims=16,
        batch_size=2, archi="df-ud", clipgrad=True,
    )  # fmt: skip
    model = create("SAEHD", options)
    rng = np.random.default_rng(0)
    batches = [
        Batch({name: rng.random((2, *shape), np.float32) for name, shape in spec.shapes.items()})
        for spec in model.sample_specs().values()
    ]
    return model, profile.profile(model, halves_of(model, batches, named=True), peak=50.0, rounds=2)


def test_a_step_is_divided_into_kinds(report):
    model, found = report
    rows = {row["kind"]: row for row in found["kinds"]}
    assert list(rows) == [*KINDS, "all"]
    assert rows["all"]["ms"] == pytest.approx(sum(rows[k]["ms"] for k in KINDS), abs=0.02)
    assert sum(rows[k]["share"] for k in KINDS) == pytest.approx(1, abs=0.002)
    for kind in (*PRODUCTS, profile.DSSIM, profile.UPDATE, profile.ACTIVATIONS, profile.SHUFFLES):
        assert rows[kind]["ms"] > 0, kind
    assert rows["all"]["gflop"] >= 0.99 * sum(rows[k]["gflop"] for k in PRODUCTS)
    blurs = step_flops(model) / 1e9 - rows["all"]["gflop"]  # matrix products of the losses
    assert 0 <= blurs < 0.02 * rows["all"]["gflop"]
    taken = rows[profile.FORWARD]
    assert taken["share_of_peak"] == pytest.approx(
        taken["gflop"] / taken["ms"] * 1e3 / 50, rel=0.02
    )
    assert "gflop" not in rows[profile.CASTS]


def test_the_table_names_every_kind_and_what_the_rest_is(report):
    _, found = report
    lines = profile.profile_lines(found)
    assert [line.rstrip()[:26].rstrip() for line in lines[3:-1]] == [*KINDS, "all"]
    assert lines[-1].startswith("the largest of the rest (ms): ")
    assert len(found["rest"]) <= 4


def test_a_profile_is_for_cpus(monkeypatch, report):
    model, _ = report
    monkeypatch.setattr(type(model.placement), "on_cpu", False)
    with pytest.raises(UsageError, match="Add --cpu"):
        profile.profile(model, [], peak=1.0)


def test_operations_run_one_at_a_time_from_the_start_only():
    tf.constant(1.0)  # TensorFlow has begun
    with pytest.raises(UsageError, match="one at a time"):
        profile.one_at_a_time()
