"""Keys of other programs that users meet: recognised in messages, kept in models, not used."""

from __future__ import annotations

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
        "lr",
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
