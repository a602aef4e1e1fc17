"""Help pages, errors and words of all commands (dfl_tf.cli.speaking)."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from dfl_tf.cli.from_options import SchemaOption
from dfl_tf.cli.main import COMMANDS as TABLE
from dfl_tf.cli.main import command as root
from dfl_tf.cli.main import run
from dfl_tf.cli.speaking import Command, CommandGroup, WholeWords, WordChoice
from dfl_tf.errors import EXIT_CODES, DflTfError
from dfl_tf.errors import __dict__ as errors
from dfl_tf.options.schema import show

from .test_every_command import COMMANDS, IDS

ROOT = Path(__file__).resolve().parents[2]
JSON_LESS = {
    ("completion",): "a script for a shell, which no program reads as a report",
    ("web",): "a server; what it serves is JSON",
}
DOTS = re.compile(r"[a-z]( ?…|\.\.\.)$", re.MULTILINE)


def help_of(words: tuple[str, ...], columns: int, command: click.Command | None = None) -> str:
    command = command or COMMANDS[words]
    context = command.context_class(command, info_name=" ".join(("dfl-tf", *words)))
    context.terminal_width = columns - 2  # as click takes it from the terminal
    return command.get_help(context)


def groups() -> dict[tuple[str, ...], click.Group]:
    context = click.Context(root)
    found = {(): root}
    for name in TABLE:
        command = root.get_command(context, name)
        if isinstance(command, click.Group):
            found[(name,)] = command
    return found


GROUPS = groups()


@pytest.mark.parametrize("columns", [60, 80])
@pytest.mark.parametrize("words", [*COMMANDS, *GROUPS], ids=[*IDS, *map(" ".join, GROUPS)])
def test_help_is_whole(words, columns):
    page = help_of(words, columns, GROUPS.get(words))
    assert not DOTS.search(page), "a text was cut off"
    too_long = [line for line in page.splitlines() if len(line) > columns]
    assert not too_long


@pytest.mark.parametrize("words", COMMANDS, ids=IDS)
def test_help_names_choices_defaults_and_units(words):
    command = COMMANDS[words]
    page = " ".join(help_of(words, 80).split())
    context = click.Context(command)
    for each in command.params:
        if not isinstance(each, click.Option) or each.hidden:
            continue
        record = each.get_help_record(context)
        assert record is not None
        assert each.help, each.opts
        text = " ".join(" ".join(record).split())
        assert text.rpartition("  ")[2] in page
        if isinstance(each.type, WordChoice):
            assert all(choice in text for choice in each.type.choices), each.opts
        if isinstance(each, SchemaOption):
            for spec in each.specs.values():
                assert all(choice in text for choice in spec.choices), each.opts
                assert spec.unit in text, each.opts
                assert (show(spec.default) or "none") in text, each.opts
        elif each.default not in (None, "", (), False) and not each.is_flag and has_default(each):
            assert each.show_default or re.search("default|0: |0 = ", text), each.opts
        elif each.default == "":
            assert "default" in text.lower(), each.opts


def has_default(option: click.Option) -> bool:
    return isinstance(option.default, int | float | str | Path)


@pytest.mark.parametrize("words", COMMANDS, ids=IDS)
def test_commands_and_choices_are_ours(words):
    command = COMMANDS[words]
    assert isinstance(command, Command)
    assert not any(isinstance(each.type, click.Choice) for each in command.params)


@pytest.mark.parametrize("words", GROUPS, ids=map(" ".join, GROUPS))
def test_a_near_miss_of_a_command_is_answered(words, capsys):
    assert isinstance(GROUPS[words], CommandGroup)
    name = max(GROUPS[words].list_commands(click.Context(GROUPS[words])), key=len)
    assert run([*words, f"{name}_"]) == 2
    assert f'Did you mean "{name}"?' in capsys.readouterr().err


@pytest.mark.parametrize("words", COMMANDS, ids=IDS)
def test_a_near_miss_of_a_choice_is_answered(words, capsys):
    for each in COMMANDS[words].params:
        if not isinstance(each.type, WordChoice) or not isinstance(each, click.Option):
            continue
        choice = max(each.type.choices, key=len)
        if len(choice) < 4:
            continue
        assert run([*words, f"{each.opts[0]}={choice[:-1]}"]) == 2
        assert f'did you mean "{choice}"?' in capsys.readouterr().err


@pytest.mark.parametrize("words", COMMANDS, ids=IDS)
def test_all_errors_of_a_call_are_told(words, capsys):
    flags = ["--no-such-flag=1", "--neither-this=2"]
    expected = ["--no-such-flag", "--neither-this"]
    for each in COMMANDS[words].params:
        if isinstance(each, click.Option) and isinstance(each.type, click.IntRange | WordChoice):
            flags.append(f"{each.opts[0]}=wrong-{each.name}")
            a_word = isinstance(each.type, WordChoice)
            expected.append(f"wrong-{each.name}" if a_word else each.opts[0])
    assert run([*words, *flags]) == 2
    err = capsys.readouterr().err
    assert [text for text in expected if text not in err] == []


@pytest.mark.parametrize("words", COMMANDS, ids=IDS)
def test_switches_take_yes_and_no(words):
    command = COMMANDS[words]
    for each in command.params:
        if not isinstance(each, click.Option) or not each.is_bool_flag or each.is_eager:
            continue
        name = next(opt for opt in each.opts if opt.startswith("--"))
        for word in ("y", "yes", "true", "n", "no", "false"):
            on = word in ("y", "yes", "true")
            expected = [name] if on else each.secondary_opts[:1]
            assert [*command._switched([f"{name}={word}"])] == expected
        assert [*command._switched([f"{name}=perhaps"])] == [f"{name}=perhaps"]
    assert [*command._switched(["--", "--yes=no"])] == ["--", "--yes=no"]


@pytest.mark.parametrize("words", COMMANDS, ids=IDS)
def test_every_command_that_reports_has_json(words):
    has = any("--json" in parameter.opts for parameter in COMMANDS[words].params)
    assert has or words in JSON_LESS


def test_options_and_a_missing_folder_are_told_together(tmp_path, capsys):
    line = [str(tmp_path / "absent"), "--ae-dims", "5", "--archi", "foo", "--ct-mode", "rtc"]
    assert run(["train", *line]) == 1  # a missing folder is always 1
    err = capsys.readouterr().err
    for text in ("absent: there is no such folder", "ae_dims=5 is outside", 'archi="foo" is not'):
        assert text in err
    assert run(["merge", str(tmp_path / "absent"), "--mask-mode", "none"]) == 1
    err = capsys.readouterr().err
    assert "there is no such folder" in err
    assert "mask_mode" in err
    assert run(["extract", str(tmp_path / "absent"), "--tiles", "99"]) == 1
    err = capsys.readouterr().err
    assert "absent" in err
    assert "tiles=99" in err


def test_the_archi_is_told_with_other_errors(tmp_path, capsys):
    assert run(["train", str(tmp_path), "--archi", "foo", "--ae-dims", "5", "--no-such=1"]) == 2
    err = capsys.readouterr().err
    assert "3 errors in this call" in err
    assert "--archi foo is not an architecture" in err
    assert "--ae-dims 5 is outside 32 … 2048" in err


def test_words_are_searched_in_names_and_texts(capsys):
    assert run(["options", "snapshot"]) == 0
    out = capsys.readouterr().out
    assert "snapshot_every" in out
    assert "keep_best" in out  # its help says it
    assert run(["options", "learned-prd"]) == 0
    assert "mask_mode" in capsys.readouterr().out  # a choice of it
    assert run(["options", "gan-power"]) == 0
    assert capsys.readouterr().out.startswith("gan_power: ")
    assert run(["options", "gan_powr"]) == 2
    assert 'did you mean "gan_power"?' in capsys.readouterr().err
    assert run(["options", "gan_power", "warp", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert {"gan_power", "random_warp"} <= {each["key"] for each in found["SAEHD"]}


def test_help_is_wrapped_between_words():
    formatter = WholeWords(width=50)
    formatter.write_dl([("--mask-mode NAME", "of " + "learned-prd*learned-dst " * 3)])
    assert formatter.getvalue().count("learned-prd*learned-dst") == 3


def test_exit_codes_stand_in_one_table():
    codes = {int(code) for row in EXIT_CODES for code in row.code.split(",")}
    raised = {
        error.exit_code
        for error in errors.values()
        if isinstance(error, type) and issubclass(error, DflTfError)
    }
    assert raised <= codes
    assert {0, 129, 130, 137, 143} <= codes
    page = (ROOT / "docs" / "clusters.md").read_text(encoding="utf-8")
    for row in EXIT_CODES:
        assert f"| {row.code} | {row.meaning} | {row.again} |" in page


def test_a_recipe_is_printed_as_json():
    done = CliRunner().invoke(root, ["recipe", "show", "saehd", "--json"])
    shown = json.loads(done.output)
    assert shown["recipe"]["name"] == "saehd"
    assert Path(shown["file"]).is_file()
    assert run(["recipe", "show", "absent.yaml"]) == 1


def test_the_root_help_imports_no_command():
    code = (
        "import sys; from dfl_tf.cli.main import run; run(['--help']);"
        "print([name for name in sys.modules if name.startswith('dfl_tf.options')])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"
