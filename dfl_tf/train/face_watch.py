"""What a training does about faces whose losses stand out: they are named, or left out."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from dfl_tf.data import Batch
from dfl_tf.jobs.events import Events
from dfl_tf.train import events, outliers, quarantine
from dfl_tf.train.batch_source import Facesets
from dfl_tf.train.outliers import LossHistories, Outlier
from dfl_tf.train.quarantine import LeftOutFace, leave_out, read_left_out, tree_of

if TYPE_CHECKING:
    from dfl_tf.train.run import Run


class FaceWatch:
    """Looks at the losses of each face, names those that stand out, and leaves them out.

    Parameters
    ----------
    log : Events
    """

    def __init__(self, log: Events) -> None:
        self._log = log
        self._histories: LossHistories | None = None
        self._found: list[Outlier] = []
        self._counts: Counter[str] = Counter()

    def begin(self, facesets: Facesets | None) -> None:
        """Follow the faces of a segment: on, where they are those of the one before."""
        before = self._histories
        self._histories = None if facesets is None else LossHistories(facesets.sides())
        if self._histories is not None and before is not None:
            self._histories.restore(before.tree())

    def forget(self) -> None:
        """Start over: what was seen does not hold any more."""
        self._histories, self._found = None, []

    def restore(self, tree: object) -> None:
        """Go on with what was stored with the model, if anything was."""
        if self._histories is not None and tree is not None:
            self._histories.restore(tree)

    def tree(self) -> dict[str, object]:
        """What is stored with the model, by key in `ModelState.run`."""
        known = self._histories
        return {} if known is None else {outliers.STORED_AS: known.tree()}

    def look(
        self, run: Run, batches: Sequence[Batch], losses: Mapping[str, NDArray[np.floating]]
    ) -> None:
        """Find the faces of a step that stand out; each is named once.

        Parameters
        ----------
        run : Run
            Before it counts the step.
        batches : sequence of Batch
        losses : mapping of str to ndarray, shape (n,), float32 or float64
            Of each sample, by name.
        """
        if self._histories is None:
            return
        iteration = int(run.model.iteration)
        named = dict(zip(run.segment.batch_source.names, batches, strict=False))
        self._found = self._histories.look(iteration, named, losses, run.trace.array)
        for each in self._found:
            self._counts[each.file] += 1
            if self._counts[each.file] == 1:
                self._log.say(f"iteration {iteration + 1}: {each.text()} ({each.file})")
            self._log.emit(events.StandsOut(iteration + 1, **vars(each)))

    def leave_out(self, run: Run, *, alone: bool) -> None:
        """Train without the faces that were found just now, if that is wanted.

        Parameters
        ----------
        run : Run
            After it has counted the step.
        alone : bool
            Whether no other process trains the same model.
        """
        if not self._found or not run.settings.run.quarantine:
            return
        if not alone:
            self._log.say("faces are not left out of a training of several processes")
            return
        before = read_left_out(run.stored)
        chosen = self._choose(run, before, self._found)
        if not chosen:
            return
        run.stored[quarantine.STORED_AS] = tree_of([*before, *chosen])
        run.leave_out(chosen)
        facesets = run.segment.facesets
        if self._histories is not None and facesets is not None:
            self._histories = self._histories.without(facesets.sides())

    def left_out_after_collapse(self, run: Run) -> tuple[list[LeftOutFace], list[str]]:
        """All faces that are left out from now on, and the names of those that led here.

        Those are samples whose loss alone was not finite.
        """
        before = read_left_out(run.stored)
        found = [each for each in self._found if not math.isfinite(each.loss)]
        chosen = self._choose(run, before, found)
        return [*before, *chosen], [face.face for face in chosen]

    def _choose(
        self, run: Run, before: Sequence[LeftOutFace], found: Sequence[Outlier]
    ) -> list[LeftOutFace]:
        facesets, at = run.segment.facesets, int(run.model.iteration)
        if facesets is None:
            return []
        sides, data = facesets.sides(), facesets.data
        chosen, told = leave_out(before, found, sides, data=data, iteration=at)
        for line in told:
            self._log.say(line)
        return chosen

    def finish(self) -> None:
        """Say how many faces stood out in this run."""
        count, times = len(self._counts), sum(self._counts.values())
        if count:
            faces = "1 face" if count == 1 else f"{count} faces"
            often = "once" if times == 1 else f"{times} times in all"
            self._log.say(f"the loss of {faces} stood out, {often}; see above")
