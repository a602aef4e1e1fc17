"""What an evaluation found, as a document, and when two of them may be compared."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dfl_tf import __version__
from dfl_tf.disk.guarded import read_json
from dfl_tf.disk.tree_schema import ANYTHING, Array, Boolean, Integer, Number, Record, Table, Text
from dfl_tf.disk.tree_schema import Optional as OrNull
from dfl_tf.errors import UsageError
from dfl_tf.evaluate.evaluator import FaceScore, Scores, Side
from dfl_tf.evaluate.metrics import METRICS_VERSION
from dfl_tf.options.metrics import is_better_higher

SCHEMA = 1
"""Version of the document."""

PRIMARY = "ssim"
"""The metric that says which of several models is the best."""

_VALUES = Table(OrNull(Number()))
_FACE = Record({"side": Text(("src", "dst")), "name": Text(), "sha256": Text(), "values": _VALUES})
_RESULT = Record(
    {
        "model": Text(),
        "model_class": Text(),
        "iteration": Integer(0),
        "architecture": Table(ANYTHING),
        "metrics_version": Integer(1),
        "code_version": Text(),
        "metrics": _VALUES,
        "faces": Array(_FACE),
        "pairs": Integer(0),
        "cuts": Integer(0),
        "held_out": Boolean(),
        "notes": Array(Text()),
    },
    others=ANYTHING,
)
_DOCUMENT = Record({"schema": Integer(1, SCHEMA), "results": Array(_RESULT)}, others=ANYTHING)


@dataclass(frozen=True)
class Evaluation:
    """The numbers of one model, and all that must be equal for a comparison.

    Attributes
    ----------
    model : str
        Its name and class as its files have them, and which of its states: ``new_SAEHD``,
        ``new_SAEHD 01`` for the newest backup.
    model_class : str
    iteration : int
    architecture : dict
        The options that decide the shapes of its networks.
    scores : Scores
    held_out : bool
        Whether none of the faces was trained on, as far as the model knows.
    metrics_version : int
    code_version : str
    notes : tuple of str
        What must be known to read the numbers.
    """

    model: str
    model_class: str
    iteration: int
    architecture: Mapping[str, object]
    scores: Scores
    held_out: bool = False
    metrics_version: int = METRICS_VERSION
    code_version: str = __version__
    notes: tuple[str, ...] = field(default=())

    @property
    def metrics(self) -> dict[str, float]:
        """The means over all faces, by name."""
        return self.scores.metrics

    def as_dict(self) -> dict[str, object]:
        """The result as plain values; what is not a number is null."""
        scores = self.scores
        return {
            "model": self.model,
            "model_class": self.model_class,
            "iteration": self.iteration,
            "architecture": dict(self.architecture),
            "metrics_version": self.metrics_version,
            "code_version": self.code_version,
            "held_out": self.held_out,
            "metrics": finite(scores.metrics),
            "pairs": scores.pairs,
            "cuts": scores.cuts,
            "samples": samples_key(scores),
            "faces": [
                {"side": f.side, "name": f.name, "sha256": f.digest, "values": finite(f.values)}
                for f in scores.faces
            ],
            "notes": list(self.notes),
        }

    @classmethod
    def from_dict(cls, tree: Mapping[str, Any]) -> Evaluation:
        """Read what `as_dict` made."""
        faces = tuple(
            FaceScore(face["side"], face["name"], face["sha256"], numbers(face["values"]))
            for face in tree["faces"]
        )
        scores = Scores(numbers(tree["metrics"]), faces, tree["pairs"], tree["cuts"])
        return cls(
            tree["model"],
            tree["model_class"],
            tree["iteration"],
            tree["architecture"],
            scores,
            tree["held_out"],
            tree["metrics_version"],
            tree["code_version"],
            tuple(tree["notes"]),
        )


def finite(values: Mapping[str, float]) -> dict[str, float | None]:
    """Numbers as JSON knows them: NaN and infinity become None."""
    return {key: value if math.isfinite(value) else None for key, value in values.items()}


def numbers(values: Mapping[str, float | None]) -> dict[str, float]:
    """What `finite` made, with NaN for what is None."""
    return {key: math.nan if value is None else float(value) for key, value in values.items()}


def incomparable(first: Evaluation, second: Evaluation) -> list[str]:
    """Why two results must not be compared; empty if they may be."""
    reasons = []
    if first.metrics_version != second.metrics_version:
        reasons.append(
            f"the metrics are of version {first.metrics_version} and {second.metrics_version}"
        )
    if first.code_version != second.code_version:
        reasons.append(f"they were made by dfl_tf {first.code_version} and {second.code_version}")
    keys = [*first.architecture, *(k for k in second.architecture if k not in first.architecture)]
    if first.model_class != second.model_class:
        reasons.append(f"the models are {first.model_class} and {second.model_class}")
    else:
        reasons += [
            f"{key} is {_shown(first, key)} and {_shown(second, key)}"
            for key in keys
            if first.architecture.get(key) != second.architecture.get(key)
        ]
    one, other = samples_of(first.scores), samples_of(second.scores)
    if one != other:
        only = len(set(one) - set(other)), len(set(other) - set(one))
        reasons.append(
            "they were measured on other faces "
            f"({only[0]} in the first only, {only[1]} in the second only)"
        )
    return reasons


def _shown(result: Evaluation, key: str) -> str:
    return str(result.architecture.get(key, "not there"))


def samples_of(scores: Scores) -> list[tuple[Side, str, str]]:
    """The faces that were measured: side, name and checksum."""
    return [(face.side, face.name, face.digest) for face in scores.faces]


def samples_key(scores: Scores) -> str:
    """A short text that is the same for results on the same faces by the same metrics only."""
    content = json.dumps([METRICS_VERSION, samples_of(scores)])
    return hashlib.sha256(content.encode("utf-8", "surrogatepass")).hexdigest()[:16]


def best_of(results: Sequence[Evaluation], metric: str = PRIMARY) -> Evaluation | None:
    """The result with the best value of a metric; what is not a number is never the best.

    Returns
    -------
    Evaluation or None
        None if no result has a number, or if the results must not be compared.
    """
    if any(incomparable(results[0], other) for other in results[1:]):
        return None
    able = [r for r in results if not math.isnan(r.metrics.get(metric, math.nan))]
    if not able:
        return None
    pick = max if is_better_higher(metric) else min
    return pick(able, key=lambda result: result.metrics[metric])


def document(results: Sequence[Evaluation]) -> dict[str, object]:
    """Several results as one document."""
    return {"schema": SCHEMA, "results": [result.as_dict() for result in results]}


def read_document(path: Path) -> list[Evaluation]:
    """Read the results of an earlier ``dfl-tf evaluate --json``.

    Raises
    ------
    UsageError
        The file is no such document.
    """
    tree = read_json(path, schema=_DOCUMENT, kind="results of an evaluation", error=UsageError)
    return [Evaluation.from_dict(result) for result in tree["results"]]
