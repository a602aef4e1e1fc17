"""The segmentation network of XSeg."""

from __future__ import annotations

from typing import Unpack

import tensorflow as tf

from dfl_tf.nn.layers import (
    TLU,
    Block,
    BlurPool,
    Conv2D,
    Conv2DTranspose,
    Dense,
    FRNorm2D,
    LayerOptions,
    Network,
)
from dfl_tf.nn.tensors import flatten, unflatten

# Blocks and blur kernel of each encoder level, and channels in units of the base.
LEVELS = ((2, 4), (2, 3), (2, 2), (3, 2), (3, 2), (3, 2))
WIDTHS = (1, 2, 4, 8, 8, 8)
_BOTTOM = 4
_DENSE = 512


class ConvBlock(Block):
    """3x3 convolution, filter response norm, threshold; upward with stride 2 if `up`."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        *,
        up: bool = False,
        **kwargs: Unpack[LayerOptions],
    ):
        super().__init__(**kwargs)
        dtype = self.dtype_policy
        if up:
            self.conv = Conv2DTranspose(
                in_channels, out_channels, 3, strides=2, name="conv", dtype=dtype
            )
        else:
            self.conv = Conv2D(in_channels, out_channels, 3, name="conv", dtype=dtype)
        self.frn = FRNorm2D(out_channels, name="frn", dtype=dtype)
        self.tlu = TLU(out_channels, name="tlu", dtype=dtype)

    def call(self, x: tf.Tensor) -> tf.Tensor:
        """Map (n, h, w, in) to (n, h', w', out)."""
        return self.frn.thresholded(self.conv(x), self.tlu)


class XSegNetwork(Network):
    """A U-Net of six levels with a dense bottom, for 256x256 images.

    Parameters
    ----------
    base : int
        Channels of the first level.

    References
    ----------
    models.md 4
    """

    def __init__(self, base: int = 32, **kwargs: Unpack[LayerOptions]) -> None:
        super().__init__(**kwargs)
        dtype = self.dtype_policy
        widths = [base * width for width in WIDTHS]
        self.width = widths[-1]
        channels = 3
        self.encoder_names: list[list[str]] = []
        self.blurs = []
        for level, (blocks, kernel) in enumerate(LEVELS):
            names = [f"conv{level}{i + 1}" for i in range(blocks)]
            for name in names:
                setattr(self, name, ConvBlock(channels, widths[level], name=name, dtype=dtype))
                channels = widths[level]
            self.encoder_names.append(names)
            self.blurs.append(BlurPool(kernel, name=f"blurs_{level}", dtype=dtype))
        length = _BOTTOM**2 * self.width
        self.dense1 = Dense(length, _DENSE, name="dense1", dtype=dtype)
        self.dense2 = Dense(_DENSE, length, name="dense2", dtype=dtype)
        self.decoder_names: list[list[str]] = []
        for level in reversed(range(len(LEVELS))):
            width = widths[level]
            # The deep levels go up to half of what they come down with.
            up_width = width // 2 if level >= 3 else width
            up = f"up{level}"
            setattr(self, up, ConvBlock(channels, up_width, up=True, name=up, dtype=dtype))
            channels = up_width + width
            names = [f"uconv{level}{i}" for i in range(LEVELS[level][0], 0, -1)]
            for name in names:
                setattr(self, name, ConvBlock(channels, width, name=name, dtype=dtype))
                channels = width
            self.decoder_names.append([up, *names])
        self.out_conv = Conv2D(channels, 1, 3, name="out_conv", dtype=dtype)

    def call(self, x: tf.Tensor, without_skips: bool = False) -> tf.Tensor:
        """Map images (n, 256, 256, 3) to logits (n, 256, 256, 1).

        `without_skips` puts zeros in place of all six skips, as pretraining does.
        """
        skips = []
        for names, blur in zip(self.encoder_names, self.blurs, strict=True):
            for name in names:
                x = getattr(self, name)(x)
            skips.append(tf.zeros_like(x) if without_skips else x)
            x = blur(x)
        x = self.dense2(self.dense1(flatten(x)))
        x = unflatten(x, _BOTTOM, _BOTTOM, self.width)
        for (up, *names), skip in zip(self.decoder_names, reversed(skips), strict=True):
            x = tf.concat((getattr(self, up)(x), skip), axis=-1)
            for name in names:
                x = getattr(self, name)(x)
        return tf.cast(self.out_conv(x), self.variable_dtype)
