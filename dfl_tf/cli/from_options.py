"""Schema → command line flags; flags, a configuration file and the environment → `OptionInputs`.

Flags carry no click types: ranges and choices are checked by `dfl_tf.options`, so that all
errors of a command line, a config file and the environment are reported at once.
"""

from __future__ import annotations

import contextlib
import functools
import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, TypeVar

import click

from dfl_tf.cli.paths import FILE
from dfl_tf.cli.speaking import Command
from dfl_tf.errors import DflTfError, UsageError
from dfl_tf.options import Layer, Machine, Options, OptionSpec, RunOptions, effective_dict, specs
from dfl_tf.options.inputs import Chosen, OptionInputs, environment_for, flag_layer
from dfl_tf.options.resolve import OptionErrors
from dfl_tf.options.schema import parse, range_error, show
from dfl_tf.options.yaml_file import read_layer

T = TypeVar("T", bound=Options)
PREFIX = "option_"
_CHOICES_BESIDE = 40
"""Characters of choices that stand beside a flag in the help; longer lists go into its text."""
CONTROLS = ("config", "set", "strict", "allow_unknown", "use_last_defaults", "print_options")


@dataclass(frozen=True)
class CommandInputs(OptionInputs):
    """What a command line, its configuration file and the environment give.

    Commands receive it as `inputs`.
    """

    print_options: bool = False

    @contextlib.contextmanager
    def errors_besides(self, cls: type[Options]) -> Iterator[None]:
        """Tell an error of the block together with those of the options, which a new model has.

        Raises
        ------
        DflTfError
            With the exit code that the block's error has alone.
        """
        try:
            yield
        except DflTfError as first:
            try:
                super().resolve(cls, machine=Machine())
            except OptionErrors as wrong:
                texts = "".join(f"\n  {text}" for text in (first, *wrong.errors))
                both = DflTfError(f"{len(wrong.errors) + 1} errors in this call:{texts}")
                both.exit_code = first.exit_code
                raise both from None
            raise

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
    """A flag made from the schema; `section` is its heading in the help, `specs` what it takes."""

    def __init__(
        self,
        *args: Any,
        section: str = "",
        specs: Mapping[str, OptionSpec] = MappingProxyType({}),
        **attributes: Any,
    ) -> None:
        super().__init__(*args, **attributes)
        self.section = section
        self.specs = specs

    def error_of(self, value: object) -> str:
        """What is wrong with a value for every class that has the option, or nothing."""
        found = [_error_of(spec, value) for spec in self.specs.values()]
        return found[0] if all(found) else ""


def _error_of(spec: OptionSpec, value: object) -> str:
    try:
        wrong = range_error(spec, parse(spec, value))
    except ValueError as error:
        wrong = str(error)
    return f"{spec.flag} {value} {wrong}" if wrong else ""


class OptionCommand(Command):
    """A command whose help lists the flags of the schema under headings."""

    def value_errors(self, given: Mapping[str, object]) -> list[str]:
        """What is wrong with values of the schema's flags."""
        flags = {each.name: each for each in self.params if isinstance(each, SchemaOption)}
        found = [
            flags[name].error_of(value)
            for name, value in given.items()
            if name in flags and flags[name].specs
        ]
        return [text for text in found if text]

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
    seen: dict[str, dict[str, OptionSpec]] = {}
    for cls in classes:
        for key, spec in specs(cls).items():
            seen.setdefault(key, {})[cls.NAME] = spec
    models = sum(cls is not RunOptions for cls in classes)
    flags: list[Callable[..., object]] = []
    for key, found in seen.items():
        spec = next(iter(found.values()))
        flags.append(
            click.option(
                *_spellings(spec),
                PREFIX + key,
                cls=SchemaOption,
                section="GAN" if spec.group == "gan" else spec.group.capitalize(),
                specs=found,
                is_flag=spec.kind is bool,
                default=None,
                metavar=None if spec.kind is bool else _metavar(spec),
                help=_flag_help(found, [*found] if 1 < models != len(found) else []),
            )
        )
    return flags


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
        return f"[{'|'.join(spec.choices)}]" if _short(spec) else "NAME"
    if spec.placeholder:
        return spec.placeholder
    if spec.minimum is not None and spec.maximum is not None:
        return spec.allowed().split(",")[0].replace(" … ", "..")
    return {int: "N", float: "X"}.get(spec.kind, "TEXT")


def _short(spec: OptionSpec) -> bool:
    """Whether the choices fit beside the flag."""
    return len("|".join(spec.choices)) <= _CHOICES_BESIDE


def _flag_help(found: Mapping[str, OptionSpec], names: Sequence[str]) -> str:
    spec = next(iter(found.values()))
    text = spec.help
    if names and RunOptions.NAME not in names:
        text += f" ({', '.join(names)})"
    facts = []
    if spec.choices and not _short(spec):
        facts.append(f"one of {', '.join(spec.choices)}")
    if spec.unit:
        facts.append(spec.unit)
    if default := _default_text(found):
        facts.append(f"default: {default}")
    return f"{text}  [{'; '.join(facts)}]" if facts else text


def _default_text(found: Mapping[str, OptionSpec]) -> str:
    """The default of a new model, by class where classes differ."""
    by_value: dict[str, list[str]] = {}
    for name, spec in found.items():
        by_value.setdefault(show(spec.default) or "none", []).append(name)
    if len(by_value) == 1:
        return next(iter(by_value))
    return ", ".join(f"{value} ({', '.join(names)})" for value, names in by_value.items())


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
