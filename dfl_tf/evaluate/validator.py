"""What a training measures its model with; imports nothing heavy before it is asked."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from dfl_tf.data import Faceset
from dfl_tf.errors import UsageError

if TYPE_CHECKING:
    from dfl_tf.data.identity import Embedder
    from dfl_tf.evaluate.measure import EvaluationFaces

FACES = 64
"""Faces of each side that are measured while a model trains."""

EMBEDDED = 16
"""Those of them whose identity is measured: each takes a tenth of a second."""


@dataclass(frozen=True)
class MeasuredQuality:
    """See `dfl_tf.train.validation.Quality`."""

    metrics: Mapping[str, float]
    value: float
    samples: str
    faces: int


class Validator:
    """Measures a model on the same faces again and again.

    Parameters
    ----------
    src, dst : Faceset
        The faces that are held out of training, or those that are trained on.
    say : callable
        Gets a line for people.
    """

    def __init__(self, src: Faceset, dst: Faceset, say: Callable[[str], None]) -> None:
        self._sides, self._say = (src, dst), say
        self._faces: EvaluationFaces | None = None
        self._embedder: Embedder | None = None

    def _prepare(self) -> EvaluationFaces:
        """Choose the faces once; load what tells persons apart, where it is there."""
        from dfl_tf.data.identity import DlibEmbedder
        from dfl_tf.evaluate.measure import EvaluationFaces

        embedder = DlibEmbedder()
        try:
            embedder.ready()
            self._embedder = embedder
        except UsageError as error:
            self._say(f"quality: whom the swap looks like is not measured: {error}")
        return EvaluationFaces.choose(*self._sides, most=FACES, embedded=EMBEDDED)

    def __call__(self, model: Any) -> MeasuredQuality:
        """Measure a model; nothing of it changes."""
        from dfl_tf.evaluate.measure import measure
        from dfl_tf.evaluate.results import PRIMARY, samples_key

        if self._faces is None:
            self._faces = self._prepare()
        scores = measure(model, self._faces, self._embedder)
        value = scores.metrics.get(PRIMARY, math.nan)
        return MeasuredQuality(scores.metrics, value, samples_key(scores), len(scores.faces))
