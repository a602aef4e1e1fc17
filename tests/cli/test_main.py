"""The entry point: speed, imports, errors, exit codes, old spellings."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
import warnings

import click
import pytest

from dfl_tf import __version__
from dfl_tf.cli import main as entry
from dfl_tf.cli.main import COMMANDS, run
from dfl_tf.errors import FacesetError, TrainingDiverged

PROBE = """
import sys
before = len(sys.modules)
from dfl_tf.cli.main import run
code = run({argv!r})
heavy = sorted(m for m in ("tensorflow", "keras", "numpy", "numba", "cv2") if m in sys.modules)
print("PROBE", code, len(sys.modules) - before, heavy)
"""


def probe(*argv: str) -> tuple[int, int, str, str]:
    done = subprocess.run(
        [sys.executable, "-c", PROBE.format(argv=list(argv))],
        capture_output=True,
        text=True,
        check=True,
    )
    text, _, last = done.stdout.rpartition("PROBE ")
    code, imported, heavy = last.split(" ", 2)
    return int(code), int(imported), heavy.strip(), text


def test_help_imports_next_to_nothing_and_so_is_quick() -> None:
    # Not timed: a busy machine must not fail it. About 60 modules take a fifth of a second.
    code, imported, heavy, text = probe("--help")
    assert code == 0
    assert heavy == "[]"
    assert imported < 100
    for name in COMMANDS:
        assert f"  {name} " in text


def test_option_help_imports_no_tensorflow() -> None:
    code, _, heavy, text = probe("options", "ae_dims")
    assert code == 0
    assert heavy == "[]"
    assert "32 … 2048" in text


def test_help_and_wrong_options_of_a_training_import_no_tensorflow() -> None:
    """They are answered before TensorFlow is imported, which takes seconds."""
    code, _, heavy, text = probe("train", "--help")
    assert (code, "tensorflow" in heavy, "numba" in heavy) == (0, False, False)
    assert "--target-iter" in text


def test_module_and_version() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "dfl_tf", "--version"], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == f"dfl-tf, version {__version__}"


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_of_the_table_is_there(name: str) -> None:
    module = importlib.import_module(f"dfl_tf.cli.{COMMANDS[name][0]}")
    assert isinstance(module.command, click.Command)
    assert COMMANDS[name][1].endswith(".")


def test_no_command_prints_help_and_succeeds(capsys: pytest.CaptureFixture[str]) -> None:
    assert run([]) == 0
    assert "Commands:" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["optionz"], 'No such command: "optionz". Did you mean "options"?'),
        (["zzz"], 'No such command: "zzz". See dfl-tf --help.'),
        (["options", "--jsn"], "--json"),
        (
            ["options", "ae_dimz"],
            '"ae_dimz" is in no name or text of an option; did you mean "ae_dims"?',
        ),
        (["extract"], "give WORKSPACE --side src|dst"),
    ],
)
def test_wrong_usage_leaves_with_2(
    argv: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(argv) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert message in error
    assert "Traceback" not in error


@pytest.mark.parametrize(
    ("raised", "code", "text"),
    [
        (FacesetError("no faces"), 1, "error: no faces"),
        (TrainingDiverged("NaN"), 3, "error: NaN"),
        (OSError(28, "No space left on device", "a.jpg"), 1, "error: a.jpg: No space left"),
        (OSError("strange"), 1, "error: strange"),
        (KeyboardInterrupt(), 130, "interrupted"),
        (click.exceptions.Exit(130), 130, ""),
    ],
)
def test_exit_codes(
    raised: BaseException,
    code: int,
    text: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    @click.command()
    def failing() -> None:
        raise raised

    monkeypatch.setattr(entry.LazyGroup, "get_command", lambda *_: failing)
    assert run(["demo"]) == code
    assert text in capsys.readouterr().err


def test_a_command_returns_its_exit_code(monkeypatch: pytest.MonkeyPatch) -> None:
    @click.command()
    def stopped() -> int:
        return 143

    monkeypatch.setattr(entry.LazyGroup, "get_command", lambda *_: stopped)
    assert run(["train"]) == 143


def test_old_spelling_is_said_once_on_stderr(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    @click.command()
    @click.argument("kind")
    @click.argument("folder")
    @click.option("--class", "name")
    def export(kind: str, folder: str, name: str) -> None:
        click.echo(f"{kind} {folder} {name}")

    monkeypatch.setattr(entry.LazyGroup, "get_command", lambda *_: export)
    assert run(["exportdfm", "--model-dir", "a b", "--model", "AMP"]) == 0
    shown = capsys.readouterr()
    assert shown.out == "dfm a b AMP\n"
    assert shown.err == (
        "note: the old spelling was understood as: dfl-tf export dfm 'a b' --class AMP\n"
    )


def test_a_reader_that_has_seen_enough_is_no_error() -> None:
    child = subprocess.Popen(
        [sys.executable, "-m", "dfl_tf", "options", "--json"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert child.stdout is not None
    child.stdout.read(10)
    child.stdout.close()
    assert child.communicate()[1] == b""
    assert child.returncode in (0, 1)


def test_native_libraries_are_quiet_unless_the_user_wants_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("OPENCV_LOG_LEVEL", "ERROR")  # what undo restores
    monkeypatch.delenv("OPENCV_LOG_LEVEL")
    monkeypatch.setenv("TF_CPP_MIN_LOG_LEVEL", "0")
    run(["--version"])
    assert os.environ["OPENCV_LOG_LEVEL"] == "SILENT"
    assert os.environ["TF_CPP_MIN_LOG_LEVEL"] == "0"


def test_warnings_of_python_are_lines_without_a_place(caplog, recwarn):
    before = warnings.showwarning
    with entry._told_warnings():
        warnings.warn("the library is missing", RuntimeWarning, stacklevel=1)
    assert caplog.messages == ["the library is missing"]
    assert warnings.showwarning is before
