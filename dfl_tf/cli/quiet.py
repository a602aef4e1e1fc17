"""`--quiet`, which every command has."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

import click

FOR_PROGRAMS = frozenset(("--json", "--csv"))


@contextlib.contextmanager
def quiet_output(*, keep_stdout: bool) -> Iterator[None]:
    """No progress, and nothing on stdout unless a program reads it, until the end of the block."""
    from dfl_tf.jobs import progress  # not for a help page

    with contextlib.ExitStack() as stack:
        stack.enter_context(progress.hidden())
        if not keep_stdout:
            nowhere = stack.enter_context(open(os.devnull, "w", encoding="utf-8"))
            stack.enter_context(contextlib.redirect_stdout(nowhere))
        yield


def _hush(context: click.Context, parameter: click.Parameter, given: bool) -> None:
    if given:
        words = context.find_root().obj or ()
        context.with_resource(quiet_output(keep_stdout=not FOR_PROGRAMS.isdisjoint(words)))


def with_quiet(command: click.Command) -> click.Command:
    """Give a command, or all commands of a group, the flag."""
    runs = True
    if isinstance(command, click.Group):
        runs = command.invoke_without_command
        for each in command.commands.values():
            with_quiet(each)
    if runs and not any("--quiet" in parameter.opts for parameter in command.params):
        flag = click.Option(
            ["--quiet"],
            is_flag=True,
            is_eager=True,
            expose_value=False,
            callback=_hush,
            help="Print no progress and no report; notes, warnings and errors only.",
        )
        command.params.append(flag)
    return command
