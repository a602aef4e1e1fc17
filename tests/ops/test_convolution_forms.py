"""Which form convolutions take: the same numbers in all of them, chosen once and remembered."""

from __future__ import annotations

import json

import numpy as np
import pytest
import tensorflow as tf
from dfl_tf_ops import convolution_forms as chosen
from dfl_tf_ops.convolution import PLAIN, TAPS, WINOGRAD, Forms, convolve, products
from dfl_tf_ops.convolution_forms import Convolution, FormChooser
from dfl_tf_ops.reference import convolution as reference

pytestmark = pytest.mark.native
LARGE = Convolution("float32", 64, 64, 64, 64, 3)
RULE = Forms(WINOGRAD, WINOGRAD, WINOGRAD)
MIXED = Forms(PLAIN, WINOGRAD, TAPS)


@pytest.fixture
def measurements(monkeypatch, tmp_path):
    """Choices are measured, by a stand-in, and kept in an empty cache; the shapes measured."""
    seen = []

    def stub(convolution, rule):
        seen.append(convolution)
        return MIXED

    monkeypatch.setattr(chosen, "measured", stub)
    monkeypatch.setattr(chosen, "cache_file", lambda: tmp_path / "cache" / "forms.json")
    monkeypatch.delenv("DFL_TF_CONVOLUTIONS")
    return seen


@pytest.mark.parametrize("form", [PLAIN, WINOGRAD, TAPS])
@pytest.mark.parametrize("direction", Forms._fields)
def test_every_form_gives_the_same_numbers(form, direction):
    if form == TAPS and direction != "kernel":
        assert TAPS not in LARGE.candidates(direction)
        return
    rng = np.random.default_rng(0)
    x, kernel, upstream = (
        rng.standard_normal(shape) for shape in ((2, 9, 7, 20), (3, 3, 20, 24), (2, 9, 7, 24))
    )
    towards_x, towards_kernel = reference.convolve_gradients(x, kernel, upstream)
    want = {"forward": reference.convolve(x, kernel), "input": towards_x, "kernel": towards_kernel}
    narrow = [tf.constant(a, tf.float32) for a in (x, kernel, upstream)]
    found = products(*narrow)[direction](form)
    if direction == "kernel":
        found, total = found
        np.testing.assert_allclose(total, upstream.sum((0, 1, 2)), atol=1e-4)
    np.testing.assert_allclose(found, want[direction], atol=2e-5 * np.abs(want[direction]).max())


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_gradients_of_mixed_forms_are_those_of_tensorflow(dtype):
    rng = np.random.default_rng(1)
    x = tf.cast(rng.standard_normal((2, 8, 8, 32)), dtype)
    kernel, bias = (
        tf.constant(rng.standard_normal(shape), tf.float32) for shape in ((3, 3, 32, 32), (32,))
    )
    forms = MIXED if dtype == "float32" else Forms(kernel=TAPS)

    def results(convolved):
        with tf.GradientTape() as tape:
            tape.watch([x, kernel, bias])
            y = convolved()
        return [y, *tape.gradient(y, [x, kernel, bias])]

    def plainly():
        wide, rounded = tf.cast(x, tf.float32), tf.cast(tf.cast(kernel, dtype), tf.float32)
        return tf.cast(tf.nn.conv2d(wide, rounded, 1, "SAME") + bias, dtype)

    pairs = zip(results(lambda: convolve(x, kernel, bias, forms)), results(plainly), strict=True)
    for a, b in pairs:
        assert a.dtype == b.dtype
        a, b = (tf.cast(t, tf.float32).numpy() for t in (a, b))
        tolerance = 1e-5 if dtype == "float32" else 1e-2
        np.testing.assert_allclose(a, b, rtol=0, atol=tolerance * np.abs(b).max())


def test_a_choice_is_measured_once_and_kept(measurements):
    first = FormChooser(measure=True)
    assert first.choose(LARGE, RULE) == first.choose(LARGE, RULE) == MIXED
    assert FormChooser(measure=True).choose(LARGE, RULE) == MIXED  # from the cache
    assert measurements == [LARGE]
    assert json.loads(chosen.cache_file().read_text()) == {str(LARGE): list(MIXED)}


@pytest.mark.parametrize(
    "content", ["", "[1]", '{"a": 1}', json.dumps({str(LARGE): ["fast", "plain", "plain"]})]
)
def test_a_damaged_cache_is_no_cache(measurements, content):
    chosen.cache_file().parent.mkdir()
    chosen.cache_file().write_text(content)
    assert FormChooser(measure=True).choose(LARGE, RULE) == MIXED
    assert measurements == [LARGE]


def test_the_rule_holds_where_nothing_is_to_be_measured(measurements, monkeypatch):
    small = Convolution("float32", 8, 8, 16, 16, 3)
    assert FormChooser(measure=True).choose(small, RULE) == RULE
    assert FormChooser(measure=True).choose(Convolution("float64", *LARGE_SIDES), RULE) == RULE
    assert FormChooser(measure=False).choose(LARGE, RULE) == RULE
    late = FormChooser(measure=True)
    late.spent = chosen.BUDGET
    assert late.choose(LARGE, RULE) == RULE
    monkeypatch.setenv("DFL_TF_CONVOLUTIONS", "rule")
    assert FormChooser(measure=True).choose(LARGE, RULE) == RULE
    assert measurements == []


LARGE_SIDES = (64, 64, 64, 64, 3)


def test_a_resumed_run_takes_the_forms_that_it_had(measurements, monkeypatch):
    before = FormChooser(measure=True)
    before.choose(LARGE, RULE)
    run = json.loads(json.dumps(before.stored()))
    chosen.cache_file().unlink()
    resumed = FormChooser(measure=False)
    resumed.restore(run)
    assert resumed.choose(LARGE, RULE) == MIXED
    assert resumed.stored() == before.stored()
    monkeypatch.setattr(chosen, "machine", lambda: "another one")
    moved = FormChooser(measure=True)
    moved.restore(run)
    moved.choose(LARGE, RULE)
    assert measurements == [LARGE, LARGE]
    for damaged in ({}, {"convolutions": 3}, {"convolutions": {"machine": "another one"}}):
        moved.restore(damaged)
    assert FormChooser(measure=True).stored() == {}


def test_another_form_is_taken_if_both_clocks_say_so(monkeypatch):
    clocks = {"wall": 0.0, "cpu": 0.0}

    def taking(wall, cpu):
        def run():
            clocks["wall"] += wall
            clocks["cpu"] += cpu

        return run

    monkeypatch.setattr(chosen.time, "perf_counter", lambda: clocks["wall"])
    monkeypatch.setattr(chosen.time, "process_time", lambda: clocks["cpu"])
    usual = taking(1.0, 2.0)
    assert chosen._fastest({"a": usual, "b": taking(0.5, 1.0)}, "a") == "b"
    assert chosen._fastest({"a": usual, "b": taking(0.5, 1.9)}, "a") == "a"
    assert chosen._fastest({"a": usual, "b": taking(0.9, 1.0)}, "a") == "b"
    assert chosen._fastest({"a": usual, "b": taking(0.96, 1.96)}, "a") == "a"


def test_the_forms_of_a_shape_are_measured(monkeypatch):
    monkeypatch.setattr(chosen, "_PIXELS", 64)
    forms = chosen.measured(Convolution("float32", 8, 8, 16, 16, 3), RULE)
    assert Convolution("float32", 8, 8, 16, 16, 3).allows(forms)
    assert Convolution("float32", 8, 8, 16, 8, 5).candidates("kernel") == (PLAIN,)
    assert not Convolution("float32", 8, 8, 16, 16, 5).allows(RULE)
