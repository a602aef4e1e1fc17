"""Settings that experience calls wrong for the state of a model: one table of remarks.

A remark changes nothing and stops nothing. It says what stands out, why, and what to do. What the
rules look at is a `RunFacts`: plain values that are known when a run starts, so they are tried
without a model. Thresholds that the field's own option list does not give are ours; a rule that
rests on one says so (`Rule.ours`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from .merge import SLOW
from .saehd import archi_options
from .schema import Values, show, words

YOUNG = 20_000
"""Iterations below which a model that starts from random weights is not ready for a GAN."""
PRETRAINED = 500_000
"""Iterations after which pretraining has done its work."""
LONG = 100_000
"""Iterations of a model below which a standstill is not remarked on."""
STANDSTILL = 50_000
"""Iterations over which losses that do not fall are a standstill."""
FEW_PROFILES = 0.1
"""Share of profiles below which they are few."""
UNCOVERED = 0.05
"""Share of dst poses that src lacks, from which on it matters."""
EVEN_LIGHT = 3.0
"""Levels of 255 by which the brightness of evenly lit faces differs (standard deviation)."""
SAME_COLOR = 10.0
"""Levels of 255 below which the mean colors of src and dst are the same."""
LONG_CLIP = 1000
"""Frames from which on the speed of a merge matters."""


@dataclass(frozen=True)
class FacesSeen:
    """What is known of the faces of src or dst.

    Attributes
    ----------
    masks : bool or None
        Whether any face carries a mask; None where that is not known.
    mask_model : str
        Which XSeg model made the masks: its digest and face type; empty where it is not known.
    profiles : float or None
        Share of faces that are turned far to a side.
    """

    masks: bool | None = None
    mask_model: str = ""
    profiles: float | None = None


@dataclass(frozen=True, kw_only=True)
class RunFacts:
    """What the rules look at.

    Attributes
    ----------
    options : mapping
        Values as they are used (`effective`), by key.
    stored : mapping
        Values that the model was last saved with; empty for a new one.
    new : bool
        Whether the model begins at random weights.
    iteration : int
    way_back : bool
        Whether backups or snapshots are made.
    samples_per_step : int
        Faces of a side in one step, accumulated batches included.
    src, dst : FacesSeen
    uncovered : float or None
        Share of dst faces that look where no src face looks.
    light_spread : float or None
        Standard deviation of the brightness of src faces, levels of 255.
    color_distance : float or None
        Largest difference of the mean colors of src and dst, levels of 255.
    standstill : int
        Iterations over which the losses have not fallen; 0: they fall, or it is not known.
    has_pair : bool
        Whether aligned faces of src and dst are there.
    frames : int
        To be merged.
    """

    options: Values
    stored: Values
    new: bool = True
    iteration: int = 0
    way_back: bool = False
    samples_per_step: int = 0
    src: FacesSeen = FacesSeen()
    dst: FacesSeen = FacesSeen()
    uncovered: float | None = None
    light_spread: float | None = None
    color_distance: float | None = None
    standstill: int = 0
    has_pair: bool = False
    frames: int = 0

    def number(self, key: str) -> float:
        """Return the value of an option; 0 where the class has no such option."""
        value = self.options.get(key)
        return float(value) if isinstance(value, int | float) else 0.0

    def on(self, key: str) -> bool:
        """Whether an option is set to something other than off."""
        return self.options.get(key) not in (None, False, 0, 0.0, "n", "none", "")


@dataclass(frozen=True)
class Rule:
    """One remark: when it is made, and its words.

    Attributes
    ----------
    name : str
    keys : tuple of str
        Options that it is about; their values stand in front of it.
    applies : callable
    what, why, cure : str
        Sentences: what stands out, the reason, what to do.
    figure : callable, optional
        What was counted, in words; stands between `what` and `why`.
    ours : bool
        Whether the threshold or the claim is our own and not from the field's option list.
    """

    name: str
    keys: tuple[str, ...]
    applies: Callable[[RunFacts], bool]
    what: str
    why: str
    cure: str
    figure: Callable[[RunFacts], str] | None = None
    ours: bool = False

    def text(self, situation: RunFacts) -> str:
        """Return the remark in one line."""
        values = ", ".join(
            f"{key}={show(situation.options[key])}" for key in self.keys if key in situation.options
        )
        counted = [] if self.figure is None else [self.figure(situation)]
        return " ".join([f"{values}:", self.what, *counted, self.why, self.cure])


def _styles(s: RunFacts) -> bool:
    return s.on("face_style_power") or s.on("bg_style_power")


def _masks_matter(s: RunFacts) -> bool:
    """Whether masks come from the faces: other types have one by their landmarks."""
    wide = s.options.get("face_type") in ("wf", "head")
    return wide and s.on("masked_training") and not s.on("pretrain")


def _two_mask_models(s: RunFacts) -> bool:
    models = {s.src.mask_model, s.dst.mask_model}
    uses_masks = _masks_matter(s) or (s.on("blur_out_mask") and not s.on("pretrain"))
    return uses_masks and len(models) == 2 and "" not in models


def _few_profiles(s: RunFacts) -> bool:
    if "uniform_yaw" not in s.options or s.on("uniform_yaw") or s.src.profiles is None:
        return False
    return 0 < s.src.profiles < FEW_PROFILES and bool(s.dst.profiles)


def _next_phase(s: RunFacts) -> str:
    """What comes after a phase that has run out (the field's order of a training)."""
    if s.on("pretrain"):
        return "Pretraining has done what it can: set pretrain=no and train the pair."
    if "random_warp" not in s.options:
        return "Stop here, or clean the facesets."
    if s.on("random_warp") and not s.on("lr_dropout"):
        return "Next: lr_dropout=y with random warp still on; when that stalls too, random_warp=no."
    if s.on("random_warp"):
        return "Next: random_warp=no, to learn detail."
    if not s.on("lr_dropout"):
        return "Next: lr_dropout=y, for detail and steadiness."
    if not s.on("gan_power"):
        return "Stop here; or, after a backup, gan_power=0.01 as the last step."
    return "Stop here, and compare the snapshots by dfl-tf evaluate."


RULES: tuple[Rule, ...] = (
    Rule(
        "gan-with-warp",
        words("gan_power random_warp"),
        lambda s: s.on("gan_power") and s.on("random_warp"),
        "The GAN runs while random warp is on.",
        "It then learns the detail of distorted faces, and artifacts stay.",
        "Set gan_power=0; switch random warp off first, then learning-rate dropout on, and start "
        "the GAN last.",
    ),
    Rule(
        "gan-young",
        words("gan_power"),
        lambda s: s.on("gan_power") and s.iteration < YOUNG,
        "The GAN starts on a young model.",
        f"Below {YOUNG:,} iterations (our figure) faces are not well formed, and the GAN sharpens "
        "what is wrong.",
        "Set gan_power=0 until the losses have stopped falling with random warp off.",
        lambda s: f"It has {s.iteration:,} iterations.",
        ours=True,
    ),
    Rule(
        "gan-before-dropout",
        words("gan_power lr_dropout"),
        lambda s: s.on("gan_power") and "lr_dropout" in s.options and not s.on("lr_dropout"),
        "The GAN runs without learning-rate dropout.",
        "Dropout belongs before the GAN, above all with AdaBelief: it steadies the model.",
        "Set gan_power=0, train with lr_dropout=y until the losses stall, then start the GAN with "
        "dropout still on.",
    ),
    Rule(
        "gan-high",
        words("gan_power"),
        lambda s: s.number("gan_power") > 0.1,
        "The GAN is strong.",
        "High powers bring artifacts or a collapse, from which further training does not recover.",
        "Set gan_power=0.01 and make a backup first.",
    ),
    Rule(
        "true-face-high",
        words("true_face_power"),
        lambda s: s.number("true_face_power") > 0.01,
        "True face is strong.",
        "It may change light and color, in extreme cases the angle of the face, or ruin the model.",
        "Set true_face_power between 0.001 and 0.01 and make a backup first.",
    ),
    Rule(
        "true-face-with-warp",
        words("true_face_power random_warp"),
        lambda s: s.on("true_face_power") and s.on("random_warp"),
        "True face runs while random warp is on.",
        "Like the GAN it belongs to a well trained model, after random warp.",
        "Set true_face_power=0 until random warp is off and the losses have stopped falling.",
    ),
    Rule(
        "face-style-high",
        words("face_style_power"),
        lambda s: s.number("face_style_power") > 0.1,
        "Face style is strong.",
        "The face then looks less like src and more like dst, and artifacts or a collapse become "
        "likely.",
        "Set face_style_power between 0.001 and 0.1, watch the previews, keep backups.",
    ),
    Rule(
        "style-without-clipgrad",
        words("face_style_power bg_style_power clipgrad"),
        lambda s: _styles(s) and not s.on("clipgrad"),
        "Style powers run without gradient clipping.",
        "They are what makes a model collapse most often.",
        "Set clipgrad=yes; its cost is small.",
    ),
    Rule(
        "no-way-back",
        words("autobackup_hour clipgrad"),
        lambda s: "clipgrad" in s.options and not s.way_back and not s.on("clipgrad"),
        "There are neither backups nor gradient clipping.",
        "A collapsed model does not recover by further training, and there is nothing to go back "
        "to.",
        "Set autobackup_hour=1 or snapshot_every=10000, or clipgrad=yes.",
    ),
    Rule(
        "warp-again",
        words("random_warp"),
        lambda s: s.on("random_warp") and s.stored.get("random_warp") is False,
        "Random warp is switched on again.",
        "Fine detail that was learned without it suffers.",
        "Leave it off, unless the model was damaged by too high powers, or is reused for a new "
        "dst, or for a new src and dst.",
    ),
    Rule(
        "d-not-pretrained",
        words("archi pretrain"),
        lambda s: (
            s.new and not s.on("pretrain") and "d" in archi_options(str(s.options.get("archi", "")))
        ),
        "A -d architecture starts without pretraining.",
        "These must be pretrained: from random weights they take far longer to form faces.",
        "Pretrain it (pretrain=yes, --pretrain-dir FACES), start from a pretrained model "
        "(--init-from), or take an archi without d.",
    ),
    Rule(
        "pretrain-left-on",
        words("pretrain"),
        lambda s: s.on("pretrain") and s.has_pair and s.iteration >= PRETRAINED,
        "Pretraining is still on, and the faces of src and dst are there.",
        "400,000 to 500,000 iterations are enough, and these two are not trained meanwhile.",
        "Set pretrain=no to train the pair.",
        lambda s: f"It has {s.iteration:,} iterations.",
    ),
    Rule(
        "no-masks",
        words("face_type masked_training"),
        lambda s: _masks_matter(s) and False in (s.src.masks, s.dst.masks),
        "Masked training of a wide face type, and a side has no masks.",
        "The mask is then the one drawn from the landmarks, which leaves forehead and hair out.",
        "Apply one XSeg model to both sides (dfl-tf xseg apply), or set masked_training=no.",
        lambda s: (
            "Without masks: "
            + " and ".join(n for n, side in (("src", s.src), ("dst", s.dst)) if side.masks is False)
            + "."
        ),
    ),
    Rule(
        "two-mask-models",
        words("face_type masked_training blur_out_mask"),
        _two_mask_models,
        "The masks of src and dst are by two XSeg models.",
        "They may end in different places, and the model learns the difference.",
        "Apply one and the same XSeg model to both sides (dfl-tf xseg apply).",
    ),
    Rule(
        "few-profiles",
        words("uniform_yaw"),
        _few_profiles,
        "src has few profiles, and dst turns its head.",
        "Profiles are then drawn so rarely that they stay blurred.",
        "Set uniform_yaw=yes (frontal faces may train more slowly), or add profiles.",
        lambda s: f"Turned far to a side: {s.src.profiles or 0:.0%} of src.",
        ours=True,
    ),
    Rule(
        "even-light-hsv",
        words("random_hsv_power"),
        lambda s: (
            s.on("random_hsv_power") and s.light_spread is not None and s.light_spread < EVEN_LIGHT
        ),
        "Random HSV shifts a src set that is evenly lit.",
        "It is for src sets with varied light: here it only averages the colors.",
        "Set random_hsv_power=0.",
        lambda s: f"The brightness of its faces varies by {s.light_spread:.1f} of 255.",
        ours=True,
    ),
    Rule(
        "one-color-ct",
        words("ct_mode"),
        lambda s: (
            s.on("ct_mode")
            and s.color_distance is not None
            and s.color_distance < SAME_COLOR
            and (s.light_spread or 0.0) < EVEN_LIGHT
        ),
        "Color transfer between sets of one color.",
        "There is nothing to match: it costs time, raises the losses and lengthens the training.",
        "Set ct_mode=none.",
        lambda s: f"src and dst differ by {s.color_distance:.0f} of 255 at the most.",
        ours=True,
    ),
    Rule(
        "small-batch",
        words("batch_size"),
        lambda s: 0 < s.samples_per_step <= 2,
        "The batch is very small.",
        "The gradient is noisy, and so is the result.",
        "Take at least 4; --accumulate 4 gives the gradient of a batch four times as large in the "
        "same memory.",
    ),
    Rule(
        "uncovered-poses",
        (),
        lambda s: s.uncovered is not None and s.uncovered >= UNCOVERED and not s.on("pretrain"),
        "src poses do not cover dst.",
        "Where src has no such view, the model can only guess.",
        "Add such src material; dfl-tf faceset report SRC DST shows which.",
        lambda s: f"{s.uncovered or 0:.0%} of dst looks where no src face does.",
        ours=True,
    ),
    Rule(
        "no-progress",
        words("random_warp lr_dropout"),
        lambda s: s.iteration >= LONG and s.standstill > 0,
        "The losses have stopped falling.",
        "More iterations of this phase only cost time.",
        "",
        lambda s: f"For {s.standstill:,} iterations. {_next_phase(s)}",
        ours=True,
    ),
    Rule(
        "inter-below-ae",
        words("inter_dims ae_dims"),
        lambda s: 0 < s.number("inter_dims") < s.number("ae_dims"),
        "inter_dims should not be less than ae_dims.",
        "They are what AMP keeps of both people; narrower than ae_dims they hold it back.",
        "For a new model raise inter_dims.",
    ),
    Rule(
        "sot-merge",
        words("color_transfer_mode"),
        lambda s: (
            s.frames >= LONG_CLIP
            and s.options.get("color_transfer_mode") in SLOW["color_transfer_mode"]
        ),
        "The slowest kind of color transfer for a long clip.",
        "sot slows merging badly, mix takes it too, and idt may.",
        "Try rct, lct or mkl on a sheet first (--sheet FILE).",
        lambda s: f"{s.frames:,} frames are merged.",
    ),
)
"""Every remark, in the order in which they are made."""


def remarks(situation: RunFacts) -> dict[str, str]:
    """Return the remarks that a situation calls for: name of the rule → text."""
    return {rule.name: rule.text(situation).strip(": ") for rule in _that_apply(situation)}


def _that_apply(situation: RunFacts) -> Iterator[Rule]:
    return (rule for rule in RULES if rule.applies(situation))


def advice_on(key: str) -> tuple[Rule, ...]:
    """Return the rules that are about an option."""
    return tuple(rule for rule in RULES if key in rule.keys)
