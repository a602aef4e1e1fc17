"""README and docs: every command is parsed by the program itself, every snippet is read or run."""

from __future__ import annotations

import ast
import json
import re
import shlex
import subprocess
from pathlib import Path
from typing import Any

import click
import pytest
import yaml

from dfl_tf.cli import main
from dfl_tf.cli.from_options import _collect
from dfl_tf.cli.legacy_argv import translate
from dfl_tf.cli.paths import Existing
from dfl_tf.cli.speaking import AllErrors
from dfl_tf.options import (
    OPTIONS,
    ExtractOptions,
    Machine,
    MergeOptions,
    RunOptions,
    kind_of,
    specs,
)
from dfl_tf.options.recipe_file import read_recipe

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
FENCE = re.compile(r"^```(\{?[\w-]*\}?)[^\n]*\n(.*?)^```", re.MULTILINE | re.DOTALL)
INDENTED = re.compile(r"(?:^    .+\n)+", re.MULTILINE)
INLINE = re.compile(r"`(dfl-tf [^`]+)`")
PROMPT = re.compile(r"^(?:\w+)?\$ |^(?:[A-Z_]+=(?:'[^']*'|\S*) )+")
CLASSES = {
    "train": (*OPTIONS.values(), RunOptions),
    "merge": (MergeOptions,),
    "extract": (ExtractOptions,),
}
TOOL = re.compile(r"^(?:python|bash)? ?(tools/[\w-]+\.(?:py|sh))(.*)$")


def blocks(text: str) -> list[tuple[str, str]]:
    """Language and content of the code blocks of a page."""
    fenced = FENCE.findall(text)
    rest = FENCE.sub("", text)
    return [*fenced, *(("", found) for found in INDENTED.findall(rest))]


def lines_of(text: str) -> list[str]:
    """Every line of a code block that a user may type."""
    found = []
    for language, code in blocks(text):
        if language not in ("", "bash", "sh"):
            continue
        joined = code.replace("\\\n", " ")
        found += [PROMPT.sub("", line.strip()) for line in joined.splitlines()]
    return [re.split(r"\s+#(?:\s|$)| [>|&](?: |$)", line)[0].strip() for line in found]


def commands() -> list[Any]:
    """Every command, and whether it stands in a sentence, where it may lack its arguments."""
    found: dict[str, tuple[str, bool]] = {}
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        inline = INLINE.findall(FENCE.sub("", text).replace("\n", " "))
        for line in (*lines_of(text), *inline):
            # an ellipsis stands for what the reader fills in: the line is no command as it is
            if line.startswith("dfl-tf ") and "…" not in line and "[" not in line:
                found.setdefault(line, (page.name, line in inline))
    return [
        pytest.param(line, mentioned, id=f"{name}: {line[:70]}")
        for line, (name, mentioned) in found.items()
    ]


def tools() -> list[Any]:
    found = {}
    for page in PAGES:
        for line in lines_of(page.read_text(encoding="utf-8")):
            if match := TOOL.match(line):
                found.setdefault((match[1], match[2]), page.name)
    return [pytest.param(*key, id=f"{name}: {key[0]}{key[1][:40]}") for key, name in found.items()]


def parse(words: list[str]) -> None:
    """Parse a command line as the program does, down to the values of its options."""
    line = translate(words)
    for argv in (line.argv, *line.more):
        command: click.Command = main.command
        context: click.Context | None = None
        rest = list(argv)
        while True:
            if rest[:1] == ["--help"]:
                return
            context = command.make_context(command.name, rest, parent=context)
            if not isinstance(command, click.Group):
                break
            rest = [*context._protected_args, *context.args]
            _, found, rest = command.resolve_command(context, rest)
            assert found is not None
            command = found
        classes = CLASSES.get(argv[0])
        if classes is None:
            continue
        with context:
            inputs = _collect(classes, dict(context.params))
        model = context.params.get("model_class") if argv[0] == "train" else None
        cls = kind_of(model).options if model else classes[0]
        inputs.resolve(cls, machine=Machine())  # no look at the GPUs


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the files lie that commands of the pages name."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    (run,) = (code for language, code in FENCE.findall(readme) if language == "yaml")
    (tmp_path / "run.yaml").write_text(run)
    monkeypatch.chdir(tmp_path)
    # no command is run, so the folders that it names need not be there
    for kind in (click.Path, Existing):
        monkeypatch.setattr(kind, "convert", lambda self, value, param, ctx: Path(value))
    return tmp_path


@pytest.mark.parametrize(("line", "mentioned"), commands())
def test_every_command_is_understood(line: str, mentioned: bool, folder: Path) -> None:
    try:
        # a variable of the shell stands for a number
        parse(shlex.split(re.sub(r"\$[A-Z_]+", "1", line))[1:])
    except click.MissingParameter:
        if not mentioned:
            raise
    except AllErrors as errors:
        if not (mentioned and errors.only_missing):
            raise


def test_errors_of_commands_are_seen(folder: Path) -> None:
    with pytest.raises(click.ClickException):
        parse(["train", "ws", "--no-such-flag"])
    with pytest.raises(Exception, match="outside"):
        parse(["train", "ws", "--gan-power", "12"])
    with pytest.raises(click.ClickException):
        parse(["model", "no-such-command"])


NAMED = ("README", "guide", "troubleshooting", "when-to-switch", "options", "formats")
"""Pages that name no flags but ours."""


def test_flags_that_are_named_in_sentences_are_there() -> None:
    known: set[str] = set()

    def walk(command: click.Command, context: click.Context) -> None:
        for parameter in command.params:
            known.update(parameter.opts, parameter.secondary_opts)
        if isinstance(command, click.Group):
            for name in command.list_commands(context):
                found = command.get_command(context, name)
                assert found is not None
                walk(found, context)

    walk(main.command, click.Context(main.command))
    for page in PAGES:
        if page.stem in NAMED:
            named = set(re.findall(r"(?<![\w-])--[a-z][\w-]*", page.read_text(encoding="utf-8")))
            assert named <= known | {"--again", "--help"}, page


@pytest.mark.parametrize(("tool", "flags"), tools())
def test_every_tool_is_there_with_its_flags(tool: str, flags: str) -> None:
    path = ROOT / tool
    text = path.read_text(encoding="utf-8")
    if tool == "tools/full.sh":
        text += (ROOT / "tools/full.py").read_text(encoding="utf-8")
    options = {spec.flag for cls in OPTIONS.values() for spec in specs(cls).values()}
    for flag in re.findall(r"(?<!\S)--[a-z][\w-]*", flags):
        assert flag in text or flag in options, f"{tool} has no {flag}"


def test_scripts_of_the_pages_are_valid(tmp_path: Path) -> None:
    found = 0
    for page in PAGES:
        for language, code in FENCE.findall(page.read_text(encoding="utf-8")):
            if language == "bash":
                file = tmp_path / "script.sh"
                file.write_text(code)
                subprocess.run(["bash", "-n", file], check=True)
                found += 1
    assert found


def python_blocks() -> list[Any]:
    return [
        pytest.param(code, id=f"{page.name}-{number}")
        for page in PAGES
        for number, (language, code) in enumerate(blocks(page.read_text(encoding="utf-8")))
        if language == "python"
    ]


@pytest.mark.parametrize("code", python_blocks())
def test_python_is_valid(code: str) -> None:
    ast.parse(code)


@pytest.mark.slow
def test_python_of_the_readme_and_the_api_page_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main.run(["demo", "--seconds", "5"]) == 0
    names: dict[str, Any] = {"__name__": "page"}
    for page in ("README.md", "docs/api.md"):
        for language, code in FENCE.findall((ROOT / page).read_text(encoding="utf-8")):
            if language == "python":
                exec(compile(code, page, "exec"), names)  # noqa: S102  # our own page
    assert names["swapped"].image.shape[-1] == 3


def test_yaml_of_the_pages_is_of_options_and_recipes(tmp_path: Path) -> None:
    known = {key for cls in (*OPTIONS.values(), RunOptions, MergeOptions) for key in specs(cls)}
    known |= {"workspace", "model", "name"}
    recipes = 0
    for page in (ROOT / "README.md", ROOT / "docs/running.md", ROOT / "docs/recipes.md"):
        for language, code in blocks(page.read_text(encoding="utf-8")):
            if language not in ("", "yaml") or not re.match(r"\s*\w+: ", code):
                continue
            tree = yaml.safe_load(code)
            if "phases" in tree:
                file = tmp_path / "recipe.yaml"
                file.write_text(yaml.safe_dump(tree, sort_keys=False))
                assert len(read_recipe(file).phases) == len(tree["phases"])
                recipes += 1
            else:
                assert set(tree) <= known, page
    assert recipes


def test_the_readme_follows_our_own_advice() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert "gan_power" not in "".join(code for _, code in blocks(text))


def test_the_notebook_is_code_without_output() -> None:
    import run_notebook

    path = ROOT / "docs" / "first_look.ipynb"
    notebook = json.loads(path.read_text(encoding="utf-8"))
    assert not any(cell.get("outputs") for cell in notebook["cells"])
    script = run_notebook.script_of(path)
    assert "print((swapped.image.shape, swapped.mask.shape))" in script
    ast.parse(script)


def test_every_page_is_in_the_manual() -> None:
    index = (ROOT / "docs" / "index.md").read_text(encoding="utf-8")
    listed = {line.strip() for line in index.splitlines()}
    for page in (ROOT / "docs").rglob("*.md"):
        stem = page.relative_to(ROOT / "docs").with_suffix("").as_posix()
        assert stem in listed or stem == "index", stem


def test_every_image_and_page_that_is_linked_is_there() -> None:
    for page in PAGES:
        text = FENCE.sub("", page.read_text(encoding="utf-8"))
        for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", text):
            if not target.startswith("http"):
                assert (page.parent / target).exists(), (page.name, target)
