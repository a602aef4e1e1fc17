"""FaceEnhancer, the legacy release's network that enlarges faces four times."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import keras
import numpy as np
import numpy.typing as npt
import tensorflow as tf

from dfl_tf.nn.layers import Conv2D, Network

Floats = npt.NDArray[np.float32]

PATCH = 192
FACTOR = 4
_STEP = PATCH // 2
_LEVELS = (64, 112, 192, 336, 512)
_UPWARD = (512, 512, 288, 160, 96)
_STRENGTHS = (0.2, 1.0)


class ChannelShift(keras.layers.Layer):
    """A number times a weight for each channel, to be added to every pixel."""

    def __init__(self, channels: int, **kwargs: object) -> None:
        super().__init__(**kwargs)
        self.channels = channels

    def build(self, input_shape: object = None) -> None:
        """Make `weight` (1, c)."""
        shape = (1, self.channels)
        self.weight = self.add_weight(shape=shape, initializer="zeros", name="weight")
        self.built = True

    def call(self, x: tf.Tensor) -> tf.Tensor:
        """Map (n, 1) to (n, 1, 1, c)."""
        return tf.matmul(x, self.weight)[:, None, None, :]


class FaceEnhancerNetwork(Network):
    """A U-Net with three outputs, each twice the size of the one before.

    References
    ----------
    extract.md 4.1.
    """

    def __init__(self, **kwargs: object) -> None:
        super().__init__(**{"name": "FaceEnhancer"} | kwargs)
        self._conv("conv1", 3, 64)
        self.dense1 = ChannelShift(64, name="dense1")
        self.dense2 = ChannelShift(64, name="dense2")
        width = 64
        for level, channels in enumerate(_LEVELS):
            self._conv(f"e{level}_conv0", width, channels)
            self._conv(f"e{level}_conv1", channels, channels)
            width = channels
        for i in range(4):
            self._conv(f"center_conv{i}", width, width)
        for level, channels in zip(reversed(range(len(_LEVELS))), _UPWARD, strict=True):
            self._conv(f"d{level}_conv0", width + _LEVELS[level], channels)
            self._conv(f"d{level}_conv1", channels, channels)
            width = channels
        self._pair("out1x", 96, 48, 3)
        self._pair("dec2x", 96, 96, 96)
        self._pair("out2x", 96, 48, 3)
        self._pair("dec4x", 96, 72, 72)
        self._pair("out4x", 72, 36, 3)

    def _conv(self, name: str, inputs: int, outputs: int) -> None:
        setattr(self, name, Conv2D(inputs, outputs, 3, name=name))

    def _pair(self, name: str, inputs: int, between: int, outputs: int) -> None:
        self._conv(f"{name}_conv0", inputs, between)
        self._conv(f"{name}_conv1", between, outputs)

    def call(self, image: tf.Tensor, first: tf.Tensor, second: tf.Tensor) -> tf.Tensor:
        """Enlarge an image.

        Parameters
        ----------
        image : Tensor, shape (n, 192, 192, 3), float32, BGR, [-1, 1]
        first, second : Tensor, shape (n, 1)
            Two settings of the network; the legacy program uses 0.2 and 1.0.

        Returns
        -------
        Tensor, shape (n, 768, 768, 3), float32
            Not clipped.
        """

        def run(name: str, x: tf.Tensor) -> tf.Tensor:
            return tf.nn.leaky_relu(getattr(self, name)(x), 0.1)

        def residual(name: str, x: tf.Tensor) -> tf.Tensor:
            return tf.tanh(getattr(self, f"{name}_conv1")(run(f"{name}_conv0", x)))

        x = tf.nn.leaky_relu(self.conv1(image) + self.dense1(first) + self.dense2(second), 0.1)
        levels = []
        for level in range(len(_LEVELS)):
            x = run(f"e{level}_conv1", run(f"e{level}_conv0", x))
            levels.append(x)
            x = tf.nn.avg_pool2d(x, 2, 2, "VALID")
        for i in range(4):
            x = run(f"center_conv{i}", x)
        for level in reversed(range(len(_LEVELS))):
            x = tf.concat((_doubled(x), levels[level]), axis=-1)
            x = run(f"d{level}_conv1", run(f"d{level}_conv0", x))
        result = image + residual("out1x", x)
        for name in ("2x", "4x"):
            x = _doubled(run(f"dec{name}_conv1", run(f"dec{name}_conv0", x)))
            result = _doubled(result) + residual(f"out{name}", x)
        return result


def _doubled(x: tf.Tensor) -> tf.Tensor:
    """Twice the size by the rule of TensorFlow 1: even pixels are copies, odd ones are means."""
    for axis in (1, 2):
        following = tf.concat(
            (tf.gather(x, range(1, x.shape[axis]), axis=axis), _last(x, axis)), axis
        )
        pairs = tf.stack((x, (x + following) / 2), axis=axis + 1)
        shape = list(x.shape)
        shape[axis] *= 2
        x = tf.reshape(pairs, [-1, *shape[1:]])
    return x


def _last(x: tf.Tensor, axis: int) -> tf.Tensor:
    return x[:, -1:] if axis == 1 else x[:, :, -1:]


def enhance(
    image: Floats,
    network: Callable[[Floats, Floats, Floats], Floats],
    *,
    is_tanh: bool = False,
    preserve_size: bool = True,
) -> Floats:
    """Sharpen a face, or enlarge it four times.

    Parameters
    ----------
    image : ndarray, shape (h, w, 3), float32, BGR
        In [0, 1], or in [-1, 1] if `is_tanh`.
    network : callable
        A `FaceEnhancerNetwork`.
    is_tanh : bool
    preserve_size : bool
        Reduce the result to the size of `image`.

    Returns
    -------
    ndarray, shape (h, w, 3) or (4h, 4w, 3), float32
        In the range of `image`; not clipped if `is_tanh`.

    Notes
    -----
    The outermost row and column have weight 0 and become 0 (kept for compatibility).

    References
    ----------
    extract.md 4.2.
    """
    x = image if is_tanh else np.clip(image * 2 - 1, -1, 1)
    height, width = x.shape[:2]
    above, left = max(0, PATCH - height) // 2, max(0, PATCH - width) // 2
    below, right = max(0, PATCH - height - above), max(0, PATCH - width - left)
    x = np.pad(x, ((above, below), (left, right), (0, 0))).astype(np.float32)
    ramp = np.concatenate((np.linspace(0, 1, 2 * PATCH), np.linspace(1, 0, 2 * PATCH)))
    weight = np.outer(ramp, ramp)[:, :, None].astype(np.float32)
    sums = np.zeros((x.shape[0] * FACTOR, x.shape[1] * FACTOR, 3), np.float32)
    weights = np.zeros((*sums.shape[:2], 1), np.float32)
    first, second = (np.full((1, 1), value, np.float32) for value in _STRENGTHS)
    for top in _starts(x.shape[0]):
        for start in _starts(x.shape[1]):
            patch = x[None, top : top + PATCH, start : start + PATCH]
            place = (
                slice(top * FACTOR, (top + PATCH) * FACTOR),
                slice(start * FACTOR, (start + PATCH) * FACTOR),
            )
            sums[place] += np.asarray(network(patch, first, second))[0] * weight
            weights[place] += weight
    weights[weights == 0] = 1
    rows = slice(above * FACTOR, (above + height) * FACTOR)
    columns = slice(left * FACTOR, (left + width) * FACTOR)
    result = (sums / weights)[rows, columns]
    if preserve_size:
        result = cv2.resize(result, (width, height), interpolation=cv2.INTER_LANCZOS4)
    scaled = result if is_tanh else np.clip(result / 2 + 0.5, 0, 1)
    return scaled.astype(np.float32)


def _starts(length: int) -> list[int]:
    return [*range(0, length - PATCH, _STEP), length - PATCH]
