"""The steps of a run: batches in, losses out; on a GPU the losses are read one step late.

A GPU works on its own: a call returns before its result is there, and whoever reads a loss waits.
So the next step is begun first. The step that is begun and not read yet is `Stepper.pending`; the
model's `iteration` counts what was read and judged. Before anything looks at the model or saves it,
`Stepper.finish` reads it.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from dfl_tf.train import history
from dfl_tf.train.batch_source import Batch, Drawn
from dfl_tf.train.run import Run, every

if TYPE_CHECKING:
    import tensorflow as tf

    from dfl_tf.models.step import Report


@dataclass(frozen=True)
class Pending:
    """A step that is begun and not read yet.

    Attributes
    ----------
    drawn : Drawn
        Its batches.
    values : mapping of tensor, shape (n,)
        Its losses, which the device may still be computing.
    report : Report
        What else it gives.
    started : float
        When it was begun.
    waited : float
        Seconds that it waited for its batches.
    """

    drawn: Drawn
    values: Mapping[str, tf.Tensor]
    report: Report
    started: float
    waited: float


class Stepper:
    """Does the steps of a run, one after the other.

    Parameters
    ----------
    run : Run
    chief : bool
        Whether this process looks at the faces of a step.
    alone : bool
        Whether no other process trains the same model.

    Attributes
    ----------
    pending : Pending or None
    sample : tuple of Batch
        The faces of the history, once they are known.
    """

    def __init__(self, run: Run, *, chief: bool, alone: bool) -> None:
        self._run, self._chief, self._alone = run, chief, alone
        self.pending: Pending | None = None
        self.sample: history.Sample = ()
        self._drawn: Drawn | None = None
        self._begins = True  # a segment
        self._last = 0.0
        self._unreadable = ""

    @property
    def batches(self) -> tuple[Batch, ...] | None:
        """The batches of the last step; None before the first."""
        return None if self._drawn is None else self._drawn.batches

    @property
    def late(self) -> bool:
        """Whether losses are read one step late.

        Not where they decide on the next batch (quarantine), or where all processes must agree.
        """
        model, run = self._run.model, self._run.settings.run
        return model.works_ahead and self._alone and not run.quarantine

    def draw(self) -> None:
        """Take the next batches without a step: what a preview shows if nothing is trained."""
        self._drawn = self._run.segment.batch_source.draw()

    def begin_segment(self) -> None:
        """Go on with another model of the same faces."""
        self.sample, self._begins = (), True

    def forget(self) -> None:
        """Start over with another model: a step that is not read yet does not count."""
        self.pending, self._drawn = None, None
        self.begin_segment()

    def step(self) -> None:
        """Begin a step, then read the one before; where losses are not late, this one as well.

        Raises
        ------
        TrainingDiverged
            By what was read.
        """
        model, source = self._run.model, self._run.segment.batch_source
        started, waited = time.perf_counter(), source.wait_seconds
        model.uncounted = int(self.pending is not None)
        again = model.previous and model.repeats_batch(model.iteration + model.uncounted)
        if not again:
            self._drawn = source.draw()
        elif self._drawn is None or self._begins:  # they were made once more
            self._drawn = Drawn(model.previous, model.previous, source.run_state())
        assert self._drawn is not None
        self._begins = False
        values = model.train_step(*self._drawn.inputs)
        waited = source.wait_seconds - waited
        begun = Pending(self._drawn, values, model.step.report, started, waited)
        before, samples = self.pending, self._read(self.pending)
        self.pending = begun
        if before is not None:
            self._count(before, samples)
        if not self.late:
            self.finish()

    def finish(self) -> None:
        """Read the step that is not read yet, if there is one, and count it.

        Raises
        ------
        TrainingDiverged
            By what was read.
        """
        pending, samples = self.pending, self._read(self.pending)
        if pending is None:
            return
        self.pending = None
        self._run.model.uncounted = 0
        self._count(pending, samples)

    def rescue(self) -> None:
        """After an error: count the step that was begun before it, so that it can be saved.

        If it cannot be read, the weights may be those of half a step: nothing is saved.
        """
        problem = self._unreadable
        if not problem:
            try:
                self.finish()
            except Exception as error:
                problem = _first_line(error)
        if problem:
            self._run.unsaved = False
            self._run.log.say(
                f"the model is not saved, since its last step is not known to be good "
                f"({problem}); the last save is intact"
            )

    def _read(self, pending: Pending | None) -> dict[str, np.ndarray]:
        if pending is None:
            return {}
        try:
            return {name: np.asarray(pending.values[name]) for name in self._run.model.loss_names}
        except Exception as error:
            self._unreadable = _first_line(error)
            raise

    def _count(self, pending: Pending, samples: Mapping[str, np.ndarray]) -> None:
        """Judge and count a step that was read."""
        state, batches = self._run, pending.drawn.batches
        losses = {name: float(np.mean(each)) for name, each in samples.items()}
        now = time.perf_counter()
        seconds, self._last = now - max(pending.started, self._last), now
        state.timing.add(seconds, pending.waited, sum(batch.size for batch in batches))
        if self._chief:
            state.faces.look(state, batches, samples)
        variance = state.model.step.output_variance(pending.report)
        state.guard.check(state.model.iteration + 1, list(losses.values()), variance)
        state.unsaved = True
        self._fix_sample(batches)
        state.checkpoint.history(self.sample)
        state.count(losses, seconds, pending.waited, pending.drawn.run_state, pending.report)
        state.faces.leave_out(state, alone=self._alone)

    def _fix_sample(self, batches: tuple[Batch, ...]) -> None:
        """Fix the faces of the history: the stored ones, else from now on those of this batch."""
        if not self.sample:
            model, run = self._run.model, self._run.settings.run
            fresh = run.new_preview_sample or model.iteration == 0
            drawn = (*batches, *self._run.segment.batch_source.preview_batches())
            self.sample = history.fixed_sample(model.extra, drawn, fresh=fresh)


def is_looked_at(run: Run, iteration: int) -> bool:
    """Whether something will look at the model or save it after an iteration.

    What is asked for meanwhile is not known here.
    """
    settings, options = run.settings.run, run.settings.options
    periods = (settings.save_every_iters, settings.preview_every, run.settings.validate_every)
    history = options.write_preview_history and run.model.history_period
    return (
        not run.trained
        or any(every(period, iteration) for period in periods)
        or bool(options.target_iter and iteration >= options.target_iter)
        or bool(history and every(history, iteration - 1))
        or bool(settings.stop_after and run.seconds >= settings.stop_after)
        or run.save_comes()
        or run.checkpoint.save_failed
    )


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0][:200] if lines else type(error).__name__
