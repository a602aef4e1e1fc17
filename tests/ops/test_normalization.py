"""Filter response normalization with its threshold, held against the formula."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from dfl_tf_ops.normalization import frn_tlu
from dfl_tf_ops.reference import normalization as reference

TOLERANCE = {"float64": 1e-13, "float32": 3e-6, "bfloat16": 1e-2}


def given(dtype, shape, eps=1e-2):
    """Images, weights and an upstream gradient; thresholds in the middle of the results."""
    rng = np.random.default_rng(shape[-1])
    wide = "float64" if dtype == "float64" else "float32"
    x = tf.cast(rng.normal(size=shape), dtype)
    weights = [tf.constant(rng.normal(size=shape[-1]), wide) for _ in range(3)]
    upstream = tf.cast(rng.normal(size=shape), dtype)
    return x, (*weights[:2], tf.constant([eps], wide), weights[2]), upstream


def found(x, weights, upstream, **more):
    with tf.GradientTape() as tape:
        tape.watch([x, *weights])
        y = frn_tlu(x, *weights, **more)
    return [y, *tape.gradient(y, [x, *weights], upstream)]


def exact(x, weights, upstream):
    wide = [tf.cast(t, tf.float64).numpy() for t in (x, *weights, upstream)]
    return reference.frn_tlu(*wide)


@pytest.mark.parametrize("shape", [(1, 1, 1, 3), (3, 37, 41, 24), (2, 64, 64, 33)])
@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("eps", [1e-2, -0.5, 0.0])
def test_result_and_gradients_are_those_of_the_formula(backend, shape, dtype, eps):
    x, weights, upstream = given(dtype, shape, eps)
    for a, b in zip(found(x, weights, upstream), exact(x, weights, upstream), strict=True):
        assert a.shape == b.shape
        scale = max(float(np.abs(b).max()), 1e-3)
        if b.shape == (1,):  # of eps: a sum over all channels, which nearly cancels
            scale *= 100
        np.testing.assert_allclose(a, b, rtol=0, atol=TOLERANCE[dtype] * scale)


def test_bfloat16_is_rounded_as_by_separate_operations():
    """So the threshold lets the same pixels through."""
    x, weights, upstream = given("bfloat16", (3, 37, 41, 24))
    fused = found(x, weights, upstream)
    apart = found(x, weights, upstream, fused=False)
    y, want = (tf.cast(results[0], tf.float32).numpy() for results in (fused, apart))
    assert np.mean(y != want) < 0.01  # sums over pixels differ in their last bits
    np.testing.assert_allclose(y, want, rtol=2**-7)
    for a, b in zip(fused[1:], apart[1:], strict=True):
        assert a.dtype == b.dtype
        a, b = (tf.cast(t, tf.float32).numpy() for t in (a, b))
        np.testing.assert_allclose(a, b, rtol=0, atol=TOLERANCE["bfloat16"] * np.abs(b).max())


@pytest.mark.slow
@pytest.mark.native
def test_bits_are_those_of_any_number_of_threads():
    """Sums over pixels are added up in pieces that do not depend on it."""
    code = (
        "import sys, numpy as np, tensorflow as tf\n"
        "tf.config.threading.set_intra_op_parallelism_threads(int(sys.argv[1]))\n"
        "sys.path.insert(0, sys.argv[2])\n"
        "import test_normalization as t\n"
        "found = t.found(*t.given('float32', (2, 200, 130, 40)))\n"
        "import hashlib\n"
        "print(hashlib.sha256(b''.join(np.asarray(a).tobytes() for a in found)).hexdigest())"
    )
    folder = str(Path(__file__).parent)
    hashes = {
        subprocess.run(
            [sys.executable, "-c", code, threads, folder],
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for threads in ("1", "3")
    }
    assert len(hashes) == 1


def test_not_a_number_stays_one(backend):
    x, weights, _ = given("float32", (1, 2, 2, 3))
    x = tf.tensor_scatter_nd_update(x, [[0, 1, 1, 2]], [np.nan])
    assert np.isnan(frn_tlu(x, *weights).numpy()[0, 1, 1, 2])


@pytest.mark.native
@pytest.mark.parametrize("wrong", [0, 2, 3])
def test_numbers_of_other_channels_are_refused(wrong):
    x, weights, _ = given("float32", (1, 4, 4, 6))
    weights = list(weights)
    weights[wrong] = tf.zeros((5,))
    with pytest.raises(tf.errors.InvalidArgumentError, match="one number a channel"):
        frn_tlu(x, *weights)


def test_a_type_that_the_operation_does_not_know_is_left_to_tensorflow(backend):
    x, weights, upstream = given("float32", (1, 4, 4, 6))
    half = tf.cast(x, tf.float16)
    y, *gradients = found(half, weights, tf.cast(upstream, tf.float16))
    assert y.dtype == gradients[0].dtype == tf.float16
    np.testing.assert_allclose(y, frn_tlu(x, *weights), atol=5e-3)
