"""What `power_cuts` and `crash_operations` interrupt."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Operation:
    """What is tried.

    Attributes
    ----------
    prepare, run : callable
        Make the folder, and do the operation in it.
    check : callable
        "old" or "new"; raises if neither is there, whole.
    further : callable
        What a user does next; must succeed.
    """

    prepare: Callable[[Path], object]
    run: Callable[[Path], object]
    check: Callable[[Path], str]
    further: Callable[[Path], object] = lambda folder: None


def need(true: object, what: str) -> None:
    """Raise if something is not so (also where Python runs without asserts)."""
    if not true:
        raise AssertionError(what)
