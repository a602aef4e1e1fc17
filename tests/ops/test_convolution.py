"""The Winograd convolution, held against the definition."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf
from dfl_tf_ops import native
from dfl_tf_ops.convolution import convolve_3x3
from dfl_tf_ops.reference import convolution as reference

# Odd sides, channels around the widths of vectors (8, 16), groups (32) and panels (16, 32), more
# tiles than a block takes.
SHAPES = [
    (1, 1, 1, 3, 5),
    (2, 4, 4, 16, 32),
    (1, 3, 9, 17, 31),
    (2, 7, 5, 40, 33),
    (3, 2, 6, 65, 100),
    (4, 36, 34, 48, 20),
]


def arrays(n, h, w, inputs, outputs):
    rng = np.random.default_rng(n * h + inputs)
    shapes = ((n, h, w, inputs), (3, 3, inputs, outputs), (outputs,), (n, h, w, outputs))
    return [rng.standard_normal(shape) for shape in shapes]


def exact(x, kernel, bias, upstream):
    gradients = reference.convolve_gradients(x, kernel, upstream)
    return [reference.convolve(x, kernel) + bias, *gradients, upstream.sum((0, 1, 2))]


def by_ops(x, kernel, bias, upstream, level="best"):
    ops = native.library()
    towards_input = ops.dfl_tf_winograd_conv2d(
        x=upstream, kernel=kernel, bias=bias[:0], towards_input=True, level=level
    )
    return [
        ops.dfl_tf_winograd_conv2d(x=x, kernel=kernel, bias=bias, level=level),
        towards_input,
        *ops.dfl_tf_winograd_filter_gradient(x=x, upstream=upstream, level=level),
    ]


def close(found, expected, tolerance):
    for a, b in zip(found, expected, strict=True):
        a = tf.cast(a, tf.float64).numpy()
        assert a.shape == b.shape
        np.testing.assert_allclose(a, b, rtol=0, atol=tolerance * np.abs(b).max())


@pytest.fixture
def library(monkeypatch):
    monkeypatch.setenv("DFL_TF_NATIVE", "require")
    native.forget()
    yield native.library()
    native.forget()


@pytest.mark.parametrize("shape", SHAPES)
def test_winograd_equals_the_definition(shape):
    x, kernel, _, upstream = arrays(*shape)
    plain = reference.convolve(x, kernel)
    np.testing.assert_allclose(reference.winograd(x, kernel), plain, rtol=0, atol=1e-12)
    # and the definition is what TensorFlow computes
    x, kernel = tf.constant(x), tf.constant(kernel)
    with tf.GradientTape() as tape:
        tape.watch((x, kernel))
        y = tf.nn.conv2d(x, kernel, 1, "SAME")
    np.testing.assert_allclose(y, plain, rtol=0, atol=1e-12)
    found = tape.gradient(y, (x, kernel), tf.constant(upstream))
    close(found, reference.convolve_gradients(x.numpy(), kernel.numpy(), upstream), 1e-13)


@pytest.mark.parametrize("shape", SHAPES)
def test_result_and_gradients(backend, shape):
    values = arrays(*shape)
    x, kernel, bias, upstream = (tf.constant(a, tf.float32) for a in values)
    with tf.GradientTape() as tape:
        tape.watch((x, kernel, bias))
        y = convolve_3x3(x, kernel, bias)
    # how TensorFlow's own convolution splits its sums depends on threads and on what ran before
    tolerance = 5e-6 if backend == "fallback" else 2e-6
    close([y, *tape.gradient(y, (x, kernel, bias), upstream)], exact(*values), tolerance)


@pytest.mark.native
@pytest.mark.parametrize("shape", SHAPES)
def test_all_instruction_sets_give_the_same_bits(library, shape):
    values = [tf.constant(a, tf.float32) for a in arrays(*shape)]
    for best, avx2 in zip(by_ops(*values), by_ops(*values, "avx2"), strict=True):
        np.testing.assert_array_equal(best, avx2)
    close(by_ops(*values, "avx2"), exact(*arrays(*shape)), 2e-6)


@pytest.mark.native
@pytest.mark.parametrize("level", ["best", "avx2"])
def test_kernel_gradient_of_many_tiles(library, level):
    """More tiles than are transformed at a time: their sums are added up."""
    x, kernel, _, upstream = arrays(3, 94, 95, 130, 70)
    assert 3 * 47 * 48 * 64 * (130 + 70) > 2 * 2**25  # so it takes three rounds
    found = library.dfl_tf_winograd_filter_gradient(
        x=tf.constant(x, tf.float32), upstream=tf.constant(upstream, tf.float32), level=level
    )
    close(
        found, [reference.convolve_gradients(x, kernel, upstream)[1], upstream.sum((0, 1, 2))], 2e-6
    )


@pytest.mark.native
@pytest.mark.parametrize("shape", [*SHAPES, (2, 50, 50, 70, 48)])
def test_bfloat16(library, shape):
    if not native.has_winograd("bfloat16"):
        pytest.skip("this CPU leaves bfloat16 to TensorFlow")
    x, kernel, bias, upstream = (
        tf.cast(tf.cast(a, tf.bfloat16), tf.float32) for a in arrays(*shape)
    )
    expected = exact(*(tf.cast(a, tf.float64).numpy() for a in (x, kernel, bias, upstream)))
    found = by_ops(tf.cast(x, tf.bfloat16), kernel, bias, tf.cast(upstream, tf.bfloat16))
    assert [a.dtype for a in found] == [tf.bfloat16, tf.bfloat16, tf.float32, tf.float32]
    for a, b in zip(found, expected, strict=True):
        error = tf.cast(a, tf.float64).numpy() - b
        # numbers of eight bits: half a unit is 2e-3 of a number, the largest one is several times
        # the mean one, and two roundings of factors and one of the result add up
        assert np.sqrt(np.mean(error**2)) < 7e-3 * np.sqrt(np.mean(b**2))
        assert np.abs(error).max() < 1.2e-2 * np.abs(b).max()


@pytest.mark.slow
@pytest.mark.native
def test_results_do_not_depend_on_threads(tmp_path):
    code = """
import sys
import numpy as np, tensorflow as tf
from dfl_tf_ops import native
tf.config.threading.set_intra_op_parallelism_threads(int(sys.argv[1]))
rng = np.random.default_rng(0)
x, k, b, s = (tf.constant(rng.standard_normal(shape), tf.float32)
              for shape in ((2, 33, 40, 70), (3, 3, 70, 90), (90,), (2, 33, 40, 90)))
ops = native.library()
np.savez(sys.argv[2], ops.dfl_tf_winograd_conv2d(x=x, kernel=k, bias=b),
         ops.dfl_tf_winograd_conv2d(x=s, kernel=k, bias=b[:0], towards_input=True),
         *ops.dfl_tf_winograd_filter_gradient(x=x, upstream=s))
"""
    found = []
    for threads in ("1", "3"):
        path = tmp_path / f"{threads}.npz"
        environment = {**os.environ, "DFL_TF_NATIVE": "require"}
        subprocess.run(
            [sys.executable, "-c", code, threads, str(path)], env=environment, check=True
        )
        with np.load(path) as arrays:
            found.append([arrays[name] for name in arrays.files])
    assert len(found[0]) == 4
    for one, three in zip(*found, strict=True):
        np.testing.assert_array_equal(one, three)


@pytest.mark.native
def test_shapes_that_do_not_fit_are_named(library):
    x, kernel, none = tf.zeros((1, 4, 4, 8)), tf.zeros((3, 3, 9, 8)), tf.zeros(0)
    convolve = library.dfl_tf_winograd_conv2d
    with pytest.raises(
        tf.errors.InvalidArgumentError, match=r"\[1,4,4,8\] does not fit a kernel.*\[3,3,9,8\]"
    ):
        convolve(x=x, kernel=kernel, bias=none)
    with pytest.raises(tf.errors.InvalidArgumentError, match="does not fit a kernel"):
        convolve(x=x, kernel=tf.zeros((5, 5, 8, 8)), bias=none)
    with pytest.raises(tf.errors.InvalidArgumentError, match=r"shape \[7\] for 6 channels"):
        convolve(x=x, kernel=tf.zeros((3, 3, 8, 6)), bias=tf.zeros(7))
    with pytest.raises(
        tf.errors.InvalidArgumentError,
        match=r"\[1,4,4,8\] does not fit an upstream gradient.*\[1,4,5,8\]",
    ):
        library.dfl_tf_winograd_filter_gradient(x=x, upstream=tf.zeros((1, 4, 5, 8)))


@pytest.mark.native
def test_nothing_in_nothing_out(library):
    empty, kernel = tf.zeros((0, 4, 4, 8)), tf.ones((3, 3, 8, 5))
    y = library.dfl_tf_winograd_conv2d(x=empty, kernel=kernel, bias=tf.ones(5))
    assert y.shape == (0, 4, 4, 5)
    towards_kernel = library.dfl_tf_winograd_filter_gradient(x=empty, upstream=y)
    np.testing.assert_array_equal(towards_kernel.gradient, np.zeros((3, 3, 8, 5), np.float32))
    np.testing.assert_array_equal(towards_kernel.bias_gradient, np.zeros(5, np.float32))


@pytest.mark.native
def test_shapes_are_known_when_a_graph_is_made(library):
    @tf.function(autograph=False)
    def gradients(x, kernel, bias):
        with tf.GradientTape() as tape:
            tape.watch((x, kernel, bias))
            y = convolve_3x3(x, kernel, bias)
        return y, *tape.gradient(y, (x, kernel, bias))

    specs = [tf.TensorSpec(s) for s in ((None, 6, 7, 8), (3, 3, 8, 4), (4,))]
    shapes = [t.shape.as_list() for t in gradients.get_concrete_function(*specs).outputs]
    assert shapes == [[None, 6, 7, 4], [None, 6, 7, 8], [3, 3, 8, 4], [4]]


def test_only_where_the_library_is(monkeypatch):
    monkeypatch.setenv("DFL_TF_NATIVE", "off")
    native.forget()
    assert not native.has_winograd("float32")
    native.forget()
    assert not native.has_winograd("float64")
