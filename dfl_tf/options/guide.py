"""What a user should know of an option beside what it does: one text for terminal, page and prompt.

The field's own option list is the measure (docs/spec/option-guide.md). A claim that it does not
make and that does not follow from the code is ours, and is marked so: "(ours)".
"""

from __future__ import annotations

from dataclasses import dataclass

ORDER = (
    "Start with random warp on. Keep it while the losses fall and the faces in the preview get "
    "better.",
    "When the losses stall, switch learning-rate dropout on with random warp still on: it helps to "
    "generalize further.",
    "When the faces look right and the losses no longer fall, switch random warp off to learn "
    "detail. Do not switch it on again, unless the model was damaged by too high powers, is reused "
    "for a new dst with the same src, or for a new src and dst together.",
    "Near the end switch learning-rate dropout on again, for detail and steadiness. Only then "
    "start the GAN, at a low power, as the last step.",
    "True face, like the GAN, belongs to a well trained model with random warp off. Style powers "
    "take small values, are watched, and have backups. Make a backup before anything risky: a "
    "collapsed model does not recover by further training.",
)
"""The order of a training, a step each."""


@dataclass(frozen=True, kw_only=True)
class Guidance:
    """When to switch an option, with which values, at what price.

    Attributes
    ----------
    when, typical, cost, effects, beside, sources : str
        Sentences; empty where there is nothing to say. `beside` is how it goes with others.
    """

    when: str = ""
    typical: str = ""
    cost: str = ""
    effects: str = ""
    beside: str = ""
    sources: str = ""

    def lines(self) -> list[tuple[str, str]]:
        """Label and text of everything that is said."""
        said = (
            ("When", self.when),
            ("Typical", self.typical),
            ("Cost", self.cost),
            ("Side effects", self.effects),
            ("With others", self.beside),
            ("Sources", self.sources),
        )
        return [(label, text) for label, text in said if text]


def guidance(key: str) -> list[tuple[str, str]]:
    """Return label and text of what is said about an option; empty for one without guidance."""
    found = GUIDE.get(key)
    return [] if found is None else found.lines()


GUIDE: dict[str, Guidance] = {
    # -- architecture ---------------------------------------------------------------------------
    "resolution": Guidance(
        when="Raise it only if the faces in the frames are that large and src is sharp: close-ups "
        "decide it.",
        typical="128 for trials. A guess between what users report, nothing was measured: 96 to "
        "160 on cards of 4 to 6 GB, 192 to 224 on 8 GB, 256 to 288 on 11 to 12 GB, 320 to 448 on "
        "24 GB. dfl-tf bench train --fit finds what fits.",
        cost="Memory and time grow with its square.",
        beside="From 256 pixels on the loss has a second window, so losses of different "
        "resolutions do not compare.",
    ),
    "face_type": Guidance(
        when="f for the best sharpness per pixel, wf (usual) if the forehead matters, head for the "
        "hair as well.",
        cost="A wider type spends pixels on more of the head: fewer remain for the face. head "
        "takes more memory, since it needs a higher resolution.",
        effects="head asks for the same hair length and few loose strands on both sides.",
        beside="wf and head have masked_training, and need XSeg masks on both sides by one model. "
        "Faces that were extracted smaller cannot be trained as larger.",
    ),
    "archi": Guidance(
        when="df for more of src, where face shapes and light are similar. liae where they differ: "
        "it takes over shape and light of dst, and looks more like dst.",
        typical="df-ud, df-udt, liae-ud, liae-udt. -d for high resolutions at little cost.",
        cost="liae has two inters, so more memory. t costs time. u costs no weights.",
        effects="With random warp off, inter_AB of liae is not trained (as in DeepFaceLab).",
        beside="-d must be pretrained. True face exists for df only. d and t need a resolution in "
        "multiples of 32.",
    ),
    "ae_dims": Guidance(
        when="The overall capacity to learn faces: raise it if expressions, gaze or teeth are not "
        "reproduced.",
        typical="128 to 512; 256 is the default.",
        cost="Memory, for weights and optimizer alike; a little time.",
        beside="AMP: inter_dims should not be below it.",
    ),
    "inter_dims": Guidance(
        when="AMP only: the capacity of the two inters.",
        typical="1024, never below ae_dims.",
        cost="Memory.",
        beside="Should not be below ae_dims.",
    ),
    "e_dims": Guidance(
        when="How well the encoder can learn faces.",
        typical="64 to 96, together with d_dims.",
        cost="Time and memory grow with its square.",
    ),
    "d_dims": Guidance(
        when="How well the decoder can recreate faces: raise it for sharpness, together with the "
        "resolution.",
        typical="64 to 96, together with e_dims.",
        cost="The most expensive dimension in time and memory.",
    ),
    "d_mask_dims": Guidance(
        when="The quality of learned masks: raise it when they are cut coarsely.",
        typical="A third of d_dims.",
        cost="A little memory and time.",
        effects="May affect other aspects of the result as well.",
    ),
    "morph_factor": Guidance(
        when="AMP only: how much predicted faces are morphed to look and to express like src.",
        typical="0.5.",
        beside="It is not the morph of merging, which is chosen there.",
    ),
    "train_inters": Guidance(
        when="Off for a model that shall stay as DeepFaceLab would train it. What it brings is not "
        "measured.",
        cost="Memory for the slots of the inters.",
    ),
    "batch_size": Guidance(
        when="As large as fits; lower it when memory runs out.",
        typical="4 to 16, at least 4.",
        cost="Memory and time of an iteration, in proportion: compare faces per second.",
        effects="A small batch is noisier, not wrong.",
        beside="--accumulate gives the gradient of a larger batch without its memory.",
    ),
    # -- masks ----------------------------------------------------------------------------------
    "masked_training": Guidance(
        when="wf and head only. On: what is masked (by the default or an XSeg mask) has priority. "
        "Off: the whole area, background included, is trained at the same priority.",
        typical="On.",
        effects="On, the background is of low priority and gets noisy.",
        beside="blur_out_mask smooths that background. With XSeg masks use one model for both "
        "sides.",
    ),
    "eyes_mouth_prio": Guidance(
        when="When eyes, mouth or teeth are wrong.",
        cost="Little.",
        effects="It also raises sharpness and detail there. The loss rises, since a term is added.",
        beside="Missing eye directions or open mouths in src are not cured by it: add such faces.",
    ),
    "blur_out_mask": Guidance(
        when="When the background beside the face gets noisy or shows as an edge.",
        cost="One wide blur per batch.",
        beside="With masked_training the background has a low priority and gets noisy: this "
        "smooths it. With bg_style_power it becomes smooth and closer to dst. One and the same "
        "XSeg model must have masked src and dst.",
    ),
    # -- faces ----------------------------------------------------------------------------------
    "random_warp": Guidance(
        when="On at first: it generalizes features and expressions. Off when losses and preview "
        "no longer improve, to learn fine detail. On again only for a model that was damaged by "
        "too high powers, or is reused for a new dst, or a new src and dst.",
        typical="On, for most of a training.",
        effects="Fine detail suffers as long as it is on. Switched off too early, expressions are "
        "not followed.",
        beside="lr_dropout once while it is still on, GAN and true face only when it is off. "
        "A liae model does not train inter_AB without it.",
    ),
    "uniform_yaw": Guidance(
        when="For src sets with few profile shots. With random warp on it helps to generalize "
        "side faces, with random warp off it adds to their sharpness.",
        typical="Off; always on while pretraining.",
        effects="Profiles gain, frontal faces may train more slowly. The loss can become lower.",
        beside="It draws what is there: profiles that src lacks it cannot make.",
    ),
    "random_src_flip": Guidance(
        when="A makeshift where src lacks one side of the head.",
        typical="Off.",
        effects="Mirrors moles, scars and parting.",
        beside="More src material, or uniform_yaw, is the better cure.",
    ),
    "random_dst_flip": Guidance(
        when="On, unless dst must be followed on one side only.",
        typical="On.",
        cost="None.",
    ),
    "random_hsv_power": Guidance(
        when="For src sets of varied light: colors become steadier, flicker less and match better.",
        typical="0.05.",
        cost="Little.",
        effects="The colors of src are averaged slightly. Losses rise, since the data vary more.",
        beside="Only src is shifted, and from src alone. It can go with ct_mode, whose effect it "
        "weakens.",
    ),
    "ct_mode": Guidance(
        when="When src comes from many sources that differ in light and grading: its colors are "
        "matched to dst, so that skin tone agrees and neither flickers nor shifts when the face "
        "moves. none is often enough.",
        typical="none, or rct. rct: Reinhard's statistics in Lab. lct: a linear transform of the "
        "color distribution. mkl: Monge-Kantorovich linear. idt: iterative distribution transfer. "
        "sot: sliced optimal transport.",
        cost="No GPU memory. All are cheap in training but sot, which slows merging badly, too; "
        "idt may slow merging.",
        effects="It is an augmentation: more varied data, a higher loss, a longer training.",
        beside="Can be combined with random_hsv_power.",
        sources="Reinhard et al. 2001, Color Transfer between Images (rct; "
        "https://www.cs.tau.ac.il/~turkel/imagepapers/ColorTransfer.pdf). Pitié and Kokaram 2007, "
        "The linear Monge-Kantorovitch linear colour mapping (mkl; fpitie07b.pdf on the page of "
        "the Sigmedia group). Pitié, Kokaram and Dahyot, iterative distribution transfer (idt; "
        "CiteSeerX 10.1.1.158.1052). Coeurjolly, notes on sliced optimal transport (sot; "
        "https://dcoeurjo.github.io/OTColorTransfer).",
    ),
    # -- optimizer ------------------------------------------------------------------------------
    "models_opt_on_gpu": Guidance(
        when="On if it fits. Off is the first cure for running out of memory when batch and "
        "features shall stay.",
        typical="On.",
        cost="On: fast, more GPU memory. Off: part of the optimizer's load is on the CPU, less GPU "
        "memory (a larger batch or model fits), slower.",
    ),
    "adabelief": Guidance(
        when="A newer optimizer in place of RMSprop, for better accuracy and quality.",
        typical="On.",
        cost="More memory: two slots for each weight, RMSprop has one.",
        beside="lr_dropout is optional with it but recommended, and belongs on before the GAN.",
    ),
    "lr_dropout": Guidance(
        when="Three times. Before random warp is switched off, when the losses stall. After random "
        "warp is off and the model is well trained, near the end, for detail and stability. Always "
        "before the GAN starts, above all with AdaBelief.",
        typical="n, y in these phases; cpu where GPU memory is short.",
        cost="GPU memory. cpu avoids that for iterations about 20 % slower, in DeepFaceLab; a "
        "smaller batch is the other way.",
        effects="Speeds up the training of faces, reduces sub-pixel shake and partly the flicker "
        "of light.",
        beside="Before gan_power. Its swing of the rate multiplies lr_schedule.",
    ),
    "clipgrad": Guidance(
        when="Whenever a collapse is to be feared: most of all with style powers.",
        typical="Off; on with style powers.",
        cost="Small.",
        beside="Without it use automatic backups (autobackup_hour, snapshot_every).",
    ),
    "lr": Guidance(
        when="Leave it: a low rate for a long time is what schedules are for (ours).",
        typical="5e-5 for SAEHD and AMP.",
        beside="--lr-find suggests one, lr_warmup and lr_schedule change it.",
    ),
    # -- detail and style -----------------------------------------------------------------------
    "gan_power": Guidance(
        when="The very last step, for detail and sharpness: only when the model is more or less "
        "fully trained, with random warp off and lr_dropout on.",
        typical="0.01, up to 0.1.",
        cost="A second network: memory, and about 1.7 times the time at 128 pixels, 2.2 times at "
        "256, in one public benchmark of DeepFaceLab.",
        effects="Artifacts or a collapse are possible; a collapsed model does not recover.",
        beside="Back up first. gan_dims and gan_patch_size set its size.",
    ),
    "gan_patch_size": Guidance(
        when="Larger for better quality, smaller to save memory.",
        typical="An eighth of the resolution, which is the default.",
        cost="Memory.",
        effects="A change starts the discriminator over.",
    ),
    "gan_dims": Guidance(
        when="Larger can be better; edges are sharp even at the lowest.",
        typical="16; 12 to 14 for speed.",
        cost="Memory.",
        effects="A change starts the discriminator over.",
    ),
    "true_face_power": Guidance(
        when="df only, on a well trained model with random warp off: a discriminator pulls the "
        "result towards src.",
        typical="0.01, down to 0.001; never high.",
        cost="A little speed.",
        effects="Sharper; light and color may change, in extreme cases the angle of the face.",
        beside="Back up first. liae has none.",
    ),
    "face_style_power": Guidance(
        when="Last, and only if color or light of dst is not met: it brings them to the predicted "
        "face.",
        typical="0.001 to 0.1 to begin with.",
        cost="Memory: it may need a smaller batch. Time: one more prediction.",
        effects="High values look less like src and more like dst. Artifacts or a collapse are "
        "possible.",
        beside="Back up first, switch clipgrad on, watch the previews.",
    ),
    "bg_style_power": Guidance(
        when="Where the surroundings of the face shall follow dst.",
        typical="2.0.",
        cost="Memory: it may need a smaller batch. Time: one more prediction.",
        effects="Higher values do less harm than with face_style_power, since the background of "
        "src does not matter. Artifacts or a collapse are possible.",
        beside="With blur_out_mask the background becomes closer to dst and smooth. Back up first, "
        "switch clipgrad on.",
    ),
    # -- the run --------------------------------------------------------------------------------
    "pretrain": Guidance(
        when="First, once, on faces of many people. Off for the real pair.",
        typical="400,000 to 500,000 iterations.",
        cost="These iterations; each pair is learned in less time afterwards.",
        effects="Switched off, iterations and inters start over, on purpose.",
        beside="-d architectures must be pretrained; it is recommended for all.",
    ),
    "autobackup_hour": Guidance(
        when="Before anything risky (GAN, true face, style powers), and always without clipgrad.",
        typical="1 to 4.",
        cost="Up to 24 times the size of the model on disk.",
        beside="snapshot_every and dfl-tf model snapshot keep single states under a name.",
    ),
    "target_iter": Guidance(
        when="Where a job shall end by itself.",
        typical="Reported for DeepFaceLab: SAEHD 100,000 to 500,000 from scratch, AMP 50,000 to "
        "200,000, Quick96 20,000 to 100,000, XSeg 10,000 to 50,000; less from a pretrained model.",
        beside="A recipe ends its phases when the losses stall.",
    ),
}
