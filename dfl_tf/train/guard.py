"""The guard: stops a run whose losses or weights went bad, before anything bad is saved."""

from __future__ import annotations

import math
from collections import Counter, deque
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from dfl_tf.errors import TrainingDiverged

if TYPE_CHECKING:
    from dfl_tf.formats.models.tensor import Tensor

_STILL = 50
"""Iterations without a change of the losses that are a collapse."""
_FLAT = 1e-4
"""Variance over the pixels of an output, in [0, 1], below which it shows nothing."""
_FLAT_FOR = 20
"""Iterations with a flat output that are a collapse."""
_GROWN = 1000
"""Iterations after which a model shows something, if it ever does: a new one begins flat."""


class Guard:
    """Looks at each iteration's losses.

    NaN and infinite losses stop the run at once. A collapse is told by the running median: when
    the last `patience` iterations all lie above `factor` times the median of up to `window`
    iterations before them, the run is stopped; when a quarter of them do, saving is held back
    (`suspicious`), so that the last save stays one from before the trouble. A run is judged from
    its first iteration on by the losses before it, if it begins where they ended; its first losses
    come before any update, so where they are higher, faces or options were changed, and the median
    is of this run only.

    Parameters
    ----------
    guard_collapse : bool
        False: only NaN and infinite values stop the run.
    history : ndarray, shape (iterations, losses)
        Of the runs before this one.
    """

    def __init__(
        self,
        names: Sequence[str],
        *,
        guard_collapse: bool = True,
        history: NDArray[np.float64] | None = None,
        factor: float = 4.0,
        patience: int = 20,
        window: int = 500,
        warm_up: int = 100,
    ) -> None:
        self._names = tuple(names)
        self._guard = guard_collapse
        self._factor, self._patience, self._warm_up = factor, patience, warm_up
        self._good: list[deque[float]] = [deque(maxlen=window) for _ in names]
        self._median = [math.nan] * len(self._names)
        self._above = [0] * len(self._names)
        self._seen = self._still = 0
        self._last: tuple[float, ...] = ()
        self._flat, self._shown = Counter[str](), Counter[str]()
        before = np.empty((0, 0)) if history is None else history[-window:]
        self._before = before[np.isfinite(before).all(axis=1)]

    @property
    def suspicious(self) -> bool:
        """Whether the losses look like the start of a collapse: do not save now."""
        flat = max(self._flat.values(), default=0) >= _FLAT_FOR // 4
        return flat or max(self._above, default=0) >= max(1, self._patience // 4)

    def check(
        self, iteration: int, losses: Sequence[float], variance: Mapping[str, float] | None = None
    ) -> None:
        """Judge the losses of one iteration.

        Parameters
        ----------
        iteration : int
        losses : sequence of float
        variance : mapping of str to float, optional
            Of the step's own output, by side; see `TrainingStep.output_variance`.

        Raises
        ------
        TrainingDiverged
            Naming the iteration, the losses and what to do.
        """
        bad = [
            f"{name}={loss}"
            for name, loss in zip(self._names, losses, strict=True)
            if not math.isfinite(loss)
        ]
        if bad:
            raise TrainingDiverged(
                f"iteration {iteration}: loss {', '.join(bad)} is not finite. {_ADVICE}"
            )
        if self._guard:
            self._notice_standstill(iteration, losses)
            self._notice_flatness(iteration, variance or {})
            if self._seen == 0:
                self._continue_from_before(losses)
            for index, loss in enumerate(losses):
                self._follow(iteration, index, loss)
        self._seen += 1

    def _notice_standstill(self, iteration: int, losses: Sequence[float]) -> None:
        """Losses that are equal to the bit, or zero, belong to a model that answers nothing."""
        same = tuple(losses) == self._last or not any(losses)
        self._still = self._still + 1 if same else 0
        self._last = tuple(losses)
        if self._still >= _STILL:
            listed = ", ".join(
                f"{name}={loss:g}" for name, loss in zip(self._names, losses, strict=True)
            )
            raise TrainingDiverged(
                f"iteration {iteration}: the losses have been exactly constant for {_STILL} "
                f"iterations ({listed}): the model has collapsed. {_ADVICE} "
                "--no-guard-collapse turns this guard off."
            )

    def _notice_flatness(self, iteration: int, variance: Mapping[str, float]) -> None:
        """An output of one color belongs to a collapsed model, unless that is a new one.

        A new one begins flat, may swing out of that once, and be flat again for a while.
        """
        for side, value in variance.items():
            if value >= _FLAT:
                self._shown[side] += 1
                self._flat[side] = 0
            elif self._shown[side] >= self._warm_up or iteration > _GROWN:
                self._flat[side] += 1
            if self._flat[side] >= _FLAT_FOR:
                raise TrainingDiverged(
                    f"iteration {iteration}: the output for {side} has been flat for {_FLAT_FOR} "
                    f"iterations (variance {value:.1e} over its pixels): the model has collapsed. "
                    f"{_ADVICE} --no-guard-collapse turns this guard off."
                )

    def _continue_from_before(self, losses: Sequence[float]) -> None:
        """Start from the losses before this run, if the first ones of it are like them."""
        if len(self._before) < self._warm_up or self._before.shape[1] != len(losses):
            return
        medians = np.median(self._before, axis=0)
        if (np.asarray(losses) > self._factor / 2 * medians).any():
            return
        for good, column in zip(self._good, self._before.T, strict=True):
            good.extend(column.tolist())
        self._median = medians.tolist()
        self._seen = self._warm_up

    def _follow(self, iteration: int, index: int, loss: float) -> None:
        good = self._good[index]
        if self._seen >= self._warm_up and loss > self._factor * self._median[index]:
            self._above[index] += 1
            if self._above[index] >= self._patience:
                raise TrainingDiverged(
                    f"iteration {iteration}: the {self._names[index]} loss stayed above "
                    f"{self._factor:g} times its median ({self._median[index]:.4f}) for "
                    f"{self._patience} iterations (now {loss:.4f}): the model is collapsing. "
                    f"{_ADVICE} --no-guard-collapse turns this guard off."
                )
            return
        self._above[index] = 0
        good.append(loss)
        # The median moves slowly: one look in ten is enough and costs nothing.
        if self._seen < self._warm_up or self._seen % 10 == 0:
            self._median[index] = float(np.median(good))


_ADVICE = (
    "The last good save was kept. Resume from it with clipgrad on, "
    "or with lower gan_power, true_face_power or style powers."
)


class NormGuard:
    """Looks at the size of each network when it is saved.

    A network whose norm is more than `factor` times its median at the last saves has run away,
    whatever the losses say.
    """

    def __init__(self, *, factor: float = 10.0, saves: int = 10, least: int = 3) -> None:
        self._factor, self._saves, self._least = factor, saves, least
        self._norms: dict[str, deque[float]] = {}

    def check(self, networks: Mapping[str, Mapping[str, float]], iteration: int) -> None:
        """Judge the weights that are about to be saved.

        Parameters
        ----------
        networks : dict of dict of float
            Sums of squares of the weights by part and key (`CopiedState.squares`).
        iteration : int
            For the message.

        Raises
        ------
        TrainingDiverged
            Naming the networks and their norms.
        """
        norms = {part: math.sqrt(sum(squares.values())) for part, squares in networks.items()}
        bad = []
        for part, norm in norms.items():
            before = self._norms.setdefault(part, deque(maxlen=self._saves))
            if len(before) >= self._least and norm > self._factor * float(np.median(before)):
                bad.append(f"{part} {norm:.3g} (median {float(np.median(before)):.3g})")
        if bad:
            raise TrainingDiverged(
                f"iteration {iteration}: the norm of weights is more than {self._factor:g} times "
                f"that at the last saves: {', '.join(bad)}. Nothing was saved. {_ADVICE}"
            )
        for part, norm in norms.items():
            self._norms[part].append(norm)


def check_finite(
    tensors: Mapping[str, Mapping[str, Tensor]],
    squares: Mapping[str, Mapping[str, float]],
    iteration: int,
) -> None:
    """Refuse a model state that holds NaN or infinite numbers.

    Parameters
    ----------
    tensors : dict of dict of ndarray, any shape and dtype
        `ModelState.tensors`; only floating dtypes are checked.
    squares : dict of dict of float
        Sums of squares of each. One that is finite says that all its numbers are.
    iteration : int
        For the message.

    Raises
    ------
    TrainingDiverged
        Naming every part and how many of its tensors are bad.
    """
    bad = {}
    for part, arrays in tensors.items():
        names = [
            name
            for name, array in arrays.items()
            if not math.isfinite(squares[part][name]) and not np.isfinite(array).all()
        ]
        if names:
            bad[part] = names
    if bad:
        listed = "; ".join(f"{part}: {len(names)} ({names[0]} …)" for part, names in bad.items())
        raise TrainingDiverged(
            f"iteration {iteration}: weights are not finite ({listed}). "
            f"Nothing was saved. {_ADVICE}"
        )


def without_advice(error: TrainingDiverged) -> str:
    """What a guard saw, without what a user might do about it: for a run that does it itself."""
    return (
        str(error)
        .replace("--no-guard-collapse turns this guard off.", "")
        .replace(_ADVICE, "")
        .strip()
    )
