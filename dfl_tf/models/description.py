"""A model in words, for programs and notebooks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from dfl_tf.disk.text import printable

if TYPE_CHECKING:
    import keras

    from dfl_tf.models.base import FaceModel


def short(model: FaceModel) -> str:
    """Return one line: class, name, architecture, iteration and size of a model."""
    facts: dict[str, object] = {"name": printable(model.name)}
    for key in ("archi", "resolution", "face_type"):
        if hasattr(model.options, key):
            facts[key] = getattr(model.options, key)
    facts |= {"iteration": model.iteration, "training": model.training}
    inside = ", ".join(f"{key}={value!r}" for key, value in facts.items())
    return f"<{model.model_class} {inside}, {sum(model.parameter_counts().values()):,} parameters>"


def long(model: FaceModel) -> str:
    """Return a table of the networks and optimizers of a model, below its line in `short`."""
    counts = model.parameter_counts()
    rows = [
        (part, type(model.networks[part]).__name__, f"{count:,}") for part, count in counts.items()
    ]
    rows += [
        (stem, type(model.optimizers[stem]).__name__, f"{_numbers(variables):,}")
        for stem, variables in model.optimizer_variables.items()
    ]
    widths = [
        max(len(row[i]) for row in [*rows, ("part", "class", "parameters")]) for i in range(3)
    ]
    lines = [
        f"{part:<{widths[0]}}  {kind:<{widths[1]}}  {count:>{widths[2]}}"
        for part, kind, count in [("part", "class", "parameters"), *rows]
    ]
    return "\n".join([short(model), *lines])


def _numbers(variables: Sequence[keras.Variable]) -> int:
    return sum(int(variable.shape.num_elements()) for variable in variables)
