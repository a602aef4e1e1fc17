"""Schema → command line flags; flags, a configuration file and the environment → `OptionInputs`.

Flags carry no click types: ranges and choices are checked by `dfl_tf.options`, so that all
errors of a command line, a config file and the environment are reported at once.
"""

from __future__ import annotations

import functools
import json
import os
import textwrap
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import click

from dfl_tf.cli.paths import FILE
from dfl_tf.errors import UsageError
from dfl_tf.options import Layer, Options, OptionSpec, RunOptions, effective_dict, specs
from dfl_tf.options.inputs import Chosen, OptionInputs, environment_for, flag_layer
from dfl_tf.options.yaml_file import read_layer

T = TypeVar("T", bound=Options)
PREFIX = "option_"
CONTROLS = ("config", "set", "strict", "allow_unknown", "use_last_defaults", "print_options")


@dataclass(frozen=True)
class CommandInputs(OptionInputs):
    """What a command line, its configuration file and the environment give.

    Commands receive it as `inputs`.
    """

    print_options: bool = False

    def resolve(self, cls: type[T], **known: Any) -> Chosen[T]:
        """As `OptionInputs.resolve`; with --print-options the outcome is printed, and that is all.

        Roundings and warnings go to stderr, the effective options to stdout as JSON.
        """
        chosen = super().resolve(cls, **known)
        if not self.print_options:
            return chosen
        for note in (*self.notes, *chosen.resolved.adjustments, *chosen.resolved.warnings):
            click.echo(note, err=True)
        click.echo(json.dumps(effective_dict(chosen.options), indent=1))
        raise click.exceptions.Exit(0)


class SchemaOption(click.Option):
    """A flag made from the schema; `section` is its heading in the help."""

    def __init__(self, *args: Any, section: str = "", **attributes: Any) -> None:
        super().__init__(*args, **attributes)
        self.section = section


class OptionCommand(click.Command):
    """A command whose help lists the flags of the schema under headings."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the command's own options first, then one section per group."""
        sections: dict[str, list[tuple[str, str]]] = {"Options": []}
        for parameter in self.get_params(ctx):
            if isinstance(parameter, click.Argument):
                continue
            record = parameter.get_help_record(ctx)
            if record is not None:
                title = getattr(parameter, "section", "") or "Options"
                sections.setdefault(title, []).append(record)
        for title, records in sections.items():
            if records:
                with formatter.section(title):
                    formatter.write_dl(records)


def option_flags(
    *classes: type[Options],
) -> Callable[[Callable[..., object]], Callable[..., object]]:
    """Give a command the flags of some classes of options, and `inputs: CommandInputs`.

    Adds --config, --set, --strict, --allow-unknown, --use-last-defaults and --print-options. The
    config file may also hold the command's own parameters by the names of their flags
    (`workspace`, `model`, `name` …); the command line wins.
    Use with `@click.command(cls=OptionCommand)` for a help with headings.
    """

    def decorate(function: Callable[..., object]) -> Callable[..., object]:
        @functools.wraps(function)
        def wrapped(*args: object, **values: object) -> object:
            inputs = _collect(classes, values)
            return function(*args, inputs=inputs, **values)

        decorated: Callable[..., object] = wrapped
        for flag in reversed([*_controls(), *_flags(classes)]):
            decorated = flag(decorated)
        return decorated

    return decorate


def _own_parameters(layer: Layer, values: dict[str, Any]) -> frozenset[str]:
    """Fill parameters that were not given from a config file; returns the keys that it had."""
    context = click.get_current_context()
    taken = set()
    for parameter in context.command.params:
        name = parameter.name or ""
        if name not in values:  # the schema's, or a control
            continue
        spellings = {text.lstrip("-").replace("-", "_") for text in (name, *parameter.opts)}
        for key in spellings & layer.values.keys():
            taken.add(key)
            if context.get_parameter_source(name) is not click.core.ParameterSource.DEFAULT:
                continue
            value = layer.values[key]
            if not isinstance(value, str | int | float):
                raise UsageError(f"{layer.place(key)}: {key} must be one value, not {value!r}")
            try:
                # as on the command line: a folder may be named 10
                text = layer.texts[key]
                given = (text,) if parameter.multiple else text
                values[name] = parameter.type_cast_value(context, given)
            except click.BadParameter as error:
                raise UsageError(f"{layer.place(key)}: {key}: {error.message}") from None
    return frozenset(taken)


def _collect(classes: tuple[type[Options], ...], values: dict[str, Any]) -> CommandInputs:
    """Take the schema's parameters out of `values`; the one place that reads the config file."""
    given = {}
    for name in [name for name in values if name.startswith(PREFIX)]:
        value = values.pop(name)
        if value is not None:
            given[name.removeprefix(PREFIX)] = value
    controls = {name: values.pop(f"control_{name}") for name in CONTROLS}
    config, sets = controls.pop("config"), controls.pop("set")
    files: tuple[Layer, ...] = ()
    if config is not None:
        file = read_layer(config)
        places = _own_parameters(file, values)
        files = (file.only(file.values.keys() - places),)
    layers = (
        environment_for(classes, os.environ),
        Layer(_read_sets(sets), "--set"),
        flag_layer(classes, given),
    )
    return CommandInputs(classes, files, layers, **controls)


def _read_sets(texts: Sequence[str]) -> dict[str, str]:
    found = {}
    for text in texts:
        key, equals, value = text.partition("=")
        if not equals:
            raise UsageError(f'--set "{text}" has no "="; give --set key=value')
        found[key.strip().replace("-", "_")] = value.strip()
    return found


def _flags(classes: Sequence[type[Options]]) -> list[Callable[..., object]]:
    seen: dict[str, tuple[OptionSpec, list[str]]] = {}
    for cls in classes:
        for key, spec in specs(cls).items():
            seen.setdefault(key, (spec, []))[1].append(cls.NAME)
    models = sum(cls is not RunOptions for cls in classes)
    return [
        click.option(
            *_spellings(spec),
            PREFIX + key,
            cls=SchemaOption,
            section="GAN" if spec.group == "gan" else spec.group.capitalize(),
            is_flag=spec.kind is bool,
            default=None,
            metavar=None if spec.kind is bool else _metavar(spec),
            help=_flag_help(spec, names if 1 < models != len(names) else []),
        )
        for key, (spec, names) in seen.items()
    ]


def _spellings(spec: OptionSpec) -> list[str]:
    names = [spec.flag, *spec.flags]
    if spec.kind is not bool:
        return names
    # a switch of the run that is off by nature ("--no-save", "--cpu") needs no opposite
    if not spec.default and not spec.lasting and spec.key in specs(RunOptions):
        return names
    return [f"{spec.flag}/--no-{spec.flag[2:]}"]


def _metavar(spec: OptionSpec) -> str:
    if spec.choices:
        text = "|".join(spec.choices)
        return f"[{text}]" if len(text) <= 40 else "NAME"
    if spec.placeholder:
        return spec.placeholder
    if spec.minimum is not None and spec.maximum is not None:
        return spec.allowed().split(",")[0].replace(" … ", "..")
    return {int: "N", float: "X"}.get(spec.kind, "TEXT")


def _flag_help(spec: OptionSpec, names: Sequence[str]) -> str:
    only = f" ({', '.join(names)})" if names and "run" not in names else ""
    return textwrap.shorten(f"{spec.help}{only}", 200)


def _controls() -> list[Callable[..., object]]:
    section: dict[str, Any] = {"cls": SchemaOption, "section": "Where values come from"}
    return [
        click.option("--config", "control_config", type=FILE, help="YAML or JSON file.", **section),
        click.option(
            "--set",
            "control_set",
            multiple=True,
            metavar="KEY=VALUE",
            help="Set any option; may be repeated.",
            **section,
        ),
        click.option(
            "--strict",
            "control_strict",
            is_flag=True,
            help="Refuse values that would be rounded.",
            **section,
        ),
        click.option(
            "--allow-unknown",
            "control_allow_unknown",
            is_flag=True,
            help="Keep unknown keys instead of refusing them.",
            **section,
        ),
        click.option(
            "--use-last-defaults",
            "control_use_last_defaults",
            is_flag=True,
            help="A new model starts from what the last new one of its class used.",
            **section,
        ),
        click.option(
            "--print-options",
            "control_print_options",
            is_flag=True,
            help="Print the effective options as JSON and exit.",
            **section,
        ),
    ]
