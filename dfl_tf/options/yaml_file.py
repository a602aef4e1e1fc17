"""YAML and JSON files of options: read with line numbers, written with the help as comments."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping
from pathlib import Path

import yaml

from dfl_tf.disk.guarded import read_yaml_nodes
from dfl_tf.disk.yaml_tree import yaml_value
from dfl_tf.errors import OptionError

from . import schema
from .resolve import Layer
from .schema import Options, OptionSpec, specs


def read_layer(path: Path) -> Layer:
    """Read a YAML or JSON file, flat or nested, as a layer of values given now.

    Group names are ignored, leaf keys count (the MVE fork nests its options). `places` holds
    file and line of every key, `texts` what is written for each single value.

    Raises
    ------
    OptionError
        If the file cannot be read within the limits of `disk.guarded`, is not a mapping, or gives
        one key twice with different values.
    """
    node = read_yaml_nodes(path, kind="options", error=OptionError)
    values: dict[str, object] = {}
    places: dict[str, str] = {}
    texts: dict[str, str] = {}
    errors = []
    for key, leaf in _leaves(node, path) if node is not None else ():
        place = f"{path.name}, line {leaf.start_mark.line + 1}"
        try:
            value = yaml_value(leaf)
        except ValueError as error:
            errors.append(f"{path.name}: {key}: {error}")
            continue
        if key in values and values[key] != value:
            errors.append(f"{key} is given twice: {places[key]} and {place}")
        values[key], places[key] = value, place
        if isinstance(leaf, yaml.ScalarNode):
            texts[key] = leaf.value
    if errors:
        raise OptionError("; ".join(errors))
    return Layer(values, str(path.name), places=places, texts=texts)


def _leaves(node: yaml.Node, path: Path) -> Iterator[tuple[str, yaml.Node]]:
    line = node.start_mark.line + 1
    if not isinstance(node, yaml.MappingNode):
        raise OptionError(
            f"{path.name}, line {line}: must hold keys with values, such as ae_dims: 256"
        )
    for key, value in node.value:
        if not isinstance(key, yaml.ScalarNode):
            raise OptionError(f"{path.name}, line {line}: a key must be text")
        if isinstance(value, yaml.MappingNode):
            yield from _leaves(value, path)
        else:
            yield key.value.replace("-", "_"), value


def dump(options: Options, *, explain: bool = True) -> str:
    """Write options as YAML, grouped, with help, range and default as comments.

    `read_layer` reads it back to equal options.
    """
    return dump_values(
        {key: getattr(options, key) for key in specs(type(options))}, type(options), explain=explain
    )


def dump_values(values: Mapping[str, object], cls: type[Options], *, explain: bool = True) -> str:
    """Write the given values of a class of options as YAML; see `dump`."""
    lines = []
    if explain:
        lines = [f"# Options of {cls.NAME}. Use with --config; keys may also stand in groups.", ""]
    by_group: dict[str, list[OptionSpec]] = {}
    for spec in specs(cls).values():
        by_group.setdefault(spec.group, []).append(spec)
    for group, members in by_group.items():
        written = [spec for spec in members if spec.key in values]
        if explain and written:
            lines += [f"# ---- {group} ----", ""]
        for spec in written:
            lines += _entry(spec, values[spec.key], explain)
    return "\n".join(lines).rstrip() + "\n"


def _entry(spec: OptionSpec, value: object, explain: bool) -> list[str]:
    plain = list(value) if isinstance(value, tuple) else value
    text = yaml.safe_dump({spec.key: plain}, default_flow_style=False).rstrip()
    if not explain:
        return [text]
    facts = f"Allowed: {spec.allowed()}. Default: {schema.show(spec.default) or 'none'}."
    when = " Fixed after the first iteration." if spec.ask == "new" else ""
    comment = textwrap.wrap(f"{spec.help} {facts}{when}", 96)
    return [*(f"# {line}" for line in comment), text, ""]
