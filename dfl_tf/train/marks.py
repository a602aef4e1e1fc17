"""What a plot of the losses marks: where phases of a recipe end, and where it was rolled back."""

from __future__ import annotations

from collections.abc import Mapping

from dfl_tf.formats.models import run_record


def marks_of(stored: Mapping[str, object]) -> list[tuple[int, str]]:
    """Return iterations with a few words.

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
    phases = [(each["end"], f"{each['name']} ends") for each in done if each["end"]]
    return [*phases, *((start, f"rolled back from {end}") for start, end in undone)]
