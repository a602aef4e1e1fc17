"""Which model a command means, and what commands print of it as JSON."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Callable
from pathlib import Path

import click

from dfl_tf.errors import UsageError
from dfl_tf.options import OPTIONS, kind_of

Function = Callable[..., object]
Decorator = Callable[[Function], Function]


class ModelClass(click.ParamType):
    """The name of a class of models, in any letter case."""

    name = "class"

    def get_metavar(self, param: click.Parameter, ctx: click.Context) -> str:
        """Those that there are, as click shows choices."""
        return f"[{'|'.join(OPTIONS)}]"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """As the class spells it."""
        try:
            return kind_of(value).name
        except UsageError as error:
            self.fail(str(error), param, ctx)


def class_option(help: str, *, default: str | None = None) -> Decorator:
    """`--class`, which is `--model` as well in every command, as `model_class`."""
    return click.option(
        "--model",
        "--class",
        "model_class",
        type=ModelClass(),
        default=default,
        show_default=default is not None,
        help=help,
    )


def choice(function: Function) -> Function:
    """`--name` and `--class`; what is not given is the newest model of the folder."""
    function = click.option("--name", help="Name of the model; default the newest.")(function)
    return class_option("Class of the model; default that of the newest.")(function)


def confirmed(question: str, *, yes: bool) -> bool:
    """Whether the user wants it: asked on a terminal, unless ``--yes`` was given.

    Raises
    ------
    UsageError
        There is no terminal to ask on.
    """
    check_can_ask(question, yes=yes)
    return yes or click.confirm(question, err=True)


def check_can_ask(question: str, *, yes: bool) -> None:
    """Refuse a command that has to ask and cannot, before it does anything.

    Raises
    ------
    UsageError
        There is no terminal, and ``--yes`` was not given.
    """
    if not yes and not on_a_terminal():
        raise UsageError(f"{question} There is no terminal to ask on: give --yes.")


def on_a_terminal() -> bool:
    """Whether somebody is there to answer."""
    return sys.stdin.isatty()


json_flag = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


def pick(directory: Path, name: str | None, model_class: str | None) -> tuple[str, str]:
    """Name and class of the model that is meant.

    Both as given are taken even where the model is not whole: its backups and previous set may be.
    """
    from dfl_tf.formats.models.choose_model import choose_model

    if name is not None and model_class is not None:
        return name, model_class
    found = choose_model(directory, name, model_class)
    return found.name, found.model_class


def print_json(value: object) -> None:
    """Print strict JSON."""
    click.echo(json.dumps(_jsonable(value), indent=2, allow_nan=False))


def _jsonable(value: object) -> object:
    """`value` as strict JSON knows it: NaN and infinity, which it does not know, become null."""
    if isinstance(value, dict):
        return {str(key): _jsonable(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_jsonable(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value if value is None or isinstance(value, bool | int | float | str) else str(value)
