"""Values of one merge option, tried one after the other on a sheet.

``KEY=first:last:step`` for numbers, ``KEY=one,two,…`` for anything.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from dfl_tf.errors import UsageError
from dfl_tf.options.merge import MergeOptions
from dfl_tf.options.schema import (
    OptionSpec,
    Value,
    did_you_mean,
    parse,
    range_error,
    rounded,
    show,
    specs,
)

MOST = 50
"""Values of a sweep."""


@dataclass(frozen=True)
class Sweep:
    """An option and the values that it takes.

    Attributes
    ----------
    key : str
    values : tuple
        Of the kind of the option.
    """

    key: str
    values: tuple[Value, ...]

    def caption(self, value: Value) -> str:
        """Say a value: names of modes by themselves, numbers with their option."""
        return show(value) if isinstance(value, str) else f"{self.key} {show(value)}"


def parse_sweep(text: str, flag: str = "--sweep") -> Sweep:
    """Read a sweep as it is written on a command line; `flag` begins errors.

    Raises
    ------
    UsageError
        There is no such option, or a value is none of its.
    """
    known = specs(MergeOptions)
    key, equals, given = text.partition("=")
    key = key.strip().replace("-", "_")
    if not equals:
        raise UsageError(f"{flag} {text}: write KEY=first:last:step or KEY=one,two,…")
    if key not in known:
        raise UsageError(
            f"{flag} {text}: there is no merge option {key}{did_you_mean(key, known)}; "
            "dfl-tf options merge lists them"
        )
    spec = known[key]
    values, errors = [], []
    for word in _words(spec, given, f"{flag} {text}"):
        try:
            value = rounded(spec, parse(spec, word))
            error = range_error(spec, value)
        except ValueError as wrong:
            error = str(wrong)
        if error:
            errors.append(f"{word} {error}")
        elif value not in values:
            values.append(value)
    if errors or not values:
        raise UsageError(
            f"{flag} {text}: {'; '.join(errors) or 'gives no value'} ({spec.allowed()})"
        )
    return Sweep(key, tuple(values))


def _words(spec: OptionSpec, given: str, what: str) -> list[object]:
    """The values as they are written, those of a range counted out."""
    if ":" not in given or spec.kind not in (int, float):
        found: list[object] = [word.strip() for word in given.split(",") if word.strip()]
    else:
        try:
            first, last, step = (float(part) for part in given.split(":"))
            count = (last - first) / step
        except (ValueError, ZeroDivisionError):
            raise UsageError(f"{what}: a range is first:last:step, three numbers") from None
        if not 0 <= count < MOST:
            raise UsageError(
                f"{what}: the step does not lead from {first:g} to {last:g} in at most "
                f"{MOST} values"
            )
        exact = first + step * np.arange(int(count + 1e-9) + 1)
        found = [round(value) if spec.kind is int else float(f"{value:.10g}") for value in exact]
    if len(found) > MOST:
        raise UsageError(f"{what}: {len(found)} values; give at most {MOST}")
    return found
