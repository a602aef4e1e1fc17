"""What holds for all commands alike: how models and folders are named, errors, completion."""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from dfl_tf.cli.main import command as root
from dfl_tf.cli.main import run
from dfl_tf.cli.paths import Existing
from dfl_tf.cli.quiet import quiet_output
from dfl_tf.errors import ModelFileError, WorkspaceError
from dfl_tf.formats.models.choose_model import choose_model
from dfl_tf.formats.sessions.workspace import Workspace
from dfl_tf.jobs.progress import ProgressBar


def commands(
    group: click.Command = root, words: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    """Every command that is no group, with its words."""
    if not isinstance(group, click.Group):
        yield words, group
        return
    context = click.Context(group)
    for name in group.list_commands(context):
        below = group.get_command(context, name)
        assert below is not None
        yield from commands(below, (*words, name))


COMMANDS = dict(commands())
ticks = itertools.count(step=100.0)
IDS = [" ".join(words) for words in COMMANDS]


@pytest.mark.parametrize("words", COMMANDS, ids=IDS)
def test_the_class_of_a_model_has_two_names(words):
    for parameter in COMMANDS[words].params:
        names = {"--model", "--class"} & set(parameter.opts)
        assert names in (set(), {"--model", "--class"}), parameter.opts


@pytest.mark.parametrize("words", COMMANDS, ids=IDS)
def test_what_must_be_there_and_is_not_ends_with_1(words, tmp_path, capsys):
    command = COMMANDS[words]
    for parameter in command.params:
        if isinstance(parameter.type, click.Path) and parameter.type.exists:
            raise AssertionError(f"{parameter.name}: {Existing.__name__} is for that")
    arguments = [each for each in command.params if isinstance(each, click.Argument)]
    if not arguments or not isinstance(arguments[0].type, Existing):
        return
    given = [str(tmp_path / "absent")] * max(1, sum(each.required for each in arguments))
    assert run([*words, *given]) == 1
    assert "absent: there is no such" in capsys.readouterr().err


@pytest.mark.parametrize("words", COMMANDS, ids=IDS)
def test_programs_get_errors_as_json(words, capsys):
    if not any("--json" in parameter.opts for parameter in COMMANDS[words].params):
        return
    assert run([*words, "--json", "--no-such-flag"]) == 2
    out, err = capsys.readouterr()
    failure = json.loads(out)
    assert failure["exit_code"] == 2
    assert f"error: {failure['error']}" in err


@pytest.mark.parametrize("words", COMMANDS, ids=IDS)
def test_precisions_have_short_names(words):
    for parameter in COMMANDS[words].params:
        if "--precision" in parameter.opts and isinstance(parameter.type, click.Choice):
            for short, precision in (
                ("fp32", "float32"),
                ("FP16", "float16"),
                ("bf16", "bfloat16"),
            ):
                if precision in parameter.type.choices:
                    assert parameter.type.convert(short, parameter, None) == precision
                else:
                    with pytest.raises(click.BadParameter, match="is not one of"):
                        parameter.type.convert(short, parameter, None)


@pytest.mark.parametrize("words", COMMANDS, ids=IDS)
def test_every_command_can_be_quiet(words):
    assert sum("--quiet" in parameter.opts for parameter in COMMANDS[words].params) == 1


def test_quiet_leaves_what_programs_read(workspace, capsys):
    listing = ["model", "list", str(workspace)]
    assert run([*listing]) == 0
    assert "a" in capsys.readouterr().out.split()
    assert run([*listing, "--quiet"]) == 0
    assert capsys.readouterr() == ("", "")
    assert run([*listing, "--quiet", "--json"]) == 0
    assert [model["name"] for model in json.loads(capsys.readouterr().out)] == ["a"]
    assert run(["model", "list", "absent", "--quiet"]) == 1
    assert capsys.readouterr() == ("", "error: absent: there is no such folder.\n")


def test_quiet_work_shows_no_progress(capsys):
    with (
        quiet_output(keep_stdout=True),
        ProgressBar("work", "items", clock=lambda: next(ticks)) as bar,
    ):
        bar(1, 2)
    assert capsys.readouterr().err == ""
    with ProgressBar("work", "items", clock=lambda: next(ticks)) as bar:
        bar(1, 2)
    assert capsys.readouterr().err.startswith("work 1/2")


def test_a_near_miss_of_a_class_is_answered(capsys):
    assert run(["model", "show", ".", "--model", "saedh"]) == 2
    assert 'did you mean "SAEHD"?' in capsys.readouterr().err


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    root = tmp_path / "project"
    for folder in ("data_src/aligned", "data_dst/aligned", "model"):
        (root / folder).mkdir(parents=True)
    (root / "model" / "a_SAEHD_data.dat").touch()
    return root


def test_a_workspace_is_taken_where_a_model_folder_is_meant(workspace, capsys):
    assert run(["model", "list", str(workspace), "--json"]) == 0
    assert [model["name"] for model in json.loads(capsys.readouterr().out)] == ["a"]
    assert Workspace.open(workspace, model=workspace).model == workspace / "model"


def test_a_model_folder_is_taken_where_a_workspace_is_meant(workspace):
    found = Workspace.open(workspace / "model")
    assert (found.root, found.model) == (workspace, workspace / "model")
    other = workspace / "other_models"
    (workspace / "model").rename(other)
    assert Workspace.open(other) == Workspace.open(workspace, model=other)


@pytest.mark.parametrize("place", ["", "project/data_src", "project/data_dst/aligned"])
def test_the_workspace_around_a_folder_or_in_it_is_named(workspace, place):
    folder = workspace.parent / place
    with pytest.raises(WorkspaceError, match=f"Did you mean {workspace}\\?"):
        Workspace.open(folder)
    with pytest.raises(ModelFileError, match=f"Did you mean {workspace / 'model'}\\?"):
        choose_model(folder)


def test_far_from_any_workspace_nothing_is_suggested(tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(WorkspaceError, match=r"missing: (?!.*Did you mean)"):
        Workspace.open(tmp_path / "empty")


@pytest.mark.parametrize(
    ("line", "offered"),
    [("dfl-tf tr", "train"), ("dfl-tf model sh", "show"), ("dfl-tf export dfm --cl", "--class")],
)
def test_words_are_completed(line, offered):
    words = {
        "COMP_WORDS": line,
        "COMP_CWORD": str(line.count(" ")),
        "_DFL_TF_COMPLETE": "bash_complete",
    }
    done = subprocess.run(
        [sys.executable, "-m", "dfl_tf"], env=os.environ | words, capture_output=True, text=True
    )
    assert done.stdout == f"plain,{offered}\n"


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_completion_of_a_shell_is_printed(shell, capsys):
    assert run(["completion", shell]) == 0
    assert "_DFL_TF_COMPLETE=" in capsys.readouterr().out


def test_importing_tensorflow_says_nothing(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "dfl_tf", "train", str(tmp_path / "absent")],
        env={name: os.environ[name] for name in os.environ if name != "TF_CPP_MIN_LOG_LEVEL"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    assert [line[:6] for line in done.stderr.splitlines()] == ["error:"]
