"""The encoder, inter and decoder of the df and liae architectures with their letters u, d, t, c."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Unpack

import tensorflow as tf

from dfl_tf.errors import OptionError
from dfl_tf.nn.blocks import Activation, Downscale, Residual, Upscale, leaky_relu, x_cos_x
from dfl_tf.nn.convolution import convolve_same
from dfl_tf.nn.layers import Block, Conv2D, Dense, LayerOptions, Network
from dfl_tf.nn.tensors import depth_to_space, flatten, pixel_norm, unflatten


@dataclass(frozen=True)
class Archi:
    """What an option string such as ``"liae-udt"`` says.

    `flavor` is "df" or "liae"; the flags are the letters: u = pixel norm of the code, d = half the
    dense grid and a shuffled output, t = a deeper encoder and decoder, c = x cos(x) activation.

    References
    ----------
    models.md 2.1
    """

    flavor: str
    u: bool = False
    d: bool = False
    t: bool = False
    c: bool = False

    @classmethod
    def parse(cls, text: str | Archi) -> Archi:
        """Read an option string; what has been read already is returned as it is.

        Raises
        ------
        OptionError
            If it is none of ``df``, ``liae``, each optionally with ``-`` and letters of u, d, t, c.
        """
        if isinstance(text, Archi):
            return text
        flavor, dash, letters = text.partition("-")
        if flavor not in ("df", "liae") or set(letters) - set("udtc") or (dash and not letters):
            raise OptionError(
                f"archi={text!r} is unknown. Allowed: df or liae, optionally followed by - and "
                'letters out of u, d, t, c, e.g. "liae-ud".'
            )
        return cls(flavor, *(letter in letters for letter in "udtc"))

    def __str__(self) -> str:
        letters = "".join(letter for letter in "udtc" if getattr(self, letter))
        return f"{self.flavor}-{letters}" if letters else self.flavor

    @property
    def resolution_step(self) -> int:
        """What the resolution must be a multiple of."""
        return 32 if self.d or self.t else 16

    @property
    def activation(self) -> Activation:
        """The activation of encoder, inter and decoder; see `leaky_relu`."""
        return x_cos_x if self.c else leaky_relu

    def check_resolution(self, resolution: int) -> None:
        """Refuse a resolution that the encoder cannot halve evenly (models.md 2.6).

        Raises
        ------
        OptionError
        """
        if resolution % self.resolution_step:
            raise OptionError(
                f"resolution={resolution} does not fit archi={self}: it must be a multiple of "
                f"{self.resolution_step}. Nearest: "
                f"{max(1, round(resolution / self.resolution_step)) * self.resolution_step}."
            )

    def code_resolution(self, resolution: int) -> int:
        """Side of the encoder's feature maps before they are flattened."""
        return resolution // (32 if self.t else 16)

    def grid_resolution(self, resolution: int) -> int:
        """Side of the dense grid inside the inter network."""
        return resolution // (32 if self.d else 16)

    def inter_resolution(self, resolution: int) -> int:
        """Side of the inter network's output."""
        return self.grid_resolution(resolution) * (1 if self.t else 2)


class DownscaleStack(Block):
    """Four halvings in a row: the encoder without the letter t."""

    def __init__(
        self, in_channels: int, width: int, activation: Activation, **kwargs: Unpack[LayerOptions]
    ) -> None:
        super().__init__(**kwargs)
        channels = (in_channels, *(width * 2**i for i in range(4)))
        self.downs = [
            Downscale(
                channels[i],
                channels[i + 1],
                activation,
                name=f"downs_{i}",
                dtype=self.dtype_policy,
            )
            for i in range(4)
        ]

    def call(self, x: tf.Tensor) -> tf.Tensor:
        """Map (n, r, r, in) to (n, r/16, r/16, 8 width)."""
        for down in self.downs:
            x = down(x)
        return x


class Encoder(Network):
    """Images to flat codes of length ``8 e_dims (code resolution)^2``.

    Parameters
    ----------
    archi : Archi or str
    e_dims : int
    ae_dims : int
        If not 0, a dense layer brings the code to this length (AMP).

    References
    ----------
    models.md 2.3, 3
    """

    def __init__(
        self,
        archi: Archi | str,
        resolution: int,
        e_dims: int,
        *,
        ae_dims: int = 0,
        **kwargs: Unpack[LayerOptions],
    ) -> None:
        super().__init__(**kwargs)
        archi = Archi.parse(archi)
        act, dtype, e = archi.activation, self.dtype_policy, e_dims
        self.normalize = archi.u
        self.deep = archi.t
        if archi.t:
            self.down1 = Downscale(3, e, act, name="down1", dtype=dtype)
            self.res1 = Residual(e, act, name="res1", dtype=dtype)
            self.down2 = Downscale(e, e * 2, act, name="down2", dtype=dtype)
            self.down3 = Downscale(e * 2, e * 4, act, name="down3", dtype=dtype)
            self.down4 = Downscale(e * 4, e * 8, act, name="down4", dtype=dtype)
            self.down5 = Downscale(e * 8, e * 8, act, name="down5", dtype=dtype)
            self.res5 = Residual(e * 8, act, name="res5", dtype=dtype)
        else:
            self.down1 = DownscaleStack(3, e, act, name="down1", dtype=dtype)
        self.dense1 = None
        if ae_dims:
            length = e * 8 * archi.code_resolution(resolution) ** 2
            self.dense1 = Dense(length, ae_dims, name="dense1", dtype=dtype)

    def call(self, x: tf.Tensor) -> tf.Tensor:
        """Map images (n, r, r, 3) to codes (n, length)."""
        x = self.down1(x)
        if self.deep:
            x = self.res1(x)
            for down in (self.down2, self.down3, self.down4, self.down5):
                x = down(x)
            x = self.res5(x)
        x = flatten(x)
        if self.normalize:
            x = pixel_norm(x)
        return x if self.dense1 is None else self.dense1(x)


class Inter(Network):
    """Flat codes to feature maps, through a narrow dense layer without activation.

    Parameters
    ----------
    archi : Archi or str
    code_length : int
        Length of the encoder's output.
    ae_dims, out_channels : int

    References
    ----------
    models.md 2.4
    """

    def __init__(
        self,
        archi: Archi | str,
        resolution: int,
        code_length: int,
        ae_dims: int,
        out_channels: int,
        **kwargs: Unpack[LayerOptions],
    ) -> None:
        super().__init__(**kwargs)
        archi = Archi.parse(archi)
        self.grid = archi.grid_resolution(resolution)
        self.out_channels = out_channels
        dtype = self.dtype_policy
        self.dense1 = Dense(code_length, ae_dims, name="dense1", dtype=dtype)
        self.dense2 = Dense(ae_dims, self.grid**2 * out_channels, name="dense2", dtype=dtype)
        self.upscale1 = None
        if not archi.t:
            self.upscale1 = Upscale(
                out_channels, out_channels, archi.activation, name="upscale1", dtype=dtype
            )

    def call(self, x: tf.Tensor) -> tf.Tensor:
        """Map codes (n, length) to (n, s, s, out_channels), s = `Archi.inter_resolution`."""
        x = self.dense2(self.dense1(x))
        x = unflatten(x, self.grid, self.grid, self.out_channels)
        return x if self.upscale1 is None else self.upscale1(x)


class Decoder(Network):
    """Feature maps to an image and its mask, both after a sigmoid.

    Parameters
    ----------
    archi : Archi or str
    in_channels, d_dims, d_mask_dims : int
    mask_first : bool
        The order in which AMP files list the output layers.

    References
    ----------
    models.md 2.5, 3
    """

    def __init__(
        self,
        archi: Archi | str,
        in_channels: int,
        d_dims: int,
        d_mask_dims: int,
        *,
        mask_first: bool = False,
        **kwargs: Unpack[LayerOptions],
    ) -> None:
        super().__init__(**kwargs)
        archi = Archi.parse(archi)
        act, dtype = archi.activation, self.dtype_policy
        factors = (8, 8, 4, 2) if archi.t else (8, 4, 2)
        widths = (in_channels, *(d_dims * factor for factor in factors))
        masks = (in_channels, *(d_mask_dims * factor for factor in factors))
        last_mask = masks[-1] // 2 if archi.d else masks[-1]
        steps = range(len(factors))

        def upscales(prefix: str, dims: tuple[int, ...]) -> None:
            for i in steps:
                layer = Upscale(dims[i], dims[i + 1], act, name=f"{prefix}{i}", dtype=dtype)
                setattr(self, f"{prefix}{i}", layer)

        def extra_mask() -> None:
            if archi.d:
                name = f"upscalem{len(factors)}"
                setattr(self, name, Upscale(masks[-1], last_mask, act, name=name, dtype=dtype))

        def out_images() -> None:
            self.out_conv = Conv2D(widths[-1], 3, 1, name="out_conv", dtype=dtype)
            for i in range(1, 4 if archi.d else 1):
                name = f"out_conv{i}"
                setattr(self, name, Conv2D(widths[-1], 3, 3, name=name, dtype=dtype))

        # The order of these lines is the order in the file.
        upscales("upscale", widths)
        for i in steps:
            setattr(self, f"res{i}", Residual(widths[i + 1], act, name=f"res{i}", dtype=dtype))
        upscales("upscalem", masks)
        if mask_first:
            extra_mask()
            self.out_convm = Conv2D(last_mask, 1, 1, name="out_convm", dtype=dtype)
            out_images()
        else:
            out_images()
            extra_mask()
            self.out_convm = Conv2D(last_mask, 1, 1, name="out_convm", dtype=dtype)

        self.shuffled = archi.d
        self.image_layers = [(f"upscale{i}", f"res{i}") for i in steps]
        self.mask_layers = [f"upscalem{i}" for i in range(len(factors) + archi.d)]

    def call(self, z: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Map (n, s, s, in) to an image (n, r, r, 3) and a mask (n, r, r, 1), both in (0, 1)."""
        x = z
        for upscale, residual in self.image_layers:
            x = getattr(self, residual)(getattr(self, upscale)(x))
        x = self._out_shuffled(x) if self.shuffled else self.out_conv(x)
        m = z
        for upscale in self.mask_layers:
            m = getattr(self, upscale)(m)
        m = self.out_convm(m)
        image = tf.sigmoid(tf.cast(x, self.variable_dtype))
        return image, tf.sigmoid(tf.cast(m, self.variable_dtype))

    def _out_shuffled(self, x: tf.Tensor) -> tf.Tensor:
        """Run the four output convolutions as one and place each on its quarter of the pixels.

        `out_conv` is 1x1 in the file; framed by zeros it is 3x3 like the others, and one
        convolution with 12 output channels is several times faster than four with 3.
        """
        convs = (self.out_conv, self.out_conv1, self.out_conv2, self.out_conv3)
        kernels = [tf.convert_to_tensor(conv.weight) for conv in convs]
        kernels[0] = tf.pad(kernels[0], ((1, 1), (1, 1), (0, 0), (0, 0)))
        biases = [tf.convert_to_tensor(conv.bias) for conv in convs]
        x = tf.cast(x, self.compute_dtype)
        return depth_to_space(
            convolve_same(x, tf.concat(kernels, axis=-1), tf.concat(biases, axis=0))
        )
