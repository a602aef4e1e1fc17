"""What commands take, as JSON for a page: ``python -m dfl_tf.cli.command_forms "video extract"``.

A process of its own, since the commands together need as much memory as the page's server.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence

import click

from dfl_tf.cli.from_options import SchemaOption
from dfl_tf.cli.main import COMMANDS, command
from dfl_tf.cli.model_choice import ModelClass
from dfl_tf.cli.speaking import WordChoice
from dfl_tf.options import OPTIONS, OptionSpec

Entry = dict[str, object]


def describe(words: str) -> list[Entry]:
    """What a command takes beside its arguments.

    Parameters
    ----------
    words : str
        Its name, with that of its group: ``faceset sort``.

    Returns
    -------
    list of dict
        For each flag: `key`, `flag`, `negative` (the flag for "no"; empty without one), `kind`
        (``bool``, ``int``, ``float``, ``str`` or ``path``), `help`, `details`, `group`, `default`,
        `minimum`, `maximum`, `choices`, `unit`, `multiple`, and `of`: the class of options that
        has it, empty for the command's own. An option that several classes have is listed for each.

    Raises
    ------
    KeyError
        There is no such command.
    """
    first, *rest = words.split()
    if first not in COMMANDS:
        raise KeyError(words)
    context = click.Context(command)
    found = command.get_command(context, first)
    for word in rest:
        found = found.get_command(context, word) if isinstance(found, click.Group) else None
    if found is None:
        raise KeyError(words)
    entries: list[Entry] = []
    for parameter in found.params:
        if isinstance(parameter, click.Option) and not parameter.hidden:
            entries += _entries(words, parameter)
    return entries


def _entries(words: str, option: click.Option) -> list[Entry]:
    flags: Entry = {
        "flag": max(option.opts, key=lambda text: text.startswith("--")),
        "negative": option.secondary_opts[0] if option.secondary_opts else "",
        "multiple": option.multiple,
    }
    if isinstance(option, SchemaOption) and option.specs:
        return [{**flags, **_of_spec(spec), "of": name} for name, spec in option.specs.items()]
    return [{**flags, **_of_flag(words, option), "of": ""}]


def _of_spec(spec: OptionSpec) -> Entry:
    if spec.key != "recipe":
        return spec.control()
    from dfl_tf.options.recipe_file import built_in_recipes

    return spec.control() | {"choices": tuple(built_in_recipes())}


def _of_flag(words: str, option: click.Option) -> Entry:
    kind = option.type
    choices: Sequence[str] = ()
    if isinstance(kind, WordChoice):
        choices = kind.choices
    elif isinstance(kind, ModelClass):
        choices = tuple(OPTIONS)
    elif words == "faceset sort" and option.name == "method":
        from dfl_tf.facesets.sorting import METHODS

        choices = tuple(METHODS)
    name = "str"
    if option.is_flag and isinstance(kind, click.types.BoolParamType):
        name = "bool"
    elif isinstance(kind, click.types.IntParamType):
        name = "int"
    elif isinstance(kind, click.types.FloatParamType):
        name = "float"
    elif isinstance(kind, click.Path):
        name = "path"
    default = option.default
    return {
        "key": option.name or "",
        "kind": name,
        "help": option.help or "",
        "details": "",
        "group": "",
        "default": default if isinstance(default, bool | int | float | str) else None,
        "minimum": getattr(kind, "min", None),
        "maximum": getattr(kind, "max", None),
        "choices": choices,
        "unit": "",
    }


if __name__ == "__main__":
    print(json.dumps({words: describe(words) for words in sys.argv[1:]}))
