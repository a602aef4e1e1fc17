from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
from tensorflow.python.eager import context

from dfl_tf.nn.blocks import Residual, Upscale, leaky_relu, x_cos_x
from dfl_tf.nn.tensors import depth_to_space, space_to_depth

EDGES = [0.0, -0.0, 1e-45, -1e-45, -1e-38, 3.0, -3.0, np.inf, -np.inf, np.nan]


def values(*shape: int, dtype: str) -> tf.Tensor:
    x = np.random.default_rng(0).normal(size=shape)
    x.reshape(-1)[: len(EDGES)] = EDGES
    return tf.constant(x, dtype)


def with_gradient(function, x, towards):
    with tf.GradientTape() as tape:
        tape.watch(x)
        result = function(x)
    return result.numpy(), tape.gradient(result, x, output_gradients=towards).numpy()


@pytest.mark.parametrize("slope", [0.1, 0.2])
@pytest.mark.parametrize("dtype", ["float32", "float64", "bfloat16", "float16"])
def test_leaky_relu_and_its_gradient_are_tensorflows_to_the_bit(dtype, slope):
    x = values(2, 4, 4, 8, dtype=dtype)
    towards = tf.cast(tf.random.stateless_normal(x.shape, (1, 2)), dtype)
    wanted = with_gradient(lambda x: tf.nn.leaky_relu(x, slope), x, towards)
    for got, want in zip(
        with_gradient(lambda x: leaky_relu(x, slope), x, towards), wanted, strict=True
    ):
        assert got.tobytes() == want.tobytes()


@pytest.mark.parametrize("activation", [leaky_relu, x_cos_x])
def test_shuffled_activations_are_those_of_a_shuffle_behind_them(activation):
    x = values(2, 4, 4, 8, dtype="float64")
    towards = tf.random.stateless_normal((2, 8, 8, 2), (1, 2), dtype=tf.float64)
    found = with_gradient(lambda x: activation(x, 0.1, shuffled=True), x, towards)
    wanted = with_gradient(lambda x: depth_to_space(activation(x, 0.1)), x, towards)
    for got, want in zip(found, wanted, strict=True):
        np.testing.assert_array_equal(got, want)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_shuffles_undo_each_other(dtype):
    x = values(2, 3, 5, 12, dtype=dtype)
    unknown = tf.TensorSpec((None, None, None, 12), dtype)
    for shuffle in (depth_to_space, tf.function(depth_to_space, input_signature=[unknown])):
        expected = tf.nn.depth_to_space(tf.cast(x, tf.float32), 2)
        np.testing.assert_array_equal(tf.cast(shuffle(x), tf.float32), expected)
        np.testing.assert_array_equal(space_to_depth(shuffle(x)), x)


def test_second_derivatives_go_through_the_activation():
    x = tf.constant([[[[2.0, -3.0, 0.5, -0.5]]]])
    with tf.GradientTape() as outer:
        outer.watch(x)
        with tf.GradientTape() as inner:
            inner.watch(x)
            y = tf.reduce_sum(leaky_relu(x, 0.1) ** 2)
        slope = inner.gradient(y, x)
    np.testing.assert_allclose(slope, [[[[4.0, -0.06, 1.0, -0.01]]]], rtol=1e-6)
    np.testing.assert_allclose(outer.gradient(slope, x), [[[[2.0, 0.02, 2.0, 0.02]]]], rtol=1e-6)


@pytest.mark.parametrize(("kind", "convolutions"), [("up", 1), ("residual", 2)])
def test_convolutions_apply_the_slopes_themselves(kind, convolutions):
    """No activation is left beside the convolutions in the graph that TensorFlow runs."""
    block = Upscale(8, 4, leaky_relu) if kind == "up" else Residual(8, leaky_relu)
    block.build()

    @tf.function
    def gradients(x):
        with tf.GradientTape() as tape:
            total = tf.reduce_sum(block(x) ** 2)
        return tape.gradient(total, [v.value for v in block.trainable_variables])

    context.enable_run_metadata()
    try:
        gradients(tf.random.stateless_normal((2, 8, 8, 8), (3, 4)))
        graphs = context.export_run_metadata().partition_graphs
    finally:
        context.disable_run_metadata()
    kinds = [node.op for graph in graphs for node in graph.node]
    assert "LeakyRelu" not in kinds
    assert sum("FusedConv2D" in name for name in kinds) == convolutions
    assert kinds.count("LeakyReluGrad") == convolutions
