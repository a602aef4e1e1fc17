"""How a step done elsewhere compares with TensorFlow's; for `step_hlo.py`, with NumPy alone.

The first step of an optimizer moves an entry by some learning rates whatever its gradient is, with
the sign of it. Of an entry whose gradient is rounding the weights say nothing, so they are not
compared with TensorFlow's. Compared are, of every variable,

- its gradient, which the slots of a first step give away: they were empty;
- its move, with what the optimizer's formula makes of the slots of the same side;
- its mask: what TensorFlow left alone must be left alone.

The measure is the same step in a higher precision (`MEASURE`): a loss or a gradient may be twice as
far from it as TensorFlow's own, which is rounded in other places, and a little further; in half
precision four times, where gradients that are sums of what cancels are little but rounding.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

SAMPLE = 1 << 14
"""Entries of a variable that are compared."""
MEASURE = {"float32": "float64", "bfloat16": "float32", "float16": "float32"}
"""In which precision the step is done that others are measured by; float64 is its own measure."""
LOSS = {"float32": 1e-5, "float64": 1e-9}
GRADIENT = {"float32": 5e-3, "float64": 1e-8}
"""A unit whose input is rounded to the other side of zero changes all gradients before it, in
these small networks by a thousandth of their length; else float32 agrees to a few millionths."""
HALF = 2.0**-7
"""What is allowed besides TensorFlow's own distance: of losses and gradients, and of both in
half precision; relative to the loss, or to the length of the gradient of a variable."""
NOISE = 1e-4
"""Entries of a variable that is smaller than this share of its optimizer's are measured by it."""
MOVE = 1e-4
"""How far a move may be from the formula, relative to it, besides two spacings of the weight."""


def sampled(values: Array) -> Array:
    """Return at most `SAMPLE` entries of an array of any shape, evenly spread, shape (n,)."""
    flat = values.reshape(-1)
    return flat[:: max(1, flat.size // SAMPLE)][:SAMPLE]


def pieces_of(
    optimizers: Sequence[Mapping[str, Any]], values: Mapping[str, Array]
) -> dict[str, Array]:
    """Take apart the slots, which are one vector for all variables, and take samples.

    Parameters
    ----------
    optimizers : sequence of mapping
        `slots` (names), `share` (of a gradient in the first step of each), `rate`, `epsilon`,
        `name`, and `pieces`: name, start and size of each variable.
    values : mapping of str to ndarray
        Weights and slots after a step, by the names of the arguments.

    Returns
    -------
    dict of ndarray, shape (n,)
        Weights by their name, slots by the names of variable and slot.
    """
    found = {}
    for optimizer in optimizers:
        for name, start, size in optimizer["pieces"]:
            found[name] = sampled(values[name])
            for slot in optimizer["slots"]:
                vector = values[f"{optimizer['name']}: {slot} 0"]
                found[f"{name} {slot}"] = sampled(vector[start : start + size])
    return found


def gradient(optimizer: Mapping[str, Any], name: str, values: Mapping[str, Array]) -> Array:
    """Return the gradient of a first step, shape (n,), float64; by RMSprop without its sign."""
    slot, share = optimizer["slots"][0], optimizer["share"][0]
    given = values[f"{name} {slot}"].astype(np.float64) / share
    return given if slot == "ms" else np.sqrt(given)


def move(optimizer: Mapping[str, Any], name: str, values: Mapping[str, Array]) -> Array:
    """Return what the formula takes off the weights, shape (n,), float64."""
    first, last = (values[f"{name} {optimizer['slots'][i]}"].astype(np.float64) for i in (0, -1))
    along = first if len(optimizer["slots"]) > 1 else gradient(optimizer, name, values)
    return optimizer["rate"] * along / (np.sqrt(last) + optimizer["epsilon"])


def compare(
    about: Mapping[str, Any],
    before: Mapping[str, Array],
    ours: Mapping[str, Array],
    theirs: Mapping[str, Array],
    exact: Mapping[str, Array],
    compiled: Mapping[str, Array] | None = None,
) -> dict[str, Any]:
    """Compare a step with TensorFlow's.

    Parameters
    ----------
    about : mapping
        Of the case: `precision`, `optimizers` (see `pieces_of`), `losses` (names).
    before : mapping of ndarray, shape (n,)
        Samples of the weights before the step.
    ours, theirs, exact : mapping of ndarray, shape (n,)
        What `pieces_of` gives, and the losses; of the device, of TensorFlow, and of TensorFlow in
        the precision of `MEASURE`, which is `theirs` where there is none.
    compiled : mapping of ndarray, shape (n,), optional
        Of TensorFlow by XLA; what is farther from `exact` of it and of `theirs` counts.

    Returns
    -------
    dict
        The largest errors with their names, each as a share of what is allowed; `passed`.
    """
    precision, known = about["precision"], (theirs, theirs if compiled is None else compiled)
    worst = {kind: (0.0, "") for kind in ("loss", "gradient", "move", "mask")}

    def note(kind: str, share: float, name: str) -> None:
        worst[kind] = max(worst[kind], (float("inf") if np.isnan(share) else share, name))

    def allowed(kind: Mapping[str, float], own: float) -> float:
        return kind[precision] + 2 * own if precision in kind else HALF + 4 * own

    for name in about["losses"]:
        scale = float(np.abs(exact[name]).mean()) or 1.0
        error, *own = (np.abs(x[name] - exact[name]).mean() / scale for x in (ours, *known))
        note("loss", error / allowed(LOSS, max(own)), name)
    count = 0
    for optimizer in about["optimizers"]:
        names = [name for name, _, _ in optimizer["pieces"]]
        wanted = {name: gradient(optimizer, name, exact) for name in names}
        typical = np.sqrt(np.mean(np.concatenate(list(wanted.values())) ** 2))
        for name in names:
            least = NOISE * typical * np.sqrt(wanted[name].size)
            scale = max(float(np.linalg.norm(wanted[name])), least) or 1.0
            error, *own = (
                float(np.linalg.norm(gradient(optimizer, name, x) - wanted[name])) / scale
                for x in (ours, *known)
            )
            note("gradient", error / allowed(GRADIENT, max(own)), name)
            _compare_moves(optimizer, name, (before, ours, theirs), note)
            count += 1
    row: dict[str, Any] = {"variables": count}
    for kind, (share, name) in worst.items():
        row |= {f"{kind}_of_allowed": round(share, 4), f"worst_{kind}": name}
    return row | {"passed": all(share <= 1 for share, _ in worst.values())}


def _compare_moves(
    optimizer: Mapping[str, Any],
    name: str,
    sides: tuple[Mapping[str, Array], Mapping[str, Array], Mapping[str, Array]],
    note: Any,
) -> None:
    """Compare the moves of one variable with the formula, and its mask with TensorFlow's."""
    before, ours, theirs = sides
    start = before[name].astype(np.float64)
    spacing = 2 * np.spacing(np.abs(before[name])).astype(np.float64)
    moved = start - ours[name]
    wanted, theirs_wanted = (move(optimizer, name, side) for side in (ours, theirs))
    if len(optimizer["slots"]) == 1:
        moved = np.abs(moved)
    went = theirs[name] != before[name]
    stayed = ~went & (np.abs(theirs_wanted) > spacing)
    error = np.abs(moved - wanted) / (MOVE * np.abs(wanted) + spacing)
    note("move", float(error[went].max(initial=0.0)), name)
    note("mask", float(np.count_nonzero(ours[name][stayed] != before[name][stayed])) * 2, name)
