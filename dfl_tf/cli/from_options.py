"""Schema → command line flags, and flags, files and environment → resolved options.

Flags carry no click types: ranges and choices are checked by `dfl_tf.options`, so that all
faults of a command line, a config file and the environment are told at once.
"""

from __future__ import annotations

import functools
import json
import os
import textwrap
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Generic, TypeVar

import click

from dfl_tf.errors import UsageError
from dfl_tf.options import (
    OPTIONS,
    ExtractOptions,
    Layer,
    Machine,
    MergeOptions,
    Options,
    OptionSpec,
    Resolved,
    RunOptions,
    effective_dict,
    environment_layer,
    resolve,
    specs,
)
from dfl_tf.options.resolve import OptionFaults
from dfl_tf.options.yaml_file import read_layer

T = TypeVar("T", bound=Options)
PREFIX = "option_"
CONTROLS = ("config", "set", "strict", "allow_unknown", "use_last_defaults", "print_options")


@dataclass(frozen=True)
class Chosen(Generic[T]):
    """What a command line, its files and the environment come to."""

    resolved: Resolved[T]
    run: RunOptions

    @property
    def options(self) -> T:
        """The options themselves."""
        return self.resolved.options


@dataclass(frozen=True)
class OptionInputs:
    """Everything given now, not yet resolved. Commands receive it as `inputs`."""

    classes: tuple[type[Options], ...]
    given: Mapping[str, Any] = field(default_factory=dict)
    sets: Mapping[str, str] = field(default_factory=dict)
    config: Path | None = None
    strict: bool = False
    allow_unknown: bool = False
    use_last_defaults: bool = False
    print_options: bool = False
    places: frozenset[str] = frozenset()
    """Keys of the config file that are parameters of the command itself, and taken already."""

    def layers(self, environ: Mapping[str, str] | None = None) -> list[Layer]:
        """Layers of values given now, lowest first: config file, environment, --set, flags."""
        found = []
        if self.config:
            layer = read_layer(self.config)
            found.append(_only(layer, [key for key in layer.values if key not in self.places]))
        found.append(self._environment(os.environ if environ is None else environ))
        found.append(Layer(self.sets, "--set"))
        flags = {key: f"flag {_spec(self.classes, key).flag}" for key in self.given}
        found.append(Layer(self.given, "the command line", places=flags))
        return [layer for layer in found if layer.values]

    def run(self) -> RunOptions:
        """The run's options alone, needed before the devices are known."""
        return resolve(RunOptions, self._own(RunOptions, self.layers()), strict=self.strict).options

    def resolve(
        self,
        cls: type[T],
        *,
        stored: Layer | None = None,
        defaults: Mapping[str, Any] | None = None,
        machine: Machine | None = None,
        ask: Callable[[Sequence[Layer]], Layer] | None = None,
        new: bool | None = None,
    ) -> Chosen[T]:
        """Resolve options of `cls` and of the run together; all faults in one error.

        Parameters
        ----------
        cls : type
            The class of options that the command works with.
        stored : Layer, optional
            What the model has (`legacy_layer`); absent for a new model.
        defaults : mapping, optional
            `<Class>_default_options.dat`; used for a new model with --use-last-defaults only.
        machine : Machine, optional
            Devices in use.
        ask : callable, optional
            The dialogue of --interactive; gets the layers so far and returns the answers.
        new : bool, optional
            See `dfl_tf.options.resolve`.

        Prints the effective options as JSON and leaves if --print-options was given.
        """
        now = self.layers()
        faults: list[str] = []
        run = RunOptions()
        try:
            run = resolve(RunOptions, self._own(RunOptions, now), strict=self.strict).options
        except OptionFaults as fault:
            faults += fault.faults
        layers = self._saved(cls, stored, defaults) + self._without_foreign(cls, now, faults)
        try:
            if ask and not faults:
                layers.append(ask(layers))
            resolved = resolve(
                cls,
                layers,
                machine=machine,
                strict=self.strict,
                allow_unknown=self.allow_unknown,
                elsewhere=[key for other in self.classes for key in specs(other)],
                new=new,
            )
        except OptionFaults as fault:
            raise OptionFaults([*fault.faults, *faults]) from None
        if faults:
            raise OptionFaults(faults)
        if self.print_options:
            for note in (*resolved.adjustments, *resolved.warnings):
                click.echo(note, err=True)
            click.echo(json.dumps(effective_dict(resolved.options), indent=1))
            raise click.exceptions.Exit(0)
        return Chosen(resolved, run)

    def below(
        self, cls: type[Options], stored: Layer | None, defaults: Mapping[str, Any] | None
    ) -> list[Layer]:
        """What the dialogue proposes from: all that is known before it, lowest first."""
        return [*self._saved(cls, stored, defaults), *self._own(cls, self.layers())]

    def _saved(
        self, cls: type[Options], stored: Layer | None, defaults: Mapping[str, Any] | None
    ) -> list[Layer]:
        if stored:
            return [stored]
        if not (defaults and self.use_last_defaults):
            return []
        return [Layer(defaults, f"{cls.NAME}_default_options.dat", kind="defaults")]

    def _environment(self, environ: Mapping[str, str]) -> Layer:
        """The environment without what is meant for other commands."""
        layer = environment_layer(environ)
        own = {key for cls in self.classes for key in specs(cls)}
        all_classes = (*OPTIONS.values(), RunOptions, MergeOptions, ExtractOptions)
        others = {key for cls in all_classes for key in specs(cls)} - own
        return _only(layer, [key for key in layer.values if key not in others])

    def _own(self, cls: type[Options], layers: Sequence[Layer]) -> list[Layer]:
        own = specs(cls)
        return [_only(layer, [key for key in layer.values if key in own]) for layer in layers]

    def _without_foreign(
        self, cls: type[Options], layers: Sequence[Layer], faults: list[str]
    ) -> list[Layer]:
        """Take out, as faults, the keys that belong to another kind of model."""
        own = specs(cls)
        kept = []
        for layer in layers:
            keys = []
            for key in layer.values:
                others = [other.NAME for other in self.classes if key in specs(other)]
                if key in own or not others or RunOptions.NAME in others:
                    keys.append(key)
                else:
                    faults.append(
                        f"{key} is not an option of {cls.NAME}, but of {', '.join(others)} "
                        f"(from {layer.place(key)})"
                    )
            kept.append(_only(layer, keys))
        return kept


def _only(layer: Layer, keys: Sequence[str]) -> Layer:
    values = {key: layer.values[key] for key in keys}
    return replace(layer, values=values)


def _spec(classes: Sequence[type[Options]], key: str) -> OptionSpec:
    return next(specs(cls)[key] for cls in classes if key in specs(cls))


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


def option_flags(*classes: type[Options]) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Give a command the flags of some classes of options, and `inputs: OptionInputs`.

    Adds --config, --set, --strict, --allow-unknown, --use-last-defaults and --print-options. The
    config file may also hold the command's own parameters by the names of their flags
    (`workspace`, `model`, `name` …); the command line wins.
    Use with `@click.command(cls=OptionCommand)` for a help with headings.
    """

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        def wrapped(*args: Any, **values: Any) -> Any:
            return function(*args, inputs=_collect(classes, values), **values)

        decorated: Callable[..., Any] = wrapped
        for flag in reversed([*_controls(), *_flags(classes)]):
            decorated = flag(decorated)
        return decorated

    return decorate


def _own_parameters(config: Path | None, values: dict[str, Any]) -> frozenset[str]:
    """Fill parameters that were not given from the config file; returns the keys that it had."""
    context = click.get_current_context()
    layer = Layer({}, "") if config is None else read_layer(config)
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
            except click.BadParameter as fault:
                raise UsageError(f"{layer.place(key)}: {key}: {fault.message}") from None
    return frozenset(taken)


def _collect(classes: tuple[type[Options], ...], values: dict[str, Any]) -> OptionInputs:
    """Take the schema's parameters out of `values`."""
    given = {}
    for name in [name for name in values if name.startswith(PREFIX)]:
        value = values.pop(name)
        if value is not None:
            given[name.removeprefix(PREFIX)] = value
    controls = {name: values.pop(f"control_{name}") for name in CONTROLS}
    places = _own_parameters(controls["config"], values)
    sets = _read_sets(controls.pop("set"))
    return OptionInputs(classes, given=given, sets=sets, places=places, **controls)


def _read_sets(texts: Sequence[str]) -> dict[str, str]:
    found = {}
    for text in texts:
        key, equals, value = text.partition("=")
        if not equals:
            raise UsageError(f'--set "{text}" has no "="; give --set key=value')
        found[key.strip().replace("-", "_")] = value.strip()
    return found


def _flags(classes: Sequence[type[Options]]) -> list[Callable[..., Any]]:
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
    if not spec.default and spec.key in specs(RunOptions):
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


def _controls() -> list[Callable[..., Any]]:
    section: dict[str, Any] = {"cls": SchemaOption, "section": "Where values come from"}
    file = click.Path(exists=True, dir_okay=False, path_type=Path)
    return [
        click.option("--config", "control_config", type=file, help="YAML or JSON file.", **section),
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
            help="Print the effective options as JSON and leave.",
            **section,
        ),
    ]
