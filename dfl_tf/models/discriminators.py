"""The two discriminators: of codes (true face) and of image patches (GAN)."""

from __future__ import annotations

import functools
import itertools
from typing import Unpack

import tensorflow as tf

from dfl_tf.errors import OptionError
from dfl_tf.nn.blocks import leaky_relu
from dfl_tf.nn.layers import Conv2D, Conv2DTranspose, LayerOptions, Network

_MAX_LAYERS = 9
_MAX_CHANNELS = 512


class CodeDiscriminator(Network):
    """Tell src from dst by the output of the inter network.

    Parameters
    ----------
    code_channels, code_resolution : int
        Channels and side of the inter output.

    References
    ----------
    models.md 2.9
    """

    def __init__(
        self, code_channels: int, code_resolution: int, **kwargs: Unpack[LayerOptions]
    ) -> None:
        super().__init__(**kwargs)
        self.convs = []
        channels = code_channels
        for i in range(1 + code_resolution // 8):
            width = 256 * min(2**i, 8)
            self.convs.append(
                Conv2D(
                    channels,
                    width,
                    4 if i == 0 else 3,
                    strides=2,
                    name=f"convs_{i}",
                    dtype=self.dtype_policy,
                )
            )
            channels = width
        self.out_conv = Conv2D(channels, 1, 1, name="out_conv", dtype=self.dtype_policy)

    def call(self, x: tf.Tensor) -> tf.Tensor:
        """Map codes (n, s, s, code_channels) to logits (n, s', s', 1)."""
        for conv in self.convs:
            x = leaky_relu(conv(x), 0.1)
        return tf.cast(self.out_conv(x), self.variable_dtype)


@functools.lru_cache
def _strides_by_receptive_field() -> dict[int, tuple[int, ...]]:
    """Return the best stack for each receptive field that 1 to 9 layers can have."""
    best: dict[int, tuple[int, ...]] = {}
    for count in range(1, _MAX_LAYERS + 1):
        # Bit j of the pattern belongs to layer j + 2 and the patterns count down from all ones.
        for reversed_tail in itertools.product((2, 1), repeat=count - 1):
            strides = (2, *reversed(reversed_tail))
            field, product = 3, 2
            for stride in strides[1:]:
                field += 2 * product
                product *= stride
            known = best.get(field)
            if known is None or (len(known) == count and sum(strides) > sum(known)):
                best[field] = strides
    return best


def patch_strides(patch_size: int) -> tuple[int, ...]:
    """Return the strides of the convolutions whose receptive field is nearest to `patch_size`.

    References
    ----------
    models.md 2.10
    """
    table = _strides_by_receptive_field()
    return table[min(table, key=lambda field: (abs(field - patch_size), field))]


def check_patch_size(patch_size: int, resolution: int) -> None:
    """Refuse a patch size whose strides do not divide the resolution.

    Raises
    ------
    OptionError
    """
    product = 1
    for stride in patch_strides(patch_size):
        product *= stride
    if resolution % product:
        raise OptionError(
            f"gan_patch_size={patch_size} halves the image {product.bit_length() - 1} times, but "
            f"resolution={resolution} is not a multiple of {product}. Choose a smaller "
            f"gan_patch_size (resolution / 8 is usual)."
        )


class UNetPatchDiscriminator(Network):
    """Tell true images from generated ones, patch by patch and pixel by pixel.

    Parameters
    ----------
    patch_size : int
        Wanted receptive field of the center logits (`patch_strides`).
    base_channels : int
    in_channels : int

    References
    ----------
    P. Isola et al., "Image-to-Image Translation with Conditional Adversarial Networks", CVPR 2017
    (patches); E. Schönfeld et al., "A U-Net Based Discriminator for Generative Adversarial
    Networks", CVPR 2020 (pixels); models.md 2.10.
    """

    def __init__(
        self,
        patch_size: int,
        base_channels: int,
        *,
        in_channels: int = 3,
        **kwargs: Unpack[LayerOptions],
    ) -> None:
        super().__init__(**kwargs)
        strides = patch_strides(patch_size)
        levels = [min(base_channels * 2**i, _MAX_CHANNELS) for i in range(len(strides) + 1)]
        dtype = self.dtype_policy
        self.convs = [
            Conv2D(levels[i], levels[i + 1], 3, strides=stride, name=f"convs_{i}", dtype=dtype)
            for i, stride in enumerate(strides)
        ]
        self.upconvs: list[Conv2DTranspose] = []
        for i in reversed(range(len(strides))):
            number = len(self.upconvs)
            width = levels[i + 1] * (1 if number == 0 else 2)  # all but the deepest have a skip
            self.upconvs.append(
                Conv2DTranspose(
                    width,
                    levels[i],
                    3,
                    strides=strides[i],
                    name=f"upconvs_{number}",
                    dtype=dtype,
                )
            )
        self.in_conv = Conv2D(in_channels, levels[0], 1, name="in_conv", dtype=dtype)
        self.out_conv = Conv2D(levels[0] * 2, 1, 1, name="out_conv", dtype=dtype)
        self.center_out = Conv2D(levels[-1], 1, 1, name="center_out", dtype=dtype)
        self.center_conv = Conv2D(levels[-1], levels[-1], 1, name="center_conv", dtype=dtype)

    def call(self, x: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Map (n, r, r, 3) to center logits (n, s, s, 1) and full-size logits (n, r, r, 1)."""
        x = leaky_relu(self.in_conv(x), 0.2)
        skips = []
        for conv in self.convs:
            skips.append(x)
            x = leaky_relu(conv(x), 0.2)
        center = self.center_out(x)
        x = leaky_relu(self.center_conv(x), 0.2)
        for upconv, skip in zip(self.upconvs, reversed(skips), strict=True):
            x = leaky_relu(upconv(x), 0.2)
            x = tf.concat((skip, x), axis=-1)
        out = self.out_conv(x)
        return tf.cast(center, self.variable_dtype), tf.cast(out, self.variable_dtype)
