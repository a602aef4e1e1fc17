"""Which files the options of a model need, known without building a network."""

from __future__ import annotations

from dfl_tf.options import Options, effective_dict

_SAEHD = {
    "df": ("encoder", "inter", "decoder_src", "decoder_dst"),
    "liae": ("encoder", "inter_AB", "inter_B", "decoder"),
}
_OTHERS = {
    "AMP": ("encoder", "inter_src", "inter_dst", "decoder"),
    "Quick96": ("encoder", "inter", "decoder_src", "decoder_dst"),
}


def needed_parts(options: Options) -> tuple[str, ...]:
    """Networks and optimizers (file stems) that a training with these options has.

    References
    ----------
    models.md 5.2 and 5.3
    """
    name = options.NAME
    if name == "XSeg":
        return ("XSeg_256", "XSeg_256_opt")
    flavor = str(getattr(options, "archi", "")).partition("-")[0]
    parts = [*(_SAEHD[flavor] if name == "SAEHD" else _OTHERS[name]), "src_dst_opt"]
    if flavor == "df" and getattr(options, "true_face_power", False):
        parts += ["code_discriminator", "D_code_opt"]
    if effective_dict(options).get("gan_power"):
        parts += ["GAN", "GAN_opt"]
    return tuple(parts)
