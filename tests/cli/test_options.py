"""Flags from the schema, `dfl-tf options`, and the generated page."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Any

import click
import pytest
import write_option_docs
from click.testing import CliRunner

from dfl_tf.cli.from_options import CommandInputs, OptionCommand, option_flags
from dfl_tf.cli.options_cmd import command as options_command
from dfl_tf.errors import OptionError, UsageError
from dfl_tf.options import (
    OPTIONS,
    Layer,
    MergeOptions,
    RunOptions,
    SAEHDOptions,
    default,
    resolve,
    specs,
    to_legacy,
)
from dfl_tf.options.yaml_file import read_layer


def choose(*argv: str, model: str = "SAEHD", **keywords: Any) -> Any:
    """Run a command that has every flag, as `train` does."""
    found = {}

    @click.command(cls=OptionCommand)
    @click.argument("workspace", required=False)
    @option_flags(*OPTIONS.values(), RunOptions)
    def train(workspace: str | None, inputs: CommandInputs) -> None:
        found["chosen"] = inputs.resolve(OPTIONS[model], **keywords)

    train.main(args=list(argv), standalone_mode=False)
    return found["chosen"]


def test_flags_set_model_and_run_options() -> None:
    chosen = choose(
        *shlex.split("ws --ae-dims 128 --pretrain --no-random-warp --lr-dropout CPU"),
        *shlex.split("--seed 3 --no-save --cpu-only --reinit inter_B,GAN --no-guard-collapse"),
    )
    options, run = chosen.options, chosen.run
    assert (options.ae_dims, options.pretrain, options.random_warp) == (128, True, False)
    assert options.lr_dropout == "cpu"
    assert (run.seed, run.no_save, run.cpu, run.guard_collapse) == (3, True, True, False)
    assert run.reinit == ("inter_B", "GAN")


def test_nothing_given_is_the_default() -> None:
    chosen = choose()
    assert chosen.options == default(SAEHDOptions)
    assert chosen.run == RunOptions()


@pytest.mark.parametrize("model", OPTIONS)
def test_every_option_has_a_flag(model: str) -> None:
    argv = []
    for spec in specs(OPTIONS[model]).values():
        if spec.kind is bool:
            argv.append(spec.flag if spec.default else f"--no-{spec.flag[2:]}")
        else:
            argv += [spec.flag, str(spec.default)]
    assert choose(*argv, model=model).options == OPTIONS[model]()


def test_precedence_of_file_environment_set_and_flag(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = tmp_path / "run.yaml"
    config.write_text("ae_dims: 64\ne_dims: 32\nd_dims: 34\nsave_every: 5\ntarget_iter: 7\n")
    monkeypatch.setenv("DFL_TF_OPT_E_DIMS", "40")
    monkeypatch.setenv("DFL_TF_OPT_D_DIMS", "42")
    monkeypatch.setenv("DFL_TF_OPT_TARGET_ITER", "8")
    monkeypatch.setenv("DFL_TF_OPT_ERODE_MASK_MODIFIER", "5")  # of another command
    chosen = choose(
        "--config",
        str(config),
        "--set",
        "d-dims=50",
        "--set",
        "target_iter=9",
        "--target-iter",
        "10",
    )
    options = chosen.options
    assert (options.ae_dims, options.e_dims, options.d_dims) == (64, 40, 50)
    assert options.target_iter == 10
    assert chosen.run.save_every == 5.0


def own_parameters(*argv: str) -> tuple[Any, Any]:
    """Run a command with parameters of its own, as `train` has them."""
    found = {}

    @click.command(cls=OptionCommand)
    @click.argument("workspace", required=False, type=click.Path(path_type=Path))
    @click.option("--model", "model_class", default="SAEHD")
    @click.option("--model-dir", type=click.Path(path_type=Path))
    @click.option("--count", type=int)
    @option_flags(SAEHDOptions, RunOptions)
    def train(inputs: CommandInputs, **own: Any) -> None:
        found["all"] = own, inputs.resolve(SAEHDOptions)

    train.main(args=list(argv), standalone_mode=False)
    return found["all"]


def test_a_config_file_may_hold_all_of_a_command_and_flags_win(tmp_path: Path) -> None:
    file = tmp_path / "run.yaml"
    file.write_text("workspace: ws\nmodel: AMP\npaths:\n  model-dir: m\ncount: 3\nae_dims: 64\n")
    own, chosen = own_parameters("--config", str(file), "--model", "XSeg")
    assert own == {
        "workspace": Path("ws"), "model_class": "XSeg", "model_dir": Path("m"), "count": 3
    }  # fmt: skip
    assert chosen.options.ae_dims == 64
    own, _ = own_parameters("other", "--config", str(file))
    assert (own["workspace"], own["model_class"]) == (Path("other"), "AMP")


@pytest.mark.parametrize("written", ["10", "010", "2024-01-02", "1e3", "true"])
def test_a_folder_in_a_config_file_is_what_is_written(tmp_path: Path, written: str) -> None:
    file = tmp_path / "run.yaml"
    file.write_text(f"workspace: {written}\n")
    own, _ = own_parameters("--config", str(file))
    assert own["workspace"] == Path(written)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("count: many", r"run\.yaml, line 1: count: 'many' is not a valid integer"),
        ("workspace: [a, b]", r"line 1: workspace must be one value, not \['a', 'b'\]"),
        ("places: a", "places is not an option"),
    ],
)
def test_errors_of_a_commands_own_parameters_in_a_file(
    tmp_path: Path, text: str, told: str
) -> None:
    file = tmp_path / "run.yaml"
    file.write_text(text)
    with pytest.raises((UsageError, OptionError), match=told):
        own_parameters("--config", str(file))


def test_last_defaults_are_used_on_request_for_new_models_only() -> None:
    last = {"clipgrad": True}
    stored = Layer(to_legacy(default(SAEHDOptions)), "data.dat", kind="stored")
    assert choose(defaults=last).options.clipgrad is False
    assert choose("--use-last-defaults", defaults=last).options.clipgrad is True
    assert choose("--use-last-defaults", defaults=last, stored=stored).options.clipgrad is False


def test_all_errors_of_model_and_run_come_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = tmp_path / "run.yaml"
    config.write_text("gan_power: 12\nsave_evry: 3\n")
    monkeypatch.setenv("DFL_TF_OPT_CT_MODE", "rtc")
    with pytest.raises(OptionError) as caught:
        choose("--config", str(config), "--seed", "x", "--inter-dims", "64", "--set", "foo=1")
    text = str(caught.value)
    assert text.startswith("6 errors")
    for part in (
        "gan_power=12.0 is outside 0 … 10 (from run.yaml, line 1)",
        'save_evry is not an option of SAEHD; did you mean "save_every"? (from run.yaml, line 2)',
        "(from environment variable DFL_TF_OPT_CT_MODE)",
        'seed="x" is not a whole number (from flag --seed)',
        "inter_dims is not an option of SAEHD, but of AMP (from flag --inter-dims)",
        'foo is not an option of SAEHD; "dfl-tf options" lists all (from --set)',
    ):
        assert part in text


def test_strict_and_allow_unknown() -> None:
    with pytest.raises(OptionError, match="refused by --strict"):
        choose("--strict", "--e-dims", "33")
    chosen = choose("--allow-unknown", "--set", "session_name=a")
    assert chosen.resolved.unknown == {"session_name": "a"}
    with pytest.raises(UsageError, match="give --set key=value"):
        choose("--set", "clipgrad")


def test_print_options_shows_what_is_used(capsys: pytest.CaptureFixture[str]) -> None:
    @click.command()
    @option_flags(SAEHDOptions)
    def train(inputs: CommandInputs) -> None:
        inputs.resolve(SAEHDOptions)
        raise AssertionError("must not go on")

    argv = ["--print-options", "--pretrain", "--lr-dropout", "y"]
    assert train.main(args=argv, standalone_mode=False) == 0
    shown = json.loads(capsys.readouterr().out)
    assert (shown["lr_dropout"], shown["random_warp"], shown["ae_dims"]) == ("n", False, 256)


def test_the_dialogue_is_the_last_word() -> None:
    answers = Layer({"ae_dims": 128}, "your answer", kind="answers")
    assert choose("--ae-dims", "64", answers=answers).options.ae_dims == 128


def test_merge_flags_have_short_names() -> None:
    found = {}

    @click.command(cls=OptionCommand)
    @option_flags(MergeOptions)
    def merge(inputs: CommandInputs) -> None:
        found["options"] = inputs.resolve(MergeOptions).options

    line = "--mode 3 --erode -5 --blur 10 --color-transfer mkl --no-masked-hist-match"
    argv = shlex.split(line)
    merge.main(args=argv, standalone_mode=False)
    options = found["options"]
    assert (options.mode, options.erode_mask_modifier, options.blur_mask_modifier) == (
        "seamless",
        -5,
        10,
    )
    assert (options.color_transfer_mode, options.masked_hist_match) == ("mkl", False)
    text = CliRunner().invoke(merge, ["--help"]).output
    for heading in ("Where values come from:", "Composition:", "Mask:", "Image:"):
        assert heading in text


def test_options_command_explains() -> None:
    text = CliRunner().invoke(options_command, ["gan-power", "morph"]).output
    assert "allowed:  0 … 10" in text
    assert "DeepFaceLab's own range: 0..5 (MVE fork: 0..10)" in text
    assert "of:       SAEHD, AMP" in text
    assert "of:       merge" in text


def test_options_command_lists_all() -> None:
    text = CliRunner().invoke(options_command, []).output
    for cls in (*OPTIONS.values(), RunOptions, MergeOptions):
        for key in specs(cls):
            assert f"  {key} " in text
    assert "1. Start with random warp on." in text


def test_options_command_json_and_yaml(tmp_path: Path) -> None:
    table = json.loads(CliRunner().invoke(options_command, ["--json", "--model", "amp"]).output)
    assert list(table) == ["AMP"]
    assert {entry["key"] for entry in table["AMP"]} == set(specs(OPTIONS["AMP"]))
    path = tmp_path / "config.yaml"
    path.write_text(CliRunner().invoke(options_command, ["--yaml", "--model", "AMP"]).output)
    options = resolve(OPTIONS["AMP"], [read_layer(path)], strict=True).options
    assert options == OPTIONS["AMP"]()


def test_the_committed_page_is_up_to_date() -> None:
    assert write_option_docs.main(["--check"]) == 0
