"""Averaged weights in a state of a model: one part beside the networks.

Its keys are those of the networks with their part before them (``encoder/down1/…/weight:0``), with
two counters: ``iters:0``, the steps that the average has seen, and ``iteration:0``, the iteration
of the model that it belongs to. A program that does not know it trains on without it, so an average
of another iteration than the weights is not theirs.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from dfl_tf.errors import ModelFileError, UsageError
from dfl_tf.formats.models.state import ModelState
from dfl_tf.options import KINDS

if TYPE_CHECKING:
    from dfl_tf.formats.models.tensor import Tensor

AVERAGE = "average"
"""The part that holds them."""
COUNT, ITERATION = "iters:0", "iteration:0"


def generator_parts(model_class: str, *, ema: bool = False) -> tuple[str, ...]:
    """The parts of a model that make faces or masks; with `ema` their average as well."""
    parts = KINDS[model_class].generator
    return (*parts, AVERAGE) if ema else parts


def counter(tensors: Mapping[str, Tensor], key: str) -> int | None:
    """A counter of the average (any shape of one value, integer dtype); None if it is none."""
    value = np.asarray(tensors.get(key, -1))
    if value.size != 1 or value.dtype.kind not in "iu" or value.reshape(()).item() < 0:
        return None
    return int(value.reshape(()).item())


def why_not_current(state: ModelState) -> str:
    """Why the averaged weights of a state are not those of its weights; empty if they are."""
    stored = state.tensors.get(AVERAGE)
    if stored is None:
        return "there are none"
    of = counter(stored, ITERATION)
    if of is None or counter(stored, COUNT) is None:
        return "their counters are missing"
    if of != state.iteration:
        return f"they are of iteration {of}, the weights are of iteration {state.iteration}"
    return ""


def averaged(state: ModelState) -> ModelState:
    """The same state with the averaged weights in the place of the weights.

    Raises
    ------
    UsageError
        There are none, or they are of another iteration.
    ModelFileError
        They do not fit the weights.
    """
    if reason := why_not_current(state):
        raise UsageError(
            f"The averaged weights of this {state.model_class} cannot be used: {reason}. Train it "
            "with ema (such as --ema 0.999), or leave --ema out."
        )
    tensors = dict(state.tensors)
    stored = tensors.pop(AVERAGE)
    errors: list[str] = []
    for part in KINDS[state.model_class].generator:
        found: dict[str, Tensor] = {}
        for key, weight in tensors.get(part, {}).items():
            value = stored.get(f"{part}/{key}")
            if value is None or np.shape(value) != np.shape(weight):
                errors.append(f"{part}/{key}")
            else:
                found[key] = value
        if part in tensors:
            tensors[part] = found
    if errors:
        raise ModelFileError(
            f"The averaged weights do not fit the model: {', '.join(errors[:6])} missing or of "
            "another shape. Leave --ema out, or train on with ema, which begins them again."
        )
    return replace(state, tensors=tensors)
