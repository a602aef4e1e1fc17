"""Keys of other programs that users meet: recognised in messages, kept in models, not used."""

from __future__ import annotations

from collections.abc import Mapping

MVE_KEYS = frozenset(
    (
        "session_name",
        "maximum_n_backups",
        "preview_samples",
        "force_full_preview",
        "retraining_samples",
        "use_fp16",
        "cpu_cap",
        "eyes_prio",
        "mouth_prio",
        "loss_function",
        "random_downsample",
        "random_noise",
        "random_blur",
        "random_jpeg",
        "random_shadow",
        "random_shadow_src",
        "random_shadow_dst",
        "background_power",
        "random_color",
        "gan_smoothing",
        "gan_noise",
        "preview_mf",
    )
)
"""Options of the MVE fork that we do not have (options.md 5)."""

KEPT_WHEN_DEFAULT = ("lr",)
"""Options of ours that the MVE fork stores too: a dictionary that has them keeps them."""

_NEUTRAL_ANYWHERE: tuple[object, ...] = (None, False, 0, "", "none", "n")
_NEUTRAL: dict[str, tuple[object, ...]] = {
    "adabelief": (True,),
    "cpu_cap": (8,),
    "gan_smoothing": (0.1,),
    "learn_mask": (True,),
    "loss_function": ("SSIM",),
    "masked_training": (True,),
    "maximum_n_backups": (24,),
    "preview_samples": (4,),
}
"""Values with which the program that stored the key does what is done here."""

_CONVERTED = frozenset(("eyes_prio", "mouth_prio", "random_flip"))
"""Their conversion is a note of its own."""


def kept_unused(unknown: Mapping[str, object]) -> list[str]:
    """The keys of options that are kept with a model and not applied, in their order.

    Parameters
    ----------
    unknown : mapping
        What the model has stored and no option of ours takes.
    """
    return [key for key in unknown if key in MVE_KEYS or not _is_neutral(key, unknown[key])]


def unused_note(unknown: Mapping[str, object]) -> list[str]:
    """Say which options are kept and not applied although their value asks for something.

    Returns
    -------
    list of str
        One line, or none.
    """
    asking = [key for key in unknown if not _is_neutral(key, unknown[key])]
    if not asking:
        return []
    shown = ", ".join(f"{key}={_short(unknown[key])}" for key in asking)
    return [f"options of another program, kept with the model but not used: {shown}"]


def _is_neutral(key: str, value: object) -> bool:
    if key in _CONVERTED:
        return True
    if isinstance(value, Mapping):  # MVE nests: {"enabled": no, …}
        return not value.get("enabled", bool(value))
    if isinstance(value, list | tuple):
        return all(_is_neutral(key, item) for item in value)
    return value in _NEUTRAL_ANYWHERE or value in _NEUTRAL.get(key, ())


def _short(value: object) -> str:
    text = str(value)
    return text if len(text) <= 40 else f"{text[:39]}…"


RENAMED = {
    "eyes_prio": "; it is eyes_mouth_prio now",
    "mouth_prio": "; it is eyes_mouth_prio now",
    "random_flip": "; it is random_src_flip and random_dst_flip now",
}
"""What to give instead of a key of older versions."""

DFL1_KEYS = frozenset(
    (
        "true_face_training",
        "apply_random_ct",
        "e_ch_dims",
        "d_ch_dims",
        "ed_ch_dims",
        "multiscale_decoder",
        "pixel_loss",
        "sort_by_yaw",
    )
)
"""Keys of DeepFaceLab 1.x, whose Keras models cannot be converted (options.md 5)."""

MVE_COLOR_TRANSFERS = ("fs-aug", "cc-aug")
"""Color transfer modes of the MVE fork that nothing here does."""
