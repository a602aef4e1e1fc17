"""What a plot of the losses marks: ends of phases, changed options, and roll-backs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from dfl_tf.formats.models import run_record


@dataclass(frozen=True)
class Mark:
    """Something that happened at an iteration: a line in the plot.

    Attributes
    ----------
    iteration : int
    kind, text : str
    """

    iteration: int
    kind: str
    text: str


def marks_of(stored: Mapping[str, object]) -> list[Mark]:
    """Return the ends of phases and the roll-backs that a model stores.

    Parameters
    ----------
    stored : mapping
        `ModelState.run`.

    Raises
    ------
    ModelFileError
        What is stored is none of ours.
    """
    done = (run_record.stored(stored, "recipe") or {}).get("done", ())
    undone = (run_record.stored(stored, "rollback") or {}).get("undone", ())
    phases = [Mark(each["end"], "phase", f"{each['name']} ends") for each in done if each["end"]]
    return [*phases, *(Mark(start, "rollback", f"rolled back from {end}") for start, end in undone)]
