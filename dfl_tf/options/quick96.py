"""Options of Quick96, the fixed 96 pixel model for a first try."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from .training import SwapOptions, learning_rate


@dataclass(frozen=True, kw_only=True)
class Quick96Options(SwapOptions):
    """Quick96 asks nothing: resolution 96, full face, df-ud, batch 4, RMSprop (options.md 2)."""

    NAME: ClassVar[str] = "Quick96"
    STORED: ClassVar[tuple[str, ...]] = ("batch_size",)

    lr: float = learning_rate(2e-4)

    @property
    def resolution(self) -> int:
        """Fixed, and not stored."""
        return 96

    @property
    def face_type(self) -> str:
        """Fixed, and not stored."""
        return "f"
