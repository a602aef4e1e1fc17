"""Layers: padding, names, initial values, precision."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

from dfl_tf.nn import layers
from dfl_tf.nn.blocks import Downscale, Residual, Upscale, leaky_relu
from dfl_tf.nn.initializers import initial_value, initialize
from dfl_tf.nn.tracing import Tracing, traced_with


def padded_convolution(x, kernel, stride, dilation):
    """The definition: the same number of zeros on all four sides, then VALID (models.md 1.1)."""
    pad = ((kernel.shape[0] - 1) * dilation + 1) // 2
    x = np.pad(x, ((0, 0), (pad, pad), (pad, pad), (0, 0)))
    reach = (kernel.shape[0] - 1) * dilation + 1
    rows = (x.shape[1] - reach) // stride + 1
    out = np.zeros((x.shape[0], rows, rows, kernel.shape[3]))
    for i in range(rows):
        for j in range(rows):
            window = x[
                :,
                i * stride : i * stride + reach : dilation,
                j * stride : j * stride + reach : dilation,
            ]
            out[:, i, j] = np.einsum("nhwc,hwco->no", window, kernel)
    return out


@pytest.mark.parametrize("kernel", [1, 2, 3, 4, 5])
@pytest.mark.parametrize(("stride", "dilation"), [(1, 1), (2, 1), (1, 2)])
@pytest.mark.parametrize("size", [8, 9])
def test_convolution_pads_all_sides_alike(kernel, stride, dilation, size):
    rng = np.random.default_rng(kernel)
    layer = layers.Conv2D(2, 3, kernel, strides=stride, dilation=dilation, dtype="float64")
    layer.build()
    layer.weight.assign(rng.normal(size=layer.weight.shape))
    layer.bias.assign(rng.normal(size=3))
    x = rng.normal(size=(2, size, size, 2))
    want = padded_convolution(x, layer.weight.numpy(), stride, dilation) + layer.bias.numpy()
    np.testing.assert_allclose(layer(tf.constant(x)), want, atol=1e-12)


class Pair(layers.Network):
    """A network with a list, to see names."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        act = leaky_relu
        self.downs = [
            Downscale(3 * 2**i, 6 * 2**i, act, name=f"downs_{i}", dtype=self.dtype_policy)
            for i in range(2)
        ]
        self.up = Upscale(12, 5, act, name="up", dtype=self.dtype_policy)
        self.res = Residual(5, act, name="res", dtype=self.dtype_policy)

    def call(self, x):
        for down in self.downs:
            x = down(x)
        return self.res(self.up(x))


def test_paths_are_the_legacy_names_in_order_of_assignment():
    network = Pair(name="encoder")
    network.build()
    assert [v.path for v in network.weights] == [
        "encoder/downs_0/conv1/weight",
        "encoder/downs_0/conv1/bias",
        "encoder/downs_1/conv1/weight",
        "encoder/downs_1/conv1/bias",
        "encoder/up/conv1/weight",
        "encoder/up/conv1/bias",
        "encoder/res/conv1/weight",
        "encoder/res/conv1/bias",
        "encoder/res/conv2/weight",
        "encoder/res/conv2/bias",
    ]
    assert network(tf.zeros((1, 8, 8, 3))).shape == (1, 4, 4, 5)


def test_mixed_precision_computes_in_half_and_keeps_variables_wide():
    network = Pair(name="encoder", dtype=keras.DTypePolicy("mixed_bfloat16"))
    network.build()
    assert network(tf.zeros((1, 8, 8, 3))).dtype == tf.bfloat16
    assert {v.dtype for v in network.weights} == {"float32"}
    norm = layers.FRNorm2D(2, dtype=keras.DTypePolicy("mixed_float16"))
    norm.build()
    norm.weight.assign([1.0, 1.0])
    large = tf.constant(np.full((1, 2, 2, 2), 300.0), tf.float16)
    np.testing.assert_allclose(norm(large), np.ones((1, 2, 2, 2)), rtol=1e-3)


@pytest.mark.parametrize("kind", ["Conv2D", "strided", "wide", "Conv2DTranspose", "Dense"])
@pytest.mark.parametrize("widened", [False, True])
@pytest.mark.parametrize("precision", ["mixed_bfloat16", "mixed_float16"])
def test_gradients_of_biases_are_added_up_in_float32(kind, widened, precision):
    """In bfloat16 256 + 1 is 256, so the sum of 1200 ones would be 256."""
    policy = keras.DTypePolicy(precision)
    layer = {
        "Conv2D": lambda: layers.Conv2D(3, 5, 3, dtype=policy),
        "strided": lambda: layers.Conv2D(3, 5, 3, strides=2, dtype=policy),
        "wide": lambda: layers.Conv2D(64, 64, 3, dtype=policy),
        "Conv2DTranspose": lambda: layers.Conv2DTranspose(3, 5, 3, strides=2, dtype=policy),
        "Dense": lambda: layers.Dense(3, 5, dtype=policy),
    }[kind]()
    layer.build()
    shape = (1200, 3) if kind == "Dense" else (3, 20, 20, 64 if kind == "wide" else 3)
    with traced_with(Tracing(widen=widened, winograd=True)), tf.GradientTape() as tape:
        y = layer(tf.zeros(shape))
        total = tf.reduce_sum(tf.cast(y, tf.float32))
    assert y.dtype == policy.compute_dtype
    count = tf.size(y) // y.shape[-1]
    rounded = float(tf.cast(tf.cast(count, tf.float32), policy.compute_dtype))
    gradient = tf.cast(tape.gradient(total, layer.bias), tf.float32)
    np.testing.assert_array_equal(gradient, np.full(y.shape[-1], rounded))


def test_initial_values():
    limit = np.sqrt(6 / ((4 + 8) * 25))
    value = initial_value("a/conv1/weight", (5, 5, 4, 8), 1)
    assert value.dtype == np.float32
    assert np.abs(value).max() <= limit
    assert np.abs(value).max() > 0.97 * limit
    assert abs(value.mean()) < 0.1 * limit
    assert np.abs(initial_value("dense/weight", (100, 50), 1)).max() <= 0.2
    np.testing.assert_array_equal(value, initial_value("a/conv1/weight", (5, 5, 4, 8), 1))
    assert not np.array_equal(value, initial_value("b/conv1/weight", (5, 5, 4, 8), 1))
    assert not np.array_equal(value, initial_value("a/conv1/weight", (5, 5, 4, 8), 2))
    assert initial_value("frn/weight", (3,), 1).tolist() == [1, 1, 1]
    assert initial_value("frn/eps", (1,), 1).tolist() == [np.float32(1e-6)]
    assert initial_value("tlu/tau", (2,), 1).tolist() == [0, 0]
    network = Pair(name="encoder")
    network.build()
    initialize(network.weights, 4)
    want = initial_value("encoder/up/conv1/weight", (3, 3, 12, 20), 4)
    np.testing.assert_array_equal(network.up.conv1.weight.numpy(), want)
