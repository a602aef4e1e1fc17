"""What an export says about itself: the report for the user, the metadata inside the file."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from dfl_tf_ops.process import resident_memory

if TYPE_CHECKING:
    from dfl_tf.models.base import FaceModel

SOURCE_TYPE = "http://cv.iptc.org/newscodes/digitalsourcetype/compositeWithTrainedAlgorithmicMedia"


@dataclass(frozen=True)
class Verification:
    """How far a file is from its model."""

    differences: dict[str, float]
    tolerance: float
    runs: int

    @property
    def worst(self) -> float:
        """Return the largest difference of any output."""
        return max(self.differences.values())

    def errors(self) -> list[str]:
        """Say which outputs are not numbers within the tolerance."""
        return [
            f"The output {name} differs from the model by {error:.3g}, more than "
            f"{self.tolerance:g}."
            for name, error in self.differences.items()
            if not error <= self.tolerance  # a NaN too
        ]


@dataclass(frozen=True)
class ExportReport:
    """What was written.

    Attributes
    ----------
    parameters : int
        Weights in the file.
    size : int
        Bytes of the file.
    written_peak, verified_peak : int
        Memory, in bytes, that writing and verifying took on top of the loaded model.
    """

    path: Path
    model_class: str
    precision: str
    opset: int
    parameters: int
    size: int
    metadata: dict[str, str]
    written_peak: int = 0
    verified_peak: int = 0
    verification: Verification | None = None


def provenance(model: FaceModel, precision: str) -> dict[str, str]:
    """Return the documented metadata of an exported model (design decision 10)."""
    from dfl_tf import __version__

    facts = {
        "software": f"dfl-tf {__version__}",
        "model_name": model.name,
        "model_class": model.model_class,
        "model_iteration": str(model.iteration),
        "precision": precision,
    }
    if not model.kind.swaps_faces:
        return {"description": "A trained model that finds the mask of a face."} | facts
    return {
        "description": "A trained model; faces that it returns are AI-composited.",
        "DigitalSourceType": SOURCE_TYPE,
    } | facts


class Peak:
    """The most memory that a piece of work took, on top of what was there before."""

    bytes = 0


@contextmanager
def watch_memory(interval: float = 0.01) -> Iterator[Peak]:
    """Measure the peak of this process's resident memory; 0 where the system does not say."""
    peak, stop = Peak(), threading.Event()
    before = _resident()

    def look() -> None:
        while not stop.wait(interval):
            peak.bytes = max(peak.bytes, _resident() - before)

    thread = threading.Thread(target=look, daemon=True)
    thread.start()
    try:
        yield peak
    finally:
        stop.set()
        thread.join()
        peak.bytes = max(peak.bytes, _resident() - before)


def _resident() -> int:
    return resident_memory() or 0
