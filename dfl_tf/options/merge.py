"""Options of merging (merge.md 2), under the names of DeepFaceLab's merger session."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from .schema import Options, Values, option, words

MODES = (
    "original",
    "overlay",
    "hist-match",
    "seamless",
    "seamless-hist-match",
    "raw-rgb",
    "raw-predict",
)
MASK_MODES = (
    "full",
    "dst",
    "learned-prd",
    "learned-dst",
    "learned-prd*learned-dst",
    "learned-prd+learned-dst",
    "XSeg-prd",
    "XSeg-dst",
    "XSeg-prd*XSeg-dst",
    "learned-prd*learned-dst*XSeg-prd*XSeg-dst",
)
COLOR_TRANSFER_MODES = ("none", "rct", "lct", "mkl", "mkl-m", "idt", "idt-m", "sot-m", "mix-m")
SHARPEN_MODES = ("none", "box", "gaussian")
SLOW = {
    "mode": ("seamless", "seamless-hist-match"),
    "color_transfer_mode": ("idt", "idt-m", "sot-m", "mix-m"),
}
"""Choices of options with which a frame takes much longer than with the others."""


def is_not_raw(values: Values) -> bool:
    """The raw modes paste no mask, so the questions about it are left out."""
    return "raw" not in str(values.get("mode", ""))


def uses_histogram(values: Values) -> bool:
    """Modes that match histograms."""
    return "hist-match" in str(values.get("mode", ""))


def sharpens(values: Values) -> bool:
    """The amount matters only with a sharpen mode."""
    return values.get("sharpen_mode", "none") != "none"


@dataclass(frozen=True, kw_only=True)
class MergeOptions(Options):
    """How a predicted face is put into its frame. Defaults are those of the interactive merger.

    Choices are stored by name; the number that sessions and the legacy dialogue use is the
    position in `MODES`, `MASK_MODES`, `COLOR_TRANSFER_MODES` and `SHARPEN_MODES`.
    """

    NAME: ClassVar[str] = "merge"
    QUESTIONS: ClassVar[tuple[str, ...]] = words(
        "mode masked_hist_match hist_match_threshold mask_mode erode_mask_modifier "
        "blur_mask_modifier motion_blur_power output_face_scale color_transfer_mode sharpen_mode "
        "blursharpen_amount super_resolution_power image_denoise_power bicubic_degrade_power "
        "color_degrade_power"
    )

    mode: str = option(
        "overlay",
        "How the face is put into the frame.",
        details="overlay pastes it; hist-match and the seamless modes also fit its colors to the "
        "frame, at the price of flicker; original and the raw modes are for checking and "
        "compositing.",
        label="Choose mode",
        group="composition",
        choices=MODES,
        numbered=True,
    )
    masked_hist_match: bool = option(
        True,
        "Match histograms inside the mask only.",
        details="For mode hist-match.",
        label="Masked hist match?",
        group="composition",
        only_if=lambda values: values.get("mode") == "hist-match",
    )
    hist_match_threshold: int = option(
        238,
        "Brightness above which histograms are not matched.",
        details="For hist-match and seamless-hist-match. DeepFaceLab's dialogue proposes 255, its"
        " merger 238.",
        label="Hist match threshold",
        group="composition",
        minimum=0,
        maximum=255,
        only_if=uses_histogram,
    )
    mask_mode: str = option(
        "learned-prd*learned-dst",
        "Which mask cuts the face out.",
        details="learned masks come from the model, XSeg masks from an XSeg model in the model "
        "folder, dst from the landmarks; a product keeps what all of them cover. XSeg "
        "masks cost another network per face.",
        label="Choose mask mode",
        group="mask",
        choices=MASK_MODES,
        numbered=True,
    )
    erode_mask_modifier: int = option(
        0,
        "Shrink the mask; negative values grow it.",
        details="In pixels of four times the model's resolution.",
        label="Choose erode mask modifier",
        group="mask",
        minimum=-400,
        maximum=400,
        only_if=is_not_raw,
        flags=("--erode",),
    )
    blur_mask_modifier: int = option(
        0,
        "Soften the border of the mask.",
        details="In pixels of four times the model's resolution.",
        label="Choose blur mask modifier",
        group="mask",
        minimum=0,
        maximum=400,
        only_if=is_not_raw,
        flags=("--blur",),
    )
    motion_blur_power: int = option(
        0,
        "Blur the face along its motion between frames.",
        details="Off when a frame of the set has more than one face.",
        label="Choose motion blur power",
        group="image",
        minimum=0,
        maximum=100,
        only_if=is_not_raw,
        flags=("--motion-blur",),
    )
    output_face_scale: int = option(
        0,
        "Scale of the face in percent; positive makes it smaller (as in DeepFaceLab).",
        details="Small values only: the face is pasted larger or smaller than the one it covers.",
        label="Choose output face scale modifier",
        group="composition",
        minimum=-50,
        maximum=50,
        unit="percent",
        flags=("--face-scale",),
    )
    color_transfer_mode: str = option(
        "rct",
        "Fit the colors of the face to the frame.",
        details="The -m modes look inside the mask only. idt, sot and mix are the slowest.",
        label="Color transfer to predicted face",
        group="image",
        choices=COLOR_TRANSFER_MODES,
        numbered=True,
        only_if=is_not_raw,
        flags=("--color-transfer",),
    )
    sharpen_mode: str = option(
        "none",
        "Filter that blurs or sharpens the face.",
        details="Works on the merged face before it is pasted again. gaussian is smoother than "
        "box.",
        label="Choose sharpen mode",
        group="image",
        choices=SHARPEN_MODES,
        numbered=True,
        flags=("--sharpen",),
    )
    blursharpen_amount: int = option(
        0,
        "Strength of sharpen_mode; negative values blur.",
        details="A factor: start with small values. Positive values have no effect while "
        "sharpen_mode is none; negative ones blur in every mode.",
        label="Choose blur/sharpen amount",
        group="image",
        minimum=-100,
        maximum=100,
        only_if=sharpens,
        flags=("--blursharpen",),
    )
    super_resolution_power: int = option(
        0,
        "Add detail by the face enhancer.",
        details="Needs your own network as an ONNX file (--enhancer FILE), 4 times the size of its"
        " input. By far the slowest step.",
        label="Choose super resolution power",
        group="image",
        minimum=0,
        maximum=100,
        flags=("--super-resolution",),
    )
    image_denoise_power: int = option(
        0,
        "Take noise out of the frame under the face.",
        details="Makes the frame as smooth as the face.",
        label="Choose image degrade by denoise power",
        group="image",
        minimum=0,
        maximum=500,
        only_if=is_not_raw,
        flags=("--denoise",),
    )
    bicubic_degrade_power: int = option(
        0,
        "Soften the frame under the face by resampling.",
        details="Makes the frame as soft as a face of low resolution.",
        label="Choose image degrade by bicubic rescale power",
        group="image",
        minimum=0,
        maximum=100,
        only_if=is_not_raw,
        flags=("--bicubic-degrade",),
    )
    color_degrade_power: int = option(
        0,
        "Reduce the number of colors of the frame.",
        details="For sources of few colors, such as old video.",
        label="Degrade color power of final image",
        group="image",
        minimum=0,
        maximum=100,
        only_if=is_not_raw,
        flags=("--color-degrade",),
    )
    morph: float = option(
        1.0,
        "How much of src an AMP model shows: 0 is dst, 1 is src.",
        details="The share of inter_dims that is taken from inter_src. Other models have no morph.",
        label="Morph factor",
        group="composition",
        minimum=0.0,
        maximum=1.0,
        ask="never",
    )
