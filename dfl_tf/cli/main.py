"""The command `dfl-tf`: finds a command's module only when it is called.

`--help` and errors import neither TensorFlow nor any command.
"""

from __future__ import annotations

import contextlib
import importlib
import logging
import os
import sys
import warnings
from collections.abc import Iterator, Sequence
from typing import NoReturn

import click
from dfl_tf_ops.library_messages import finish
from dfl_tf_ops.native_output import QuietTensorFlow
from dfl_tf_ops.process import allow_open_files

from dfl_tf import __version__
from dfl_tf.cli.speaking import CommandGroup
from dfl_tf.disk.terminal import safe_output
from dfl_tf.errors import DflTfError
from dfl_tf.jobs.events import Events, Lines, captured_logging

from .legacy_argv import translate
from .quiet import with_quiet

COMMANDS: dict[str, tuple[str, str]] = {
    "extract": ("extract", "Find faces in frames or a video and align them."),
    "train": ("train", "Train or resume a model."),
    "merge": ("merge", "Put the predicted faces into frames."),
    "status": ("status", "Say how the trainings of a workspace go."),
    "web": ("web", "Watch trainings, and more, in a browser."),
    "evaluate": ("evaluate", "Measure models on faces that they have not seen."),
    "export": ("export", "Write a model as ONNX for DeepFaceLive (dfm)."),
    "model": ("model", "Show, compare, convert, back up and restore models."),
    "faceset": ("faceset", "Pack, unpack, verify and edit folders of faces."),
    "xseg": ("xseg", "Apply, remove and fetch face masks."),
    "video": ("video", "Turn videos into frames and back."),
    "recipe": ("recipe", "List, show and check recipes for training in phases."),
    "options": ("options_cmd", "Explain every option."),
    "bench": ("bench", "Measure training, samples and disk on this machine."),
    "demo": ("demo", "Train a small built-in workspace for two minutes."),
    "doctor": ("doctor", "Check the installation, the devices and the native library."),
    "completion": ("completion", "Print the completion script of a shell."),
}
"""Command → (module in dfl_tf.cli, one line of help)."""

NATIVE_LOG_LEVELS = {"TF_CPP_MIN_LOG_LEVEL": "2", "OPENCV_LOG_LEVEL": "SILENT"}
"""Native libraries do not write among our messages, unless the user wants them to: what is wrong
with an image or a device is said by the command."""


class LazyGroup(CommandGroup):
    """A group that knows its commands by name and imports the one that is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Names in the order of the table."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import `dfl_tf.cli.<module>` and return its `command`."""
        if cmd_name not in COMMANDS:
            return None
        module = importlib.import_module(f"dfl_tf.cli.{COMMANDS[cmd_name][0]}")
        command: click.Command = module.command
        return with_quiet(command)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the table without importing anything."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in COMMANDS.items()])


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="dfl-tf")
def command() -> None:
    """Train, merge and export DeepFaceLab models without a window.

    Commands of DeepFaceLab's main.py are understood as well. Exit codes: 0 done, 1 failed, 2 wrong
    usage or a choice that is yours, 3 stopped by a guard, 129, 130 and 143 stopped by a signal
    after saving.
    """


def run(argv: Sequence[str], *, own_process: bool = False) -> int:
    """Run one command line and return the exit code (decision 27).

    In a process of its own, what libraries write to stderr comes as lines of ours.
    """
    allow_open_files()
    for variable, level in NATIVE_LOG_LEVELS.items():
        os.environ.setdefault(variable, level)
    QuietTensorFlow(freeze=True, tell=own_process).install()
    told = _told_warnings() if own_process else contextlib.nullcontext()
    with safe_output(), captured_logging(Events([Lines()])), told:
        return _run(argv)


@contextlib.contextmanager
def _told_warnings() -> Iterator[None]:
    """Python's warnings are lines of ours, without the place in the code."""
    before, log = warnings.showwarning, logging.getLogger("dfl_tf.warnings")
    warnings.showwarning = lambda message, *_, **__: log.warning("%s", message)
    try:
        yield
    finally:
        warnings.showwarning = before


def _run(argv: Sequence[str]) -> int:
    try:
        line = translate(list(argv), count_gpus=_count_gpus)
        for note in line.notes:
            click.echo(note, err=True)
        for words in (line.argv, *line.more):
            result = command.main(
                args=list(words), prog_name="dfl-tf", standalone_mode=False, obj=words
            )
            sys.stdout.flush()
            if isinstance(result, int) and result:
                return result
        return 0
    except DflTfError as error:
        return _failed(argv, str(error), error.exit_code)
    except click.exceptions.NoArgsIsHelpError as help_wanted:
        click.echo(help_wanted.format_message())
        return 0
    except click.ClickException as error:
        code = _failed(argv, error.format_message(), error.exit_code)
        context = getattr(error, "ctx", None)
        if context is not None:
            click.echo(f"{context.get_usage()}\nSee {context.command_path} --help.", err=True)
        return code
    except (KeyboardInterrupt, click.Abort):
        click.echo("interrupted", err=True)
        return 130
    except BrokenPipeError:
        # The reader of the output has seen enough (`| head`); Python must not fail at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except OSError as error:
        place = f"{error.filename}: " if error.filename else ""
        return _failed(argv, f"{place}{error.strerror or error}", 1)


def _failed(argv: Sequence[str], message: str, code: int) -> int:
    """Say why a command ends, to programs as well where they asked for JSON; the exit code."""
    click.echo(f"error: {message}", err=True)
    if "--json" in argv:
        import json

        click.echo(json.dumps({"error": message, "exit_code": code}))
    return code


def _count_gpus() -> int:
    from dfl_tf.devices.configure import count_gpus

    return count_gpus()


def main() -> NoReturn:
    """Entry point of the console script and of `python -m dfl_tf`."""
    safe_output().__enter__()  # to the very end: the interpreter prints the last traceback
    code = run(sys.argv[1:], own_process=True)
    finish()
    sys.exit(code)


if __name__ == "__main__":
    main()
