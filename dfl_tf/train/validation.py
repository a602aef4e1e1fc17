"""The quality of a model while it trains: when it is measured, and what is kept of it.

What measures is handed in (`dfl_tf.evaluate.validator`): a training knows numbers and their names.
Nothing here touches weights, optimizers or random numbers, so that the training is the same, bit
for bit, with measurements and without.
"""

from __future__ import annotations

import hashlib
import math
import time
from collections.abc import Callable, Mapping, MutableMapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

from dfl_tf.data import Faceset
from dfl_tf.formats.models import run_record
from dfl_tf.train import events

KEPT = 300
"""Measurements that a model keeps, the last ones: its manifest holds them."""

ROWS: Final = "validation"
HOLDOUT: Final = "holdout"
METRICS: Final = "metrics"
"""Keys in `ModelState.run`: all measurements, what is held out, and the numbers that were measured
last, by which phases of a recipe may end."""


class Quality(Protocol):
    """What a measurement gives."""

    @property
    def metrics(self) -> Mapping[str, float]:
        """Numbers by name; NaN where there is none."""

    @property
    def value(self) -> float:
        """The one of them that says which model is better: more is. NaN if there is none."""

    @property
    def samples(self) -> str:
        """Equal for measurements that may be compared only."""

    @property
    def faces(self) -> int:
        """How many faces were measured."""


MeasureModel = Callable[[Any], Quality]
"""Measures a model; see `SwapModel`."""

MakeMeasure = Callable[[Faceset, Faceset, Callable[[str], None]], MeasureModel]
"""From the faces of src and dst, and what gets a line for people, to what measures models."""


Stored = MutableMapping[str, Any]
"""JSON values that a run keeps with the model: `Run.stored`, `ModelState.run`."""


def read_stored(run: Mapping[str, Any]) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """What a model stores of its quality.

    Parameters
    ----------
    run : mapping
        `ModelState.run`.

    Returns
    -------
    rows : list of dict
        The measurements: `iteration`, `metrics`, `value`, `key` (equal for those that may be
        compared) and `best` (the best one so far of those).
    holdout : dict
        `share`, what is held out, and `since`, from which iteration on; empty without one.

    Raises
    ------
    ModelFileError
        It is none of ours.
    """
    return list(run_record.stored(run, ROWS) or ()), dict(run_record.stored(run, HOLDOUT) or {})


def note_holdout(stored: Stored, share: float, since: int) -> None:
    """Note which share of the faces is held out, if another one was until now."""
    _, known = read_stored(stored)
    if not share:
        stored.pop(HOLDOUT, None)
    elif known.get("share") != share:
        stored[HOLDOUT] = {"share": share, "since": since}


def validate(stored: Stored, measure: MeasureModel, model: Any) -> events.Validated:
    """Measure a model now and note what came out with it."""
    started = time.perf_counter()
    quality = measure(model)
    seconds = round(time.perf_counter() - started, 3)
    return note(stored, int(model.iteration), quality, seconds)


def note(stored: Stored, iteration: int, quality: Quality, seconds: float) -> events.Validated:
    """Note a measurement and say whether it is the best so far.

    It is compared with those on the same faces, in the same phase of a recipe, of a training on
    the same faces; what is not a number is never the best.
    """
    rows, _ = read_stored(stored)
    recipe = stored.get("recipe")
    phase = str(recipe.get("phase", "")) if isinstance(recipe, Mapping) else ""
    key = _digest([quality.samples, phase])
    below = [row["value"] for row in rows if row["key"] == key and row["value"] is not None]
    value = round(quality.value, 6)
    best = math.isfinite(value) and all(value > other for other in below)
    metrics = {name: _stored_number(number) for name, number in quality.metrics.items()}
    row = {
        "iteration": iteration,
        "metrics": metrics,
        "value": _stored_number(value),
        "key": key,
        "best": best,
    }
    stored[ROWS] = [*rows, row][-KEPT:]
    stored[METRICS] = {name: number for name, number in metrics.items() if number is not None}
    return events.Validated(iteration, dict(quality.metrics), best, quality.faces, seconds)


def curve(run: Mapping[str, Any]) -> list[tuple[int, float]]:
    """Iterations and what was measured then, where it was a number."""
    rows, _ = read_stored(run)
    return [(row["iteration"], row["value"]) for row in rows if row["value"] is not None]


@dataclass(frozen=True)
class _OfData:
    """A measurement, and the faces that the model was trained on."""

    metrics: Mapping[str, float]
    value: float
    samples: str
    faces: int


def of_data(measure: MeasureModel, *trained: Faceset) -> MeasureModel:
    """The same measurement, which is compared only with those of a training on the same faces."""
    data = names_of(*trained)

    def measured(model: Any) -> Quality:
        found = measure(model)
        samples = _digest([found.samples, data])
        return _OfData(found.metrics, found.value, samples, found.faces)

    return measured


def names_of(*facesets: Faceset) -> str:
    """A short text that is equal for facesets of the same faces."""
    return _digest(
        [faceset.name(index) for faceset in facesets for index in range(len(faceset))]
        + [str(len(faceset)) for faceset in facesets]
    )


def _digest(texts: Sequence[str]) -> str:
    content = "\n".join(texts).encode("utf-8", "surrogatepass")
    return hashlib.sha256(content).hexdigest()[:16]


def _stored_number(value: float) -> float | None:
    return round(float(value), 6) if math.isfinite(value) else None


def validation_lines(run: Mapping[str, Any]) -> list[str]:
    """What a model says of its quality, for people; empty if it was never measured.

    Parameters
    ----------
    run : mapping
        `ModelState.run`.
    """
    rows, holdout = read_stored(run)
    lines = []
    if holdout:
        share, since = holdout["share"], holdout["since"]
        lines.append(f"held out of training: {share:g} of the faces, since iteration {since}")
    if rows:
        last = rows[-1]
        lines.append(f"quality at iteration {last['iteration']}: {_in_words(last['metrics'])}")
        same = [row for row in rows if row["key"] == last["key"] and row["best"]]
        if same and same[-1] is not last:
            best = same[-1]
            lines.append(f"best at iteration {best['iteration']}: {_in_words(best['metrics'])}")
    return lines


def _in_words(metrics: Mapping[str, float | None]) -> str:
    return ", ".join(
        f"{name} {'no number' if value is None else f'{value:.4f}'}"
        for name, value in metrics.items()
    )
