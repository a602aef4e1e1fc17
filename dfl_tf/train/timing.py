"""How long iterations take, and how much of that is waiting for samples."""

from __future__ import annotations

from collections import deque
from dataclasses import asdict, dataclass

import numpy as np

WARM_UP = 2
"""Iterations of a segment, after the one that traces the step, that no estimate goes by."""


@dataclass(frozen=True)
class TimingSummary:
    """Figures over the iterations of a run (the last 10,000 of them), its first one left out.

    The first iteration includes tracing and compiling and is told apart as `first_seconds`.
    `wait_share` is the part of the time in which the trainer waited for samples.
    """

    iterations: int
    first_seconds: float
    median_ms: float
    p95_ms: float
    images_per_second: float
    wait_share: float

    def text(self) -> str:
        """One line for people."""
        if not self.iterations:
            return f"first iteration {self.first_seconds:.1f} s"
        return (
            f"{self.median_ms:.0f} ms/iter median, {self.p95_ms:.0f} ms p95, "
            f"{self.images_per_second:.1f} images/s, {100 * self.wait_share:.1f} % of the time "
            f"waiting for samples (first iteration {self.first_seconds:.1f} s)"
        )

    def as_dict(self) -> dict[str, float]:
        """The same for machines."""
        return asdict(self)


class Timing:
    """Collects the duration, the waiting time and the number of images of each iteration."""

    def __init__(self, window: int = 10_000) -> None:
        self._rows: deque[tuple[float, float, int]] = deque(maxlen=window)
        self._first: float | None = None
        self._tracing = True
        self._of_segment = 0

    def begin_segment(self) -> None:
        """Leave the next iteration out of the figures: it traces and compiles the step."""
        self._tracing, self._of_segment = True, 0

    def add(self, seconds: float, wait_seconds: float, images: int) -> None:
        """Record one iteration: whole duration, the part spent waiting, images of all batches."""
        if self._first is None:
            self._first = seconds
        if self._tracing:
            self._tracing = False
        else:
            self._rows.append((seconds, min(wait_seconds, seconds), images))
            self._of_segment += 1

    def seconds_per_iteration(self, last: int = 50) -> float | None:
        """The median over recent iterations of the segment, for estimates of the time left.

        Its first ones do not count, as they warm up; None until there are others.
        """
        known = min(last, len(self._rows), self._of_segment - WARM_UP)
        if known < 1:
            return None
        recent = [self._rows[-k][0] for k in range(1, known + 1)]
        return float(np.median(recent))

    def wait_share(self, last: int = 50) -> float:
        """The share of waiting in the most recent iterations, 0..1."""
        recent = [self._rows[-k] for k in range(1, min(last, len(self._rows)) + 1)]
        total = sum(row[0] for row in recent)
        return sum(row[1] for row in recent) / total if total else 0.0

    def summary(self) -> TimingSummary:
        """The figures of the run so far."""
        first = self._first or 0.0
        if not self._rows:
            return TimingSummary(0, first, 0.0, 0.0, 0.0, 0.0)
        rows = np.asarray(self._rows, np.float64)
        total = max(rows[:, 0].sum(), 1e-9)
        return TimingSummary(
            iterations=len(rows),
            first_seconds=first,
            median_ms=float(np.median(rows[:, 0]) * 1000),
            p95_ms=float(np.percentile(rows[:, 0], 95) * 1000),
            images_per_second=float(rows[:, 2].sum() / total),
            wait_share=float(rows[:, 1].sum() / total),
        )
