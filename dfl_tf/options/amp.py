"""Options of AMP."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from .schema import option, words
from .training import SHARED_FACE_TYPES, FaceSwapOptions, gan_is_on


@dataclass(frozen=True, kw_only=True)
class AMPOptions(FaceSwapOptions):
    """AMP: the model whose likeness can be dialled between dst and src when merging."""

    NAME: ClassVar[str] = "AMP"
    STORED: ClassVar[tuple[str, ...]] = words(
        "resolution face_type models_opt_on_gpu ae_dims inter_dims e_dims d_dims d_mask_dims "
        "morph_factor uniform_yaw blur_out_mask lr_dropout random_warp ct_mode clipgrad "
        "autobackup_hour write_preview_history target_iter random_src_flip random_dst_flip "
        "batch_size gan_power gan_patch_size gan_dims"
    )
    OWN_DEFAULT: ClassVar[frozenset[str]] = frozenset({"morph_factor"})
    QUESTIONS: ClassVar[tuple[str, ...]] = words(
        "autobackup_hour write_preview_history target_iter random_src_flip random_dst_flip "
        "batch_size resolution face_type ae_dims inter_dims e_dims d_dims d_mask_dims "
        "morph_factor uniform_yaw blur_out_mask lr_dropout models_opt_on_gpu random_warp "
        "gan_power gan_patch_size gan_dims ct_mode clipgrad"
    )

    resolution: int = option(
        224,
        "Side of the square that the networks see, in pixels.",
        details="Detail of the result. Rounded down to a multiple of 32.",
        label="Resolution",
        group="architecture",
        minimum=64,
        maximum=640,
        multiple_of=32,
        ask="new",
        unit="pixels",
    )
    face_type: str = option(
        "wf",
        "How much of the head a face holds.",
        details="f full, wf whole face (with forehead), head. Src and dst must have been "
        "extracted at this size or larger.",
        label="Face type",
        group="architecture",
        choices=SHARED_FACE_TYPES,
        ask="new",
    )
    batch_size: int = option(
        8,
        "Faces of each person per iteration.",
        details="Larger batches give a steadier gradient. With several devices it is rounded down "
        "to a multiple of their number.",
        label="Batch_size",
        group="run",
        minimum=1,
        legacy_range="0 or more (0 = one per device)",
    )
    inter_dims: int = option(
        1024,
        "Channels of the two inters that are mixed.",
        details="More channels separate the two people more finely.",
        label="Inter dimensions",
        group="architecture",
        minimum=32,
        maximum=2048,
        ask="new",
    )
    morph_factor: float = option(
        0.5,
        "Share of src channels that is mixed in while training.",
        details="Faces are morphed to look and to express like src. May be changed later, no "
        "shape depends on it.",
        label="Morph factor.",
        group="architecture",
        minimum=0.1,
        maximum=0.5,
        legacy_range="0.1..0.5, first run only",
    )
    gan_patch_size: int = option(
        28,
        "Patch size of the GAN in pixels.",
        details="How large a piece of the face the discriminator judges.",
        label="GAN patch size",
        group="gan",
        minimum=3,
        maximum=640,
        unit="pixels",
        only_if=gan_is_on,
    )
    train_inters: bool = option(
        False,
        "Train the two inters as well (not in DeepFaceLab).",
        details="DeepFaceLab never trains them. If enabled, they are trained, and their optimizer "
        "slots start empty. The model still opens in DeepFaceLab, which then stops training them.",
        group="optimizer",
        ask="never",
    )
