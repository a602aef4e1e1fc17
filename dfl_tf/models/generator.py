"""The generator of the df and liae architectures: codes, reconstructions, the swap."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol, TypeVar

import tensorflow as tf

from dfl_tf.models.df_liae import Archi, Decoder, Encoder, Inter
from dfl_tf.nn.layers import Network


class DecoderOutput(NamedTuple):
    """What a decoder returns: (n, r, r, 3) image and (n, r, r, 1) mask."""

    image: tf.Tensor
    mask: tf.Tensor


N = TypeVar("N", bound=Network)


class MakeNetwork(Protocol):
    """Makes the networks of a model: `FaceModel.make_network`."""

    def __call__(self, cls: type[N], *args: object, scope: str, **kwargs: object) -> N:
        """Make a network with the name `scope`, in the precision of the model."""


def parts(archi: Archi) -> tuple[str, ...]:
    """Return the file stems of the generator's networks, in save order."""
    if archi.flavor == "df":
        return ("encoder", "inter", "decoder_src", "decoder_dst")
    return ("encoder", "inter_AB", "inter_B", "decoder")


def build(
    make: MakeNetwork, archi: Archi, resolution: int, *, e: int, ae: int, d: int, dm: int
) -> dict[str, Network]:
    """Make the generator's networks.

    Parameters
    ----------
    make : callable
        `make(cls, *args, scope=name)`: names a network and gives it its precision.
    e, ae, d, dm : int
        The four dims options.

    References
    ----------
    models.md 2.3 to 2.7
    """
    archi.check_resolution(resolution)
    length = 8 * e * archi.code_resolution(resolution) ** 2
    networks = {"encoder": make(Encoder, archi, resolution, e, scope="encoder")}
    for part in parts(archi)[1:]:
        if part.startswith("inter"):
            channels = ae if archi.flavor == "df" else ae * 2
            networks[part] = make(Inter, archi, resolution, length, ae, channels, scope=part)
        else:
            channels = ae if archi.flavor == "df" else ae * 4
            networks[part] = make(Decoder, archi, channels, d, dm, scope=part)
    return networks


@dataclass(frozen=True)
class Generator:
    """The generator's networks and how they are joined (models.md 2.7)."""

    archi: Archi
    networks: Mapping[str, Network]

    def codes(self, src: tf.Tensor, dst: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        """Return the decoder inputs of src, of dst, and of dst made to look like src.

        Both people go through the shared networks as one batch.

        Parameters
        ----------
        src, dst : tensor, shape (n, r, r, 3), nominally in [0, 1], BGR

        Returns
        -------
        tuple of three tensors, shape (n, s, s, c)
            s is the side and c the number of channels that the decoders take.
        """
        code = self.networks["encoder"](tf.concat((src, dst), axis=0))
        if self.archi.flavor == "df":
            src_code, dst_code = tf.split(self.networks["inter"](code), 2)
            return src_code, dst_code, dst_code
        ab_src, ab_dst = tf.split(self.networks["inter_AB"](code), 2)
        b_dst = self.networks["inter_B"](tf.split(code, 2)[1])
        return (
            tf.concat((ab_src, ab_src), axis=-1),
            tf.concat((b_dst, ab_dst), axis=-1),
            tf.concat((ab_dst, ab_dst), axis=-1),
        )

    def decode(self, src: Sequence[tf.Tensor], dst: Sequence[tf.Tensor]) -> list[DecoderOutput]:
        """Decode codes by the src and by the dst decoder; codes of one decoder are one batch.

        Parameters
        ----------
        src, dst : sequence of tensor, shape (n, s, s, c)
            As in `codes`.

        Returns
        -------
        list of DecoderOutput
            Of `src`, then of `dst`: images, shape (n, r, r, 3), and masks, shape (n, r, r, 1).
        """
        if self.archi.flavor == "liae":
            return _decode_together(self.networks["decoder"], [*src, *dst])
        decoded = _decode_together(self.networks["decoder_src"], src) if src else []
        return decoded + (_decode_together(self.networks["decoder_dst"], dst) if dst else [])

    def swap_code(self, dst: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Return the decoder inputs of (swap, dst) for dst images alone.

        Parameters
        ----------
        dst : tensor, shape (n, r, r, 3), nominally in [0, 1], BGR

        Returns
        -------
        tuple of two tensors, shape (n, s, s, c)
        """
        code = self.networks["encoder"](dst)
        if self.archi.flavor == "df":
            inter = self.networks["inter"](code)
            return inter, inter
        ab, b = self.networks["inter_AB"](code), self.networks["inter_B"](code)
        return tf.concat((ab, ab), axis=-1), tf.concat((b, ab), axis=-1)

    def src_code(self, src: tf.Tensor) -> tf.Tensor:
        """Return the decoder input, shape (n, s, s, c), of src images alone, shape (n, r, r, 3)."""
        code = self.networks["encoder"](src)
        if self.archi.flavor == "df":
            return self.networks["inter"](code)
        ab = self.networks["inter_AB"](code)
        return tf.concat((ab, ab), axis=-1)

    def swap(self, face: tf.Tensor) -> tuple[DecoderOutput, DecoderOutput]:
        """Return dst as src, and dst to dst.

        Parameters
        ----------
        face : tensor, shape (n, r, r, 3), nominally in [0, 1], BGR

        Returns
        -------
        tuple of two DecoderOutput
            Images, shape (n, r, r, 3), and masks, shape (n, r, r, 1).
        """
        swap_code, dst_code = self.swap_code(face)
        swap, dst = self.decode([swap_code], [dst_code])
        return swap, dst

    def src_to_src(self, face: tf.Tensor) -> DecoderOutput:
        """Return src images, shape (n, r, r, 3), as they are reproduced, and their masks."""
        return self.decode([self.src_code(face)], [])[0]

    def view(
        self, src: tf.Tensor, dst: tf.Tensor
    ) -> tuple[DecoderOutput, DecoderOutput, DecoderOutput]:
        """Return src to src, dst to dst, and dst as src.

        Parameters
        ----------
        src, dst : tensor, shape (n, r, r, 3), nominally in [0, 1], BGR

        Returns
        -------
        tuple of three DecoderOutput
            Images, shape (n, r, r, 3), and masks, shape (n, r, r, 1).
        """
        src_code, dst_code, swap_code = self.codes(src, dst)
        src_src, swap, dst_dst = self.decode([src_code, swap_code], [dst_code])
        return src_src, dst_dst, swap


def _decode_together(decoder: Network, codes: Sequence[tf.Tensor]) -> list[DecoderOutput]:
    image, mask = decoder(codes[0] if len(codes) == 1 else tf.concat(codes, axis=0))
    count = len(codes)
    pairs = zip(tf.split(image, count), tf.split(mask, count), strict=True)
    return [DecoderOutput(*pair) for pair in pairs]
