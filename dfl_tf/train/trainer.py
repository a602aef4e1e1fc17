"""The training loop, on one page.

References
----------
workspace.md 5 and 9; design decisions 1 to 3, 8, 27.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from dfl_tf.errors import DflTfError, ForeignChange, TrainingDiverged, WorkspaceError
from dfl_tf.options import Device, RunOptions
from dfl_tf.train import history
from dfl_tf.train.cluster import Team, WorkerLost
from dfl_tf.train.control import REQUESTS, RequestFiles, StopSignals
from dfl_tf.train.feeds import Batch, Feed
from dfl_tf.train.keeper import Keeper, ModelPlace
from dfl_tf.train.logging import IterationEvent, Logger
from dfl_tf.train.loss_graph import LossTrace
from dfl_tf.train.memory import advice, out_of_memory
from dfl_tf.train.timing import Timing, TimingSummary
from dfl_tf.train.watchdog import Watchdog

RETRY_SECONDS = 60.0


@dataclass(frozen=True)
class TrainResult:
    """How a run ended.

    Attributes
    ----------
    exit_code : int
        0 done; 130 or 143 interrupted after saving. (A guard raises `TrainingDiverged` instead.)
    reason : str
        For people.
    iteration : int
        Finished iterations of the model.
    timing : TimingSummary
    """

    exit_code: int
    reason: str
    iteration: int
    timing: TimingSummary


class Trainer:
    """Trains a model until a target, a limit, a request or a signal says stop.

    Parameters
    ----------
    model : FaceModel
        Loaded or new. The trainer keeps its `iteration`, its `loss_history` and its
        ``extra["sample_for_preview"]``.
    feed : Feed
        The batches.
    place : ModelPlace
        Where it is saved.
    run : RunOptions
        How the run goes.
    log : Logger
    devices : sequence of Device
        For the summary; empty = CPU.
    team : Team, optional
        The other processes that train the same model. Its chief saves and shows.
    """

    def __init__(
        self,
        model: Any,
        feed: Feed,
        place: ModelPlace,
        *,
        run: RunOptions,
        log: Logger,
        devices: Sequence[Device] = (),
        team: Team | None = None,
    ) -> None:
        self._team = team
        chief = team is None or team.chief
        self.model, self.feed, self.run_options, self.log = model, feed, run, log
        self.timing = Timing()
        self._trace = LossTrace(model.loss_history)
        self.keeper = Keeper(model, place, run=run, log=log, trace=self._trace, devices=devices)
        self._watchdog = Watchdog(
            model.loss_names, guard_collapse=run.guard_collapse, history=self._trace.array
        )
        self._requests = RequestFiles(place.folder, place.storage, REQUESTS if chief else ())
        self._sample: history.Sample = ()
        self._batches: tuple[Batch, ...] | None = None
        self._first_iteration = model.iteration
        self._mean_from = model.iteration
        self._mean_due = False
        self._unsaved = False
        self._feed_state = feed.run_state()

    def run(self) -> TrainResult:
        """Train. Whatever ends the run, the model is saved first, unless a guard stopped it.

        Raises
        ------
        TrainingDiverged
            NaN, infinite or collapsing losses or weights; the last good save is kept.
        WorkerLost
            After saving, if another process of the team is gone.
        DflTfError
            If the model could not be saved.
        """
        self._started = time.monotonic()
        self._next_save = self._started + self._save_seconds
        with StopSignals(self.log.say) as signals:
            try:
                self._begin()
                while (reason := self._agreed_reason(signals)) is None:
                    self._iterate()
                    self._keep()
                self._finish(reason)
            except WorkerLost as lost:
                raise WorkerLost(f"{lost} {self._rescue()}") from None
            except TrainingDiverged:
                raise
            except Exception as fault:
                self._save_what_is_done()
                if out_of_memory(fault):
                    raise advice(self.model.options.batch_size) from fault
                raise
            finally:
                self.keeper.wait()
                if self.keeper.after_save is not None:
                    self.keeper.after_save.finish()
                self.feed.close()
        return self._result(signals, reason)

    def _begin(self) -> None:
        for name in self._requests.clear():
            self.log.say(f"{name} was left over from before this run: deleted")
        if self.run_options.backup_now and not self.keeper.backup(None):
            raise WorkspaceError("--backup-now: the backup was not made, so nothing was trained")

    def _iterate(self) -> None:
        """One training iteration: draw, step, judge, count."""
        model = self.model
        started, waited = time.perf_counter(), self.feed.wait_seconds
        again = model.previous and model.repeats_batch(model.iteration)
        self._batches = model.previous if again else next(self.feed)
        values = model.train_step(*self._batches)
        losses = {name: float(np.mean(values[name])) for name in model.loss_names}
        seconds = time.perf_counter() - started
        waited = self.feed.wait_seconds - waited
        self.timing.add(seconds, waited, sum(batch.size for batch in self._batches))

        self._watchdog.check(model.iteration + 1, list(losses.values()))
        self._unsaved = True
        self._fix_sample(self._batches)
        self.keeper.history(self._sample)
        model.iteration += 1
        self._feed_state = self.feed.run_state()
        model.loss_history.append(list(losses.values()))
        self._trace.append(list(losses.values()))
        self._report(losses, seconds, waited)

    def _keep(self) -> None:
        """After an iteration: saves, backups and previews that are due or asked for."""
        self._notice_failed_save()
        if self.keeper.after_save is not None:
            self.keeper.after_save.tell()
        iteration, asked = self.model.iteration, self._requests.pending() - {"stop"}
        saving = iteration == 1 or bool(asked - {"preview"}) or self._save_is_due()
        if saving:
            self._save()
            if iteration == 1:
                self.keeper.wait()  # the first save of a new model proves that saving works
        first = iteration == self._first_iteration + 1
        due = first or _every(self.run_options.preview_every, iteration)
        if saving or due or "preview" in asked:
            self._preview()
        backing_up = "backup" in asked or (saving and self.keeper.backup_is_due())
        if (asked or backing_up) and self._save_is_whole() and backing_up:
            self.keeper.backup(self._shown())
        self._requests.done(asked)

    def _agreed_reason(self, signals: StopSignals) -> str | None:
        """Why to stop now; the processes of a team stop at the same iteration."""
        reason = self._stop_reason(signals)
        if self._team is None:
            return reason
        highest = self._team.agree(signals.received or int(reason is not None))
        if highest > 1:  # the number of a signal
            signals.received = signals.received or highest
            return "interrupted"
        return "another worker has to stop" if highest and reason is None else reason

    def _stop_reason(self, signals: StopSignals) -> str | None:
        target, limit = self.model.options.target_iter, self.run_options.stop_after
        if signals.received is not None:
            return "interrupted"
        if target and self.model.iteration >= target:
            if self.model.iteration > self._first_iteration:
                return "target iteration reached"
            return f"target_iter {target} was reached before (a higher --target-iter goes on)"
        if limit and time.monotonic() - self._started >= limit:
            return f"{limit:g} seconds are over"
        if "stop" in self._requests.pending():
            return "stop requested"
        return None

    def _finish(self, reason: str) -> None:
        """The last save, the last preview."""
        if self._unsaved:
            self._save_is_whole()  # one that failed is told, and not in the way of the last one
            self._save()
            self.keeper.wait()
            self._preview()
        elif self._batches is None and not self.run_options.no_preview:
            # Nothing was trained (the target had been reached before): show what the model does.
            self._batches = next(self.feed)
            self._preview()
        self._requests.done(frozenset({"stop"}))
        if self._team is not None:
            self._team.leave()

    def _rescue(self) -> str:
        """Save the last finished step of a team that is not whole any more; say how to go on."""
        iteration = self.model.iteration
        if self._team is None or not self._team.chief:
            return "The chief saves the last finished step. Start all workers again to go on."
        if self.run_options.no_save:
            return f"Nothing was saved (--no-save); iteration {iteration} is lost."
        if self._unsaved and not self._watchdog.suspicious:
            self.keeper.save(self._feed_state)
            self.keeper.wait()
        saved = self.keeper.saved_iteration
        where = "" if saved is None else f" at iteration {saved}"
        return f"The model is saved{where}. Start all workers again to go on from there."

    def _save_what_is_done(self) -> None:
        """Save the finished iterations before a fault ends the run; the fault is told after it."""
        if not self._unsaved:
            return
        try:
            self._save_is_whole()
            self._save()
            self.keeper.wait()
        except (DflTfError, OSError) as error:
            self.log.say(f"error: not saved: {error}")
        else:
            if not self._unsaved:
                self.log.say(f"the model is saved at iteration {self.keeper.saved_iteration}")

    def _result(self, signals: StopSignals, reason: str) -> TrainResult:
        timing = self.timing.summary()
        code = signals.exit_code if signals.received is not None else 0
        if self._batches is not None and self.model.iteration > self._first_iteration:
            self.log.say(f"iteration {self.model.iteration}: {reason}; {timing.text()}")
        else:
            self.log.say(f"iteration {self.model.iteration}: {reason}; nothing was trained")
        self.log.record(
            "end",
            reason=reason,
            exit_code=code,
            iteration=self.model.iteration,
            saved_iteration=self.keeper.saved_iteration,
            timing=timing.as_dict(),
        )
        return TrainResult(code, reason, self.model.iteration, timing)

    # -- saving ---------------------------------------------------------------------------------

    @property
    def _save_seconds(self) -> float:
        minutes = self.run_options.save_every
        return minutes * 60 if minutes > 0 else float("inf")

    def _save_is_due(self) -> bool:
        due = _every(self.run_options.save_every_iters, self.model.iteration)
        now = time.monotonic()
        if now >= self._next_save:
            due = True
            while self._next_save <= now:  # whole steps, as the legacy program counts
                self._next_save += self._save_seconds
        return due

    def _save(self) -> None:
        if self.run_options.no_save:
            return
        if self._watchdog.suspicious:
            self.log.say("the losses jumped up: not saved now, the last save is kept")
            return
        try:
            self.keeper.save(self._feed_state)
        except TrainingDiverged:
            raise
        except (DflTfError, OSError) as error:  # also what made the save before fail
            self._tell_failed_save(error)
            return
        self._unsaved = False
        self._mean_due = True

    def _notice_failed_save(self) -> None:
        """A save failed in the background: fatal for the first of a model, else tried again."""
        if self.keeper.save_failed:
            self._save_is_whole()

    def _save_is_whole(self) -> bool:
        """Wait for the save that is being written; a failure is told."""
        try:
            self.keeper.wait()
        except (DflTfError, OSError) as error:
            self._tell_failed_save(error)
            return False
        return True

    def _tell_failed_save(self, error: Exception) -> None:
        saved = self.keeper.saved_iteration
        foreign = isinstance(error, ForeignChange)
        if foreign or (saved is None and self._first_iteration == 0):
            self._unsaved = False  # not to be tried again: nothing can be saved here
            raise error
        self._unsaved = True
        self._next_save = min(self._next_save, time.monotonic() + RETRY_SECONDS)
        self.log.say(
            f"error: not saved: {error} The save of iteration "
            f"{self._first_iteration if saved is None else saved} is whole; training goes on and "
            f"tries again in {RETRY_SECONDS:.0f} s."
        )
        self.log.record("save_failed", error=str(error))

    # -- showing --------------------------------------------------------------------------------

    def _preview(self) -> None:
        if not self.run_options.no_preview and self._batches is not None:
            self.keeper.preview(self._shown())

    def _shown(self) -> tuple[Batch, ...]:
        """What a preview shows: the latest training sample, and what only previews show."""
        return (*(self._batches or ()), *self.feed.shown())

    def _fix_sample(self, batches: tuple[Batch, ...]) -> None:
        """Fix the faces of the history: the stored ones, else from now on those of this batch."""
        if self._sample:
            return
        stored = self.model.extra.get("sample_for_preview")
        if self.run_options.new_preview_sample or self.model.iteration == 0:
            stored = None
        drawn = (*batches, *self.feed.shown())
        usable = history.usable_sample(stored, drawn)
        self._sample = drawn if usable is None else usable
        if usable is None:
            self.model.extra["sample_for_preview"] = history.stored_form(drawn)

    def _report(self, losses: dict[str, float], seconds: float, waited: float) -> None:
        event = IterationEvent(
            iteration=self.model.iteration,
            losses=losses,
            seconds=seconds,
            wait_seconds=waited,
            wait_share=self.timing.wait_share(),
            eta_seconds=self._eta(),
            progress=self._progress(),
        )
        if self._mean_due:
            since = self._trace.array[-max(1, self.model.iteration - self._mean_from) :]
            self.log.mean_line(event, [float(mean) for mean in since.mean(axis=0)])
            self._mean_due, self._mean_from = False, self.model.iteration
        self.log.iteration(event)

    def _eta(self) -> float | None:
        each = self.timing.seconds_per_iteration()
        target, limit = self.model.options.target_iter, self.run_options.stop_after
        left = []
        if target and each is not None:
            left.append((target - self.model.iteration) * each)
        if limit:
            left.append(limit - (time.monotonic() - self._started))
        return max(0.0, min(left)) if left else None

    def _progress(self) -> float | None:
        target, limit = self.model.options.target_iter, self.run_options.stop_after
        shares = []
        if target:
            done = self.model.iteration - self._first_iteration
            shares.append(done / max(1, target - self._first_iteration))
        if limit:
            shares.append((time.monotonic() - self._started) / limit)
        return min(1.0, max(shares)) if shares else None


def _every(period: int, iteration: int) -> bool:
    return period > 0 and iteration % period == 0
