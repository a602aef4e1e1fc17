"""The network of FAN."""

from __future__ import annotations

from collections.abc import Callable
from typing import Unpack

import keras
import tensorflow as tf

from dfl_tf.nn.layers import BatchNorm2D, Block, Conv2D, LayerOptions, Network

STACKS = 4
_DEPTH = 4
_CHANNELS = 256
POINTS = 68


def _halved(x: tf.Tensor) -> tf.Tensor:
    return tf.nn.avg_pool2d(x, 2, 2, "VALID")


class MultiScaleBlock(Block):
    """Three convolutions in a row, whose results lie side by side, and a skip connection."""

    def __init__(self, inputs: int, outputs: int, **kwargs: Unpack[LayerOptions]) -> None:
        super().__init__(**kwargs)
        widths = (outputs // 2, outputs // 4, outputs // 4)
        channels = inputs
        for i, width in enumerate(widths, start=1):
            setattr(self, f"bn{i}", BatchNorm2D(channels, name=f"bn{i}"))
            layer = Conv2D(channels, width, 3, use_bias=False, name=f"conv{i}")
            setattr(self, f"conv{i}", layer)
            channels = width
        self.changes_width = inputs != outputs
        if self.changes_width:
            self.down_bn1 = BatchNorm2D(inputs, name="down_bn1")
            self.down_conv1 = Conv2D(inputs, outputs, 1, use_bias=False, name="down_conv1")

    def call(self, x: tf.Tensor) -> tf.Tensor:
        """Map (n, h, w, in) to (n, h, w, out)."""
        skip = self.down_conv1(tf.nn.relu(self.down_bn1(x))) if self.changes_width else x
        results = []
        for i in (1, 2, 3):
            x = getattr(self, f"conv{i}")(tf.nn.relu(getattr(self, f"bn{i}")(x)))
            results.append(x)
        return tf.concat(results, axis=-1) + skip


class Hourglass(Block):
    """Down to a fraction of the size and up again, with a path around each level."""

    def __init__(self, depth: int, **kwargs: Unpack[LayerOptions]) -> None:
        super().__init__(**kwargs)
        self.b1 = MultiScaleBlock(_CHANNELS, _CHANNELS, name="b1")
        self.b2 = MultiScaleBlock(_CHANNELS, _CHANNELS, name="b2")
        self.b2_plus = (
            Hourglass(depth - 1, name="b2_plus")
            if depth > 1
            else MultiScaleBlock(_CHANNELS, _CHANNELS, name="b2_plus")
        )
        self.b3 = MultiScaleBlock(_CHANNELS, _CHANNELS, name="b3")

    def call(self, x: tf.Tensor) -> tf.Tensor:
        """Map (n, h, w, c) to the same shape."""
        low = self.b3(self.b2_plus(self.b2(_halved(x))))
        return self.b1(x) + tf.repeat(tf.repeat(low, 2, axis=1), 2, axis=2)


class FANNetwork(Network):
    """Face alignment network: four stacked hourglasses that draw heat maps of 68 landmarks.

    References
    ----------
    A. Bulat and G. Tzimiropoulos, "How far are we from solving the 2D & 3D Face Alignment
    problem?", ICCV 2017; extract.md 3.1.
    """

    def __init__(self, **kwargs: Unpack[LayerOptions]) -> None:
        kwargs.setdefault("name", "FAN")
        super().__init__(**kwargs)
        self.conv1 = Conv2D(3, 64, 7, strides=2, name="conv1")
        self.bn1 = BatchNorm2D(64, name="bn1")
        self.conv2 = MultiScaleBlock(64, 128, name="conv2")
        self.conv3 = MultiScaleBlock(128, 128, name="conv3")
        self.conv4 = MultiScaleBlock(128, _CHANNELS, name="conv4")

        def stack(
            name: str, make: Callable[[str], keras.layers.Layer], count: int = STACKS
        ) -> list[keras.layers.Layer]:
            layers = [make(f"{name}_{i}") for i in range(count)]
            for layer in layers:
                setattr(self, layer.name, layer)
            return layers

        def pointwise(inputs: int, outputs: int) -> Callable[[str], Conv2D]:
            return lambda name: Conv2D(inputs, outputs, 1, name=name)

        self.hourglasses = stack("m", lambda name: Hourglass(_DEPTH, name=name))
        self.tops = stack("top_m", lambda name: MultiScaleBlock(_CHANNELS, _CHANNELS, name=name))
        self.lasts = stack("conv_last", pointwise(_CHANNELS, _CHANNELS))
        self.ends = stack("bn_end", lambda name: BatchNorm2D(_CHANNELS, name=name))
        self.maps = stack("l", pointwise(_CHANNELS, POINTS))
        self.features_back = stack("bl", pointwise(_CHANNELS, _CHANNELS), STACKS - 1)
        self.maps_back = stack("al", pointwise(POINTS, _CHANNELS), STACKS - 1)

    def stem(self, x: tf.Tensor) -> tf.Tensor:
        """What the first hourglass is given: (n, 64, 64, 256)."""
        x = _halved(self.conv2(tf.nn.relu(self.bn1(self.conv1(x)))))
        return self.conv4(self.conv3(x))

    def call(self, x: tf.Tensor) -> tf.Tensor:
        """Draw heat maps.

        Parameters
        ----------
        x : Tensor, shape (n, 256, 256, 3), float32, RGB, [0, 1]

        Returns
        -------
        Tensor, shape (n, 68, 64, 64), float32
            Not limited to any range.
        """
        x = self.stem(x)
        maps = x
        for i in range(STACKS):
            features = self.lasts[i](self.tops[i](self.hourglasses[i](x)))
            features = tf.nn.relu(self.ends[i](features))
            maps = self.maps[i](features)
            if i < STACKS - 1:
                x = x + self.features_back[i](features) + self.maps_back[i](maps)
        return tf.transpose(maps, (0, 3, 1, 2))
