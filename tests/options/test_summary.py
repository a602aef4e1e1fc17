"""The summary table beyond the goldens: GPUs, pretraining."""

from __future__ import annotations

from dfl_tf.options import Device, SAEHDOptions, default, summary_text, to_legacy


def test_gpu_rows_and_width() -> None:
    text = summary_text(
        "m_SAEHD", 5, {"batch_size": 4}, [Device(1, "A Very Long GPU Name", 11.987)]
    )
    lines = text.split("\n")
    assert "==      Device index: 1                    ==" in lines
    assert "==              Name: A Very Long GPU Name ==" in lines
    assert "==              VRAM: 11.99GB              ==" in lines
    assert len({len(line) for line in lines}) == 1
    assert not text.endswith("\n")


def test_pretraining_shows_what_is_used() -> None:
    options = default(
        SAEHDOptions, pretrain=True, gan_power=0.1, lr_dropout="y", random_src_flip=False
    )
    text = summary_text("m_SAEHD", 5, to_legacy(options))
    rows = dict(
        (part.strip() for part in line.strip("=").split(": ", 1))
        for line in text.split("\n")
        if ": " in line
    )
    assert (rows["gan_power"], rows["lr_dropout"], rows["random_warp"]) == ("0.0", "n", "False")
    assert (rows["uniform_yaw"], rows["random_src_flip"]) == ("True", "False")


def test_no_options_at_all() -> None:
    assert "Model name" in summary_text("new_Quick96", 0, {})
