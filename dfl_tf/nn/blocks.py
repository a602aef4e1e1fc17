"""The building blocks that all face models share."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Unpack

import tensorflow as tf

from dfl_tf.nn.layers import Block, Conv2D, LayerOptions
from dfl_tf.nn.tensors import depth_to_space, space_to_depth

Activation = Callable[..., tf.Tensor]  # of (tensor, slope, shuffled=False)


def leaky_relu(x: tf.Tensor, slope: float, *, shuffled: bool = False) -> tf.Tensor:
    """``x`` where positive, ``slope * x`` elsewhere, slope above 0; then `depth_to_space` on wish.

    Its gradient asks for the sign only, which the result has as well: so neither `x` nor the
    result before the shuffle need be kept, and the convolution that made `x` may apply the slope.

    Parameters
    ----------
    x : tensor, any shape; (n, h, w, 4 c) if `shuffled`
    slope : float
    shuffled : bool

    Returns
    -------
    tensor, shape of `x`, or (n, 2 h, 2 w, c) if `shuffled`
    """

    @tf.custom_gradient
    def activate(x: tf.Tensor) -> tuple[tf.Tensor, Callable[[tf.Tensor], tf.Tensor]]:
        result = tf.nn.leaky_relu(x, slope)
        if shuffled:
            result = depth_to_space(result)

        def gradient(towards: tf.Tensor) -> tf.Tensor:
            towards = tf.raw_ops.LeakyReluGrad(gradients=towards, features=result, alpha=slope)
            return space_to_depth(towards) if shuffled else towards

        return result, gradient

    return activate(x)


def x_cos_x(x: tf.Tensor, slope: float, *, shuffled: bool = False) -> tf.Tensor:
    """``x cos(x)``, the activation of the letter "c" (models.md 1.6).

    Takes and gives what `leaky_relu` does (see `leaky_relu`); `slope` plays no part.
    """
    result = x * tf.cos(x)
    return depth_to_space(result) if shuffled else result


class Downscale(Block):
    """5x5 convolution with stride 2, activation slope 0.1 (models.md 2.2)."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        activation: Activation,
        **kwargs: Unpack[LayerOptions],
    ) -> None:
        super().__init__(**kwargs)
        self.conv1 = Conv2D(
            in_channels, out_channels, 5, strides=2, name="conv1", dtype=self.dtype_policy
        )
        self.activation = partial(activation, slope=0.1)

    def call(self, x: tf.Tensor) -> tf.Tensor:
        """Map (n, h, w, in) to (n, h/2, w/2, out), rounded up."""
        return self.activation(self.conv1(x))


class Upscale(Block):
    """3x3 convolution to four times the channels, activation, then shuffle (models.md 2.2)."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        activation: Activation,
        **kwargs: Unpack[LayerOptions],
    ) -> None:
        super().__init__(**kwargs)
        self.conv1 = Conv2D(in_channels, out_channels * 4, 3, name="conv1", dtype=self.dtype_policy)
        self.activation = partial(activation, slope=0.1)

    def call(self, x: tf.Tensor) -> tf.Tensor:
        """Map (n, h, w, in) to (n, 2h, 2w, out)."""
        return self.activation(self.conv1(x), shuffled=True)


class Residual(Block):
    """Two 3x3 convolutions, the input added to them, activation slope 0.2 (models.md 2.2)."""

    def __init__(
        self, channels: int, activation: Activation, **kwargs: Unpack[LayerOptions]
    ) -> None:
        super().__init__(**kwargs)
        self.conv1 = Conv2D(channels, channels, 3, name="conv1", dtype=self.dtype_policy)
        self.conv2 = Conv2D(channels, channels, 3, name="conv2", dtype=self.dtype_policy)
        self.activation = partial(activation, slope=0.2)

    def call(self, x: tf.Tensor) -> tf.Tensor:
        """Keep the shape (n, h, w, channels)."""
        y = self.activation(self.conv1(x))
        return self.activation(self.conv2(y) + x)
