"""Which of the forms of a convolution is taken, and that they agree."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

from dfl_tf.devices.cpu import slow_weight_gradients
from dfl_tf.nn import layers
from dfl_tf.nn.convolution import (
    convolve_halving,
    convolve_same,
)
from dfl_tf.nn.tracing import Tracing, traced_with


def values(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape)


def gradients(x, kernel, upstream):
    with tf.GradientTape() as tape:
        tape.watch((x, kernel))
        y = convolve_same(x, kernel, tf.zeros(kernel.shape[3], kernel.dtype))
        total = tf.reduce_sum(y * upstream)
    return [y, *tape.gradient(total, (x, kernel))]


@pytest.mark.parametrize("size", [1, 3, 5])
@pytest.mark.parametrize("channels", [(32, 40), (40, 32), (32, 12)])
def test_gradients_are_those_of_the_convolution(size, channels):
    x, kernel = values(2, 7, 9, channels[0]), values(size, size, *channels, seed=1)
    upstream = values(2, 7, 9, channels[1], seed=2)
    exact = gradients(*(tf.constant(a) for a in (x, kernel, upstream)))
    with traced_with(Tracing(weight_gradient_by_gemm=True)):
        found = gradients(*(tf.constant(a, tf.float32) for a in (x, kernel, upstream)))
    for a, b in zip(found, exact, strict=True):
        np.testing.assert_allclose(a, b, atol=2e-6 * np.abs(b).max())


@pytest.mark.parametrize(
    ("gemm", "xla", "dtype", "channels"),
    [
        (True, False, "float32", 32), (False, False, "float32", 32), (True, True, "float32", 32),
        (True, False, "float64", 32), (True, False, "float32", 3),
    ],
)  # fmt: skip
def test_gemm_only_where_it_gains(gemm, xla, dtype, channels):
    with traced_with(Tracing(weight_gradient_by_gemm=gemm, blur_as_matmul=xla)):
        graph = tf.function(gradients, autograph=False).get_concrete_function(
            *(
                tf.TensorSpec(shape, dtype)
                for shape in ((2, 8, 8, channels), (3, 3, channels, 32), (2, 8, 8, 32))
            )
        )
    kinds = [op.type for op in graph.graph.get_operations()]
    if (gemm, xla, dtype, channels) == (True, False, "float32", 32):
        assert kinds.count("MatMul") == 9
        assert "Conv2DBackpropFilter" not in kinds
    else:
        assert "MatMul" not in kinds
        assert "Conv2DBackpropFilter" in kinds


def graph_of(dtype, side, kernel, inputs, outputs):
    graph = tf.function(gradients, autograph=False).get_concrete_function(
        *(
            tf.TensorSpec(shape, dtype)
            for shape in (
                (2, side, side, inputs), (kernel, kernel, inputs, outputs), (2, side, side, outputs)
            )
        )
    )  # fmt: skip
    return [op.type for op in graph.graph.get_operations()]


FEWER = ["DflTf>WinogradConv2D", "DflTf>WinogradConv2D", "DflTf>WinogradFilterGradient"]


@pytest.mark.native
def test_winograd_comes_first():
    with traced_with(Tracing(winograd=True, weight_gradient_by_gemm=True)):
        kinds = graph_of("float32", 4, 3, 64, 80)
        assert sorted(k for k in kinds if "Conv" in k or "Winograd" in k) == FEWER
        assert "MatMul" not in kinds


@pytest.mark.native
@pytest.mark.parametrize(
    ("dtype", "side", "kernel", "inputs", "outputs"),
    [
        ("float64", 8, 3, 64, 64), ("float16", 8, 3, 64, 64), ("float32", 3, 3, 64, 64),
        ("float32", 8, 5, 64, 64), ("float32", 8, 1, 64, 64), ("float32", 8, 3, 63, 64),
        ("float32", 8, 3, 64, 63),
    ],
)  # fmt: skip
def test_winograd_only_where_it_gains(dtype, side, kernel, inputs, outputs):
    with traced_with(Tracing(winograd=True)):
        kinds = graph_of(dtype, side, kernel, inputs, outputs)
    assert "Conv2D" in kinds
    assert not set(FEWER) & set(kinds)


def test_images_of_unknown_size_are_convolved_in_the_plain_way():
    @tf.function(autograph=False)
    def convolve(x, kernel, bias):
        assert convolve_halving(x, tf.zeros((5, 5, 64, 64)), bias) is None
        return convolve_same(x, kernel, bias)

    specs = [tf.TensorSpec(s) for s in ((None, None, None, 64), (3, 3, 64, 64), (64,))]
    with traced_with(Tracing(winograd=True)):
        graph = convolve.get_concrete_function(*specs).graph
    assert "Conv2D" in [op.type for op in graph.get_operations()]


def test_winograd_neither_for_xla_nor_unasked():
    shapes = ("float32", 8, 3, 64, 64)
    with traced_with(Tracing(winograd=True, blur_as_matmul=True)):
        assert not set(FEWER) & set(graph_of(*shapes))
    assert not set(FEWER) & set(graph_of(*shapes))


def test_winograd_gives_the_same_result_and_gradients():
    x, kernel = values(2, 7, 9, 64), values(3, 3, 64, 70, seed=1)
    upstream = values(2, 7, 9, 70, seed=2)
    exact = gradients(*(tf.constant(a) for a in (x, kernel, upstream)))
    with traced_with(Tracing(winograd=True)):
        found = gradients(*(tf.constant(a, tf.float32) for a in (x, kernel, upstream)))
    for a, b in zip(found, exact, strict=True):
        np.testing.assert_allclose(a, b, atol=2e-6 * np.abs(b).max())


@pytest.mark.native
@pytest.mark.parametrize("widened", [False, True])
def test_halving_as_a_convolution_of_quarters(widened):
    """The layer's 5x5 convolution with stride 2, plain in float64, and by Winograd."""
    found = []
    upstream = values(2, 5, 6, 70, seed=2)
    for dtype, fewer in (("float64", False), ("float32", True)):
        precision = "mixed_bfloat16" if widened and fewer else dtype
        layer = layers.Conv2D(16, 70, 5, strides=2, dtype=keras.DTypePolicy(precision))
        layer.build()
        layer.weight.assign(np.round(values(5, 5, 16, 70) * 16) / 16)  # exact in bfloat16
        layer.bias.assign(np.round(values(70, seed=3) * 16) / 16)
        x = tf.constant(np.round(values(2, 10, 12, 16, seed=1) * 16) / 16, dtype)
        graph = tf.function(lambda layer, x: layer(x), autograph=False)
        with traced_with(Tracing(winograd=fewer, widen=widened)), tf.GradientTape() as tape:
            tape.watch(x)
            y = layer(x)
            total = tf.reduce_sum(tf.cast(y, dtype) * upstream)
            kinds = [op.type for op in graph.get_concrete_function(layer, x).graph.get_operations()]
        assert ("DflTf>WinogradConv2D" in kinds) == fewer
        assert ("Conv2D" in kinds) != fewer
        found.append([y, *tape.gradient(total, (x, layer.weight, layer.bias))])
    for exact, few in zip(*found, strict=True):
        a, b = (tf.cast(t, tf.float64).numpy() for t in (few, exact))
        np.testing.assert_allclose(a, b, atol=(5e-3 if widened else 2e-6) * np.abs(b).max())


@pytest.mark.parametrize(
    ("height", "kernel", "inputs", "dtype"),
    [(9, 5, 16, "float32"), (10, 3, 16, "float32"), (10, 5, 15, "float32"), (6, 5, 16, "float32"),
     (10, 5, 16, "float64")],
)  # fmt: skip
def test_halving_in_the_plain_way_where_quarters_gain_nothing(height, kernel, inputs, dtype):
    x, weight = (
        tf.zeros(s, dtype) for s in ((1, height, height, inputs), (kernel, kernel, inputs, 70))
    )
    with traced_with(Tracing(winograd=True)):
        assert convolve_halving(x, weight, tf.zeros(70, dtype)) is None


def test_cpus_with_avx512_have_fast_kernels():
    assert slow_weight_gradients("fpu avx avx2 fma")
    assert not slow_weight_gradients("fpu avx2 avx512f avx512_bf16")
    assert not slow_weight_gradients("asimd bf16")
    assert not slow_weight_gradients("")
