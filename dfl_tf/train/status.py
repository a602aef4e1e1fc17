"""How the trainings of a folder go, from what they leave there: on any host, without a server.

A training writes a log beside its model, holds a lock file and saves. That is all that is read.
"""

from __future__ import annotations

import functools
import itertools
import statistics
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from dfl_tf.errors import DflTfError, WorkspaceError
from dfl_tf.formats.models.files import (
    FoundModel,
    find_models,
    is_left_over,
    lock_file,
    prefix_of,
)
from dfl_tf.formats.models.nearby import model_folder
from dfl_tf.formats.models.read_write import read_model
from dfl_tf.train.recipe_state import STORED_AS
from dfl_tf.train.sinks.json_lines import (
    last_entries,
    log_beside,
    number_in,
    numbered,
    usual_seconds,
)

_LEAST_SILENCE, _SILENT_GAPS = 300.0, 5
"""A run is silent after so many seconds, or so many times its usual gap between two lines."""


@dataclass(frozen=True)
class TrainingStatus:
    """What is known of a model's training.

    Attributes
    ----------
    name, model_class : str
    state : str
        ``running``, ``silent`` (it holds its lock, but its log stands still), ``ended``,
        ``interrupted`` (no lock, and no end in the log) or ``never run`` (no log).
    reason : str
        Why it ended; of a silent one, for how long.
    iteration : int or None
        The last one that the log knows, else the saved one.
    phase : str
        Of the recipe, at the last save; empty without one.
    ms : float or None
        Median of the last iterations in the log, milliseconds.
    losses : dict of str to float
        The last ones.
    saved_iteration : int or None
        Of the last save.
    saved_seconds_ago, heartbeat_seconds_ago : float or None
        Since that save, and since the last line of the log.
    seconds_left : list of (float or None) or None
        At least and at most, until the phase or the run ends.
    health : str
        ``good``, or what the log says last: a save that failed, a roll-back, a guard.
    """

    name: str
    model_class: str
    state: str
    reason: str = ""
    iteration: int | None = None
    phase: str = ""
    ms: float | None = None
    losses: Mapping[str, float] | None = None
    saved_iteration: int | None = None
    saved_seconds_ago: float | None = None
    heartbeat_seconds_ago: float | None = None
    seconds_left: list[float | None] | None = None
    health: str = "good"

    def record(self) -> dict[str, object]:
        """As plain values by the names of the fields."""
        return asdict(self)


def status_of(folder: Path, *, now: float | None = None) -> list[TrainingStatus]:
    """How the trainings of the models in a folder go, the one saved last first.

    Parameters
    ----------
    folder : Path
        A workspace or a folder of models.
    now : float, optional
        Seconds since 1970.

    Raises
    ------
    WorkspaceError
        There is no model.
    """
    folder = model_folder(folder)
    models = find_models(folder)
    if not models:
        raise WorkspaceError(f"{folder}: there are no models, so no training to report on.")
    return [model_status(folder, model, now=now) for model in models]


def model_status(folder: Path, model: FoundModel, *, now: float | None = None) -> TrainingStatus:
    """How the training of one model goes.

    Parameters
    ----------
    folder : Path
        Where the model is.
    model : FoundModel
    now : float, optional
        Seconds since 1970.
    """
    now = time.time() if now is None else now
    log = log_beside(folder, prefix_of(model.name, model.model_class))
    entries = [*last_entries(numbered(log, 1)), *last_entries(log)]
    saved, phase = _saved(folder, model)
    lock = lock_file(folder, model.name, model.model_class)
    locked = lock.exists() and not is_left_over(lock)
    state, reason = _state(entries, locked, now)
    iterations = [each for each in entries if each.get("event") == "iteration"]
    last = iterations[-1] if iterations else {}
    seconds = usual_seconds(iterations)
    losses, left = last.get("losses"), last.get("left_s")
    told = [n for each in entries if (n := number_in(each, "iteration")) is not None]
    known = [*told[-1:], *([saved] if saved is not None else [])]
    return TrainingStatus(
        name=model.name,
        model_class=model.model_class,
        state=state,
        reason=reason,
        iteration=int(known[0]) if known else None,
        phase=phase,
        ms=None if seconds is None else 1000 * seconds,
        losses=dict(losses) if isinstance(losses, dict) else None,
        saved_iteration=saved,
        saved_seconds_ago=round(now - model.modified, 1),
        heartbeat_seconds_ago=round(now - _time(entries[-1]), 1) if entries else None,
        seconds_left=list(left) if state == "running" and isinstance(left, list) else None,
        health=_health(entries),
    )


def _time(entry: Mapping[str, object]) -> float:
    return number_in(entry, "time") or 0.0


def _saved(folder: Path, model: FoundModel) -> tuple[int | None, str]:
    """Iteration and phase of the saved model; none where it cannot be read right now."""
    try:
        return _read(folder, model)
    except (DflTfError, OSError):
        return None, ""


@functools.lru_cache(maxsize=64)
def _read(folder: Path, model: FoundModel) -> tuple[int, str]:
    """As `_saved`, once for each save: `model.modified` is a part of what is asked for."""
    stored = read_model(folder, model.name, model.model_class, only=())
    recipe = stored.run.get(STORED_AS)
    phase = recipe.get("phase") if isinstance(recipe, dict) else None
    return stored.iteration, phase if isinstance(phase, str) else ""


def _state(entries: list[dict[str, object]], locked: bool, now: float) -> tuple[str, str]:
    if not entries:
        return ("running", "") if locked else ("never run", "")
    last = entries[-1]
    if last.get("event") == "end":
        return "ended", f"{last.get('reason')} (exit code {last.get('exit_code')})"
    if not locked:
        return "interrupted", "the run was killed, or its machine failed; start it again to resume"
    times = [_time(each) for each in entries[-20:]]
    gaps = [b - a for a, b in itertools.pairwise(times)] or [0.0]
    patience = max(_LEAST_SILENCE, _SILENT_GAPS * statistics.median(gaps))
    silence = now - times[-1]
    if silence > patience:
        return "silent", f"no line in its log for {silence:.0f} s"
    return "running", ""


def _health(entries: list[dict[str, object]]) -> str:
    """The last trouble that no later event has made good."""
    trouble = ""
    for entry in entries:
        kind = entry.get("event")
        if kind in ("save_failed", "backup_failed", "snapshot_failed"):
            trouble = f"{str(kind).replace('_', ' ')}: {entry.get('error')}"
        elif kind == "rollback":
            trouble = f"rolled back to iteration {entry.get('iteration')}: {entry.get('reason')}"
        elif kind == "end" and entry.get("exit_code") in (1, 3):
            trouble = str(entry.get("reason"))
        elif kind in ("save", "start") and not trouble.startswith("rolled back"):
            trouble = ""
    return trouble or "good"
