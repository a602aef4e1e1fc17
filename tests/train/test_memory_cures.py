"""What frees memory: the field's order, and the figures of the plan."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from dfl_tf.models import create
from dfl_tf.options import AMPOptions, Quick96Options, SAEHDOptions, default
from dfl_tf.train.memory_cures import cures, out_of_memory_error
from dfl_tf.train.memory_use import memory

ALL = {
    "archi": "df", "resolution": 64, "ae_dims": 32, "e_dims": 16, "d_dims": 16,
    "d_mask_dims": 16, "lr_dropout": "y", "random_warp": False, "gan_power": 0.01,
    "gan_patch_size": 8, "gan_dims": 4, "face_style_power": 0.01, "bg_style_power": 2.0,
    "true_face_power": 0.01, "batch_size": 4,
}  # fmt: skip


def test_the_order_is_that_of_the_field():
    found = cures(default(SAEHDOptions, **ALL), on_gpu=True)
    assert [cure.given for cure in found] == [
        "--no-models-opt-on-gpu", "--lr-dropout cpu", "--batch-size 2", "--gan-power 0",
        "--bg-style-power 0", "--face-style-power 0", "--true-face-power 0", "--no-adabelief",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("options", "on_gpu", "given"),
    [
        (default(SAEHDOptions, batch_size=1), False, ["--no-adabelief"]),
        (default(SAEHDOptions, pretrain=True, gan_power=1.0, adabelief=False), False,
         ["--batch-size 2"]),
        (default(AMPOptions, lr_dropout="y"), True, ["--no-models-opt-on-gpu", "--batch-size 4"]),
        (default(Quick96Options), True, ["--batch-size 2"]),
    ],
)  # fmt: skip
def test_only_what_helps_here_is_named(options, on_gpu, given):
    assert [cure.given for cure in cures(options, on_gpu=on_gpu)] == given


@pytest.mark.slow
def test_savings_are_the_plans_figures():
    options = default(SAEHDOptions, **ALL)
    model = create("SAEHD", options, initialized=False)
    sizes = memory(model)
    saved = {cure.given: cure.measure(model) for cure in cures(options, on_gpu=True)}
    assert saved["--no-models-opt-on-gpu"] == pytest.approx(sizes["weights"] + sizes["slots"])
    half = (sizes["activations (estimate)"] + sizes["prepared samples"]) / 2
    assert saved["--batch-size 2"] == pytest.approx(half)
    assert saved["--no-adabelief"] == pytest.approx(sizes["slots"] / 2)
    for key in ("gan_power", "bg_style_power"):
        without = memory(create("SAEHD", default(SAEHDOptions, **ALL | {key: 0.0})))
        fewer = sum(
            sizes[what] - without[what] for what in ("weights", "slots", "activations (estimate)")
        )
        given = f"--{key.replace('_', '-')} 0"
        assert saved[given] == pytest.approx(fewer, rel=0.01), key
        assert saved[given] > 0.1


def test_the_error_names_them_with_figures_and_without():
    options = default(SAEHDOptions, batch_size=8)
    text = str(out_of_memory_error(options, None))
    first, second = text.index("--no-models-opt-on-gpu"), text.index("--batch-size 4")
    assert first < second < text.index("--plan")
    assert "saves" not in text
    broken = SimpleNamespace(placement=SimpleNamespace(on_cpu=False))  # cannot be looked at
    assert "--no-models-opt-on-gpu (same batch" in str(out_of_memory_error(options, broken))
