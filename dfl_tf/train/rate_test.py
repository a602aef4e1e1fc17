"""Which learning rate suits a model and its faces: a range test on a copy in memory.

References
----------
L. N. Smith, "Cyclical Learning Rates for Training Neural Networks", WACV 2017, section 3.3.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dfl_tf.devices.configure import configure_devices
from dfl_tf.disk.durable import write_file
from dfl_tf.disk.text import drawable
from dfl_tf.errors import TrainingDiverged
from dfl_tf.imaging.files import encode_image
from dfl_tf.imaging.plots import draw, new_figure, plain_style
from dfl_tf.jobs.progress import Progress
from dfl_tf.options import specs
from dfl_tf.options.training import TrainingOptions
from dfl_tf.train.start import Prepared, builder

STEPS = 100
LOWEST, HIGHEST = 1e-6, 1e-2
"""Rates of the first and the last step; each is the same factor above the one before."""
_KEPT = 0.9  # of the moving average of the losses
_RISEN = 4.0  # times the least loss: no step beyond tells more
_LEAST = 10  # steps before which the average says little
_LEVEL = 20  # first steps, whose losses are the level
_CERTAIN = 3.5  # standard deviations that noise does not reach
_VISIBLE = 0.02  # of the level: smaller changes say nothing
_HALF = 5  # steps on each side of a line


@dataclass(frozen=True)
class RateTest:
    """What a range test has found.

    Attributes
    ----------
    model : str
    iteration : int
        Of the model.
    rates, losses : tuple of float
        Of each step; the losses are the sums of all that the model reports.
    smoothed : tuple of float
        A moving average of the losses.
    present : float
        The rate that the options say.
    suggested : float
    reason : str
    """

    model: str
    iteration: int
    rates: tuple[float, ...]
    losses: tuple[float, ...]
    smoothed: tuple[float, ...]
    present: float
    suggested: float
    reason: str

    def as_dict(self) -> dict[str, object]:
        """The same for machines."""
        return asdict(self)

    def lines(self) -> list[str]:
        """The result for people."""
        tried = f"{len(self.rates)} steps from {self.rates[0]:.0e} to {self.rates[-1]:.1e}"
        return [
            f"{self.model}, iteration {self.iteration}: {tried}; nothing of the model was changed",
            f"suggested: --lr {self.suggested:g} ({self.reason}); the options say {self.present:g}",
        ]


class MovingAverage:
    """The exponential moving average of losses, corrected for its beginning.

    Attributes
    ----------
    values : list of float
        After each of the losses.
    """

    def __init__(self) -> None:
        self.values: list[float] = []
        self._mean = 0.0

    def add(self, loss: float) -> float:
        """Take one more loss; returns the average with it."""
        self._mean = _KEPT * self._mean + (1 - _KEPT) * loss
        self.values.append(self._mean / (1 - _KEPT ** (len(self.values) + 1)))
        return self.values[-1]


def suggest(
    rates: Sequence[float], losses: Sequence[float], smoothed: Sequence[float]
) -> tuple[float, str]:
    """Return the rate at which the losses fall fastest, and why it was chosen.

    The level is the mean of the first steps, whose rates are too low to matter. A fall counts if
    the moving average goes below the level by more than the noise of the batches explains; its
    steepest place is that of the steepest line through eleven losses. Without a fall, as with a
    model that was trained before, it is a tenth of the rate from which the average stays above the
    level by as much.

    Parameters
    ----------
    rates, losses, smoothed : sequence of float
        As in `RateTest`.
    """
    level = float(np.mean(losses[:_LEVEL]))
    margin = max(_CERTAIN * _noise(losses), _VISIBLE * abs(level))
    first = min(_LEVEL, len(smoothed) - 1)  # the average of fewer losses is noise
    least = first + int(np.argmin(smoothed[first:]))
    if smoothed[least] < level - margin:
        rate, reason = rates[_steepest(rates, losses, least)], "there the losses fall fastest"
    else:
        below = [number for number, value in enumerate(smoothed) if value <= level + margin]
        rise = min(max(below, default=0) + 1, len(rates) - 1)
        rate, reason = rates[rise] / 10, "a tenth of the rate at which the losses begin to rise"
    allowed = specs(TrainingOptions)["lr"]
    assert allowed.minimum is not None
    assert allowed.maximum is not None
    return float(f"{min(max(rate, allowed.minimum), allowed.maximum):.1e}"), reason


def _noise(losses: Sequence[float]) -> float:
    """Standard deviation by which the moving average and the level differ in noise alone.

    That of the losses comes from the median of the changes from step to step, which neither a
    slow fall nor the explosion at the end moves.
    """
    changes = np.diff(losses)
    deviation = 1.4826 * float(np.median(np.abs(changes - np.median(changes)))) / math.sqrt(2)
    return deviation * math.sqrt((1 - _KEPT) / (1 + _KEPT) + 1 / _LEVEL)


def _steepest(rates: Sequence[float], losses: Sequence[float], least: int) -> int:
    """The step before `least` about which a line through eleven losses falls most."""
    steps = np.log(np.asarray(rates))

    def slope(place: int) -> float:
        around = slice(place - _HALF, place + _HALF + 1)
        return float(np.polyfit(steps[around], losses[around], 1)[0])

    last = min(max(least, _HALF), len(losses) - _HALF - 1)
    return min(range(_HALF, max(_HALF, last) + 1), key=slope)


def find_rate(
    prepared: Prepared,
    *,
    progress: Progress = lambda done, count: None,
    say: Callable[[str], None] = lambda text: None,
    steps: int = STEPS,
) -> RateTest:
    """Train a copy of a model in memory with a rate that rises from step to step.

    The model, its folder and the state of its streams are left as they are.

    Parameters
    ----------
    prepared : Prepared
    progress : callable
        Gets the numbers of steps done and to do.
    say : callable
        Gets lines for people.
    steps : int

    Raises
    ------
    TrainingDiverged
        The losses are not finite before the average of them says anything.
    """
    configure_devices(prepared.run)
    settings = replace(prepared.settings, run=replace(prepared.run, no_save=True))
    segment = builder(prepared, None, say).build(settings, prepared.state, prepared.open_faces())
    model = segment.model
    model.average, begun = None, model.iteration
    rates: list[float] = []
    losses: list[float] = []
    average = MovingAverage()
    try:
        for number in range(steps):
            rate = LOWEST * (HIGHEST / LOWEST) ** (number / max(1, steps - 1))
            model.rates.override = rate
            given = model.train_step(*next(segment.batch_source))
            loss = sum(float(np.mean(given[name])) for name in model.loss_names)
            model.iteration += 1
            progress(number + 1, steps)
            if not math.isfinite(loss):
                break
            rates.append(rate)
            losses.append(loss)
            if average.add(loss) > _RISEN * min(average.values) and number > _LEAST:
                break
        progress(steps, steps)
    finally:
        segment.close()
    if len(losses) <= _LEAST:
        raise TrainingDiverged(
            f"the losses were not finite after {len(losses)} steps, at a learning rate of "
            f"{rates[-1] if rates else LOWEST:.0e}: this model cannot be tested"
        )
    rate, reason = suggest(rates, losses, average.values)
    return RateTest(
        prepared.place.storage,
        begun,
        tuple(rates),
        tuple(losses),
        tuple(average.values),
        float(settings.options.lr),
        rate,
        reason,
    )


@plain_style()
def rate_plot(found: RateTest) -> NDArray[np.uint8]:
    """Draw losses over rates, with the suggested rate; an image, shape (h, w, 3), uint8, BGR."""
    figure = new_figure(9.6, 4.8, 100)
    figure.subplots_adjust(left=0.08, right=0.97, top=0.92, bottom=0.12)
    axes = figure.subplots()
    axes.plot(found.rates, found.losses, color="#145ac8", alpha=0.3, linewidth=1)
    axes.plot(found.rates, found.smoothed, color="#145ac8", linewidth=2, label="losses, averaged")
    axes.axvline(
        found.suggested, color="#f08214", linewidth=2, label=f"suggested {found.suggested:g}"
    )
    axes.axvline(found.present, color="#3ca03c", linestyle="--", label=f"options {found.present:g}")
    low, high = min(found.smoothed), max(found.smoothed[: max(2, len(found.smoothed) // 2)])
    axes.set_ylim(low - 0.1 * (high - low + 1e-6), high + 0.5 * (high - low + 1e-6))
    axes.set_xscale("log")
    axes.set_xlabel("learning rate")
    axes.set_ylabel("sum of the losses")
    title = drawable(f"{found.model}, iteration {found.iteration}: losses at rising rates")
    axes.set_title(title, loc="left", fontsize="medium", parse_math=False)
    axes.grid(color="0.9", linewidth=0.8)
    axes.legend(loc="lower left", frameon=False)
    return draw(figure)


def write_rate_plot(path: Path, found: RateTest) -> None:
    """Write `rate_plot` to a PNG file."""
    write_file(path, encode_image(rate_plot(found), path.suffix))
