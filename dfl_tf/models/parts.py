"""Which files the options of a model need, known without building a network.

References: models.md 5.2, 5.3.
"""

from __future__ import annotations

from dfl_tf.options import AMPOptions, Options, Quick96Options, SAEHDOptions, effective_dict

_GENERATORS = {
    "df": ("encoder", "inter", "decoder_src", "decoder_dst"),
    "liae": ("encoder", "inter_AB", "inter_B", "decoder"),
}


def saehd(options: SAEHDOptions) -> tuple[str, ...]:
    """Return the networks and optimizers of a SAEHD."""
    flavor = options.archi.partition("-")[0]
    parts: tuple[str, ...] = (*_GENERATORS[flavor], "src_dst_opt")
    if flavor == "df" and options.true_face_power:
        parts += ("code_discriminator", "D_code_opt")
    return parts + _gan(options)


def amp(options: AMPOptions) -> tuple[str, ...]:
    """Return the networks and optimizers of an AMP."""
    return ("encoder", "inter_src", "inter_dst", "decoder", "src_dst_opt", *_gan(options))


def quick96(options: Quick96Options) -> tuple[str, ...]:
    """Return the networks and the optimizer of a Quick96."""
    return (*_GENERATORS["df"], "src_dst_opt")


def xseg(options: Options) -> tuple[str, ...]:
    """Return the network and the optimizer of an XSeg."""
    return ("XSeg_256", "XSeg_256_opt")


def _gan(options: Options) -> tuple[str, ...]:
    return ("GAN", "GAN_opt") if effective_dict(options).get("gan_power") else ()
