"""Recipes: what a training does in which phase, and when a phase ends.

`recipe_file` reads them, `recipe_check` checks them against the options of a model, both without
a model. `dfl_tf.train.recipe` carries them out.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Literal

from .resolve import Layer


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

    def last_iteration(self, start: int) -> int:
        """The iteration at which a phase ends that begins at `start`; 0 if that is not known.

        Of several that are possible, the first one for any of them, the last one for all.
        """
        most = self.plateau.most if self.plateau is not None else 0
        ends = [start + count for count in (self.iterations, most) if count]
        if self.at_iteration is not None:
            ends.append(self.at_iteration)
        return (min if self.mode == "any" else max)(ends, default=0)

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
