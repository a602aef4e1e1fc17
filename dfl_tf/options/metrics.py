"""The names of what is measured of a model, and which way is better."""

from __future__ import annotations

from dfl_tf.errors import UsageError

HIGHER_IS_BETTER = {
    "ssim": True, "l1": False, "psnr": True, "iou": True,
    "identity_src": False, "identity_dst": True, "jitter": False,
}  # fmt: skip
"""By what a metric is called after its side."""

METRICS = (
    "ssim",
    *(f"{side}_{each}" for side in ("src", "dst") for each in ("ssim", "l1", "psnr", "iou")),
    *("identity_src", "identity_dst", "jitter"),
)
"""All names, as a measurement gives them."""


def is_better_higher(metric: str) -> bool:
    """Whether more of a metric is better.

    Raises
    ------
    UsageError
        If there is no such metric.
    """
    plain = metric if metric in HIGHER_IS_BETTER else metric.partition("_")[2]
    if plain not in HIGHER_IS_BETTER:
        raise UsageError(f"there is no metric {metric}")
    return HIGHER_IS_BETTER[plain]
