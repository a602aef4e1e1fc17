"""Options of SAEHD."""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass
from typing import ClassVar

from .schema import Change, Machine, Value, Values, option, show, whole, words
from .training import ALL_FACE_TYPES, FaceSwapOptions

ARCHI = re.compile(r"(df|liae)(-[udtc]+)?")
OLD_HD_ARCHI = re.compile(r"(df|liae)u?hd")
_ON, _OFF = "on while pretraining", "off while pretraining"
WHILE_PRETRAINING: dict[str, tuple[Value, str]] = {
    "random_warp": (False, _OFF),
    "random_hsv_power": (0.0, _OFF),
    "ct_mode": ("none", _OFF),
    "lr_dropout": ("n", _OFF),
    "gan_power": (0.0, _OFF),
    "face_style_power": (0.0, _OFF),
    "bg_style_power": (0.0, _OFF),
    "random_src_flip": (True, _ON),
    "random_dst_flip": (True, _ON),
    "uniform_yaw": (True, _ON),
}
"""What pretraining makes of options, and why (options.md 4). The stored values stay."""


def while_pretraining(key: str) -> str:
    """Say what pretraining makes of an option ("off while pretraining"); empty if nothing."""
    return WHILE_PRETRAINING[key][1] if key in WHILE_PRETRAINING else ""


def is_whole_face(values: Values) -> bool:
    """Faces that reach beyond the mask are the only ones for which masked training is a choice."""
    return values.get("face_type") in ("wf", "head")


def is_df(values: Values) -> bool:
    """The code discriminator exists for df models only."""
    return str(values.get("archi", "")).startswith("df")


def archi_options(archi: str) -> str:
    """Letters after the dash: "ud" for "liae-ud"."""
    return archi.partition("-")[2]


def resolution_step(archi: str) -> int:
    """The resolution must be a multiple of this (models.md 2.6)."""
    return 32 if set(archi_options(archi)) & {"d", "t"} else 16


def archi_error(archi: str) -> str | None:
    """Say why an architecture string cannot be built, or None.

    References: options.md 5, models.md 2.1.
    """
    if ARCHI.fullmatch(archi):
        return None
    if OLD_HD_ARCHI.fullmatch(archi):
        return (
            'is one of the "hd" graphs of 2020, which are other networks than the "-d" option; '
            "such a model cannot be continued, use df or liae with -u, -d, -t, -c for a new one"
        )
    return (
        "is not an architecture; give df or liae, then optionally a dash and one or more of the "
        'letters u, d, t, c, such as "liae-ud"'
    )


@dataclass(frozen=True, kw_only=True)
class SAEHDOptions(FaceSwapOptions):
    """SAEHD: the all-round model, df or liae."""

    NAME: ClassVar[str] = "SAEHD"
    MASKS_ON_CPU: ClassVar[bool] = True
    STORED: ClassVar[tuple[str, ...]] = words(
        "resolution face_type models_opt_on_gpu archi ae_dims e_dims d_dims d_mask_dims "
        "masked_training eyes_mouth_prio uniform_yaw blur_out_mask adabelief lr_dropout "
        "random_warp random_hsv_power true_face_power face_style_power bg_style_power ct_mode "
        "clipgrad pretrain autobackup_hour write_preview_history target_iter random_src_flip "
        "random_dst_flip batch_size gan_power gan_patch_size gan_dims"
    )
    QUESTIONS: ClassVar[tuple[str, ...]] = words(
        "autobackup_hour write_preview_history target_iter random_src_flip random_dst_flip "
        "batch_size resolution face_type archi ae_dims e_dims d_dims d_mask_dims masked_training "
        "eyes_mouth_prio uniform_yaw blur_out_mask models_opt_on_gpu adabelief lr_dropout "
        "random_warp random_hsv_power gan_power gan_patch_size gan_dims true_face_power "
        "face_style_power bg_style_power ct_mode clipgrad pretrain"
    )

    resolution: int = option(
        128,
        "Side of the square that the networks see, in pixels.",
        details="Detail of the result; time and memory grow with the square. Rounded down to a "
        'multiple of 16, with "d" in archi of 32; with "t" it must be a multiple of 32.',
        label="Resolution",
        group="architecture",
        minimum=64,
        maximum=640,
        multiple_of=16,
        ask="new",
        unit="pixels",
    )
    face_type: str = option(
        "f",
        "How much of the head a face holds.",
        details='Detail of the result. Rounded down to a multiple of 16, with "d" in archi of 32; '
        'with "t" it must be a multiple of 32.',
        label="Face type",
        group="architecture",
        choices=ALL_FACE_TYPES,
        ask="new",
    )
    archi: str = option(
        "liae-ud",
        "Architecture: df or liae, with options after a dash.",
        details="df: one decoder for each person. liae: one decoder, two inters. Letters: u "
        "brings more likeness, d doubles the resolution at the same cost, t is a residual encoder "
        "with a later decoder stage (more likeness), c is another activation, experimental.",
        label="AE architecture",
        group="architecture",
        ask="new",
        placeholder="ARCHI",
        lowercase=True,
        form='df or liae, optionally "-" and letters of u, d, t, c',
        check=archi_error,
    )
    masked_training: bool = option(
        True,
        "Train only what lies inside the mask.",
        details="Other face types are always trained masked.",
        label="Masked training",
        group="masks",
        only_if=is_whole_face,
    )
    eyes_mouth_prio: bool = option(
        False,
        "Weigh eyes and mouth more.",
        details="An extra loss on these areas repairs problems of eyes, mouth and teeth.",
        label="Eyes and mouth priority",
        group="masks",
    )
    adabelief: bool = option(
        True,
        "AdaBelief instead of RMSprop.",
        details="Switching empties the slots of the optimizer; the iteration counter continues.",
        label="Use AdaBelief optimizer?",
        group="optimizer",
    )
    random_hsv_power: float = option(
        0.0,
        "Random hue, saturation and light of the src input.",
        details="Only the network's input is changed, not the target.",
        label="Random hue/saturation/light intensity",
        group="faces",
        minimum=0.0,
        maximum=0.3,
    )
    true_face_power: float = option(
        0.0,
        "Strength of the true-face loss (df only); 0 = none.",
        details="A discriminator tells the codes of src and dst apart, which makes the result "
        "more like src. Not trained while pretraining.",
        label="'True face' power.",
        group="style",
        minimum=0.0,
        maximum=1.0,
        only_if=is_df,
    )
    face_style_power: float = option(
        0.0,
        "Pull the colors of the predicted face towards dst; 0 = off.",
        details="A loss on the colors of the swapped face.",
        label="Face style power",
        group="style",
        minimum=0.0,
        maximum=100.0,
    )
    bg_style_power: float = option(
        0.0,
        "Learn the area around the face from dst; 0 = off.",
        details="A loss on what surrounds the swapped face.",
        label="Background style power",
        group="style",
        minimum=0.0,
        maximum=100.0,
    )
    pretrain: bool = option(
        False,
        "Train on the pretraining faces of many people.",
        details="A pretrained model learns a pair in less time. Needs the pretraining faces "
        "(--pretrain-dir). Switching it off again starts at iteration 0 with fresh inters and "
        "keeps all else. Forces "
        + ", ".join(f"{key}={show(value)}" for key, (value, _) in WHILE_PRETRAINING.items())
        + ".",
        label="Enable pretraining mode",
        group="run",
    )

    @classmethod
    def derived(cls, key: str, values: Values, proposed: Values, machine: Machine) -> Value:
        """A GPU of at least 4 GiB gets a batch of 8 (options.md 2)."""
        if key == "batch_size":
            memory = machine.weakest_gpu_gib
            return 8 if memory is not None and memory >= 4 else 4
        return super().derived(key, values, proposed, machine)

    @classmethod
    def reconcile(cls, values: Values, *, new: bool, given: Collection[str] = ()) -> list[Change]:
        """Rules between resolution and archi, face type and mask, archi and true face."""
        archi = str(values["archi"])
        changes = super().reconcile(values, new=new, given=given)
        changes += _fit_resolution(whole(values["resolution"]), archi, new=new)
        # an existing model may have been trained unmasked and goes on so; a new one may not begin
        if not is_whole_face(values) and not values["masked_training"] and new:
            reason = f"face_type {values['face_type']} is always trained masked"
            changes.append(Change("masked_training", True, reason))
        if not is_df(values) and values["true_face_power"] and (new or "true_face_power" in given):
            changes.append(Change("true_face_power", 0.0, "a liae model has no true face"))
        return changes

    def overrides(self) -> dict[str, tuple[Value, str]]:
        """Pretraining and architecture decide over these values (options.md 4)."""
        forced: dict[str, tuple[Value, str]] = {}
        if not is_df({"archi": self.archi}):
            forced["true_face_power"] = (0.0, "a liae model has no true face")
        return forced | (WHILE_PRETRAINING if self.pretrain else {})


def _fit_resolution(resolution: int, archi: str, *, new: bool) -> list[Change]:
    step = resolution_step(archi)
    down = resolution // step * step
    if down == resolution:
        return []
    if "d" in archi_options(archi) and new:
        return [Change("resolution", down, f'"d" in archi {archi} needs a multiple of 32')]
    reason = (
        f"does not fit archi {archi}: it must be a multiple of {step}, {down} or {down + step}"
        if new
        else f"cannot be built with archi {archi}, which needs a multiple of {step}"
    )
    return [Change("resolution", resolution, reason, error=True)]
