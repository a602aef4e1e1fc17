"""Options of XSeg, the model that masks faces."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from .schema import option
from .training import ALL_FACE_TYPES, TrainingOptions, learning_rate


@dataclass(frozen=True, kw_only=True)
class XSegOptions(TrainingOptions):
    """XSeg learns masks from polygons drawn on some faces, and applies them to all."""

    NAME: ClassVar[str] = "XSeg"
    STORED: ClassVar[tuple[str, ...]] = ("face_type", "pretrain", "batch_size")
    QUESTIONS: ClassVar[tuple[str, ...]] = ("face_type", "batch_size", "pretrain")
    RESTARTABLE: ClassVar[bool] = True

    face_type: str = option(
        "wf",
        "How much of the head a face holds.",
        details="Same as the model that will use the masks: h half, mf mid-half, f full, wf whole"
        " face, head.",
        label="Face type",
        group="architecture",
        choices=ALL_FACE_TYPES,
        ask="new",
    )
    batch_size: int = option(
        4,
        "Faces per iteration.",
        details="Several faces are learned from at once.",
        label="Batch_size",
        group="run",
        minimum=2,
        maximum=16,
    )
    lr: float = learning_rate(1e-4)
    pretrain: bool = option(
        False,
        "Train on the pretraining faces of many people.",
        details="Learns faces in general by reproducing them (--pretrain-dir). Switching it off "
        "starts at iteration 0 and keeps the weights.",
        label="Enable pretraining mode",
        group="run",
    )

    @property
    def resolution(self) -> int:
        """Fixed, and not stored."""
        return 256
