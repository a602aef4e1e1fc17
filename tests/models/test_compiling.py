"""XLA: the same numbers, a choice by measurement, a way back where it fails."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from dfl_tf.models import compiling
from dfl_tf.nn.layers import BlurPool
from dfl_tf.nn.losses import dssim, gaussian_blur
from dfl_tf.nn.tracing import Tracing, traced_with


def noise(*shape):
    return tf.constant(np.random.default_rng(0).random(shape), tf.float64)


@pytest.mark.parametrize("size", [3, 4, 11, 22])
def test_dssim_by_matrices(size):
    a, b = noise(2, 40, 48, 3), noise(2, 40, 48, 3)[::-1] ** 2
    plain = dssim(a, b, size)
    with traced_with(Tracing(blur_as_matmul=True)):
        matrices = dssim(a, b, size)
    np.testing.assert_allclose(matrices, plain, atol=2e-6)


def test_blurs_by_matrices():
    x = noise(2, 31, 24, 5)
    plain = gaussian_blur(x, 3.0)
    with traced_with(Tracing(blur_as_matmul=True)):
        matrices = gaussian_blur(x, 3.0)
    np.testing.assert_allclose(matrices, plain, atol=1e-6)


@pytest.mark.parametrize("size", [2, 3, 4])
@pytest.mark.parametrize("side", [8, 9])
def test_blur_pool_by_matrices(size, side):
    layer = BlurPool(size, dtype="float64")
    x = noise(2, side, 8, 3)
    plain = layer(x)
    with traced_with(Tracing(blur_as_matmul=True)):
        matrices = layer(x)
    assert matrices.shape == plain.shape
    np.testing.assert_allclose(matrices, plain, atol=1e-12)


def test_compiled_gradients_hold_no_depthwise_convolution(make):
    model = make()
    inputs = [
        tf.TensorSpec((2, *shape), tf.float32)
        for spec in model.sample_specs().values()
        for shape in spec.shapes.values()
    ]
    kinds = {}
    for compiled in (False, True):
        graph = compiling.gradient_graph(model.step, model.updates[0], compiled=compiled)
        operations = graph.get_concrete_function(inputs).graph.get_operations()
        kinds[compiled] = {op.type for op in operations}
    assert any(kind.startswith("Depthwise") for kind in kinds[False])
    assert not any(kind.startswith("Depthwise") for kind in kinds[True])


def run(make, batches, monkeypatch, mode, fail=False):
    if fail:
        real = compiling.gradient_graph

        def graph(step, update, *, compiled):
            if not compiled:
                return real(step, update, compiled=False)

            def broken(inputs):
                raise tf.errors.InvalidArgumentError(None, None, "no such kernel")

            return broken

        monkeypatch.setattr("dfl_tf.models.step.gradient_graph", graph)
    model = make(xla=mode, archi="df")
    said = []
    model.step.say = said.append
    losses = model.train_step(*batches(model))
    return model, said, [np.mean(losses[name]) for name in model.loss_names]


@pytest.mark.slow
def test_xla_computes_the_same(make, batches, monkeypatch):
    _, _, plain = run(make, batches, monkeypatch, "off")
    model, said, compiled = run(make, batches, monkeypatch, "auto")
    assert "ms without" in said[0]
    assert len(said) == 1
    assert model.step.xla == {"src_dst_opt": said[0].startswith("XLA is on")}
    np.testing.assert_allclose(compiled, plain, rtol=1e-5)


@pytest.mark.parametrize("mode", ["auto", "on"])
def test_xla_that_fails_is_left_out_with_a_message(make, batches, monkeypatch, mode):
    model, said, losses = run(make, batches, monkeypatch, mode, fail=True)
    assert model.step.xla == {"src_dst_opt": False}
    assert said == ["XLA is off for src_dst_opt: it could not compile the step (no such kernel)"]
    assert np.isfinite(losses).all()
    assert int(model.optimizers["src_dst_opt"].iterations) == 1


def test_the_faster_one_is_taken(monkeypatch):
    times = iter([9.0, 9.0] + [1.0, 0.5] * compiling.ROUNDS)
    monkeypatch.setattr(compiling, "_seconds", lambda *_: next(times))
    assert compiling.decide(None, None, [], mode="auto", name="opt") == (
        True,
        "XLA is on for opt: 500 ms of forward and backward pass with it, 1000 ms without",
    )
    times = iter([9.0, 9.0] + [1.0, 0.99] * compiling.ROUNDS)
    assert compiling.decide(None, None, [], mode="auto", name="opt")[0] is False
