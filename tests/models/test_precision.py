"""Low precision: close to float32, loss scaling, overflow."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from dfl_tf.devices import placement
from dfl_tf.devices.placement import Placement
from dfl_tf.models.loss_scale import FIRST, GROWS_AFTER, LossScale
from dfl_tf.nn.local_replica import local_replica
from dfl_tf.nn.tensors import product
from dfl_tf.nn.tracing import Tracing, traced_with

OPTIONS = {"clipgrad": True, "lr_dropout": "y"}


@pytest.mark.parametrize(
    ("cls", "precision", "options"),
    [
        ("SAEHD", "bfloat16", {"archi": "liae-ud", "gan_power": 0.1}),
        pytest.param(
            "SAEHD", "float16", {"archi": "df-ud", "true_face_power": 0.1}, marks=pytest.mark.slow
        ),
        pytest.param("AMP", "bfloat16", {}, marks=pytest.mark.slow),
    ],
)
@pytest.mark.usefixtures("eagerly")
def test_some_steps_stay_close_to_float32(make, batches, cls, precision, options):
    low = make(cls, precision=precision, **OPTIONS, **options)
    wide = make(cls, **OPTIONS, **options)
    for step in range(3):
        given = batches(wide, seed=step)
        losses, expected = low.train_step(*given), wide.train_step(*given)
        for name in wide.loss_names:
            assert losses[name].dtype == tf.float32
            np.testing.assert_allclose(losses[name], expected[name], rtol=3e-2)
    for part, network in low.networks.items():
        for a, b in zip(network.weights, wide.networks[part].weights, strict=True):
            assert a.dtype == "float32"
            assert np.isfinite(a.numpy()).all()
            # A step moves an entry by at most about the rate times ten.
            np.testing.assert_allclose(a.numpy(), b.numpy(), atol=5e-3)


@pytest.mark.parametrize("function", [tf.matmul, lambda a, b: tf.nn.conv2d(a, b, 1, "SAME")])
def test_products_are_summed_in_float32_and_rounded_once(function):
    rng = np.random.default_rng(0)
    shapes = [(2, 300), (300, 5)] if function is tf.matmul else [(2, 6, 6, 40), (3, 3, 40, 5)]
    a, b = (tf.cast(rng.normal(size=shape), tf.bfloat16) for shape in shapes)
    exact = function(tf.cast(a, tf.float64), tf.cast(b, tf.float64))
    with traced_with(Tracing(widen=True)):
        got = product(function, a, b)
    assert got.dtype == tf.bfloat16
    # Half a unit in the last of the eight bits, and nothing from the three hundred additions.
    np.testing.assert_allclose(tf.cast(got, tf.float64), exact, rtol=2**-8, atol=1e-4)
    wide = product(function, tf.cast(a, tf.float64), tf.cast(b, tf.float64))
    np.testing.assert_array_equal(wide, exact)


def test_only_a_cpu_without_such_numbers_emulates_them(monkeypatch):
    for flags, emulated in (([], True), (["avx512_bf16"], False)):
        monkeypatch.setattr(placement, "cpu_bfloat16", lambda flags=flags: flags)
        assert Placement().emulates("bfloat16") is emulated
        assert Placement().emulates("float16")
        assert not Placement().emulates("float32")
        assert not Placement("/GPU:0", "/CPU:0").emulates("bfloat16")


@pytest.mark.usefixtures("eagerly")
def test_emulated_gradients_are_those_of_low_precision_kernels(make, batches, monkeypatch):
    gradients = []
    for emulated in (False, True):
        monkeypatch.setattr(Placement, "emulates", lambda *_, emulated=emulated: emulated)
        model = make(precision="bfloat16")
        _, found = model.step.gradients(model.updates[0], model.inputs(*batches(model)))
        gradients.append(np.concatenate([np.ravel(g) for g in found]))
    wide = make()
    _, found = wide.step.gradients(wide.updates[0], wide.inputs(*batches(wide)))
    gradients.append(np.concatenate([np.ravel(g) for g in found]))
    a, b, exact = (g / np.linalg.norm(g) for g in gradients)
    # unrelated errors would be as far apart as the sum of their distances from the exact gradient
    assert 1 - a @ b < 0.5 * ((1 - a @ exact) + (1 - b @ exact))


@pytest.mark.usefixtures("eagerly")
def test_loss_scaling_leaves_the_gradients_as_they_are(make, batches):
    scaled, wide = make(precision="float16"), make()
    given = batches(wide)
    update = wide.updates[0]
    _, expected = wide.step.gradients(update, wide.inputs(*given))
    _, gradients = scaled.step.gradients(scaled.updates[0], scaled.inputs(*given))
    assert {g.dtype for g in gradients} == {tf.float32}
    a, b = (np.concatenate([np.ravel(g) for g in some]) for some in (gradients, expected))
    assert a @ b / np.linalg.norm(a) / np.linalg.norm(b) > 0.99
    np.testing.assert_allclose(np.linalg.norm(a), np.linalg.norm(b), rtol=0.02)


def test_an_overflow_skips_step_and_counter_and_halves_the_scale(make, batches, snapshot):
    model = make(precision="float16", **OPTIONS)
    update, optimizer = model.updates[0], model.optimizers["src_dst_opt"]
    scale = model.step.loss_scales["src_dst_opt"]
    model.train_step(*batches(model))
    assert int(optimizer.iterations) == 1
    before, slot = snapshot(model), optimizer.slot("ms", update.variables[0]).numpy()
    _, gradients = model.step.gradients(update, model.inputs(*batches(model)))
    gradients[3] = tf.where(tf.range(tf.size(gradients[3])) == 0, np.inf, 0.0)
    gradients[3] = tf.reshape(gradients[3], update.variables[3].shape)
    model.step.apply_gradients(update, gradients)
    assert int(optimizer.iterations) == 1
    assert float(scale.value) == FIRST / 2
    np.testing.assert_array_equal(optimizer.slot("ms", update.variables[0]).numpy(), slot)
    for part, values in snapshot(model).items():
        for a, b in zip(values, before[part], strict=True):
            np.testing.assert_array_equal(a, b)
    model.train_step(*batches(model))
    assert int(optimizer.iterations) == 2
    assert float(scale.value) == FIRST / 2


def test_a_scale_grows_after_many_good_steps():
    scale = LossScale(local_replica)
    step = tf.function(lambda x: scale.guarded([x], lambda: None), autograph=False)
    for _ in range(GROWS_AFTER):
        step(tf.constant(1.0))
    assert float(scale.value) == 2 * FIRST
    step(tf.constant(np.nan))
    assert float(scale.value) == FIRST


def test_float32_has_no_scale(make):
    assert make().step.loss_scales == {}
