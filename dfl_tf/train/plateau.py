"""Whether losses have stopped falling: a robust test of the trend.

The losses of a window are reduced to medians of equal blocks, which takes out spikes and most of
the correlation between neighbors. The medians have stopped falling if the one-sided Mann-Kendall
test cannot tell their trend from none (p >= `alpha`), or if they fall for certain by less than
`rate` of the level within one window: the upper end of the 95 % interval of the Theil-Sen slope is
below it. Both depend on ranks and medians only, not on the distribution of the losses.

References
----------
H. B. Mann, Nonparametric tests against trend, Econometrica 13, 1945. M. G. Kendall, Rank
Correlation Methods, 1975. P. K. Sen, Estimates of the regression coefficient based on Kendall's
tau, JASA 63, 1968.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dfl_tf.options.recipe import PlateauRule

BLOCKS = 40
CHECKS = 20
"""Looks at the losses within one window."""
CONFIRMED = 3
"""Looks in a row that have to agree."""
_TWO_SIDED_95 = 1.959964


@dataclass(frozen=True)
class Trend:
    """What the test found in one window.

    Attributes
    ----------
    p_value : float
        Probability of so strong a fall where there is none; one-sided.
    fall : float
        Share of the level by which the losses fell within the window, at the most: the upper end
        of its 95 % interval; negative if they rose for certain.
    """

    p_value: float
    fall: float


def measure_trend(losses: NDArray[np.float64], blocks: int = BLOCKS) -> Trend:
    """Test a window of losses for a fall.

    Parameters
    ----------
    losses : ndarray, shape (n,), float64
        Oldest first; not finite ones are left out.
    blocks : int
        Number of blocks whose medians are compared.

    Returns
    -------
    Trend

    Examples
    --------
    >>> import numpy as np
    >>> measure_trend(np.linspace(1.0, 0.5, 400)).p_value < 1e-6
    True
    >>> measure_trend(np.full(400, 0.5))
    Trend(p_value=1.0, fall=0.0)
    """
    medians = _block_medians(losses[np.isfinite(losses)], blocks)
    count = len(medians)
    if count < 4:
        return Trend(1.0, 0.0)
    earlier, later = _pairs(count)
    steps = medians[later] - medians[earlier]
    slopes = np.sort(steps / (later - earlier))
    _, ties = np.unique(medians, return_counts=True)
    spread = count * (count - 1) * (2 * count + 5)
    spread -= int((ties * (ties - 1) * (2 * ties + 5)).sum())
    deviation, score, p_value = math.sqrt(spread / 18), float(np.sign(steps).sum()), 1.0
    if deviation and score < 0:
        p_value = 0.5 * math.erfc(-(score + 1) / deviation / math.sqrt(2))
    steepest = slopes[max(0, int((len(slopes) - _TWO_SIDED_95 * deviation) / 2))]
    level = float(np.median(np.abs(medians)))
    return Trend(p_value, -float(steepest) * count / level + 0.0 if level else 0.0)


def _block_medians(losses: NDArray[np.float64], blocks: int) -> NDArray[np.float64]:
    if len(losses) and len(losses) % blocks == 0:  # all at once
        return np.asarray(np.median(losses.reshape(blocks, -1), axis=1))
    parts = np.array_split(losses, blocks)
    return np.array([np.median(part) for part in parts if len(part)])


@functools.cache
def _pairs(count: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Every pair of blocks, the earlier one first."""
    return np.triu_indices(count, k=1)


def is_flat(losses: NDArray[np.float64], rule: PlateauRule) -> bool:
    """Whether one look at the last window of a loss finds no fall worth waiting for.

    Parameters
    ----------
    losses : ndarray, shape (iterations,), float64
        Of one network since its phase began; at least a window.
    rule : PlateauRule
    """
    trend = measure_trend(losses[-rule.window :])
    return trend.p_value >= rule.alpha or trend.fall < rule.rate


def is_looked_at(done: int, rule: PlateauRule) -> bool:
    """Whether the losses decide something when a phase has `done` iterations."""
    step = max(1, rule.window // CHECKS)
    earliest = max(rule.least, rule.window + (CONFIRMED - 1) * step)
    return bool(rule.most and done >= rule.most) or (done >= earliest and done % step == 0)


def has_plateaued(losses: NDArray[np.float64], rule: PlateauRule) -> bool:
    """Whether training has stalled at the last iteration of a phase.

    It is a function of the losses of the phase alone: a run that was stopped and resumed decides
    as one that was not. There are 20 looks within a window; at three in a row every loss has to be
    flat.

    Parameters
    ----------
    losses : ndarray, shape (iterations, losses), float64
        All losses since the phase began.
    rule : PlateauRule
    """
    done, step = len(losses), max(1, rule.window // CHECKS)
    if not is_looked_at(done, rule):
        return False
    if rule.most and done >= rule.most:
        return True
    looks = (losses[: done - back * step] for back in range(CONFIRMED))
    return all(is_flat(column, rule) for look in looks for column in look.T)
