"""The network of S3FD."""

from __future__ import annotations

from typing import Unpack

import keras
import tensorflow as tf

from dfl_tf.nn.layers import Conv2D, LayerOptions, Network, Shape

# VGG-16: convolutions and channels of each stage; a pool follows each.
_STAGES = ((2, 64), (2, 128), (3, 256), (3, 512), (3, 512))
_NORMALIZED = {3: "conv3_3_norm", 4: "conv4_3_norm", 5: "conv5_3_norm"}
_MEAN = (104.0, 117.0, 123.0)

Maps = list[tuple[tf.Tensor, tf.Tensor]]


class ChannelNorm(keras.layers.Layer):
    """Scale the channels of each pixel to length 1, then by a weight for each channel."""

    def __init__(self, channels: int, **kwargs: Unpack[LayerOptions]) -> None:
        super().__init__(**kwargs)
        self.channels = channels

    def build(self, input_shape: Shape | None = None) -> None:
        """Make `weight` (1, 1, 1, c)."""
        shape = (1, 1, 1, self.channels)
        self.weight = self.add_weight(shape=shape, initializer="ones", name="weight")
        self.built = True

    def call(self, x: tf.Tensor) -> tf.Tensor:
        """Normalize (n, h, w, c)."""
        length = tf.sqrt(tf.reduce_sum(tf.square(x), axis=-1, keepdims=True)) + 1e-10
        return x / length * self.weight


class S3FDNetwork(Network):
    """Single shot scale-invariant face detector: VGG-16 with heads at six strides.

    References
    ----------
    S. Zhang et al., "S3FD: Single Shot Scale-invariant Face Detector", ICCV 2017; extract.md 2.1.
    """

    def __init__(self, **kwargs: Unpack[LayerOptions]) -> None:
        super().__init__(**{"name": "S3FD"} | kwargs)
        channels = 3
        self.stages: list[list[Conv2D]] = []
        for number, (depth, width) in enumerate(_STAGES, start=1):
            stage = []
            for i in range(1, depth + 1):
                stage.append(self._conv(f"conv{number}_{i}", channels, width))
                channels = width
            self.stages.append(stage)
        self.fc6 = self._conv("fc6", 512, 1024, padding="VALID")  # padded by 3 in `call`
        self.fc7 = self._conv("fc7", 1024, 1024, size=1)
        self.conv6_1 = self._conv("conv6_1", 1024, 256, size=1)
        self.conv6_2 = self._conv("conv6_2", 256, 512, strides=2)
        self.conv7_1 = self._conv("conv7_1", 512, 128, size=1)
        self.conv7_2 = self._conv("conv7_2", 128, 256, strides=2)
        self.norms = {}
        for number, name in _NORMALIZED.items():
            self.norms[number] = ChannelNorm(_STAGES[number - 1][1], name=name)
            setattr(self, name, self.norms[number])
        taps = {name: _STAGES[number - 1][1] for number, name in _NORMALIZED.items()}
        taps |= {"fc7": 1024, "conv6_2": 512, "conv7_2": 256}
        self.heads = []
        for i, (name, width) in enumerate(taps.items()):
            scores = self._conv(f"{name}_mbox_conf", width, 4 if i == 0 else 2)
            places = self._conv(f"{name}_mbox_loc", width, 4)
            self.heads.append((scores, places))

    def _conv(
        self,
        name: str,
        inputs: int,
        outputs: int,
        *,
        size: int = 3,
        strides: int = 1,
        dilation: int = 1,
        padding: str = "SAME",
    ) -> Conv2D:
        layer = Conv2D(
            inputs, outputs, size, name=name, strides=strides, dilation=dilation, padding=padding
        )
        setattr(self, name, layer)
        return layer

    def call(self, x: tf.Tensor) -> Maps:
        """Compute the six maps of an image.

        Parameters
        ----------
        x : Tensor, shape (n, h, w, 3), float32, RGB, 0 to 255
            The mean is subtracted in the order of BGR (kept for compatibility).

        Returns
        -------
        list of (scores, places)
            For strides 4 to 128: probabilities of background and face (n, h', w', 2), and
            offsets of the boxes (n, h', w', 4).
        """
        x = x - tf.constant(_MEAN)
        taps = []
        for number, stage in enumerate(self.stages, start=1):
            for layer in stage:
                x = tf.nn.relu(layer(x))
            if number in self.norms:
                taps.append(self.norms[number](x))
            x = tf.nn.max_pool2d(x, 2, 2, "VALID")
        x = tf.nn.relu(self.fc6(tf.pad(x, ((0, 0), (3, 3), (3, 3), (0, 0)))))
        for layers in ((self.fc7,), (self.conv6_1, self.conv6_2), (self.conv7_1, self.conv7_2)):
            for layer in layers:
                x = tf.nn.relu(layer(x))
            taps.append(x)
        return [
            (_probabilities(scores(tap)), places(tap))
            for tap, (scores, places) in zip(taps, self.heads, strict=True)
        ]


def _probabilities(scores: tf.Tensor) -> tf.Tensor:
    if scores.shape[-1] == 4:  # three kinds of background: the likeliest counts
        background = tf.reduce_max(scores[..., :3], axis=-1, keepdims=True)
        scores = tf.concat((background, scores[..., 3:]), axis=-1)
    return tf.nn.softmax(scores)
