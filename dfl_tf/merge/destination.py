"""What the frame loop needs of the place where merged frames go: folders of images, or a video."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from dfl_tf.merge.frame import MergedFrame


class Destination(Protocol):
    """Where merged frames go.

    `make` is called by the workers, in any order; `take` by the thread of the loop, in the order
    of the frames, with what `make` returned.
    """

    @property
    def depth(self) -> int:
        """Bits of a color that frames are merged for: 8 or 16; 0: as each has them."""

    @property
    def holds_alpha(self) -> bool:
        """Whether an alpha channel is kept."""

    @property
    def needs_all(self) -> bool:
        """Whether no frame can be left out."""

    def make(self, frame: Path, merged: MergedFrame) -> object:
        """Do what can be done to a frame alone."""

    def take(self, frame: Path, made: object) -> None:
        """Do what has to be done in order; `made` is None for a frame that could not be read."""


class Finished(Protocol):
    """Knows which frames are finished."""

    def finished(self, frame: Path, key: str) -> bool:
        """Tell whether what became of a frame is there, and was made from the same things."""

    def note(self, frame: Path, key: str, made: object) -> None:
        """Remember what `Destination.make` returned; called by the workers."""

    def save(self) -> None:
        """Write down what is finished."""
