"""What a training reports, as typed events; see `dfl_tf.jobs.events` for sinks.

Every event has a line in the JSON log (`sinks.json_lines`), with the fields that `record` returns.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from dfl_tf.jobs.events import Event
from dfl_tf.train.time_left import TimeLeft


@dataclass(frozen=True)
class Start(Event):
    """A training begins."""

    kind: ClassVar[str] = "start"
    model: str
    model_class: str
    folder: str
    iteration: int
    seed: int
    options: Mapping[str, object]


@dataclass(frozen=True)
class Iteration(Event):
    """One finished iteration.

    Attributes
    ----------
    iteration : int
        Number of finished iterations, this one included.
    losses : dict of str to float
        Mean over the batch, in the order of the loss history.
    seconds, wait_seconds : float
        Whole duration (samples and steps), and the part spent waiting for samples.
    wait_share : float
        The share of waiting lately, 0..1.
    left : TimeLeft or None
        Until the end of the phase, the target iteration or the time limit; None without any.
    progress : float or None
        0..1 of this run; None for an endless one.
    measure : callable
        Computes `scalars`; called only if a sink asks for them.
    """

    kind: ClassVar[str] = "iteration"
    iteration: int
    losses: Mapping[str, float]
    seconds: float
    wait_seconds: float
    wait_share: float = 0.0
    left: TimeLeft | None = None
    progress: float | None = None
    measure: Callable[[], Mapping[str, float]] = dict

    @cached_property
    def scalars(self) -> Mapping[str, float]:
        """Further figures of the step: terms of the losses, learning rates and so on."""
        return self.measure()

    def record(self) -> dict[str, object]:
        """Return the iteration, its losses and its timing."""
        scalars = dict(self.scalars)
        return {
            "iteration": self.iteration,
            "losses": dict(self.losses),
            "ms": round(self.seconds * 1000, 3),
            "wait_ms": round(self.wait_seconds * 1000, 3),
            **self._left(),
            **({"scalars": scalars} if scalars else {}),
        }

    def _left(self) -> dict[str, object]:
        if self.left is None:
            return {}
        most = self.left.most
        seconds = [round(self.left.least, 1), None if most is None else round(most, 1)]
        return {"left_s": seconds}


@dataclass(frozen=True)
class Mean(Event):
    """The mean losses since the line before; told at the first iteration after a save."""

    kind: ClassVar[str] = "mean"
    iteration: int
    losses: Mapping[str, float]
    seconds: float

    def record(self) -> dict[str, object]:
        """Return the iteration and the losses."""
        return {"iteration": self.iteration, "losses": dict(self.losses)}


@dataclass(frozen=True)
class Save(Event):
    """The model was copied to memory, and is being written.

    Attributes
    ----------
    iteration : int
    copy_seconds : float
    scalars : dict of str to float
        Further figures of the last step; see `Iteration`.
    """

    kind: ClassVar[str] = "save"
    iteration: int
    copy_seconds: float
    scalars: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class SaveFailed(Event):
    """A save failed; the one before is intact."""

    kind: ClassVar[str] = "save_failed"
    error: str


@dataclass(frozen=True)
class Backup(Event):
    """A backup was made."""

    kind: ClassVar[str] = "backup"
    iteration: int
    folder: str


@dataclass(frozen=True)
class BackupFailed(Event):
    """A backup could not be made; those before are intact."""

    kind: ClassVar[str] = "backup_failed"
    iteration: int
    error: str


@dataclass(frozen=True)
class SnapshotMade(Event):
    """A snapshot was made; `why` is its kind."""

    kind: ClassVar[str] = "snapshot"
    iteration: int
    name: str
    why: str
    folder: str


@dataclass(frozen=True)
class SnapshotFailed(Event):
    """A snapshot could not be made; the model and the other snapshots are intact."""

    kind: ClassVar[str] = "snapshot_failed"
    iteration: int
    name: str
    error: str


@dataclass(frozen=True)
class Validated(Event):
    """The quality of the model was measured.

    Attributes
    ----------
    iteration : int
    metrics : dict of str to float
        NaN for what is not a number.
    best : bool
        Whether it is the best so far on these faces.
    faces : int
        How many were measured.
    seconds : float
    """

    kind: ClassVar[str] = "validation"
    iteration: int
    metrics: Mapping[str, float]
    best: bool
    faces: int
    seconds: float

    def text(self) -> str:
        """The numbers in one line, for people."""
        values = ", ".join(f"{name} {value:.4f}" for name, value in self.metrics.items())
        best = ", the best so far" if self.best else ""
        return (
            f"iteration {self.iteration}: quality on {self.faces} faces: {values}{best} "
            f"({self.seconds:.1f} s)"
        )


@dataclass(frozen=True)
class Preview(Event):
    """Previews were written.

    Attributes
    ----------
    iteration : int
    files : sequence of str
    images : dict of str to ndarray
        By preview name: shape (h, w, 3), uint8, BGR. Not in the log.
    """

    kind: ClassVar[str] = "preview"
    iteration: int
    files: Sequence[str]
    images: Mapping[str, NDArray[np.uint8]] = field(default_factory=dict, repr=False)

    def record(self) -> dict[str, object]:
        """Return the iteration and the files."""
        return {"iteration": self.iteration, "files": list(self.files)}


@dataclass(frozen=True)
class Switched(Event):
    """The training goes on with other options from this iteration on.

    Attributes
    ----------
    iteration : int
    changes : dict of str to (old, new)
    rebuilt : bool
        Whether the model was built again.
    seconds : float
        How long that took.
    messages : sequence of str
        What was initialized or emptied, and so on.
    """

    kind: ClassVar[str] = "segment"
    iteration: int
    changes: Mapping[str, Sequence[object]]
    rebuilt: bool
    seconds: float
    messages: Sequence[str] = ()


@dataclass(frozen=True)
class RolledBack(Event):
    """The model collapsed, and the training went back to a good state.

    Attributes
    ----------
    iteration, undone_until : int
        Where it goes on, and where it came from: what was reported in between does not hold.
    reason, remedy : str
        What was seen, and what was changed.
    retry : int
        Number of roll-backs of this model.
    """

    kind: ClassVar[str] = "rollback"
    iteration: int
    undone_until: int
    reason: str
    remedy: str
    retry: int


@dataclass(frozen=True)
class StandsOut(Event):
    """The loss of a face stands out against its own history.

    Attributes
    ----------
    iteration : int
    side, face, file : str
    loss : float
    times : float
        How many times its usual loss that is; infinity if the loss is not finite.
    """

    kind: ClassVar[str] = "outlier"
    iteration: int
    side: str
    face: str
    file: str
    loss: float
    times: float


@dataclass(frozen=True)
class Answered(Event):
    """A request for other options was answered; `refused` says why not, or is empty."""

    kind: ClassVar[str] = "request"
    name: str
    options: Mapping[str, object]
    refused: str = ""


@dataclass(frozen=True)
class End(Event):
    """The training ends."""

    kind: ClassVar[str] = "end"
    reason: str
    exit_code: int
    iteration: int
    saved_iteration: int | None
    timing: Mapping[str, float]
