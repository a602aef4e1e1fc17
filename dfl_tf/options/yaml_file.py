"""YAML and JSON files of options: read with line numbers, written with the help as comments."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from dfl_tf.errors import OptionError

from . import schema
from .resolve import Layer
from .schema import Options, OptionSpec, specs

MAPPING = "tag:yaml.org,2002:map"


MAX_BYTES = 1 << 20
MAX_DEPTH = 16


class _Loader(yaml.SafeLoader):
    """The safe loader without aliases (a few lines of them can stand for gigabytes), not deep."""

    depth = 0

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        """Build one node of the tree."""
        mark = self.peek_event().start_mark
        if self.check_event(yaml.AliasEvent):
            raise yaml.composer.ComposerError(None, None, "aliases (*name) are not allowed", mark)
        if self.depth >= MAX_DEPTH:
            raise yaml.composer.ComposerError(None, None, "nested too deeply", mark)
        self.depth += 1
        try:
            return super().compose_node(parent, index)
        finally:
            self.depth -= 1


def read_layer(path: Path) -> Layer:
    """Read a YAML or JSON file, flat or nested, as a layer of values given now.

    Group names are ignored, leaf keys count (the MVE fork nests its options). `places` holds
    file and line of every key.

    Raises
    ------
    OptionError
        If the file cannot be read, is no mapping, uses aliases, or gives one key twice with
        different values.
    """
    try:
        size = path.stat().st_size
        if size > MAX_BYTES:
            raise OptionError(
                f"{path}: {size} bytes are no file of options (at most {MAX_BYTES} are read)"
            )
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as fault:
        raise OptionError(f"{path}: cannot be read as options: {fault}") from fault
    try:
        loader = _Loader(text)
        node = loader.get_single_node()
        leaves = list(_leaves(loader, node, path)) if node is not None else []
    # PyYAML lets through what int(), float() and dates raise for absurd values.
    except (yaml.YAMLError, ValueError, OverflowError, RecursionError) as fault:
        raise OptionError(f"{path}: is not valid YAML: {fault}") from fault
    values: dict[str, Any] = {}
    places: dict[str, str] = {}
    faults = []
    for key, value, line in leaves:
        place = f"{path.name}, line {line}"
        if key in values and values[key] != value:
            faults.append(f"{key} is given twice: {places[key]} and {place}")
        values[key], places[key] = value, place
    if faults:
        raise OptionError("; ".join(faults))
    return Layer(values, str(path.name), places=places)


def _leaves(loader: _Loader, node: yaml.Node, path: Path) -> Iterator[tuple[str, Any, int]]:
    if not isinstance(node, yaml.MappingNode) or node.tag != MAPPING:
        line = node.start_mark.line + 1
        raise OptionError(
            f"{path.name}, line {line}: must hold keys with values, such as ae_dims: 256"
        )
    for key_node, value_node in node.value:
        key = str(loader.construct_object(key_node, deep=True)).replace("-", "_")
        if isinstance(value_node, yaml.MappingNode):
            yield from _leaves(loader, value_node, path)
        else:
            value = loader.construct_object(value_node, deep=True)
            yield key, value, key_node.start_mark.line + 1


def dump(options: Options, *, explain: bool = True) -> str:
    """Write options as YAML, grouped, with help, range and default as comments.

    `read_layer` reads it back to equal options.
    """
    return dump_values(
        {key: getattr(options, key) for key in specs(type(options))}, type(options), explain=explain
    )


def dump_values(values: Mapping[str, Any], cls: type[Options], *, explain: bool = True) -> str:
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


def _entry(spec: OptionSpec, value: Any, explain: bool) -> list[str]:
    plain = list(value) if isinstance(value, tuple) else value
    text = yaml.safe_dump({spec.key: plain}, default_flow_style=False).rstrip()
    if not explain:
        return [text]
    facts = f"Allowed: {spec.allowed()}. Default: {schema.show(spec.default) or 'none'}."
    when = " Fixed after the first iteration." if spec.ask == "new" else ""
    comment = textwrap.wrap(f"{spec.help} {facts}{when}", 96)
    return [*(f"# {line}" for line in comment), text, ""]
