#!/usr/bin/env python3
"""Quality on held-out faces against wall time: which way of training gets to the same SSIM first.

    python tools/bench_quality.py [WORKSPACE] [--at 100,300,1000] [--variants float32,bfloat16,ema]
        [--size small|reference] [--cost] [--rising] [--json FILE] [--plot FILE]

Every variant trains the same model from the same seed on the same faces; a share of them (20 %) is
held out. Without a workspace the faces are those of `dfl-tf demo`. The variants take turns: each
trains up to the first of the iterations of `--at`, is measured as `dfl-tf evaluate` does, then all
go on to the next, so that a machine that gets slower is slower for all. The time is that of the
iterations; building, tracing and measuring are not in it.

For each variant and stop: iteration, seconds, SSIM, identity, jitter; at the end, how long each
took to the best SSIM that all of them reached, by linear interpolation. `--cost` adds what
`validate_every: 5000` costs, from two measurements in a running training. With `--rising` the exit
code is 1 unless the SSIM of every variant rises from stop to stop.

`ema` is float32 measured with its averaged weights, beside which its weights of each stop stand, so
that both come from one training. `recipe` and `recipe_cosine` train in phases,
whose lengths are shares of the last stop, so that only the last stop shows what they come to.
Another way of training is one more entry of `VARIANTS`.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "ops")]

import dfl_tf  # noqa: E402
from dfl_tf.disk.durable import write_file  # noqa: E402

HOLDOUT, SEED, PERIOD = 0.2, 1, 5000
NAME, CLASS = "bench", "SAEHD"
SIZES: dict[str, dict[str, Any]] = {
    "small": {"archi": "df", "ae_dims": 32, "e_dims": 16, "d_dims": 16, "d_mask_dims": 16},
    "reference": {"archi": "liae-ud", "ae_dims": 64, "e_dims": 32, "d_dims": 32, "d_mask_dims": 16},
}
COMMON = {"resolution": 64, "face_type": "wf", "batch_size": 4, "holdout": HOLDOUT}


@dataclass(frozen=True)
class Variant:
    """A way of training: what differs from the others.

    Attributes
    ----------
    options, run : dict
        Of the model, and of the run.
    ema : bool
        Whether the averaged weights are measured.
    phases : tuple of (str, float, dict)
        Of a recipe: name, share of all iterations, what is set. The last one has no end.
    """

    options: dict[str, Any] = field(default_factory=dict)
    run: dict[str, Any] = field(default_factory=dict)
    ema: bool = False
    phases: tuple[tuple[str, float, dict[str, Any]], ...] = ()

    def recipe(self, last: int) -> dict[str, Any]:
        """The content of the recipe, for a training of `last` iterations."""
        done, phases = 0.0, []
        for name, share, given in self.phases:
            done += share
            end = {"until": {"at_iteration": round(done * last)}} if done < 0.999 else {}
            cosine = {"lr_end": last} if given.get("lr_schedule") == "cosine" else {}
            phases.append({"name": name, "set": {**given, **cosine}, **end})
        return {"model": CLASS, "phases": phases}


VARIANTS = {
    "float32": Variant(),
    "bfloat16": Variant(run={"precision": "bfloat16"}),
    "lr_dropout": Variant(options={"lr_dropout": "y"}),
    "no_warp": Variant(options={"random_warp": False}),
    "ema": Variant(options={"ema": 0.999}, ema=True),
    "recipe": Variant(
        phases=(
            ("warp", 0.5, {"random_warp": True}),
            ("dropout", 0.15, {"lr_dropout": "y"}),
            ("no warp", 0.2, {"lr_dropout": "n", "random_warp": False}),
            ("dropout again", 0.15, {"lr_dropout": "y"}),
        )
    ),
    "recipe_cosine": Variant(
        phases=(
            ("warp", 0.5, {"random_warp": True}),
            ("calm", 0.5, {"random_warp": False, "lr_schedule": "cosine", "lr_final": 5e-6}),
        )
    ),
}
DEFAULT = "float32,bfloat16,ema,recipe,recipe_cosine"


@dataclass
class Curve:
    """What one variant has come to.

    Attributes
    ----------
    last : int
        The last stop, for the phases of recipes.
    seconds : float
        Of its iterations.
    points : list of dict
        At each stop: iteration, seconds, and the metrics.
    weights : list of dict
        With `ema`, the same of the weights that were averaged.
    """

    variant: Variant
    folder: Path
    last: int = 0
    seconds: float = 0.0
    points: list[dict[str, float]] = field(default_factory=list)
    weights: list[dict[str, float]] = field(default_factory=list)


class Clock:
    """Adds up the time of iterations; the first two of a round trace graphs and fill caches."""

    def __init__(self) -> None:
        self.each: list[float] = []
        self.validations: list[float] = []

    def __call__(self, event: Any) -> None:
        if event.kind == "iteration":
            self.each.append(event.seconds)
        elif event.kind == "validation":
            self.validations.append(event.seconds)

    @property
    def usual(self) -> float:
        return statistics.median(self.each[2:] or self.each)

    @property
    def seconds(self) -> float:
        return sum(self.each[2:]) + self.usual * min(2, len(self.each))


def train(workspace: Path, curve: Curve, size: str, until: int, **more: Any) -> Clock:
    """Train a variant up to an iteration; how long its iterations took."""
    clock = Clock()
    folder = curve.folder
    place = folder / "workspace"
    if not place.is_dir():
        place.mkdir(parents=True)
        for side in ("data_src", "data_dst"):
            (place / side).symlink_to((workspace / side).resolve())
    options = {**COMMON, **SIZES[size], **curve.variant.options, "target_iter": until, **more}
    run = {"seed": SEED, "no_preview": True, "save_every": 0.0, "log_every": 10**9}
    if curve.variant.phases:
        recipe = folder / "recipe.json"
        recipe.write_text(json.dumps(curve.variant.recipe(curve.last)), encoding="utf-8")
        run["recipe"] = str(recipe)
    dfl_tf.train(
        place, CLASS, options, name=NAME, run={**run, **curve.variant.run}, callbacks=[clock]
    )
    return clock


def stop(workspace: Path, name: str, curve: Curve, size: str, until: int) -> None:
    """Train a variant to the next stop and measure it there."""
    curve.seconds += train(workspace, curve, size, until).seconds
    report = dfl_tf.evaluate(
        curve.folder / "workspace",
        name=NAME,
        model_class=CLASS,
        faces=0,
        ema=curve.variant.ema,
    )
    measured = [curve.weights, curve.points] if curve.variant.ema else [curve.points]
    for points, result in zip(measured, report.results, strict=True):
        metrics = result.metrics
        points.append({"iteration": until, "seconds": round(curve.seconds, 2), **metrics})
        label = f"{name}: weights" if points is curve.weights else name
        more = "".join(
            f"  {key} {metrics[key]:.4f}"
            for key in ("src_ssim", "dst_ssim", "identity_src", "identity_dst", "jitter")
            if key in metrics
        )
        print(
            f"{label:13} iteration {until:6}  {curve.seconds:9.1f} s  "
            f"ssim {metrics['ssim']:.4f}{more}",
            flush=True,
        )


def time_to(curve: Curve, level: float) -> float | None:
    """Seconds until a variant reached an SSIM, between stops by a straight line."""
    before = {"seconds": 0.0, "ssim": 0.0}
    for point in curve.points:
        if point["ssim"] >= level:
            rise = point["ssim"] - before["ssim"]
            share = (level - before["ssim"]) / rise if rise > 0 else 1.0
            return before["seconds"] + share * (point["seconds"] - before["seconds"])
        before = point
    return None


def verdict(curves: dict[str, Curve]) -> list[str]:
    """Who got to the best SSIM that all reached first."""
    level = min(max(point["ssim"] for point in curve.points) for curve in curves.values())
    times = {name: time_to(curve, level) for name, curve in curves.items()}
    order = sorted(times, key=lambda name: times[name] or 0.0)
    first = times[order[0]] or 0.0
    lines = [f"to an SSIM of {level:.4f}, which all reached:"]
    lines += [
        f"  {name:13} {times[name] or 0.0:9.1f} s  {(times[name] or 0.0) / max(first, 1e-9):5.2f} x"
        for name in order
    ]
    return lines


def cost(workspace: Path, name: str, curve: Curve, size: str) -> dict[str, float]:
    """What a measurement costs in a running training, as a share of 5,000 iterations."""
    iteration = int(curve.points[-1]["iteration"])
    clock = train(workspace, curve, size, iteration + 20, validate_every=10)
    clock.validations = clock.validations or [float("nan")]
    seconds = clock.validations[-1]
    share = seconds / (PERIOD * clock.usual)
    print(
        f"{name}: a measurement takes {seconds:.2f} s (the first one {clock.validations[0]:.2f} s),"
        f" an iteration {clock.usual * 1000:.0f} ms: {share:.2%} of {PERIOD} iterations"
    )
    return {"seconds": seconds, "first_seconds": clock.validations[0], "share": share}


def plot(curves: dict[str, Curve], file: Path) -> None:
    import cv2

    from dfl_tf.imaging.plots import draw, new_figure, plain_style

    with plain_style():
        figure = new_figure(8, 4.5, 110, layout="constrained")
        axes = figure.subplots()
        for name, curve in curves.items():
            points = [(p["seconds"], p["ssim"]) for p in curve.points]
            axes.plot(*zip(*points, strict=True), marker="o", label=name)
        axes.set_xlabel("seconds of iterations")
        axes.set_ylabel("SSIM of held-out faces")
        axes.grid(color="0.9")
        axes.legend(frameon=False)
        image = draw(figure)
    write_file(file, cv2.imencode(".png", image)[1].tobytes())


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("workspace", type=Path, nargs="?", default=ROOT / "dfl_tf" / "demo_data")
    parser.add_argument("--at", default="100,300,1000", help="iterations at which is measured")
    parser.add_argument("--variants", default=DEFAULT, help=f"of {', '.join(VARIANTS)}")
    parser.add_argument("--size", choices=tuple(SIZES), default="small")
    parser.add_argument("--cost", action="store_true")
    parser.add_argument("--rising", action="store_true")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--plot", type=Path)
    args = parser.parse_args(arguments)
    stops = sorted({int(text) for text in args.at.split(",")})
    names = args.variants.split(",")
    found: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        curves = {name: Curve(VARIANTS[name], Path(folder) / name, stops[-1]) for name in names}
        for until in stops:
            for name, curve in curves.items():
                stop(args.workspace, name, curve, args.size, until)
        if len(curves) > 1:
            print("\n".join(verdict(curves)))
        if args.cost:
            found["cost"] = cost(args.workspace, names[0], curves[names[0]], args.size)
    found["curves"] = {name: curve.points for name, curve in curves.items()}
    found["weights"] = {name: curve.weights for name, curve in curves.items() if curve.weights}
    rising = all(
        after["ssim"] > before["ssim"]
        for curve in curves.values()
        for before, after in zip(curve.points, curve.points[1:], strict=False)
    )
    found["rising"] = rising
    print(json.dumps(found))
    if args.json:
        args.json.write_text(json.dumps(found, indent=1))
    if args.plot:
        plot(curves, args.plot)
    return 1 if args.rising and not rising else 0


if __name__ == "__main__":
    sys.exit(main())
