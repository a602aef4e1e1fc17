"""The networks of AMP and how they are wired: one encoder, two inters, one decoder."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Unpack

import tensorflow as tf

from dfl_tf.errors import OptionError
from dfl_tf.models.df_liae import Archi, Decoder, Encoder
from dfl_tf.models.generator import DecoderOutput, MakeNetwork
from dfl_tf.nn.layers import Dense, LayerOptions, Network
from dfl_tf.nn.tensors import unflatten

PARTS = ("encoder", "inter_src", "inter_dst", "decoder")
_ARCHI = Archi("df", u=True, d=True, t=True)


class AMPInter(Network):
    """One dense layer from the code to a grid of `inter_dims` channels (models.md 3)."""

    def __init__(
        self, grid: int, ae_dims: int, inter_dims: int, **kwargs: Unpack[LayerOptions]
    ) -> None:
        super().__init__(**kwargs)
        self.grid = grid
        self.inter_dims = inter_dims
        self.dense2 = Dense(ae_dims, grid**2 * inter_dims, name="dense2", dtype=self.dtype_policy)

    def call(self, code: tf.Tensor) -> tf.Tensor:
        """Map codes (n, ae_dims) to (n, grid, grid, inter_dims)."""
        return unflatten(self.dense2(code), self.grid, self.grid, self.inter_dims)


def build(
    make: MakeNetwork, resolution: int, *, e: int, ae: int, inter: int, d: int, dm: int
) -> dict[str, Network]:
    """Make the generator's networks (models.md 3); arguments as for SAEHD.

    Raises
    ------
    OptionError
        If the resolution is not a multiple of 32.
    """
    if resolution % _ARCHI.resolution_step:
        raise OptionError(
            f"resolution={resolution} does not fit AMP: it must be a multiple of "
            f"{_ARCHI.resolution_step}."
        )
    grid = _ARCHI.grid_resolution(resolution)
    networks = {"encoder": make(Encoder, _ARCHI, resolution, e, ae_dims=ae, scope="encoder")}
    for part in ("inter_src", "inter_dst"):
        networks[part] = make(AMPInter, grid, ae, inter, scope=part)
    networks["decoder"] = make(Decoder, _ARCHI, inter, d, dm, mask_first=True, scope="decoder")
    return networks


@dataclass(frozen=True)
class AMPGenerator:
    """The generator's networks and how they are joined (models.md 3, training.md 5)."""

    networks: Mapping[str, Network]
    inter_dims: int

    def codes(
        self, src: tf.Tensor, dst: tf.Tensor, mixing: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        """Return the decoder inputs of src and of dst, and the flat code of dst.

        Parameters
        ----------
        src, dst : tensor, shape (n, r, r, 3), nominally in [0, 1], BGR
        mixing : tensor, shape (n, inter_dims), 0 or 1
            Which channels of src come from inter_src.

        Returns
        -------
        src, dst : tensor, shape (n, s, s, inter_dims)
        flat : tensor, shape (n, ae_dims)
        """
        code = self.networks["encoder"](tf.concat((src, dst), axis=0))
        code_src, code_dst = tf.split(code, 2)
        by_src = self.networks["inter_src"](code_src)
        src_by_dst, dst_by_dst = tf.split(self.networks["inter_dst"](code), 2)
        share = tf.cast(mixing, by_src.dtype)[:, None, None, :]
        return by_src * share + src_by_dst * (1.0 - share), dst_by_dst, code_dst

    def decode(self, *codes: tf.Tensor) -> list[DecoderOutput]:
        """Decode several codes, each of shape (n, s, s, inter_dims), as one batch."""
        image, mask = self.networks["decoder"](tf.concat(codes, axis=0))
        pairs = zip(tf.split(image, len(codes)), tf.split(mask, len(codes)), strict=True)
        return [DecoderOutput(*pair) for pair in pairs]

    def morphed(self, by_src: tf.Tensor, by_dst: tf.Tensor, morph: tf.Tensor) -> tf.Tensor:
        """Take the first ``int32(float32(inter_dims) * morph)`` channels from src.

        Parameters
        ----------
        by_src, by_dst : tensor, shape (n, s, s, inter_dims)
            What the two inters make of the same code.
        morph : scalar tensor, float32, in [0, 1]

        Returns
        -------
        tensor, shape (n, s, s, inter_dims)
        """
        count = tf.cast(tf.constant(self.inter_dims, tf.float32) * morph, tf.int32)
        return tf.where(tf.range(self.inter_dims) < count, by_src, by_dst)

    def view(
        self, src: tf.Tensor, dst: tf.Tensor, mixing: tf.Tensor, *morphs: tf.Tensor
    ) -> list[DecoderOutput]:
        """Return the images src to src, dst to dst, and dst morphed by each of `morphs`.

        Parameters
        ----------
        src, dst : tensor, shape (n, r, r, 3), nominally in [0, 1], BGR
        mixing : tensor, shape (n, inter_dims), 0 or 1
            Which channels of src come from inter_src.
        *morphs : scalar tensor, float32, in [0, 1]

        Returns
        -------
        list of DecoderOutput
            Images, shape (n, r, r, 3), and masks, shape (n, r, r, 1).
        """
        src_code, dst_code, flat = self.codes(src, dst, mixing)
        by_src = self.networks["inter_src"](flat)
        return self.decode(
            src_code, dst_code, *(self.morphed(by_src, dst_code, morph) for morph in morphs)
        )

    def swap(self, face: tf.Tensor, morph: tf.Tensor) -> tuple[DecoderOutput, DecoderOutput]:
        """Return the images of dst morphed, and dst to dst.

        Parameters
        ----------
        face : tensor, shape (n, r, r, 3), nominally in [0, 1], BGR
        morph : scalar tensor, float32, in [0, 1]

        Returns
        -------
        tuple of two DecoderOutput
            Images, shape (n, r, r, 3), and masks, shape (n, r, r, 1).
        """
        flat = self.networks["encoder"](face)
        by_src, by_dst = self.networks["inter_src"](flat), self.networks["inter_dst"](flat)
        swap, dst = self.decode(self.morphed(by_src, by_dst, morph), by_dst)
        return swap, dst
