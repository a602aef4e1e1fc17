"""The texts of options hold each fact of docs/spec/option-guide.md, and contradict none."""

from __future__ import annotations

import pytest

from dfl_tf.cli.options_cmd import _explain
from dfl_tf.options import OPTIONS, specs
from dfl_tf.options.guide import GUIDE, ORDER, guidance

FACTS = {
    "ae_dims": "overall capacity to learn faces",
    "inter_dims": "AMP only | capacity | not be below ae_dims",
    "e_dims": "the encoder can learn",
    "d_dims": "the decoder can recreate faces",
    "d_mask_dims": "quality of learned masks | other aspects",
    "morph_factor": "AMP only | to look and to express like src | 0.5.",
    "masked_training": (
        "wf and head only | default or an XSeg mask | has priority | the whole area, background"
        " included | same priority | Typical: On."
    ),
    "eyes_mouth_prio": "problems of eyes, mouth and teeth | raises sharpness and detail",
    "uniform_yaw": (
        "evenly over yaw | Profiles gain | frontal faces may train more slowly | while "
        "pretraining | generalize side faces | adds to their sharpness | few profile shots | "
        "loss can become lower | Typical: Off"
    ),
    "blur_out_mask": (
        "area outside of the mask | low priority and gets noisy | bg_style_power it becomes "
        "smooth and closer to dst | One and the same XSeg model"
    ),
    "models_opt_on_gpu": (
        "On: fast, more GPU memory | on the CPU, less GPU memory | larger batch or model | "
        "slower | first cure for running out of memory when batch and features shall stay"
    ),
    "adabelief": (
        "place of RMSprop | better accuracy and quality | More memory | optional with it but "
        "recommended | before the GAN"
    ),
    "lr_dropout": (
        "Speeds up the training of faces | sub-pixel shake | flicker of light | Before random "
        "warp is switched off, when the losses stall | After random warp is off | near the end,"
        " for detail and stability | Always before the GAN starts, above all with AdaBelief | "
        "about 20 % slower | smaller batch"
    ),
    "random_warp": (
        "generalizes features and expressions | Fine detail suffers as long as it is on | "
        "losses and preview no longer improve"
    ),
    "random_hsv_power": (
        "Only src is shifted, and from src alone | steadier, flicker less and match better | "
        "averaged slightly | whose effect it weakens | varied light | 0.05"
    ),
    "gan_power": (
        "detail and sharpness | fully trained, with random warp off and lr_dropout on | 0.01 | "
        "Back up first | Artifacts or a collapse"
    ),
    "gan_patch_size": "Larger for better quality | Memory | An eighth of the resolution",
    "gan_dims": "Larger can be better | even at the lowest | 16; 12 to 14 for speed | Memory",
    "true_face_power": (
        "df only | pulls the result towards src | Sharper; light and color may change, in "
        "extreme cases the angle | A little speed | 0.01, down to 0.001; never high | Back up"
    ),
    "face_style_power": (
        "or light of dst | less like src and more like dst | 0.001 to 0.1 | smaller batch | "
        "Artifacts or a collapse | Back up"
    ),
    "bg_style_power": "surroundings | Higher values do less harm | src does not matter | 2.0",
    "ct_mode": (
        "skin tone agrees | neither flickers nor shifts when the face moves | light and grading"
        " | none is often enough | Reinhard's statistics in Lab | linear transform of the color"
        " distribution | Monge-Kantorovich linear | iterative distribution transfer | sliced "
        "optimal transport | No GPU memory | slows merging badly | idt may slow merging | more "
        "varied data, a higher loss, a longer training | combined with random_hsv_power | "
        "turkel/imagepapers/ColorTransfer.pdf | fpitie07b.pdf | 10.1.1.158.1052 | "
        "OTColorTransfer"
    ),
    "clipgrad": (
        "Guards against a collapse | with style powers | Small. | automatic backups | Typical: Off"
    ),
    "pretrain": (
        "faces of many people | 400,000 to 500,000 iterations | in less time | Off for the real"
        " pair | -d architectures must be pretrained; it is recommended for all"
    ),
}
ORDER_FACTS = (
    "Start with random warp on", "learning-rate dropout on with random warp still on",
    "reused for a new dst with the same src", "Only then start the GAN, at a low power",
    "a collapsed model does not recover",
)  # fmt: skip


def told(key: str) -> str:
    cls = next(cls for cls in OPTIONS.values() if key in specs(cls))
    return " ".join(_explain(specs(cls)[key]).split())


@pytest.mark.parametrize("key", FACTS)
def test_every_fact_is_told(key: str) -> None:
    text = told(key)
    for fact in FACTS[key].split(" | "):
        assert " ".join(fact.split()) in text, fact


@pytest.mark.parametrize(("step", "fact"), [*zip(ORDER, ORDER_FACTS, strict=True)])
def test_the_order_of_a_training(step: str, fact: str) -> None:
    assert fact in step


def test_nothing_contradicts_the_field() -> None:
    assert "about 0.1" not in told("gan_power")
    assert "10000" not in told("face_style_power")


def test_guidance_is_for_options_that_exist_and_ends_in_full_sentences() -> None:
    known = {key for cls in OPTIONS.values() for key in specs(cls)}
    assert set(GUIDE) <= known
    for key in GUIDE:
        for label, text in guidance(key):
            assert text.endswith((".", ").")), (key, label)


def test_an_option_without_guidance_has_none() -> None:
    assert guidance("seed") == []
