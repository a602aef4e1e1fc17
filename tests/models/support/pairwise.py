"""Covering arrays: few cases in which every two values of every two parameters meet."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

Case = dict[str, Any]
Pair = tuple[tuple[str, int], tuple[str, int]]


def covering(
    parameters: Mapping[str, Sequence[Any]],
    dead: Callable[[Case], set[str]] = lambda case: set(),
) -> list[Case]:
    """Choose cases greedily, always the same ones.

    Parameters
    ----------
    parameters : mapping of str to sequence
        The values of each parameter, the plain one first.
    dead : callable
        Names the parameters that a (possibly partial) case overrides, so that their values do not
        count as tried there. For the plain value of every parameter it is empty.

    Returns
    -------
    list of dict
        Each of `parameters` has a value in each case. Every pair of values that can be tried
        together is in one of them.
    """
    names = list(parameters)
    sizes = {name: len(parameters[name]) for name in names}

    def values(chosen: Mapping[str, int]) -> Case:
        return {name: parameters[name][index] for name, index in chosen.items()}

    def possible(pair: Pair) -> bool:
        case = values({name: dict(pair).get(name, 0) for name in names})
        return not dead(case) & {name for name, _ in pair}

    missing = dict.fromkeys(pair for pair in _pairs(names, sizes) if possible(pair))
    cases: list[Case] = []
    while missing:
        chosen = dict(next(iter(missing)))
        for name in names:
            if name in chosen:
                continue
            # Ties go to another value each time, so that single values are spread as well.
            order = [(index + len(cases)) % sizes[name] for index in range(sizes[name])]
            first = set(chosen.items())

            def gain(index: int, name: str = name, first: Any = first) -> int:
                overridden = dead(values({**dict(first), name: index}))
                if any(other in overridden for other, _ in next(iter(missing))):
                    return -1
                if name in overridden:
                    return 0
                new = (name, index)
                return sum(
                    _ordered(new, old, names) in missing
                    for old in first
                    if old[0] not in overridden
                )

            chosen[name] = max(order, key=gain)
        case = values({name: chosen[name] for name in names})
        for pair in covered(parameters, case, dead):
            missing.pop(pair, None)
        cases.append(case)
    return cases


def covered(
    parameters: Mapping[str, Sequence[Any]], case: Case, dead: Callable[[Case], set[str]]
) -> Iterator[Pair]:
    """Yield the pairs of values that a case tries."""
    live = [
        (name, list(parameters[name]).index(case[name]))
        for name in parameters
        if name not in dead(case)
    ]
    yield from itertools.combinations(live, 2)


def _pairs(names: Sequence[str], sizes: Mapping[str, int]) -> Iterator[Pair]:
    for one, other in itertools.combinations(names, 2):
        for i, j in itertools.product(range(sizes[one]), range(sizes[other])):
            yield (one, i), (other, j)


def _ordered(one: tuple[str, int], other: tuple[str, int], names: Sequence[str]) -> Pair:
    return (one, other) if names.index(one[0]) < names.index(other[0]) else (other, one)
