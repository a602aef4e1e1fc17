"""One comparison of a golden case."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class Check:
    """What was compared, how far it is off, and how far it may be."""

    name: str
    error: float
    tolerance: float
    note: str = ""

    @property
    def passed(self) -> bool:
        """Whether the error is a number within the tolerance."""
        return not math.isnan(self.error) and self.error <= self.tolerance
