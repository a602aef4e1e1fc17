"""How long a training still takes: of a phase that ends by its losses, at least and at most."""

from __future__ import annotations

from dataclasses import dataclass

from dfl_tf.options.recipe import Recipe, Until
from dfl_tf.train.plateau import CHECKS, CONFIRMED


@dataclass(frozen=True)
class TimeLeft:
    """Seconds, never negative.

    Attributes
    ----------
    least : float
    most : float or None
        None: nobody knows.
    of : str
        The phase whose end that is; empty: the run's.
    """

    least: float
    most: float | None
    of: str = ""

    def text(self) -> str:
        """For people: ``1h 05m to 2h 10m left in warp``."""
        where = f" in {self.of}" if self.of else ""
        if self.most is None:
            return f"{duration(self.least)} or more left{where}" if self.least >= 1 else ""
        least, most = duration(self.least), duration(self.most)
        return f"{least if least == most else f'{least} to {most}'} left{where}"


def duration(seconds: float) -> str:
    """Seconds as ``4d 03h``, ``2h 05m``, ``3m 07s`` or ``12s``."""
    whole = max(0, round(seconds))
    days, hours, minutes = whole // 86400, whole // 3600 % 24, whole // 60 % 60
    if days:
        return f"{days}d {hours:02d}h"
    if hours:
        return f"{hours}h {minutes:02d}m"
    return f"{minutes}m {whole % 60:02d}s" if minutes else f"{whole}s"


def earlier(phase: TimeLeft | None, run: float | None) -> TimeLeft | None:
    """What ends first: a phase, or the run by its target or limit of time."""
    if phase is None or run is None:
        return phase if run is None else TimeLeft(max(0.0, run), max(0.0, run))
    run = max(0.0, run)
    if run <= phase.least:
        return TimeLeft(run, run)
    return TimeLeft(phase.least, run if phase.most is None else min(run, phase.most), phase.of)


def phase_left(
    until: Until, *, count: int, iteration: int, seconds: float, each: float
) -> tuple[float, float | None]:
    """Seconds until a phase ends, at least and at most.

    Parameters
    ----------
    until : Until
    count : int
        Iterations of the phase that are done.
    iteration : int
        Of the model.
    seconds : float
        Training in the phase so far.
    each : float
        Seconds of an iteration.
    """
    spans: list[tuple[float, float | None]] = []
    if until.iterations is not None:
        spans.append(((until.iterations - count) * each,) * 2)
    if until.at_iteration is not None:
        spans.append(((until.at_iteration - iteration) * each,) * 2)
    if until.hours is not None:
        spans.append((until.hours * 3600 - seconds,) * 2)
    if until.plateau is not None:
        rule = until.plateau
        looks = (CONFIRMED - 1) * max(1, rule.window // CHECKS)
        least = max(rule.least, rule.window + looks)
        most = (rule.most - count) * each if rule.most else None
        spans.append(((min(least, rule.most or least) - count) * each, most))
    if until.metric is not None:
        spans.append((0.0, None))
    lows = [max(0.0, low) for low, _ in spans] or [0.0]
    highs = [max(0.0, high) for _, high in spans if high is not None]
    if until.mode == "any":
        return min(lows), min(highs, default=None)
    return max(lows), max(highs) if spans and len(highs) == len(spans) else None


def recipe_left(
    recipe: Recipe, index: int, *, count: int, iteration: int, seconds: float, each: float
) -> tuple[TimeLeft, TimeLeft]:
    """Time left in the present phase, and in all phases at the same speed.

    Parameters
    ----------
    recipe : Recipe
    index : int
        Number of the present phase.
    count, iteration, seconds, each
        See `phase_left`.
    """
    until = recipe.phases[index].until
    low, high = phase_left(until, count=count, iteration=iteration, seconds=seconds, each=each)
    present = TimeLeft(low, high, recipe.phases[index].name)
    least, most = low, high
    for number in range(index + 1, len(recipe.phases)):
        pretrained, goes_on = (
            bool(recipe.layer(place).values.get("pretrain")) for place in (number - 1, number)
        )
        soon, late = iteration + int(low / each), iteration + int((high or low) / each)
        if pretrained and not goes_on:
            soon = late = 0  # the count begins again
        until = recipe.phases[number].until
        low = phase_left(until, count=0, iteration=late, seconds=0.0, each=each)[0]
        high = phase_left(until, count=0, iteration=soon, seconds=0.0, each=each)[1]
        least, most = least + low, None if most is None or high is None else most + high
        iteration = soon
    return present, TimeLeft(least, most)
