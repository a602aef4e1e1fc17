"""Recipe files: found by path or built-in name, and read with every error and its line."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Literal

import yaml

from dfl_tf.disk.guarded import read_yaml_nodes
from dfl_tf.disk.yaml_tree import yaml_value
from dfl_tf.errors import OptionError, UsageError, WorkspaceError

from . import schema
from .recipe import CONDITIONS, MetricRule, Phase, PlateauRule, Recipe, Until
from .resolve import Layer, OptionErrors

BUILT_IN = Path(__file__).parent / "recipes"
_TOP = ("name", "model", "description", "defaults", "phases")
_PHASE = ("name", "set", "until", "data", "note")
_SHORTEST = 100
"""Iterations of the smallest window of a plateau rule."""


def built_in_recipes() -> dict[str, Path]:
    """Names of the recipes that come with the program, with their files."""
    return {path.stem: path for path in sorted(BUILT_IN.glob("*.yaml"))}


def find_recipe(name: str) -> Path:
    """The file of a recipe that is named by its path, or by its name if it is built in.

    Raises
    ------
    UsageError, WorkspaceError
        If there is neither.
    """
    known = built_in_recipes()
    if name in known:
        return known[name]
    path = Path(name)
    if path.is_file():
        return path
    if path.suffix.lower() in (".yaml", ".yml", ".json"):
        raise WorkspaceError(f"{path}: there is no such file.")
    hint = schema.did_you_mean(name, list(known)) or f"; built in are {', '.join(known)}"
    raise UsageError(f"recipe {name}: there is no such file or built-in recipe{hint}")


def read_recipe(path: Path) -> Recipe:
    """Read a recipe and check its form; its options are checked by `check_options`.

    Raises
    ------
    OptionError
        With every error of the file, each with its line.
    """
    node = read_yaml_nodes(path, kind="recipe", error=OptionError)
    reader = _Reader(path)
    recipe = reader.recipe(node)
    if reader.errors:
        raise OptionErrors(reader.errors)
    return recipe


@dataclass
class _Reader:
    """Turns the nodes of a file into a recipe and collects its errors."""

    path: Path
    errors: list[str] = field(default_factory=list)

    def error(self, node: yaml.Node | None, text: str) -> None:
        """Note an error with the line of a node."""
        line = "" if node is None else f", line {node.start_mark.line + 1}"
        self.errors.append(f"{self.path.name}{line}: {text}")

    def recipe(self, node: yaml.Node | None) -> Recipe:
        """The whole file."""
        parts = self._mapping(node, "a recipe", _TOP)
        defaults, until = self._defaults(parts.get("defaults"))
        listed = parts.get("phases")
        phases: list[Phase] = []
        if isinstance(listed, yaml.SequenceNode) and listed.value:
            phases = [self._phase(each, number, until) for number, each in enumerate(listed.value)]
        else:
            self.error(listed or node, "phases: must be a list with at least one phase")
        names = [phase.name for phase in phases]
        for name in sorted({name for name in names if name and names.count(name) > 1}):
            self.error(listed, f"two phases have the name {name}; give each one its own")
        name = self._text(parts.get("name"), "name") or self.path.stem
        return Recipe(
            name=name,
            phases=tuple(phases),
            model=self._text(parts.get("model"), "model"),
            description=self._text(parts.get("description"), "description"),
            defaults=defaults,
            origin=str(self.path),
        )

    def _mapping(
        self, node: yaml.Node | None, what: str, allowed: tuple[str, ...] = ()
    ) -> dict[str, yaml.Node]:
        if not isinstance(node, yaml.MappingNode):
            self.error(node, f"{what} must hold keys with values")
            return {}
        found: dict[str, yaml.Node] = {}
        for key, value in node.value:
            name = str(key.value).replace("-", "_") if isinstance(key, yaml.ScalarNode) else ""
            if not name:
                self.error(key, f"{what}: a key must be text")
            elif allowed and name not in allowed:
                hint = schema.did_you_mean(name, allowed) or f"; known are {', '.join(allowed)}"
                self.error(key, f"{what}: unknown key {name}{hint}")
            elif name in found:
                self.error(key, f"{what}: {name} is given twice")
            else:
                found[name] = value
        return found

    def _defaults(self, node: yaml.Node | None) -> tuple[Layer, yaml.Node | None]:
        """Options, written directly or under `set`; and an `until` for phases without one."""
        if node is None:
            return Layer({}, "the recipe"), None
        parts = self._mapping(node, "defaults")
        until = parts.pop("until", None)
        nested = parts.pop("set", None)
        if nested is not None:
            parts |= self._mapping(nested, "defaults: set")
        return self._layer(parts, "defaults"), until

    def _layer(self, parts: Mapping[str, yaml.Node], what: str) -> Layer:
        values, places, texts = {}, {}, {}
        for key, leaf in parts.items():
            value = self._value(leaf, f"{what}: {key}")
            if isinstance(value, dict):
                self.error(leaf, f"{what}: {key} must be a single value or a list")
                continue
            values[key] = value
            places[key] = f"{self.path.name}, line {leaf.start_mark.line + 1}"
            if isinstance(leaf, yaml.ScalarNode):
                texts[key] = leaf.value
        return Layer(values, self.path.name, places=places, texts=texts)

    def _phase(self, node: yaml.Node, number: int, until: yaml.Node | None) -> Phase:
        what = f"phase {number + 1}"
        parts = self._mapping(node, what, _PHASE)
        name = self._text(parts.get("name"), f"{what}: name")
        if parts and not name:
            self.error(node, f"{what}: has no name")
        what = f"phase {name or number + 1}"
        options = parts.get("set")
        given = {} if options is None else self._mapping(options, f"{what}: set")
        return Phase(
            name=name,
            set=self._layer(given, what),
            until=self._until(parts.get("until", until), what),
            data=self._text(parts.get("data"), f"{what}: data"),
            note=self._text(parts.get("note"), f"{what}: note"),
        )

    def _until(self, node: yaml.Node | None, what: str) -> Until:
        if node is None:
            return Until()
        what = f"{what}: until"
        parts = self._mapping(node, what, (*CONDITIONS, "any", "all"))
        mode: Literal["any", "all"] = "any"
        for word in ("any", "all"):
            nested = parts.pop(word, None)
            if nested is None:
                continue
            mode = "all" if word == "all" else "any"
            if parts:
                self.error(nested, f"{what}: {word} takes all conditions, none stand beside it")
            parts = self._mapping(nested, f"{what}: {word}", CONDITIONS)
        return Until(
            iterations=self._count(parts.get("iterations"), f"{what}: iterations"),
            at_iteration=self._count(parts.get("at_iteration"), f"{what}: at_iteration"),
            hours=self._positive(parts.get("hours"), f"{what}: hours"),
            plateau=self._plateau(parts.get("plateau"), f"{what}: plateau"),
            metric=self._metric(parts.get("metric"), f"{what}: metric"),
            mode=mode,
        )

    def _plateau(self, node: yaml.Node | None, what: str) -> PlateauRule | None:
        if node is None:
            return None
        if isinstance(node, yaml.ScalarNode):
            value = self._value(node, what)
            if value is True:
                return PlateauRule()
            if value is not False:
                self.error(node, f"{what} must be true or hold {', '.join(_names(PlateauRule))}")
            return None
        parts = self._mapping(node, what, _names(PlateauRule))
        usual = PlateauRule()

        def count(key: str, otherwise: int) -> int:
            return self._count(parts.get(key), f"{what}: {key}") or otherwise

        def share(key: str, otherwise: float) -> float:
            found = self._share(parts.get(key), f"{what}: {key}")
            return otherwise if found is None else found

        rule = PlateauRule(
            window=count("window", usual.window),
            rate=share("rate", usual.rate),
            alpha=share("alpha", usual.alpha),
            least=count("least", usual.least),
            most=count("most", usual.most),
        )
        if rule.window < _SHORTEST:
            self.error(node, f"{what}: window must be {_SHORTEST} or more; received {rule.window}")
        if rule.most and rule.most < rule.least:
            self.error(node, f"{what}: most ({rule.most}) is below least ({rule.least})")
        return rule

    def _metric(self, node: yaml.Node | None, what: str) -> MetricRule | None:
        if node is None:
            return None
        parts = self._mapping(node, what, _names(MetricRule))
        name = self._text(parts.get("name"), f"{what}: name")
        limits = {
            side: self._number(parts[side], f"{what}: {side}")
            for side in ("above", "below")
            if side in parts
        }
        if not name:
            self.error(node, f"{what}: name the metric")
        if len(limits) != 1:
            self.error(node, f"{what}: give either above or below")
        return MetricRule(name, **limits)

    def _value(self, node: yaml.Node, what: str) -> object:
        try:
            return yaml_value(node)
        except ValueError as error:
            self.error(node, f"{what}: {error}")
            return None

    def _text(self, node: yaml.Node | None, what: str) -> str:
        if node is None:
            return ""
        if not isinstance(node, yaml.ScalarNode):
            self.error(node, f"{what} must be text")
            return ""
        return str(node.value).strip()

    def _number(self, node: yaml.Node | None, what: str) -> float | None:
        if node is None:
            return None
        value = self._value(node, what)
        if isinstance(value, bool) or not isinstance(value, int | float):
            self.error(node, f"{what} must be a number; received {_shown(node)}")
            return None
        return float(value)

    def _positive(self, node: yaml.Node | None, what: str) -> float | None:
        value = self._number(node, what)
        if value is not None and value <= 0:
            self.error(node, f"{what} must be above 0; received {_shown(node)}")
            return None
        return value

    def _share(self, node: yaml.Node | None, what: str) -> float | None:
        value = self._number(node, what)
        if value is not None and not 0 <= value < 1:
            self.error(node, f"{what} must be 0 or more and below 1; received {_shown(node)}")
            return None
        return value

    def _count(self, node: yaml.Node | None, what: str) -> int | None:
        if node is None:
            return None
        value = self._value(node, what)
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            self.error(node, f"{what} must be a whole number of 1 or more; received {_shown(node)}")
            return None
        return value


def _names(cls: type) -> tuple[str, ...]:
    return tuple(each.name for each in fields(cls))


def _shown(node: yaml.Node | None) -> str:
    return str(node.value) if isinstance(node, yaml.ScalarNode) else "a list or mapping"
