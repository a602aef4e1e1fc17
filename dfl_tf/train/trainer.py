"""The training loop, on one page; switching options inside it is in `switching`.

References
----------
workspace.md 5 and 9; design decisions 1 to 3, 8, 27.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from dfl_tf.devices.cluster import WorkerLost
from dfl_tf.devices.memory import out_of_memory
from dfl_tf.errors import DflTfError, TrainingDiverged, UsageError, WorkspaceError
from dfl_tf.jobs.events import Events
from dfl_tf.options import Device, Layer
from dfl_tf.options.resolve import OptionErrors
from dfl_tf.train import events
from dfl_tf.train.batch_source import Batch, BatchSource
from dfl_tf.train.checkpoint import Checkpointer, CheckpointLocation
from dfl_tf.train.memory_cures import out_of_memory_error
from dfl_tf.train.requests import (
    Kind,
    Request,
    RequestFiles,
    RequestSource,
    SaveDeadline,
    StopSignals,
)
from dfl_tf.train.rollback import roll_back
from dfl_tf.train.run import Run, every
from dfl_tf.train.segment import Rebuild, Segment
from dfl_tf.train.settings import Settings
from dfl_tf.train.snapshots import Wanted
from dfl_tf.train.stepping import Stepper, is_looked_at
from dfl_tf.train.switching import facts_of, followed, switch
from dfl_tf.train.timing import TimingSummary
from dfl_tf.train.validation import MakeMeasure

if TYPE_CHECKING:
    from dfl_tf.devices.worker_group import WorkerGroup
    from dfl_tf.models.base import FaceModel

GO_ON, SWITCH, STOP = range(3)
"""What a process votes for between two iterations; a signal votes for `STOP` and its number."""


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
    segment : Segment
        The model, loaded or new, with its streams and options. The trainer keeps the model's
        `iteration`, its `loss_history` and its ``extra["sample_for_preview"]``.
    place : CheckpointLocation
        Where it is saved.
    log : Events
    rebuild : callable, optional
        Makes the segment that follows when the options change; without it `switch` takes only
        options that the model does not depend on.
    devices : sequence of Device
        For the summary; empty = CPU.
    worker_group : WorkerGroup, optional
        The other processes that train the same model. Its chief saves, shows, and decides on
        options.
    requests : sequence of RequestSource, optional
        Who may ask for something while it trains; default: files in the model folder. Workers that
        are not the chief ask nobody.
    make_measure : callable, optional
        Makes what `validate_every` measures with.
    """

    def __init__(
        self,
        segment: Segment,
        place: CheckpointLocation,
        *,
        log: Events,
        rebuild: Rebuild | None = None,
        devices: Sequence[Device] = (),
        worker_group: WorkerGroup | None = None,
        requests: Sequence[RequestSource] | None = None,
        make_measure: MakeMeasure | None = None,
    ) -> None:
        self._worker_group, self._rebuild = worker_group, rebuild
        self._chief = worker_group is None or worker_group.chief
        self.state = Run(segment, place, log=log, devices=devices, make_measure=make_measure)
        if requests is None:
            requests = [RequestFiles(place.folder, place.storage)]
        self._sources = tuple(requests) if self._chief else ()
        self._asked: list[tuple[RequestSource, Request]] = []
        self.stepper = Stepper(self.state, chief=self._chief, alone=worker_group is None)
        self._wanted: Settings | None = None
        self._stored: dict[str, object] = {}
        self._snapshot: Wanted | None = None

    @property
    def segment(self) -> Segment:
        """What is trained now."""
        return self.state.segment

    @property
    def model(self) -> FaceModel:
        """The model that is trained now."""
        return self.state.model

    @property
    def batch_source(self) -> BatchSource:
        """Where its batches come from."""
        return self.segment.batch_source

    @property
    def log(self) -> Events:
        """Where the run reports to."""
        return self.state.log

    @property
    def checkpoint(self) -> Checkpointer:
        """What saves, backs up and shows."""
        return self.state.checkpoint

    def switch(
        self,
        options: Mapping[str, object] | Layer,
        origin: str = "the program",
        stored: Mapping[str, object] | None = None,
    ) -> Settings:
        """Train with other options from the next iteration on, in this process.

        The weights are those of a run that is stopped now and resumed with these options. Parts
        that are switched off are kept, and taken up again when they are switched on.

        Parameters
        ----------
        options : mapping or Layer
            What changes: options of the model and of the run by key.
        origin : str
            Who asks for it, for messages.
        stored : mapping, optional
            JSON values that are stored with the model, by key, from then on.

        Returns
        -------
        Settings
            What holds from the next iteration on.

        Raises
        ------
        OptionError
            If the options are none, are out of range or cannot change now; all errors are named
            and nothing is changed.
        UsageError
            On a worker that is not the chief.
        """
        if not self._chief:
            raise UsageError("Only the chief of a cluster can change options; all workers follow.")
        wanted = (self._wanted or self.segment.settings).changed(options, origin)
        self._wanted = wanted
        self._stored = {**self._stored, **(stored or {})}
        return wanted

    def run(self) -> TrainResult:
        """Train. Whatever ends the run, the model is saved first, unless a guard stopped it.

        Raises
        ------
        TrainingDiverged
            NaN, infinite or collapsing losses or weights; the last good save is kept.
        WorkerLost
            After saving, if another worker is gone.
        DflTfError
            If the model could not be saved.
        """
        state = self.state
        state.start()
        deadline = SaveDeadline(
            lambda: state.settings.run.save_deadline, lambda: self.checkpoint.saved_iteration
        )
        with StopSignals(self.log.say, deadline) as signals:
            try:
                self._begin()
                reason = None
                while reason is None:
                    try:
                        reason = self._boundary(signals)
                        if reason is None:
                            self.stepper.step()
                            self._keep(signals)
                    except TrainingDiverged as error:
                        self._roll_back(error)
                self._finish(reason)
            except WorkerLost as lost:
                raise WorkerLost(f"{lost} {state.rescue(chief=self._chief)}") from None
            except TrainingDiverged:
                raise
            except Exception as error:
                self.stepper.rescue()
                state.save_what_is_done()
                if out_of_memory(error):
                    raise out_of_memory_error(state.settings.options, state.model) from error
                raise
            finally:
                self.checkpoint.wait()
                if self.checkpoint.after_save is not None:
                    self.checkpoint.after_save.finish()
                self.batch_source.close()
        return self._result(signals, reason)

    def _begin(self) -> None:
        if self._chief:
            self.checkpoint.prepare()
        for source in self._sources:
            for told in source.begin():
                self.log.say(told)
        if self._chief:
            self.state.keep_what_was_killed()
        self._poll()  # a phase of a recipe that was stopped at its end
        if self.state.settings.run.backup_now and not self.checkpoint.backup(None):
            raise WorkspaceError("--backup-now: the backup was not made, so nothing was trained")

    def _roll_back(self, error: TrainingDiverged) -> None:
        """Go on from the last good state, if that is wanted; else the error ends the run."""
        run = self.state.settings.run
        if not run.rolls_back or self._rebuild is None or self._worker_group is not None:
            raise error
        rewinds = [source.rewind for source in self._sources]
        roll_back(self.state, self.checkpoint.place, self._rebuild, error, rewinds)
        self._wanted, self._stored, self._snapshot = None, {}, None
        self.stepper.forget()
        self._poll()

    def _keep(self, signals: StopSignals) -> None:
        """After an iteration: saves, backups and previews that are due or asked for."""
        state, run = self.state, self.state.settings.run
        self.checkpoint.tell()
        if self.stepper.pending is not None and not self._looks(signals):
            return  # the next step can be begun before this one is read
        self.stepper.finish()
        state.notice_failed_save()
        best = state.validate() if self._chief else None
        iteration, asked = self.model.iteration, self._poll() - {"stop", "options"}
        saving = iteration == 1 or bool(asked - {"preview"}) or state.save_is_due()
        snapshots = [*self._snapshots("snapshot"), *([] if best is None else [best])]
        due = state.trained == 1 or every(run.preview_every, iteration) or "preview" in asked
        shown = self._previewed() if saving or snapshots or due else ()
        if not ((saving or snapshots) and state.save(snapshots, shown)) and shown:
            self._preview()  # no save has drawn it
        if iteration == 1:
            self.checkpoint.wait()  # the first save of a new model proves that saving works
        backing_up = "backup" in asked or (saving and self.checkpoint.backup_is_due())
        if (asked or backing_up) and state.save_is_whole() and backing_up:
            self.checkpoint.backup(self._shown())
        self._answer(*asked)

    def _looks(self, signals: StopSignals) -> bool:
        """Whether anything looks at the model after the step that is not read yet."""
        iteration = self.model.iteration + 1
        asked = bool(self._asked) or self._wanted is not None or signals.received is not None
        return (
            asked
            or is_looked_at(self.state, iteration)
            or any(source.due(iteration) for source in self._sources)
        )

    def _poll(self) -> frozenset[Kind]:
        """Ask the sources what is asked for now; requests for options are taken at once."""
        self._asked = [(source, each) for source in self._sources for each in source.pending()]
        for _, request in tuple(self._asked):
            if request.kind == "options" or request.error:
                self._take(request)
        return frozenset(request.kind for _, request in self._asked)

    def _snapshots(self, kind: Kind) -> list[Wanted]:
        """The snapshots that requests of a kind ask for."""
        asked = [each.snapshot for _, each in self._asked if each.kind == kind]
        return [each for each in asked if each is not None]

    def _take(self, request: Request) -> None:
        """Note options to switch to, or refuse them."""
        problem = request.error
        if request.options is not None:
            try:
                self.switch(request.options, request.name, request.stored)
                self._snapshot = request.snapshot or self._snapshot
            except OptionErrors as error:
                problem = "; ".join(error.errors)
            except DflTfError as error:
                problem = str(error)
        if problem:
            self._answer(request.kind, only=request, error=problem)

    def _answer(self, *kinds: Kind, only: Request | None = None, error: str = "") -> None:
        """Tell the sources that these requests are done, or why they are refused."""
        answered = [
            pair
            for pair in self._asked
            if pair[1].kind in kinds and (only is None or pair[1] is only)
        ]
        for source, request in answered:
            source.answer(request, error)
            self._asked.remove((source, request))
            if error:
                line = "; ".join(part.strip() for part in error.splitlines())
                self.log.say(f"error: {request.name} is refused: {line}")
            if request.kind == "options":
                given = {} if request.options is None else dict(request.options.values)
                self.log.emit(events.Answered(request.name, given, error))

    def _boundary(self, signals: StopSignals) -> str | None:
        """Between two iterations: change options, or say why to stop; all workers do the same."""
        while True:
            reason, vote = self._stop_reason(signals), self._vote(signals)
            if self._worker_group is not None:
                vote = self._worker_group.agree(vote)
            if vote == GO_ON:
                return None
            if self.stepper.pending is not None:
                self.stepper.finish()
                continue
            if vote > STOP:  # a signal came to one of the processes
                signals.received = signals.received or vote - STOP
                return "interrupted"
            if vote == STOP:
                return reason or "another worker has to stop"
            self._switch()

    def _vote(self, signals: StopSignals) -> int:
        """The chief decides on options and targets; anybody can be interrupted."""
        if signals.received is not None:
            return STOP + signals.received
        asked = bool(self._stop_asked) or self._is_over()
        if self._wanted is not None and not asked:
            return SWITCH
        chiefs = self._chief and self._stop_reason(signals) is not None
        return STOP if asked or chiefs else GO_ON

    def _is_over(self) -> bool:
        limit = self.state.settings.run.stop_after
        return bool(limit) and self.state.seconds >= limit

    def _stop_reason(self, signals: StopSignals) -> str | None:
        settings = self.state.settings
        target = settings.options.target_iter
        if signals.received is not None:
            return "interrupted"
        if target and self.model.iteration >= target:
            if self.state.trained:
                return "target iteration reached"
            return f"target_iter {target} was already reached (raise --target-iter to continue)"
        if self._is_over():
            return f"the {settings.run.stop_after:g} s time limit (--stop-after) was reached"
        return self._stop_asked or None

    @property
    def _stop_asked(self) -> str:
        """Why a source asks for the end; empty if none does."""
        asked = [request.reason for _, request in self._asked if request.kind == "stop"]
        return asked[0] if asked else ""

    def _switch(self) -> None:
        """Change the options, on all processes at this iteration."""
        wanted, self._wanted = self._wanted, None
        stored, self._stored, snapshot, self._snapshot = self._stored, {}, self._snapshot, None
        if snapshot is not None:
            self._preview()
            self.state.keep(snapshot)
        facts = {} if wanted is None else facts_of(self.segment, wanted, stored)
        if self._worker_group is not None:
            facts = self._worker_group.from_chief(facts)
        if wanted is None:
            wanted = followed(self.segment.settings, facts)
        if not facts["changes"] and not facts["rebuild"]:
            if stored:
                self.state.note(stored)
                self.state.save()
            else:
                self.log.say("the requested options are already in effect")
            self._answer("options")
            return
        who = {"chief": self._chief, "alone": self._worker_group is None}
        error = switch(self.state, wanted, facts, self._rebuild, **who, stored=stored)
        self._answer("options", error=error)
        if facts["rebuild"]:
            self.stepper.begin_segment()

    def _finish(self, reason: str) -> None:
        """The last save, the last preview."""
        state = self.state
        if state.unsaved:
            state.save_is_whole()  # a failed one is reported, and does not prevent the last one
            state.save()
            self.checkpoint.wait()
            self._preview()
        elif self.stepper.batches is None and not state.settings.run.no_preview:
            # Nothing was trained (the target had been reached before): show what the model does.
            self.stepper.draw()
            self._preview()
        for kept in self._snapshots("stop"):
            state.keep(kept)
        state.faces.finish()
        self._answer("stop")
        if self._worker_group is not None:
            self._worker_group.leave()

    def _result(self, signals: StopSignals, reason: str) -> TrainResult:
        timing = self.state.timing.summary()
        code = signals.exit_code if signals.received is not None else 0
        cache = self.batch_source.cache
        done = f"{timing.text()}; {cache.text()}" if self.state.trained else "nothing was trained"
        self.log.say(f"iteration {self.model.iteration}: {reason}; {done}")
        saved, iteration = self.checkpoint.saved_iteration, self.model.iteration
        figures = {**timing.as_dict(), **cache.as_dict()}
        self.log.emit(events.End(reason, code, iteration, saved, figures))
        return TrainResult(code, reason, self.model.iteration, timing)

    # -- showing --------------------------------------------------------------------------------

    def _preview(self) -> None:
        if shown := self._previewed():
            self.checkpoint.preview(shown, self.state.marks())

    def _previewed(self) -> tuple[Batch, ...]:
        """What a preview shows; empty if none is wanted, or nothing was drawn yet."""
        wanted = not self.state.settings.run.no_preview and self.stepper.batches is not None
        return self._shown() if wanted else ()

    def _shown(self) -> tuple[Batch, ...]:
        """What a preview shows: the latest training sample, and what only previews show."""
        return (*(self.stepper.batches or ()), *self.batch_source.preview_batches())
