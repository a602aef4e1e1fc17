"""The slots of an optimizer under their legacy keys, and which of a file fit.

References: models.md 5.3.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    import keras


@dataclass
class FittedSlots:
    """What of a file goes into an optimizer.

    Attributes
    ----------
    values : dict of list of ndarray, shape of each variable, dtype of the file
        What each slot takes.
    iterations : int
        The counter.
    emptied : list of str
        What starts empty, one sentence each.
    errors : list of str
        What is missing or of another shape.
    """

    values: dict[str, list[npt.NDArray[np.generic]]] = field(default_factory=dict)
    iterations: int = 0
    emptied: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)


def fit_slots(
    slots: Sequence[str],
    variables: Sequence[keras.Variable],
    arrays: Mapping[str, npt.ArrayLike],
    legacy_names: Sequence[str],
    *,
    reset: Collection[str] = (),
    optional: Collection[str] = (),
) -> FittedSlots:
    """Compare the content of an optimizer's file with its slots; nothing is changed.

    Parameters
    ----------
    slots : sequence of str
        Their names.
    variables : sequence of variables
        Whose slots they are; one for each of `legacy_names`.
    arrays : mapping of str to ndarray, any shape
    legacy_names : sequence of str
    reset, optional : collections of str
        See `LegacyOptimizer.load_state_arrays`.
    """
    found = FittedSlots()
    switched = not any(k.startswith(tuple(f"{s}_" for s in slots)) for k in arrays)
    iterations = _count(arrays.get("iters:0"))
    if iterations is None:
        given = f"is {str(arrays['iters:0'])[:60]}" if "iters:0" in arrays else "is missing"
        found.errors.append(f"iters:0 {given}; it must be one whole number that is not negative")
    found.iterations = iterations or 0
    if switched:
        found.emptied.append(
            f"the file holds no {'/'.join(slots)} slots (another optimizer wrote it); they start "
            "empty, the iteration counter continues."
        )
    for slot in slots:
        taken = found.values.setdefault(slot, [])
        for name, value in zip(legacy_names, variables, strict=True):
            scope, key = name.split("/", 1)[0], slot_key(slot, name)
            if switched or scope in reset or (scope in optional and key not in arrays):
                taken.append(np.zeros(value.shape, value.dtype))
                if not switched:
                    found.emptied.append(f"the slots of {scope} start empty.")
            elif key not in arrays:
                found.errors.append(f"{key} is missing")
            elif np.size(arrays[key]) != np.prod(value.shape, dtype=np.int64):
                shape = "x".join(map(str, value.shape))
                found.errors.append(f"{key} has shape {np.shape(arrays[key])}, not {shape}")
            else:
                taken.append(np.reshape(arrays[key], value.shape))
    found.emptied = list(dict.fromkeys(found.emptied))
    return found


def slot_key(slot: str, legacy_name: str) -> str:
    """Return the key of a slot in its file."""
    return f"{slot}_{legacy_name.replace(':', '_')}:0"


def _count(value: npt.ArrayLike | None) -> int | None:
    """A count from an array of one element, whatever its shape; None if it is none."""
    array = np.asarray(value)
    if array.size != 1 or array.dtype.kind not in "iuf":
        return None
    number = array.reshape(()).item()
    return int(number) if 0 <= number < 2**63 and number == int(number) else None
