"""What a training leaves on disk: saves, backups, previews, the preview history.

References
----------
workspace.md 4.3, 6, 7.
"""

from __future__ import annotations

import shlex
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from dfl_tf.errors import DflTfError, ForeignChange
from dfl_tf.formats import ModelState, model_files, write_model
from dfl_tf.formats.models.files import detect_format, prefix_of
from dfl_tf.formats.models.rescue import file_of
from dfl_tf.formats.models.snapshot_rules import (
    NO_LIMIT,
    Rules,
)
from dfl_tf.formats.models.transaction import Basis
from dfl_tf.jobs.events import Events
from dfl_tf.options import Device, kept_unused, kind_of, summary_text
from dfl_tf.train import events, history
from dfl_tf.train.after_save import AfterSave, command_of
from dfl_tf.train.backup import BackupClock, make_backup
from dfl_tf.train.batch_source import Batch
from dfl_tf.train.deferred import Deferred
from dfl_tf.train.drawing import Marks, Showing, draw_copied
from dfl_tf.train.guard import NormGuard, check_finite
from dfl_tf.train.host_copies import HostCopies
from dfl_tf.train.log_facts import book_beside
from dfl_tf.train.loss_graph import LossTrace
from dfl_tf.train.previews import jpeg_bytes, preview_images
from dfl_tf.train.saver import Saver
from dfl_tf.train.segment import Segment
from dfl_tf.train.snapshots import Shown, SnapshotMaker, Wanted, rules_of

if TYPE_CHECKING:
    from dfl_tf.models.base import FaceModel


@dataclass(frozen=True)
class CheckpointLocation:
    """Where a model lies and how it is written.

    Attributes
    ----------
    folder : Path
    name, model_class : str
    format : str
        ``same`` (as found), ``legacy`` or ``native``.
    basis : Basis or None
        The files as they were when the model was read; None: whatever is there is replaced.
    first : bool
        Whether the model is new: its first save also writes ``<Class>_default_options.dat``.
    """

    folder: Path
    name: str
    model_class: str
    format: Literal["same", "legacy", "native"] = "same"
    first: bool = False
    basis: Basis | None = None

    @property
    def storage(self) -> str:
        """The prefix of all its files: ``new_SAEHD``; ``XSeg`` for XSeg."""
        return prefix_of(self.name, self.model_class)


class Checkpointer:
    """Saves, backs up and previews one model.

    Parameters
    ----------
    segment : Segment
        What is trained now; replaced when the options change.
    place : CheckpointLocation
    log : Events
    trace : LossTrace
        The loss history as an array, kept by the run.
    devices : sequence of Device
        For the summary; empty = CPU.

    Attributes
    ----------
    quality : sequence of (int, float)
        Iterations, and how good the model was then, for the loss plot.
    """

    def __init__(
        self,
        segment: Segment,
        place: CheckpointLocation,
        *,
        log: Events,
        trace: LossTrace,
        devices: Sequence[Device] = (),
    ) -> None:
        self.segment, self.place, self.log = segment, place, log
        self.trace, self._devices = trace, devices
        run = segment.settings.run
        self._saver = Saver(self._write)
        self.quality: Sequence[tuple[int, float]] = ()
        self.after_save: AfterSave | None = None
        if run.after_save and not run.no_save:
            command = command_of(run.after_save)
            self.after_save = AfterSave(command, place.folder, place.name, log.say)
        self._first, self._basis = place.first, place.basis
        self._clock = BackupClock(self._backup_hours(), time.monotonic())
        self._norms = NormGuard()
        self.snapshots = SnapshotMaker(place.folder, place.name, place.model_class, log)
        self._shown: Shown | None = None
        self._book = book_beside(place.folder, place.storage)
        self._copies, self._deferred = HostCopies(), Deferred(log.say, log.emit)

    def prepare(self) -> None:
        """Begin to take the memory that the first save needs, which else takes it a second."""
        if not self.segment.settings.run.no_save and self._model.placement.on_cpu:
            self._copies.prepare(self._model.state(views=True))

    def begin(self, segment: Segment, trace: LossTrace) -> None:
        """Go on with another segment of the run."""
        hours = self._backup_hours()
        self.segment, self.trace = segment, trace
        self._norms = NormGuard()
        if self._backup_hours() != hours:
            self._clock = BackupClock(self._backup_hours(), time.monotonic())

    def give_up(self, parts: Sequence[str]) -> None:
        """Note that the content of some parts is replaced: the next save moves it aside."""
        place = self.place
        if self._basis is not None:
            files = {file_of(place.folder, place.name, place.model_class, part) for part in parts}
            self._basis = replace(self._basis, discards=self._basis.discards | files)

    def give_up_others(self, parts: Collection[str]) -> None:
        """Note that an earlier state goes on: files of parts that it does not have go.

        They are part of the set before, which the next save keeps.
        """
        place, basis = self.place, self._basis
        if basis is None:
            return
        stay = {file_of(place.folder, place.name, place.model_class, part) for part in parts}
        others = [
            name
            for name, entry in basis.manifest.files.items()
            if name not in stay and entry.role in ("network", "optimizer", "average")
        ]
        self._basis = replace(basis, drops=basis.drops | frozenset(others))

    @property
    def preview_folder(self) -> Path:
        """Where previews are written."""
        chosen = self.segment.settings.run.preview_dir
        default = self.place.folder / f"{self.place.storage}_preview"
        return Path(chosen) if chosen else default

    def _backup_hours(self) -> float:
        settings = self.segment.settings
        return float(settings.run.backup_every or settings.options.autobackup_hour)

    @property
    def _model(self) -> FaceModel:
        return self.segment.model

    @property
    def saved_iteration(self) -> int | None:
        """The iteration of the last save of this run that is whole on disk."""
        return self._saver.saved_iteration

    @property
    def save_failed(self) -> bool:
        """Whether the last save failed; `wait` raises its error."""
        return self._saver.failed

    def wait(self) -> None:
        """Wait for the save that is being written, and what is drawn of it.

        Raises
        ------
        Exception
            What made it fail.
        """
        try:
            self._saver.wait()
        finally:
            self.tell()

    def tell(self) -> None:
        """Report what a save, its previews and the command after it have left to report."""
        self._deferred.flush()
        if self.after_save is not None:
            self.after_save.tell()

    def summary(self) -> str:
        """The summary text of the model as it is now."""
        settings = self.segment.settings
        return summary_text(
            self.place.storage,
            self._model.iteration,
            settings.legacy(),
            self._devices,
            unused=kept_unused(settings.resolved.unknown),
        )

    def save(
        self,
        run_state: Mapping[str, object],
        wanted: Sequence[Wanted] = (),
        batches: Sequence[Batch] = (),
        marks: Marks = (),
    ) -> None:
        """Copy the model to memory, check it and start writing it, and drawing previews of it.

        Parameters
        ----------
        run_state : mapping
            What is stored of the run; see `ModelState.run`.
        wanted : sequence of Wanted
            Snapshots to make of this save.
        batches, marks
            Of what previews are drawn, as in `preview`; none without batches.

        Raises
        ------
        TrainingDiverged
            If weights are not finite: nothing is written.
        DflTfError
            What made the save before fail.
        """
        started = time.perf_counter()
        self.wait()  # it reads the memory that is copied to
        copied = self._copies.take(self._model.state(views=True))
        settings = self.segment.settings
        state, run = copied.state, {**copied.state.run, **run_state}
        state = replace(state, options=settings.legacy(), run=run)
        check_finite(state.tensors, copied.squares, state.iteration)
        if settings.run.guard_collapse:
            networks = {part: copied.squares[part] for part in self._model.networks}
            self._norms.check(networks, state.iteration)
        draw = None
        if batches:
            kept = [batch.rolled(0) for batch in batches]
            showing = self._showing(kept, marks)
            draw = partial(draw_copied, showing, state.tensors, self._deferred, self._show)
        self._saver.submit(
            state,
            None if wanted else draw,
            first=draw if wanted else None,
            summary=self.summary(),
            wanted=tuple(wanted),
            rules=rules_of(settings.run),
        )
        pause = round(time.perf_counter() - started, 3)
        self.log.emit(events.Save(state.iteration, pause, self._model.step.scalars()))

    def _write(
        self,
        state: ModelState,
        *,
        summary: str,
        wanted: Sequence[Wanted] = (),
        rules: Rules = NO_LIMIT,
        first: Callable[[], None] | None = None,
    ) -> None:
        if first is not None:
            first()
        try:
            saved = write_model(
                self.place.folder,
                self.place.name,
                state,
                format=self.place.format if self._first else "same",
                summary=summary,
                default_options=dict(state.options) if self._first else None,
                basis=self._basis,
            )
        except ForeignChange as change:
            raise ForeignChange(f"{change} {self._rescue(state, summary, str(change))}") from None
        self._first, self._basis = False, saved.basis
        if saved.aside is not None:
            self.log.say(f"replaced files of the model were moved to {saved.aside}")
        for each in wanted:
            self.snapshots.make(each, state, rules, self._shown)
        if self.after_save is not None:
            self.after_save.start(state.iteration)

    def keep(self, wanted: Wanted, run_state: Mapping[str, object]) -> None:
        """Make a snapshot of the last save, which is of the model as it is now."""
        settings, model = self.segment.settings, self._model
        state = ModelState(
            model_class=self.place.model_class,
            iteration=model.iteration,
            options=settings.legacy(),
            loss_history=(),
            tensors={},
            run=dict(run_state),
        )
        self.snapshots.make(wanted, state, rules_of(settings.run), self._shown)

    def _rescue(self, state: ModelState, summary: str, why: str) -> str:
        """Save beside a model that another program has changed; says where, and how to go on."""
        place = self.place
        kind = detect_format(place.folder, place.name, place.model_class) or place.format

        def fill(folder: Path) -> None:
            write_model(folder, place.name, state, format=kind, summary=summary, snapshot=why)

        wanted = Wanted("rescued", f"unsaved-{state.iteration}", why)
        made = self.snapshots.make(wanted, state, NO_LIMIT, self._shown, fill)
        if made is None:
            return (
                f"This run's state, of iteration {state.iteration}, could not be saved beside it."
            )
        restore = ["dfl-tf", "model", "restore", str(place.folder), "--class", place.model_class]
        named = ["--name", place.name] if kind_of(place.model_class).named else []
        command = shlex.join([*restore, *named, "--from", made.name])
        return (
            f"Nothing was overwritten: this run's state, of iteration {state.iteration}, is in "
            f"{made.folder}. To continue from it: {command}; to continue from the changed files, "
            "start the training again."
        )

    def backup_is_due(self) -> bool:
        """Whether the clock wants a backup; to be asked once after each save."""
        return self._clock.due(time.monotonic())

    def backup(self, batches: Sequence[Batch] | None) -> bool:
        """Copy the saved files to a numbered backup, with previews of the current sample.

        The caller has waited for the save that was being written. A failure is reported but not
        fatal; returns whether all went well.
        """
        place = self.place
        files = model_files(place.folder, place.name, place.model_class)
        if not files:
            self.log.say("nothing is saved yet: no backup made")
            return True
        images = self._images(batches) if batches is not None else {}
        extra = {f"preview_{name}.jpg": jpeg_bytes(image) for name, image in images.items()}
        backups = place.folder / f"{place.storage}_autobackups"
        try:
            folder = make_backup(backups, place.folder, files, extra)
        except (DflTfError, OSError) as error:
            self.log.say(f"warning: no backup was made, the older ones are untouched: {error}")
            self.log.emit(events.BackupFailed(self._model.iteration, str(error)))
            return False
        self.log.say(f"backup made: {folder}")
        self.log.emit(events.Backup(self._model.iteration, str(folder)))
        return True

    def _images(self, batches: Sequence[Batch]) -> dict[str, NDArray[np.uint8]]:
        previews = [image for image in self._model.preview(*batches) if not image.further]
        legacy = self.segment.settings.run.legacy_previews
        return preview_images(previews, self.trace.array, self._model.iteration, legacy=legacy)

    def preview(self, batches: Sequence[Batch], marks: Marks = ()) -> None:
        """Write preview sheets of these batches and the loss plot.

        A failure is reported but not fatal. `marks` are lines in the plot.
        """
        self._saver.join()  # one is drawn at a time
        self.tell()
        showing = self._showing(batches, marks)
        try:
            images = showing.images()
            self._show(images)
            files = showing.write(images)
        except (DflTfError, OSError) as error:
            self.log.say(f"warning: the preview was not written: {error}")
            return
        self.log.emit(events.Preview(showing.iteration, files, images))

    def _showing(self, batches: Sequence[Batch], marks: Marks) -> Showing:
        return Showing(
            self._model,
            self._model.iteration,
            tuple(batches),
            self.trace.array,
            tuple(self.quality),
            tuple(marks),
            self._book,
            self.place.storage,
            self.preview_folder,
            self.segment.settings.run.legacy_previews,
        )

    def _show(self, images: Mapping[str, NDArray[np.uint8]]) -> None:
        self._shown = Shown(images)

    def history(self, sample: history.Sample) -> None:
        """Write images of the fixed sample when the iteration is one for it.

        Called after the optimizer step and before the counter goes up.
        """
        options = self.segment.settings.options
        finished = self._model.iteration
        if not options.write_preview_history:
            return
        if finished % self._model.history_period:
            return
        try:
            folder = self.place.folder / f"{self.place.storage}_history"
            history.write_history(folder, self._images(sample), finished)
        except (DflTfError, OSError) as error:
            self.log.say(f"warning: the preview history was not written: {error}")
