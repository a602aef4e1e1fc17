"""What several models share: housekeeping of all, and what SAEHD and AMP have in common."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from .schema import Change, Machine, Options, Value, Values, option, whole

SHARED_FACE_TYPES = ("f", "wf", "head")
ALL_FACE_TYPES = ("h", "mf", "f", "wf", "head")
COLOR_TRANSFERS = ("none", "rct", "lct", "mkl", "idt", "sot")


def gan_is_on(values: Values) -> bool:
    """The two GAN questions are asked only when there is a GAN."""
    return bool(values.get("gan_power"))


def batch_for_devices(batch_size: int, devices: int) -> int:
    """Round a batch so that every device gets the same share: g * max(1, x // g) (options.md 2)."""
    return devices * max(1, batch_size // devices)


def learning_rate(rate: float) -> Any:
    """Declare the option `lr` with the rate that DeepFaceLab uses for a class of models."""
    return option(
        rate,
        "Learning rate.",
        details="A higher rate can make a training diverge. The rate that a model of the MVE fork "
        "has stored is taken.",
        label="Learning rate",
        group="optimizer",
        minimum=1e-6,
        maximum=1e-3,
        ask="never",
        legacy_range="fixed (MVE fork: an option)",
    )


@dataclass(frozen=True, kw_only=True)
class TrainingOptions(Options):
    """What every model has. Quick96 and XSeg store it only where it differs from the default."""

    MASKS_ON_CPU: ClassVar[bool] = False
    """Whether lr_dropout=cpu draws masks on the CPU; else it is taken as y."""

    if TYPE_CHECKING:  # every class declares them, with its own limits

        @property
        def resolution(self) -> int:
            """Side of the square that the networks see."""

        @property
        def face_type(self) -> str:
            """How much of the head a face holds."""

    autobackup_hour: int = option(
        0,
        "Back up the model every N hours of training; 0 = never.",
        details="Whole sets of model files with previews, in <model>_autobackups/01 (newest) to "
        "24. Checked at each save.",
        label="Autobackup every N hour",
        group="run",
        minimum=0,
        maximum=24,
        unit="hours",
        legacy_range="0..24 shown, not enforced",
    )
    write_preview_history: bool = option(
        False,
        "Keep an image of the progress every few iterations.",
        details="Written to <model>_history/, always of the same faces, so that a time lapse can "
        "be made. Costs disk space and a moment per image, nothing else.",
        label="Write preview history",
        group="run",
    )
    target_iter: int = option(
        0,
        "Stop, save and exit at this iteration; 0 = train until stopped.",
        details="The program exits with code 0 when the model has reached it, and at once "
        "when it already has.",
        label="Target iteration",
        group="run",
        minimum=0,
        unit="iterations",
    )
    batch_size: int = option(
        4,
        "Faces of each person per iteration.",
        details="Larger batches give a steadier gradient. With several devices it is rounded down "
        "to a multiple of their number.",
        label="Batch_size",
        group="run",
        minimum=1,
        legacy_range="0 or more (0 = one per device)",
    )

    lr: float = learning_rate(5e-5)
    lr_warmup: int = option(
        0,
        "Let the learning rate rise from nothing over N iterations; 0 = none.",
        details="Counted from when an optimizer starts empty: in a new model, one whose optimizer "
        "file is gone, or whose weights were partly reset (end of pretraining, reinit). The first "
        "steps are then not larger than those that follow. 100 to 1000 is usual.",
        group="optimizer",
        minimum=0,
        maximum=100000,
        unit="iterations",
        ask="never",
    )
    lr_schedule: str = option(
        "constant",
        "How the learning rate goes: constant, or a cosine from lr down to lr_final.",
        details="The cosine begins where it is switched on, in a recipe with its phase, and ends at"
        " lr_end, else where the phase ends, else at target_iter. After its end the rate is "
        "lr_final. With lr_dropout its own swing multiplies it.",
        group="optimizer",
        choices=("constant", "cosine"),
        ask="never",
    )
    lr_final: float = option(
        1e-6,
        "Learning rate at the end of a cosine schedule.",
        details="A tenth of lr or less lets a phase end calmly. Of no effect while the rate is "
        "constant.",
        group="optimizer",
        minimum=1e-7,
        maximum=1e-3,
        ask="never",
    )
    lr_end: int = option(
        0,
        "Iteration at which a cosine schedule reaches lr_final.",
        details="0: where the phase of a recipe ends (if it ends by iterations, at an iteration, "
        "or at a plateau that has a most), else at target_iter. Of several conditions of a phase "
        "the first one counts.",
        group="optimizer",
        minimum=0,
        unit="iterations",
        ask="never",
    )

    @classmethod
    def reconcile(cls, values: Values, *, new: bool, given: Collection[str] = ()) -> list[Change]:
        """A schedule must have an end."""
        ends = values.get("lr_end") or values.get("target_iter")
        if values.get("lr_schedule") != "cosine" or ends:
            return []
        reason = "needs lr_end or target_iter, or a phase of a recipe that ends at some iteration"
        return [Change("lr_schedule", "cosine", reason, error=True)]


@dataclass(frozen=True, kw_only=True)
class SwapOptions(TrainingOptions):
    """What every model has that puts one face on another."""

    holdout: float = option(
        0.0,
        "Share of the faces that is kept out of training, to measure on; 0 = none.",
        details="Whole blocks of 50 consecutive frames of each side, so that neighbors of a "
        "held-out face are not trained on; a side of few frames gives one shorter block. A block is"
        " drawn by the hash of its number: faces that you add later move no other ones. dfl-tf "
        "evaluate and validate_every measure on these faces. 0.05 is usual. Set it for a new model:"
        " what was trained on before is not a measure of what the model has not seen.",
        group="measuring",
        minimum=0.0,
        maximum=0.5,
        ask="never",
    )
    validate_every: int = option(
        0,
        "Measure the quality every N iterations; 0 = never.",
        details="Similarity, difference and masks of src and dst faces reproduced, whom the swap "
        "looks like, and how much it jitters, on up to 64 faces of each side: those that holdout "
        "keeps out of training, else some that are trained on. It changes nothing of the training. "
        "The numbers go into the log, TensorBoard and the loss plot, and dfl-tf model show has "
        "them. 5000 is usual.",
        group="measuring",
        minimum=0,
        unit="iterations",
        ask="never",
    )

    ema: float = option(
        0.0,
        "Keep an average of the weights as well, with this decay; 0 = none.",
        details="An exponential moving average of the networks that make faces, over about "
        "1 / (1 - ema) iterations: 0.999 is usual. It is calmer than the weights at any single "
        "iteration and shows less of the last batches. The training itself is the same bit for "
        "bit. merge, export and evaluate take it with --ema. It is saved in a file of its own that "
        "DeepFaceLab leaves alone, and begins at the weights when they were trained without it. It "
        "lives where the weights are (models_opt_on_gpu) and takes as much memory as they do; the "
        "time is below 3 %.",
        group="optimizer",
        minimum=0.0,
        maximum=0.99999,
        ask="never",
    )
    freeze: str = option(
        "",
        "Networks that are not trained, such as encoder,inter.",
        details="They and their part of the optimizer stay as they are to the bit; the others are "
        "trained with them. Named as the model's files are. Of use after init_from, or to let one "
        "decoder catch up. An empty text trains all again.",
        group="optimizer",
        form="names of networks, separated by commas",
        ask="never",
        placeholder="PART,…",
    )


@dataclass(frozen=True, kw_only=True)
class FaceSwapOptions(SwapOptions):
    """What SAEHD and AMP share."""

    random_src_flip: bool = option(
        False,
        "Mirror src faces at random.",
        details="Doubles the poses of a small src set.",
        label="Flip SRC faces randomly",
        group="faces",
    )
    random_dst_flip: bool = option(
        True,
        "Mirror dst faces at random.",
        details="Makes the result more general when dst shows few poses (ours).",
        label="Flip DST faces randomly",
        group="faces",
    )
    models_opt_on_gpu: bool = option(
        True,
        "Keep weights and optimizer on the GPU.",
        details="Off: they live in main memory. Without a GPU it has no effect. The numbers "
        "learned are the same.",
        label="Place models and optimizer on GPU",
        group="devices",
    )
    ae_dims: int = option(
        256,
        "Width of the bottleneck.",
        details="Capacity of the bottleneck between encoder and decoder.",
        label="AutoEncoder dimensions",
        group="architecture",
        minimum=32,
        maximum=2048,
        ask="new",
        legacy_range="32..1024",
    )
    e_dims: int = option(
        64,
        "Base channels of the encoder.",
        details="More channels let the encoder learn more of a face.",
        label="Encoder dimensions",
        group="architecture",
        minimum=16,
        maximum=256,
        even=True,
        ask="new",
    )
    d_dims: int = option(
        64,
        "Base channels of the decoder.",
        details="Controls the sharpness of the result.",
        label="Decoder dimensions",
        group="architecture",
        minimum=16,
        maximum=256,
        even=True,
        ask="new",
    )
    d_mask_dims: int = option(
        22,
        "Base channels of the mask decoder.",
        details="The default is a third of the d_dims that was proposed, not of the one chosen in "
        "the same run (as in DeepFaceLab).",
        label="Decoder mask dimensions",
        group="architecture",
        minimum=16,
        maximum=256,
        even=True,
        ask="new",
    )
    uniform_yaw: bool = option(
        False,
        "Draw faces evenly over head directions.",
        details="Trains evenly over yaw: each direction of the head is drawn equally often.",
        label="Uniform yaw distribution of samples",
        group="faces",
    )
    blur_out_mask: bool = option(
        False,
        "Blur what lies around the mask in the training faces.",
        details="Smooths the area outside of the mask, so that the mask's border gets cleaner.",
        label="Blur out mask",
        group="masks",
    )
    lr_dropout: str = option(
        "n",
        "Learning-rate dropout.",
        details="y: each step updates a random 30 % of the weights, and the rate swings with a "
        "period of 500 iterations. cpu: the random masks are drawn on the CPU (SAEHD only; AMP "
        "treats it as y).",
        label="Use learning rate dropout",
        group="optimizer",
        choices=("n", "y", "cpu"),
    )
    random_warp: bool = option(
        True,
        "Distort the input faces at random.",
        details="The input is distorted, the target is not: the model learns expressions instead "
        "of pixels.",
        label="Enable random warp of samples",
        group="faces",
    )
    gan_power: float = option(
        0.0,
        "Strength of the adversarial detail loss; 0 = none.",
        details="Adversarial training of a second network that judges sharpness.",
        label="GAN power",
        group="gan",
        minimum=0.0,
        maximum=10.0,
        legacy_range="0..5 (MVE fork: 0..10)",
    )
    gan_patch_size: int = option(
        16,
        "Patch size of the GAN in pixels.",
        details="How large a piece of the face the discriminator judges.",
        label="GAN patch size",
        group="gan",
        minimum=3,
        maximum=640,
        unit="pixels",
        only_if=gan_is_on,
    )
    gan_dims: int = option(
        16,
        "Base channels of the GAN.",
        details="Its base channels decide how much it can see.",
        label="GAN dimensions",
        group="gan",
        minimum=4,
        maximum=512,
        only_if=gan_is_on,
        legacy_range="4..512 (MVE fork: 4..64)",
    )
    ct_mode: str = option(
        "none",
        "Color transfer from a random dst face to each src face.",
        details="The colors of src are matched to those of dst before it is trained on.",
        label="Color transfer for src faceset",
        group="faces",
        choices=COLOR_TRANSFERS,
    )
    clipgrad: bool = option(
        False,
        "Clip gradients to a global norm of 1.",
        details="Guards against a collapse of the model.",
        label="Enable gradient clipping",
        group="optimizer",
    )

    @classmethod
    def derived(
        cls,
        key: str,
        values: Values,
        proposed: Values,
        machine: Machine,
    ) -> Value:
        """Defaults of the mask decoder and of the GAN patch follow other values (options.md 2)."""
        if key == "gan_patch_size":
            return whole(values["resolution"]) // 8
        if key == "d_mask_dims":
            third = whole(proposed["d_dims"]) // 3
            return third + third % 2
        return None
