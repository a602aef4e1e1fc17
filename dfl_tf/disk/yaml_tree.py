"""YAML as nodes and plain values, within limits; `guarded` reads files by it."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import yaml

from dfl_tf.disk.tree_schema import MAX_DEPTH, MAX_DIGITS

MAX_NODES = 100_000
_PLAIN = {f"tag:yaml.org,2002:{name}" for name in ("null", "bool", "int", "float", "str")}
_TEXT = {f"tag:yaml.org,2002:{name}" for name in ("timestamp", "value", "merge")}
_RESOLVER = yaml.SafeLoader("")


def yaml_value(node: yaml.Node, *, texts: bool = False) -> object:
    """Plain Python value of a node: None, bool, int, float, str, list, dict (keys are text).

    Raises
    ------
    ValueError
        A tag of other than plain values, a number that is not finite or has too many digits, a
        key that is not a single value or stands twice.
    """
    if isinstance(node, yaml.SequenceNode):
        return [yaml_value(item, texts=texts) for item in node.value]
    if isinstance(node, yaml.MappingNode):
        made: dict[str, object] = {}
        for key, value in node.value:
            line = key.start_mark.line + 1
            if not isinstance(key, yaml.ScalarNode):
                raise ValueError(f"line {line}: a key must be text")
            if key.value in made:
                raise ValueError(f"line {line}: {key.value[:60]} is given twice")
            made[key.value] = yaml_value(value, texts=texts)
        return made
    assert isinstance(node, yaml.ScalarNode)
    return node.value if texts else _scalar(node)


@dataclass
class _Open:
    """A list or mapping whose end has not come yet."""

    node: yaml.CollectionNode
    anchor: str | None
    items: list[yaml.Node]
    height: int = 1
    start: int = 0


class _Composer:
    """Events to nodes; sizes are counted as if every alias was written out."""

    def __init__(self) -> None:
        self.root: yaml.Node | None = None
        self.open: list[_Open] = []
        # size and height of each finished anchor; None while its value is still open
        self.anchors: dict[str, tuple[yaml.Node, int, int] | None] = {}
        self.count = 0

    def add(self, node: yaml.Node, size: int, height: int, line: int) -> None:
        self.count += size
        if self.count > MAX_NODES:
            raise ValueError(f"line {line}: it holds more than {MAX_NODES} values with its aliases")
        if len(self.open) + height > MAX_DEPTH:
            raise ValueError(f"line {line}: it is nested more than {MAX_DEPTH} deep")
        if self.open:
            self.open[-1].items.append(node)
            self.open[-1].height = max(self.open[-1].height, height + 1)
        else:
            self.root = node

    def alias(self, name: str, line: int) -> None:
        known = self.anchors.get(name)
        if known is None:
            inside = "stands inside of what it names" if name in self.anchors else "is not defined"
            raise ValueError(f"line {line}: the alias *{name[:60]} {inside}")
        self.add(*known, line)

    def begin(self, event: yaml.CollectionStartEvent, node: yaml.CollectionNode, line: int) -> None:
        start = self.count
        self.add(node, 1, 1, line)
        self.open.append(_Open(node, event.anchor, [], start=start))
        if event.anchor is not None:
            self.anchors[event.anchor] = None

    def end(self) -> None:
        done = self.open.pop()
        if isinstance(done.node, yaml.MappingNode):
            done.node.value = list(zip(done.items[::2], done.items[1::2], strict=True))
        else:
            done.node.value = done.items
        if done.anchor is not None:
            self.anchors[done.anchor] = done.node, self.count - done.start, done.height
        if self.open:
            self.open[-1].height = max(self.open[-1].height, done.height + 1)


def composed(events: Iterator[Any]) -> yaml.Node | None:
    """The tree of one document, from events with marks (by their types they may have none)."""
    composer = _Composer()
    documents = 0
    for event in events:
        line = event.start_mark.line + 1
        marks = event.start_mark, event.end_mark
        if isinstance(event, yaml.DocumentStartEvent):
            documents += 1
            if documents > 1:
                raise ValueError(f"line {line}: a second document; there must be one")
        elif isinstance(event, yaml.AliasEvent):
            composer.alias(event.anchor or "", line)
        elif isinstance(event, yaml.ScalarEvent):
            if "\0" in event.value:
                raise ValueError(f"line {line}: a NUL character")
            tag = event.tag
            if tag is None or tag == "!":
                tag = _RESOLVER.resolve(yaml.ScalarNode, event.value, event.implicit)
            scalar = yaml.ScalarNode(tag, event.value, *marks)
            composer.add(scalar, 1, 0, line)
            if event.anchor is not None:
                composer.anchors[event.anchor] = scalar, 1, 0
        elif isinstance(event, yaml.SequenceStartEvent):
            _refuse_tag(event, "seq", line)
            composer.begin(event, yaml.SequenceNode(event.tag or "", [], *marks), line)
        elif isinstance(event, yaml.MappingStartEvent):
            _refuse_tag(event, "map", line)
            composer.begin(event, yaml.MappingNode(event.tag or "", [], *marks), line)
        elif isinstance(event, yaml.CollectionEndEvent):
            composer.end()
    return composer.root


def _refuse_tag(event: yaml.CollectionStartEvent, name: str, line: int) -> None:
    if event.tag not in (None, "!", f"tag:yaml.org,2002:{name}"):
        raise ValueError(f"line {line}: the tag {event.tag[:60]} is not known")


def _scalar(node: yaml.ScalarNode) -> object:
    line = node.start_mark.line + 1
    if node.tag in _TEXT or node.tag == "tag:yaml.org,2002:str":
        return node.value
    if node.tag not in _PLAIN:
        raise ValueError(f"line {line}: the tag {node.tag[:60]} is not known")
    if len(node.value) > MAX_DIGITS:
        raise ValueError(
            f"line {line}: a number of {len(node.value)} digits; at most {MAX_DIGITS} are read"
        )
    try:
        value = _RESOLVER.construct_object(yaml.ScalarNode(node.tag, node.value))
    except (ValueError, KeyError, IndexError, OverflowError, yaml.YAMLError):
        kind = node.tag.rpartition(":")[2]
        raise ValueError(f"line {line}: {node.value!r} is not a valid {kind}") from None
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError(f"line {line}: {node.value} is not a finite number")
    return value


def yaml_reason(error: yaml.YAMLError) -> str:
    """What is wrong with a YAML text, with its line."""
    mark = getattr(error, "problem_mark", None)
    problem = getattr(error, "problem", None) or str(error)
    return problem if mark is None else f"line {mark.line + 1}: {problem}"
