"""The dialogue beyond the goldens: order, help, repeats, the end of input."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from dfl_tf.options import AMPOptions, Layer, SAEHDOptions, XSegOptions, default, resolve, to_legacy
from dfl_tf.options.prompts import Answers, ask_options


def converse(
    cls: type, answers: dict[str, list[str]], *layers: Layer
) -> tuple[Answers, list[str], list[str]]:
    asked, said = [], []

    def read(prompt: str) -> str:
        label = prompt.split(" ( ")[0]
        asked.append(label)
        waiting = answers.get(label, [])
        return waiting.pop(0) if waiting else ""

    return ask_options(cls, layers, read=read, say=said.append), asked, said


def test_questions_come_in_the_legacy_order() -> None:
    _, asked, _ = converse(AMPOptions, {"GAN power": ["0.1"]})
    assert asked == [
        "Autobackup every N hour",
        "Write preview history",
        "Target iteration",
        "Flip SRC faces randomly",
        "Flip DST faces randomly",
        "Batch_size",
        "Resolution",
        "Face type",
        "AutoEncoder dimensions",
        "Inter dimensions",
        "Encoder dimensions",
        "Decoder dimensions",
        "Decoder mask dimensions",
        "Morph factor.",
        "Uniform yaw distribution of samples",
        "Blur out mask",
        "Use learning rate dropout",
        "Place models and optimizer on GPU",
        "Enable random warp of samples",
        "GAN power",
        "GAN patch size",
        "GAN dimensions",
        "Color transfer for src faceset",
        "Enable gradient clipping",
    ]


def test_questions_that_do_not_apply_are_left_out() -> None:
    _, asked, _ = converse(SAEHDOptions, {})
    for label in ("Masked training", "GAN patch size", "GAN dimensions", "'True face' power."):
        assert label not in asked
    _, asked, _ = converse(SAEHDOptions, {"Face type": ["head"], "AE architecture": ["df"]})
    assert "Masked training" in asked
    assert "'True face' power." in asked


def test_architecture_is_not_asked_on_resume() -> None:
    stored = Layer(to_legacy(default(SAEHDOptions)), "data.dat", kind="stored")
    _, asked, _ = converse(SAEHDOptions, {}, stored)
    assert "Resolution" not in asked
    assert "AE architecture" not in asked
    assert "Batch_size" in asked


def test_help_and_wrong_choices_ask_again() -> None:
    answers = {
        "Color transfer for src faceset": ["?", "rgb", "RCT"],
        "AE architecture": ["dfhd", "df"],
    }
    result, asked, said = converse(SAEHDOptions, answers)
    assert result.layer.values["ct_mode"] == "rct"
    assert result.layer.values["archi"] == "df"
    assert asked.count("Color transfer for src faceset") == 3
    assert any("Color transfer from a random dst face" in line for line in said)
    assert any('"hd" graphs' in line for line in said)


def test_what_cannot_be_read_is_asked_again_and_numbers_are_clipped() -> None:
    answers = {
        "Target iteration": ["soon", "5000"],
        "GAN power": ["99"],
        "Resolution": ["1000"],
        "Flip SRC faces randomly": ["perhaps", "?", "yes"],
    }
    result, asked, said = converse(SAEHDOptions, answers)
    values = result.layer.values
    assert (values["target_iter"], values["gan_power"], values["resolution"]) == (5000, 10.0, 640)
    assert values["random_src_flip"] is True
    assert asked.count("Target iteration") == 2
    assert asked.count("Flip SRC faces randomly") == 3
    assert '"soon" is not a whole number' in said
    assert any(line.startswith('"perhaps" is neither yes nor no') for line in said)
    assert "gan_power becomes 10.0 (0 … 10)" in said
    assert values["gan_patch_size"] == 80


def test_resolution_follows_the_architecture() -> None:
    answers = {"Resolution": ["240"], "AE architecture": ["liae-t"]}
    result, _, said = converse(SAEHDOptions, answers)
    assert result.layer.values["resolution"] == 224
    assert "resolution becomes 224: a multiple of 32 for liae-t" in said
    assert resolve(SAEHDOptions, [result.layer]).options.gan_patch_size == 28


def test_end_of_input_takes_every_proposal() -> None:
    def read(prompt: str) -> str:
        raise EOFError

    answers = ask_options(SAEHDOptions, [], read=read, say=lambda line: None)
    assert resolve(SAEHDOptions, [answers.layer]).options == default(SAEHDOptions)


@pytest.mark.parametrize("restart", [True, False])
def test_xseg_offers_to_start_over(restart: bool) -> None:
    stored = Layer(to_legacy(default(XSegOptions)), "data.dat", kind="stored")
    answers = {"Restart training?": ["y" if restart else ""], "Face type": ["head"]}
    result, asked, _ = converse(XSegOptions, answers, stored)
    assert result.restart is restart
    assert ("Face type" in asked) is restart


def _answer(text: str) -> Callable[[str], str]:
    return lambda prompt: text


def test_flags_are_what_the_dialogue_proposes() -> None:
    flags = Layer({"ae_dims": 512, "clipgrad": True}, "flags")
    answers = ask_options(SAEHDOptions, [flags], read=_answer(""), say=lambda line: None)
    assert answers.layer.values["ae_dims"] == 512
    assert answers.layer.values["clipgrad"] is True
