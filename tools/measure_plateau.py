#!/usr/bin/env python3
"""How often the plateau test of recipes is wrong, on random loss curves of known kinds.

    python tools/measure_plateau.py [--curves 1000] [--window 1000] [--json]

Each curve has two losses of four windows, with noise that is skewed and correlated between
neighbors, as losses have it. Falling ones fall by 4 to 40 % a window all the time: an answer
"flat" is wrong. Flat ones are flat from the beginning: no answer within four windows is late.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "ops")]

import numpy as np  # noqa: E402
from numpy.typing import NDArray  # noqa: E402

from dfl_tf.options.recipe import PlateauRule  # noqa: E402
from dfl_tf.train.plateau import CHECKS, has_plateaued  # noqa: E402

Curve = NDArray[np.float64]
WINDOWS = 4


def noise(rng: np.random.Generator, length: int, sigma: float) -> Curve:
    """Multiplicative noise of mean about 1: lognormal, correlated over some iterations."""
    share = rng.uniform(0.0, 0.9)
    white = rng.normal(0.0, sigma * np.sqrt(1 - share**2), length)
    values = np.empty(length)
    last = 0.0
    for index, step in enumerate(white):
        last = share * last + step
        values[index] = last
    return np.exp(values)


def falling(rng: np.random.Generator, window: int) -> Curve:
    """Falls steadily, by 4 to 40 % of the level in each window."""
    rate = rng.uniform(0.04, 0.4)
    level = (1 - rate) ** (np.arange(WINDOWS * window) / window)
    return level * noise(rng, WINDOWS * window, 0.15)


def stepwise(rng: np.random.Generator, window: int) -> Curve:
    """Falls in steps of 3 to 10 %, two to five of them in each window."""
    steps = int(rng.integers(2, 6))
    number = np.arange(WINDOWS * window) * steps // window
    return (1 - rng.uniform(0.03, 0.1)) ** number * noise(rng, WINDOWS * window, 0.15)


def spiky(rng: np.random.Generator, window: int) -> Curve:
    """Falls as `falling` does; one iteration in fifty is three to thirty times as high."""
    curve = falling(rng, window)
    high = rng.random(len(curve)) < 0.02
    curve[high] *= rng.uniform(3, 30, int(high.sum()))
    return curve


def flat(rng: np.random.Generator, window: int) -> Curve:
    """Flat with the noise of a usual training."""
    return noise(rng, WINDOWS * window, 0.15)


def noisy(rng: np.random.Generator, window: int) -> Curve:
    """Flat with much noise."""
    return noise(rng, WINDOWS * window, 0.6)


def flat_spiky(rng: np.random.Generator, window: int) -> Curve:
    """Flat with spikes."""
    curve = flat(rng, window)
    high = rng.random(len(curve)) < 0.02
    curve[high] *= rng.uniform(3, 30, int(high.sum()))
    return curve


FALL: tuple[Callable[[np.random.Generator, int], Curve], ...] = (falling, stepwise, spiky)
FLAT: tuple[Callable[[np.random.Generator, int], Curve], ...] = (flat, noisy, flat_spiky)


def first_yes(losses: Curve, rule: PlateauRule) -> int | None:
    """The first iteration at which the test says flat; None = never."""
    step = rule.window // CHECKS
    for done in range(step, len(losses) + 1, step):
        if has_plateaued(losses[:done], rule):
            return done
    return None


def main() -> int:
    """Print a line for each kind of curve."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--curves", type=int, default=1000)
    parser.add_argument("--window", type=int, default=1000)
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    rule = PlateauRule(window=args.window)
    rows = []
    for make in (*FALL, *FLAT):
        rng = np.random.default_rng(0)
        wrong, times = 0, []
        for _ in range(args.curves):
            losses = np.stack([make(rng, args.window), make(rng, args.window)], axis=1)
            found = first_yes(losses, rule)
            wrong += (found is not None) if make in FALL else (found is None)
            if found is not None:
                times.append(found / args.window)
        after = float(np.median(times)) if times else None
        row = {"kind": make.__name__, "wrong": wrong, "curves": args.curves, "windows": after}
        rows.append(row)
        if not args.json:
            what = "said flat" if make in FALL else "not said flat"
            when = "" if after is None else f"; said after {after:.2f} windows (median)"
            print(f"{make.__name__:12} {what} wrongly: {wrong} of {args.curves}{when}", flush=True)
    if args.json:
        print(json.dumps({"tool": "measure_plateau", "window": args.window, "rows": rows}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
