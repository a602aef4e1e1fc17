"""What lives as long as a run, whatever its options: log, losses, timing, guard, saves.

References
----------
workspace.md 5 and 9; design decisions 1, 3 and 49.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from dfl_tf.data import Batch
from dfl_tf.devices.memory import out_of_memory
from dfl_tf.errors import DflTfError, ForeignChange, TrainingDiverged
from dfl_tf.formats.models.snapshots import snapshot_folder
from dfl_tf.jobs.events import Events
from dfl_tf.models import rates
from dfl_tf.options import Device
from dfl_tf.train import events, outliers, snapshots
from dfl_tf.train.checkpoint import Checkpointer, CheckpointLocation
from dfl_tf.train.face_watch import FaceWatch
from dfl_tf.train.guard import Guard
from dfl_tf.train.loss_graph import LossTrace
from dfl_tf.train.marks import Mark, marks_of
from dfl_tf.train.quarantine import LeftOutFace
from dfl_tf.train.segment import Segment
from dfl_tf.train.settings import Settings
from dfl_tf.train.snapshots import (
    Wanted,
    best_so_far,
    past_of,
    regular_is_due,
    regular_period,
    with_regular,
)
from dfl_tf.train.time_left import TimeLeft, earlier
from dfl_tf.train.timing import Timing
from dfl_tf.train.validation import (
    MakeMeasure,
    MeasureModel,
    curve,
    note_holdout,
    of_data,
    validate,
)

if TYPE_CHECKING:
    from dfl_tf.models.base import FaceModel
    from dfl_tf.models.step import Report

RETRY_SECONDS = 60.0


class Run:
    """The state of a run that outlives its segments.

    Parameters
    ----------
    segment : Segment
        The first one.
    place : CheckpointLocation
    log : Events
    devices : sequence of Device
        For the summary; empty = CPU.
    make_measure : callable, optional
        Makes what `validate_every` measures with.

    Attributes
    ----------
    trained : int
        Iterations of this run.
    unsaved : bool
        Whether there are iterations that no save holds.
    batch_source_state : dict
        Where the streams stood after the last finished iteration.
    stored : dict
        JSON values that parts of the run store with the model, by key; see `ModelState.run`.
    phase_left : callable or None
        Computes how long the phase still takes, from the seconds of an iteration.
    faces : FaceWatch
        Knows which faces stand out.
    """

    def __init__(
        self,
        segment: Segment,
        place: CheckpointLocation,
        *,
        log: Events,
        devices: Sequence[Device] = (),
        make_measure: MakeMeasure | None = None,
    ) -> None:
        self.log = log
        self._make_measure = make_measure
        self.timing = Timing()
        self.trace = LossTrace(segment.model.loss_history)
        self.checkpoint = Checkpointer(segment, place, log=log, trace=self.trace, devices=devices)
        self.trained = 0
        self.unsaved = False
        self.stored: dict[str, object] = {}
        self.faces = FaceWatch(log)
        self.phase_left: Callable[[float], TimeLeft | None] | None = None
        self._begun_at = segment.model.iteration
        self.started = time.monotonic()
        self.begin(segment)
        self.start()

    def start(self) -> None:
        """Start the clocks."""
        self.started = time.monotonic()
        self._next_save = self.started + self._save_seconds

    def begin(self, segment: Segment) -> None:
        """Go on with a segment: its losses, a fresh guard, its streams."""
        self.segment = segment
        self.trace = LossTrace(segment.model.loss_history)
        self.checkpoint.begin(segment, self.trace)
        self.watch()
        self.timing.begin_segment()
        self.batch_source_state = segment.batch_source.run_state()
        self._first_iteration = self._mean_from = segment.model.iteration
        self._mean_due = False
        self._measure: MeasureModel | None = None
        self.faces.begin(segment.facesets)
        self._hold_out()

    def watch(self) -> None:
        """Put a fresh guard in charge."""
        self.guard = Guard(
            self.segment.model.loss_names,
            guard_collapse=self.settings.run.guard_collapse,
            history=self.trace.array,
        )

    @property
    def settings(self) -> Settings:
        """The options that hold now."""
        return self.segment.settings

    @property
    def model(self) -> FaceModel:
        """The model of the segment that is trained now."""
        return self.segment.model

    def count(
        self,
        losses: dict[str, float],
        seconds: float,
        waited: float,
        batch_source_state: dict[str, object],
        report: Report,
    ) -> None:
        """Note a finished iteration and report it.

        Parameters
        ----------
        losses : dict of float
        seconds, waited : float
            How long it took, and how long of that it waited for its batches.
        batch_source_state : dict
            Where the streams stood after its batches.
        report : Report
            What else it gave.
        """
        model, values = self.model, list(losses.values())
        model.iteration += 1
        self.trained += 1
        self.batch_source_state = batch_source_state
        model.loss_history.append(values)
        self.trace.append(values)
        event = events.Iteration(
            iteration=model.iteration,
            losses=losses,
            seconds=seconds,
            wait_seconds=waited,
            wait_share=self.timing.wait_share(),
            left=self._left(),
            progress=self._progress(),
            measure=functools.partial(model.step.scalars, report),
        )
        if self._mean_due:
            since = self.trace.array[-max(1, model.iteration - self._mean_from) :]
            means = dict(zip(losses, map(float, since.mean(axis=0)), strict=False))
            self.log.emit(events.Mean(model.iteration, means, seconds))
            self._mean_due, self._mean_from = False, model.iteration
        self.log.emit(event)

    def note(self, stored: Mapping[str, object]) -> None:
        """Store more with the model from now on."""
        self.stored.update(rates.without(stored))

    def restore(self, stored: Mapping[str, object]) -> None:
        """Go on with what parts of earlier runs have stored with the model (`ModelState.run`)."""
        self.stored |= {
            key: value
            for key, value in rates.without(stored).items()
            if key not in self.batch_source_state
        }
        self.faces.restore(self.stored.pop(outliers.STORED_AS, None))
        past = [entry for entry in past_of(stored) if (self.snapshot_folder / entry[0]).is_dir()]
        if past or snapshots.STORED_AS in self.stored:
            self.stored[snapshots.STORED_AS] = [list(entry) for entry in past]
        self._hold_out()

    def marks(self) -> list[Mark]:
        """Lines in the loss plot: where phases of a recipe end, and where it was rolled back."""
        return marks_of(self.stored)

    @property
    def run_state(self) -> dict[str, object]:
        """What a save holds of the run: `stored`, and where the streams stand."""
        histories = self.faces.tree() if self.settings.run.quarantine else {}
        return {**self.stored, **histories, **self.batch_source_state}

    @property
    def seconds(self) -> float:
        """How long the run lasts already."""
        return time.monotonic() - self.started

    def _left(self) -> TimeLeft | None:
        """By the iterations of this phase in this run, without its first ones."""
        each = self.timing.seconds_per_iteration()
        target, limit = self.settings.options.target_iter, self.settings.run.stop_after
        ends = []
        if target and each is not None:
            ends.append((target - self.model.iteration) * each)
        if limit:
            ends.append(limit - self.seconds)
        phase = None if self.phase_left is None or each is None else self.phase_left(each)
        return earlier(phase, min(ends, default=None))

    def _progress(self) -> float | None:
        target, limit = self.settings.options.target_iter, self.settings.run.stop_after
        shares = []
        if target:
            done = self.model.iteration - self._first_iteration
            shares.append(done / max(1, target - self._first_iteration))
        if limit:
            shares.append(self.seconds / limit)
        return min(1.0, max(shares)) if shares else None

    def leave_out(self, faces: Sequence[LeftOutFace]) -> None:
        """Draw without some faces from the next iteration on."""
        self.segment.leave_out(faces, self.run_state)
        self._measure = None  # the best model is another one where the faces change

    # -- quality --------------------------------------------------------------------------------

    def _hold_out(self) -> None:
        """Note with the model which share of the faces it does not see, and since when."""
        since = 0 if self.segment.new_faces else int(self.model.iteration)
        note_holdout(self.stored, self.settings.holdout, since)
        self.checkpoint.quality = curve(self.stored)

    def validate(self) -> Wanted | None:
        """Measure the model if that is due; a failure is reported but not fatal.

        Returns
        -------
        Wanted or None
            The snapshot of it, if it is the best so far and the best is to be kept.
        """
        if not every(self.settings.validate_every, self.model.iteration):
            return None
        try:
            measure = self._measuring()
            event = None if measure is None else validate(self.stored, measure, self.model)
        except Exception as error:
            if not (isinstance(error, DflTfError | OSError) or out_of_memory(error)):
                raise
            self.log.say(f"warning: the quality was not measured: {error}")
            return None
        if event is None:
            return None
        self.checkpoint.quality = curve(self.stored)
        self.log.emit(event)
        return best_so_far(self.stored, self.model.iteration, self.settings.run.keep_best)

    def keep_what_was_killed(self) -> None:
        """Make the snapshot of the best model that a run did not get to before it was killed."""
        best = best_so_far(self.stored, self.model.iteration, self.settings.run.keep_best)
        if best is not None and not self.unsaved:
            self.keep(best)

    def _measuring(self) -> MeasureModel | None:
        """What measures the model on the faces of this segment."""
        facesets = self.segment.facesets
        if self._make_measure is None or facesets is None:
            self.log.say("quality is not measured: no evaluator was given")
        elif self._measure is None:
            if not facesets.held_out:
                self.log.say("holdout is 0: quality is measured on training faces")
            src = facesets.held_out.get("src", facesets.src)
            dst = facesets.held_out.get("dst", facesets.dst)
            measure = self._make_measure(src, dst, self.log.say)
            self._measure = of_data(measure, facesets.src, facesets.dst)
        return self._measure

    # -- saving ---------------------------------------------------------------------------------

    @property
    def _save_seconds(self) -> float:
        minutes = self.settings.run.save_every
        return minutes * 60 if minutes > 0 else float("inf")

    def save_is_due(self) -> bool:
        """Whether a save is due by the count of iterations or by the clock."""
        due = every(self.settings.run.save_every_iters, self.model.iteration)
        now = time.monotonic()
        if self._next_save > now + self._save_seconds:  # the period was shortened meanwhile
            self._next_save = now + self._save_seconds
        if now >= self._next_save:
            due = True
            while self._next_save <= now:  # whole steps, as the legacy program counts
                self._next_save += self._save_seconds
        return due

    def save_comes(self) -> bool:
        """Whether `save_is_due` would say so by the clock; that is not asked by this."""
        now = time.monotonic()
        return now >= min(self._next_save, now + self._save_seconds)

    def save(self, wanted: Sequence[Wanted] = (), batches: Sequence[Batch] = ()) -> bool:
        """Copy the model to memory and start writing it; a failure is reported but not fatal.

        Parameters
        ----------
        wanted : sequence of Wanted
            Snapshots to make of it, beside the regular one if that is due.
        batches : sequence of Batch
            Of which previews are drawn.

        Returns
        -------
        bool
            Whether it is being written.
        """
        if self.settings.run.no_save:
            return False
        if self.guard.suspicious:
            self.log.say(
                "losses have risen sharply: skipping this save and keeping the last good one"
            )
            return False
        noted: dict[str, object] = {}
        period, iteration = regular_period(self.settings.run), self.model.iteration
        if period and regular_is_due(self.stored, iteration, period):
            kept = self.settings.run.snapshots_keep
            regular, past = with_regular(self.stored, self.snapshot_folder, iteration, kept)
            wanted, noted = [*wanted, regular], {snapshots.STORED_AS: past}
        try:
            self.checkpoint.save({**self.run_state, **noted}, wanted, batches, self.marks())
        except TrainingDiverged:
            raise
        except (DflTfError, OSError) as error:  # also what made the save before fail
            self._tell_failed_save(error)
            return False
        self.stored.update(noted)
        self.unsaved = False
        self._mean_due = True
        return True

    def keep(self, wanted: Wanted) -> None:
        """Make a snapshot of the model as it is, which is saved first if it is not.

        A failure is reported but not fatal. None is made of a model whose losses have risen
        sharply.
        """
        if self.settings.run.no_save or not self.model.iteration:
            return
        if self.unsaved:
            self.save([wanted])
            self.save_is_whole()
        elif self.save_is_whole():
            self.checkpoint.keep(wanted, self.run_state)

    @property
    def snapshot_folder(self) -> Path:
        """Where the snapshots of the model lie."""
        place = self.checkpoint.place
        return snapshot_folder(place.folder, place.name, place.model_class)

    def notice_failed_save(self) -> None:
        """A save failed in the background: fatal for the first of a model, else tried again."""
        if self.checkpoint.save_failed:
            self.save_is_whole()

    def save_is_whole(self) -> bool:
        """Wait for the save that is being written; a failure is told."""
        try:
            self.checkpoint.wait()
        except (DflTfError, OSError) as error:
            self._tell_failed_save(error)
            return False
        return True

    def save_what_is_done(self) -> None:
        """Save the finished iterations before an error ends the run and is reported."""
        if not self.unsaved:
            return
        try:
            self.save_is_whole()
            self.save()
            self.checkpoint.wait()
        except (DflTfError, OSError) as error:
            self.log.say(f"error: saving failed: {error}")
        else:
            if not self.unsaved:
                saved = self.checkpoint.saved_iteration
                self.log.say(f"the model is saved at iteration {saved}")

    def rescue(self, *, chief: bool) -> str:
        """Save the last finished step of a cluster that lost a worker; say how to continue."""
        if not chief:
            return "The chief saves the last finished step. Start all workers again to continue."
        if self.settings.run.no_save:
            return f"Nothing was saved (--no-save); {self.trained} iterations are lost."
        if self.unsaved and not self.guard.suspicious:
            self.checkpoint.save(self.run_state)
            self.checkpoint.wait()
        saved = self.checkpoint.saved_iteration
        where = "" if saved is None else f" at iteration {saved}"
        return f"The model is saved{where}. Start all workers again to continue from there."

    def _tell_failed_save(self, error: Exception) -> None:
        saved = self.checkpoint.saved_iteration
        foreign = isinstance(error, ForeignChange)
        if foreign or (saved is None and self._begun_at == 0):
            self.unsaved = False  # not to be tried again: nothing can be saved here
            raise error
        self.unsaved = True
        self._next_save = min(self._next_save, time.monotonic() + RETRY_SECONDS)
        self.log.say(
            f"error: saving failed: {error} The save of iteration "
            f"{self._begun_at if saved is None else saved} is intact. Training continues; "
            f"retrying in {RETRY_SECONDS:.0f} s."
        )
        self.log.emit(events.SaveFailed(str(error)))


def every(period: int, iteration: int) -> bool:
    """Whether an iteration is one of every `period`; never for 0."""
    return period > 0 and iteration % period == 0
