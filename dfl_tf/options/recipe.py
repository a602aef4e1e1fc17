"""Recipes: YAML files that say what a training does in which phase, and when a phase ends.

A recipe is read and checked here, without a model. `dfl_tf.train.recipe` carries it out.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Literal

import yaml

from dfl_tf.disk.guarded import read_yaml_nodes
from dfl_tf.disk.yaml_tree import yaml_value
from dfl_tf.errors import OptionError, UsageError

from . import schema
from .resolve import Layer, OptionErrors

BUILT_IN = Path(__file__).parent / "recipes"
_TOP = ("name", "model", "description", "defaults", "phases")
_PHASE = ("name", "set", "until", "data", "note")


@dataclass(frozen=True)
class PlateauRule:
    """When losses count as flat; see `dfl_tf.train.plateau`.

    Attributes
    ----------
    window : int
        Iterations that are looked at.
    rate : float
        A fall that is certainly less than this share of the level within one window counts as none.
    alpha : float
        Probability of taking flat losses for falling ones, at one look.
    least, most : int
        Iterations of the phase before which the rule never says yes, and after which it always
        does; 0 = a window, and no limit.
    """

    window: int = 5000
    rate: float = 0.01
    alpha: float = 0.1
    least: int = 0
    most: int = 0


@dataclass(frozen=True)
class MetricRule:
    """A measured quality that has to be reached.

    Attributes
    ----------
    name : str
        Key of a validation metric, such as ``dst_ssim``.
    above, below : float or None
        One of the two.
    """

    name: str
    above: float | None = None
    below: float | None = None

    def holds(self, value: float | None) -> bool:
        """Whether a measured value is there and on the right side; NaN never is."""
        if value is None or math.isnan(value):
            return False
        return value > self.above if self.above is not None else value < (self.below or 0.0)


@dataclass(frozen=True)
class Until:
    """When a phase ends; without any condition it never does.

    Attributes
    ----------
    iterations : int or None
        Of this phase.
    at_iteration : int or None
        Of the model, counted from its last reset.
    hours : float or None
        Of training in this phase.
    plateau : PlateauRule or None
    metric : MetricRule or None
    mode : {"any", "all"}
        Whether one condition is enough or all have to hold.
    """

    iterations: int | None = None
    at_iteration: int | None = None
    hours: float | None = None
    plateau: PlateauRule | None = None
    metric: MetricRule | None = None
    mode: Literal["any", "all"] = "any"

    @property
    def endless(self) -> bool:
        """Whether there is no condition."""
        return not self._given

    @property
    def _given(self) -> list[str]:
        return [name for name in CONDITIONS if getattr(self, name) is not None]

    def span(self) -> tuple[int, int | None]:
        """The least and the most iterations that a phase takes, as far as that is known.

        ``None`` as the most: there is no limit, or it is one of time or of quality.
        """
        spans: list[tuple[int, int | None]] = []
        if self.iterations is not None:
            spans.append((self.iterations, self.iterations))
        if self.plateau is not None:
            spans.append((max(self.plateau.least, self.plateau.window), self.plateau.most or None))
        spans += [(0, None) for name in ("at_iteration", "hours", "metric") if name in self._given]
        if not spans:
            return 0, None
        limits = [high for _, high in spans if high is not None]
        if self.mode == "any":
            return min(low for low, _ in spans), min(limits, default=None)
        open_end = len(limits) < len(spans)
        return max(low for low, _ in spans), None if open_end else max(limits)

    def text(self) -> str:
        """The conditions in words; empty if there is none."""
        words = {
            "iterations": f"after {self.iterations} iterations",
            "at_iteration": f"at iteration {self.at_iteration}",
            "hours": f"after {self.hours:g} hours" if self.hours is not None else "",
            "plateau": "",
            "metric": "",
        }
        if self.plateau is not None:
            rule = self.plateau
            most = f", at the latest after {rule.most}" if rule.most else ""
            words["plateau"] = f"when the losses are flat over {rule.window} iterations{most}"
        if self.metric is not None:
            limit = self.metric.above if self.metric.above is not None else self.metric.below
            side = "above" if self.metric.above is not None else "below"
            words["metric"] = f"when {self.metric.name} is {side} {limit:g}"
        joint = " or " if self.mode == "any" else " and "
        return joint.join(words[name] for name in self._given)


CONDITIONS = ("iterations", "at_iteration", "hours", "plateau", "metric")


@dataclass(frozen=True)
class Phase:
    """A stretch of a training with one set of options.

    Attributes
    ----------
    name : str
        Unique in the recipe; a phase that is finished is known by it.
    set : Layer
        What this phase sets, beyond what the phases before it have set.
    until : Until
    data : str
        Another workspace folder whose faces are used; empty = that of the command.
    note : str
        For people.
    """

    name: str
    set: Layer
    until: Until = field(default_factory=Until)
    data: str = ""
    note: str = ""


@dataclass(frozen=True)
class Recipe:
    """A list of phases.

    Attributes
    ----------
    name : str
    phases : tuple of Phase
    model : str
        The class that it is for; empty = any.
    description : str
    defaults : Layer
        What holds in every phase that does not set it itself.
    origin : str
        The file.
    """

    name: str
    phases: tuple[Phase, ...]
    model: str = ""
    description: str = ""
    defaults: Layer = field(default_factory=lambda: Layer({}, "the recipe"))
    origin: str = ""

    def layer(self, index: int) -> Layer:
        """All that the recipe has set once phase `index` has begun."""
        values: dict[str, object] = {}
        places: dict[str, str] = {}
        texts: dict[str, str] = {}
        for layer in (self.defaults, *(phase.set for phase in self.phases[: index + 1])):
            values.update(layer.values)
            places.update(layer.places)
            texts.update(layer.texts)
        if any(phase.data for phase in self.phases):
            values["data"] = self.phases[index].data
        return Layer(values, f"recipe {self.name}", places=places, texts=texts)

    def keys(self) -> set[str]:
        """All options that the recipe sets anywhere."""
        layers = (self.defaults, *(phase.set for phase in self.phases))
        found = {key for layer in layers for key in layer.values}
        return found | ({"data"} if any(phase.data for phase in self.phases) else set())

    def index(self, name: str) -> int | None:
        """Number of the phase of that name, counted from 0; None if there is none."""
        names = [phase.name for phase in self.phases]
        return names.index(name) if name in names else None


def built_in_recipes() -> dict[str, Path]:
    """Names of the recipes that come with the program, with their files."""
    return {path.stem: path for path in sorted(BUILT_IN.glob("*.yaml"))}


def find_recipe(name: str) -> Path:
    """The file of a recipe that is named by its path, or by its name if it is built in.

    Raises
    ------
    UsageError
        If there is neither.
    """
    known = built_in_recipes()
    if name in known:
        return known[name]
    path = Path(name)
    if path.is_file() or path.suffix.lower() in (".yaml", ".yml", ".json"):
        return path
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


_SHORTEST = 100


def _names(cls: type) -> tuple[str, ...]:
    return tuple(each.name for each in fields(cls))


def _shown(node: yaml.Node | None) -> str:
    return str(node.value) if isinstance(node, yaml.ScalarNode) else "a list or mapping"
