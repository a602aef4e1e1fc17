"""The update on flat buffers: the bits of the update variable by variable."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf
from dfl_tf_ops import flat_step, optimizer_step
from dfl_tf_ops.reference import optimizers as reference

from dfl_tf.nn.optimizers import AdaBelief, RMSprop

SHAPES = ((3, 3, 4, 8), (8,), (1,), (40, 60), (1024,), (5, 7))
LAYOUT = flat_step.FlatLayout(SHAPES)


def arrays(seed, dtype=np.float32):
    rng = np.random.default_rng(seed)
    return [rng.standard_normal(shape).astype(dtype) for shape in SHAPES]


def test_layout():
    values = [tf.constant(a) for a in arrays(0)]
    flat = LAYOUT.join(values)
    assert flat.shape == (LAYOUT.size,)
    assert LAYOUT.size == 1024 * (1 + 1 + 1 + 3 + 1 + 1)
    for before, after in zip(values, LAYOUT.split(flat), strict=True):
        np.testing.assert_array_equal(before, after)
    assert LAYOUT.runs((0, 1, 3)) == [(0, 2048), (3072, 6144)]
    assert LAYOUT.runs(range(6)) == [(0, LAYOUT.size)]


def draw(numbers, step, *, keep=0.3, how="loop"):
    dropout = optimizer_step.Dropout(keep, 123456789, numbers, compiled=how == "compiled")

    def masks(step):
        return flat_step.dropout_mask(LAYOUT, dropout, step)

    if how != "eager":
        masks = tf.function(masks, autograph=False, jit_compile=how == "compiled" or None)
    return masks(tf.constant(step, tf.int64))


@pytest.mark.parametrize("how", ["eager", "loop", "compiled"])
@pytest.mark.parametrize("step", [1, 3_000_000_000])
def test_masks_are_those_of_the_reference(step, how):
    numbers = (4, 0, 2, 9, 1, 3)
    flat = draw(numbers, step, how=how)
    for shape, number, mask in zip(SHAPES, numbers, LAYOUT.split(flat), strict=True):
        wanted = reference.dropout_mask(shape, 0.3, seed=123456789, index=number, step=step)
        np.testing.assert_array_equal(mask, wanted)


def test_everything_is_kept_with_probability_one():
    assert np.all(draw(range(6), 1, keep=1.0))


def test_the_cosine_from_a_table():
    """Of large iterations it is the exact one, of which float32 angles are a bad measure."""
    for iteration in (1, 249, 250, 499, 500, 1_000_003):
        share = flat_step.cosine_share(tf.constant(iteration, tf.int64), 500, tf.float32)
        exact = (np.cos(iteration * 2 * np.pi / 500) + 1) / 2
        assert float(share) == pytest.approx(exact, abs=1e-6)


def trained(cls, flat, *, moving=range(6), compiled=False, dtype="float32", **settings):
    """Weights, slots and figures after three steps."""
    weights = [keras.Variable(a, dtype=dtype) for a in arrays(1, dtype)]
    optimizer = cls(1e-2, flat=flat, seed=5, **settings)
    optimizer.build(weights)
    some = [weights[i] for i in moving]

    def step(*grads):
        return optimizer.apply_and_measure(list(grads), some, norm=True, compiled=compiled)

    step = tf.function(step, autograph=False, jit_compile=compiled or None)
    for seed in (2, 3, 4):
        found = step(*(tf.constant(arrays(seed, dtype)[i]) for i in moving))
    state = optimizer.state_arrays([f"net/w{i}:0" for i in range(6)])
    return [w.numpy() for w in weights], state, {k: float(v) for k, v in found.items()}, optimizer


@pytest.mark.parametrize("cls", [AdaBelief, RMSprop])
@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"clipnorm": 2.0, "lr_dropout": 0.3, "lr_cos": 500},
        {"moving": (0, 1, 4), "clipnorm": 1e9},
    ],
)
def test_bits_are_those_of_the_update_by_variables(cls, settings, monkeypatch):
    monkeypatch.setattr(optimizer_step.native, "library", lambda: None)
    weights, state, figures, _ = trained(cls, False, **settings)
    flat_weights, flat_state, flat_figures, optimizer = trained(cls, True, **settings)
    assert len(optimizer.slot_variables(cls.slot_names[0])) == 1
    clipped = "clipnorm" in settings and settings["clipnorm"] < 10
    for one, other in zip(weights, flat_weights, strict=True):
        if clipped:  # the norm is added up in another order
            np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-7)
        else:
            np.testing.assert_array_equal(one, other)
    assert list(state) == list(flat_state)
    for key, value in state.items():
        tolerance = {"rtol": 1e-5, "atol": 1e-8} if clipped else {"rtol": 0}
        np.testing.assert_allclose(value, flat_state[key], **tolerance)
    assert flat_figures == pytest.approx(figures, rel=1e-6)


def test_compiled_masks_are_the_same_bits():
    settings = {"lr_dropout": 0.3, "clipnorm": 1.0}
    plain, _, _, _ = trained(AdaBelief, True, **settings)
    compiled, _, _, _ = trained(AdaBelief, True, compiled=True, **settings)
    for one, other, begin in zip(plain, compiled, arrays(1), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)
        np.testing.assert_array_equal(one == begin, other == begin)


@pytest.mark.native
def test_weights_in_float64_are_those_of_the_fused_update():
    settings = {"dtype": "float64", "lr_dropout": 0.3, "clipnorm": 1.0, "lr_cos": 500}
    fused, _, _, _ = trained(AdaBelief, False, **settings)
    flat, _, _, _ = trained(AdaBelief, True, **settings)
    for one, other in zip(fused, flat, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-12)


def test_slots_go_through_a_file():
    _, state, _, before = trained(AdaBelief, True)
    weights = [keras.Variable(a) for a in arrays(1)]
    after = AdaBelief(1e-2, flat=True)
    after.build(weights)
    names = [f"net/w{i}:0" for i in range(6)]
    assert after.load_state_arrays(state, names) == []
    for key, value in after.state_arrays(names).items():
        np.testing.assert_array_equal(value, state[key])
    np.testing.assert_array_equal(
        after.slot("ms", weights[3]), before.slot("ms", before._trainable_variables[3])
    )
    assert after.get_config()["flat"]
