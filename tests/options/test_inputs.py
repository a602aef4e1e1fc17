"""Layers that are given now, and the rules between them, without a command line."""

from __future__ import annotations

import pytest

from dfl_tf.errors import OptionError
from dfl_tf.options import AMPOptions, Layer, RunOptions, SAEHDOptions
from dfl_tf.options.inputs import OptionInputs, environment_for, flag_layer

CLASSES = (SAEHDOptions, AMPOptions, RunOptions)


def test_given_wins_over_files_and_the_last_layer_over_the_first() -> None:
    inputs = OptionInputs(
        CLASSES,
        files=(Layer({"ae_dims": 64, "e_dims": 32, "seed": 1}, "a.yaml"),),
        given=(Layer({"e_dims": 40, "d_dims": 42}, "page"), Layer({"d_dims": 50}, "page")),
    )
    chosen = inputs.resolve(SAEHDOptions)
    options = chosen.options
    assert (options.ae_dims, options.e_dims, options.d_dims) == (64, 40, 50)
    assert (chosen.run.seed, inputs.run.seed) == (1, 1)
    assert inputs.keys == {"ae_dims", "e_dims", "d_dims", "seed"}


def test_errors_of_the_run_and_of_the_model_come_together_and_once() -> None:
    layer = Layer({"seed": "x", "gan_power": 12, "inter_dims": 64}, "page")
    inputs = OptionInputs(CLASSES, given=(layer,))
    assert inputs.run == RunOptions()  # whoever needs it before asks again
    with pytest.raises(OptionError) as caught:
        inputs.resolve(SAEHDOptions)
    text = str(caught.value)
    assert text.startswith("3 errors")
    assert "inter_dims is not an option of SAEHD, but of AMP (from page)" in text
    assert text.count("seed") == 1


def test_answers_win_and_a_dialogue_is_told_what_is_known() -> None:
    inputs = OptionInputs(CLASSES, given=(Layer({"ae_dims": 64, "seed": 3}, "page"),))
    last = {"clipgrad": True}
    assert [dict(layer.values) for layer in inputs.below(SAEHDOptions, None, last)] == [
        {"ae_dims": 64}
    ]
    answers = Layer({"ae_dims": 128}, "your answer", kind="answers")
    assert inputs.resolve(SAEHDOptions, answers=answers).options.ae_dims == 128


def test_a_program_gives_the_options_of_the_run_as_they_are() -> None:
    run = RunOptions(seed=5)
    inputs = OptionInputs.of_program({"ae_dims": 48, "archi": "df"}, "the demo", run)
    chosen = inputs.resolve(SAEHDOptions)
    assert (chosen.options.ae_dims, chosen.run) == (48, run)
    with pytest.raises(OptionError, match=r"ae_dms is not an option .* \(from the demo\)"):
        OptionInputs.of_program({"ae_dms": 48}, "the demo").resolve(SAEHDOptions)


def test_the_environment_of_other_commands_is_left_out_and_flags_are_named() -> None:
    environ = {"DFL_TF_OPT_AE_DIMS": "64", "DFL_TF_OPT_ERODE_MASK_MODIFIER": "5", "HOME": "/"}
    assert dict(environment_for(CLASSES, environ).values) == {"ae_dims": "64"}
    assert environment_for(CLASSES, {"DFL_TF_OPT_NO_SUCH": "1"}).values == {"no_such": "1"}
    layer = flag_layer(CLASSES, {"ae_dims": "x"})
    assert layer.place("ae_dims") == "flag --ae-dims"
