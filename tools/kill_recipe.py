#!/usr/bin/env python3
"""Kill a training by a recipe again and again, and compare its weights with an uninterrupted run's.

    python tools/kill_recipe.py [WORKSPACE] [--kills 20] [--starts 40] [--seed 0] [--late] [--json]

The recipe goes through warp, dropout, warp off, dropout and GAN with short plateaus, on copies of
the aligned faces of a workspace; without one, of the demo. Kills are SIGKILL or SIGTERM, at random
moments and at the very change of a phase (while the line that tells of it is read); some runs end
by themselves, by --stop-after. After them the run is left alone, and must end with the bits of one
that nobody disturbed. Then the same by `--starts` runs that are stopped after a few iterations.
With --late the disturbed ones read their losses one step late and copy batches ahead, as on a GPU;
the uninterrupted one does not.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "ops")]

import numpy as np  # noqa: E402

from dfl_tf.devices.cpu import WORKS_AHEAD  # noqa: E402
from dfl_tf.formats import read_model  # noqa: E402

RECIPE = """
name: five
model: SAEHD
defaults:
  set: {resolution: 64, archi: df, ae_dims: 32, e_dims: 16, d_dims: 16, d_mask_dims: 16,
        ema: 0.99, batch_size: 2, gan_dims: 4, gan_patch_size: 8}
phases:
  - {name: warp, set: {random_warp: true},
     until: {plateau: {window: 100, least: 100, most: 130, rate: 0.3}}}
  - {name: dropout, set: {lr_dropout: y}, until: {iterations: 40}}
  - {name: detail, set: {random_warp: false, lr_dropout: n},
     until: {plateau: {window: 100, most: 120, rate: 0.3}}}
  - {name: detail-dropout, set: {lr_dropout: y}, until: {iterations: 40}}
  - {name: gan, set: {gan_power: 0.1}, until: {iterations: 40}}
"""


class Run:
    """One start of the training, in a process of its own."""

    def __init__(self, workspace: Path, recipe: Path, *extra: str, late: bool = False) -> None:
        command = [
            sys.executable, "-m", "dfl_tf", "train", str(workspace), "--recipe", str(recipe),
            "--name", "r", "--seed", "3", "--threads", "1", "--workers", "1", "--no-preview",
            "--save-every-iters", "20", *extra,
        ]  # fmt: skip
        places = os.pathsep.join((str(ROOT), str(ROOT / "ops")))
        environment = {**os.environ, "PYTHONPATH": places, WORKS_AHEAD: str(int(late))}
        self.process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment
        )
        self.lines: list[str] = []

    def read(self, *, until: str = "", seconds: float = 1e9) -> str | None:
        """Read lines until one holds a text, the time is over or the process ends."""
        assert self.process.stdout is not None
        timer = threading.Timer(seconds, lambda: self.process.kill()) if seconds < 1e9 else None
        if timer is not None:
            timer.start()
        try:
            for line in self.process.stdout:
                self.lines.append(line.rstrip())
                if until and until in line:
                    return line
        finally:
            if timer is not None:
                timer.cancel()
        return None

    def end(self, number: int | None = None) -> int:
        """Send a signal, if one is given, and wait for the end."""
        if number is not None and self.process.poll() is None:
            self.process.send_signal(number)
        with self.process:
            self.read()
        return self.process.returncode


def copied(faces: Path, place: Path) -> Path:
    """A workspace with the faces of another, without a model."""
    for side in ("data_src", "data_dst"):
        shutil.copytree(faces / side / "aligned", place / side / "aligned")
    return place


def saved(place: Path) -> Any:
    """The model of a workspace."""
    return read_model(place / "model", "r", "SAEHD")


def differences(one: Any, two: Any) -> list[str]:
    """What of two saved models is not the same."""
    found = []
    if one.iteration != two.iteration:
        found.append(f"iteration {one.iteration} and {two.iteration}")
    if list(map(list, one.loss_history)) != list(map(list, two.loss_history)):
        found.append("loss history")
    if one.options != two.options:
        found.append("options")
    for part in sorted(one.tensors.keys() | two.tensors.keys()):
        here, there = one.tensors.get(part, {}), two.tensors.get(part, {})
        if here.keys() != there.keys() or any(
            not np.array_equal(here[key], there[key]) for key in here
        ):
            found.append(part)
    return found


def killed(
    faces: Path, base: Path, recipe: Path, kills: int, rng: random.Random, *, late: bool = False
) -> tuple[Counter[str], Any]:
    """Kill trainings so often, then leave the last one alone; how often, and the models at the end.

    A training that ends before it is killed often enough is followed by another one.
    """
    counts: Counter[str] = Counter()
    places = [copied(faces, base / "killed")]
    while counts["SIGKILL"] + counts["SIGTERM"] < kills:
        alone = rng.random() < 0.2
        limit = ("--stop-after", f"{rng.uniform(0.5, 4):.1f}") if alone else ()
        run = Run(places[-1], recipe, *limit, late=late)
        if alone:
            counts["--stop-after"] += run.end() == 0 and "(--stop-after)" in "".join(run.lines)
            if "--stop-after" not in "".join(run.lines):
                places.append(copied(faces, base / f"killed {len(places)}"))
            continue
        number = rng.choice((signal.SIGKILL, signal.SIGTERM))
        at_change = rng.random() < 0.5
        if run.read(until="since iteration") is None:
            raise RuntimeError("\n".join(run.lines[-20:]))
        if at_change:
            going = (
                run.read(until=rng.choice(("options changed", "begins at iteration"))) is not None
            )
        else:
            time.sleep(rng.uniform(0, 4))
            going = run.process.poll() is None
        code = run.end(number)
        if code not in (-signal.SIGKILL, 128 + signal.SIGTERM, 0):
            raise RuntimeError(f"exit code {code}: " + "\n".join(run.lines[-20:]))
        if going:
            counts[signal.Signals(number).name] += 1
            counts["at a change"] += at_change
        if code == 0:  # it came to its end first
            places.append(copied(faces, base / f"killed {len(places)}"))
    finish(places[-1], recipe, late=late)
    return counts, [saved(place) for place in places]


def finish(place: Path, recipe: Path, *extra: str, late: bool = False) -> None:
    """Leave the training alone until its end."""
    run = Run(place, recipe, *extra, late=late)
    if run.end() != 0:
        raise RuntimeError("\n".join(run.lines[-20:]))


def many_starts(place: Path, recipe: Path, starts: int, total: int, *, late: bool = False) -> int:
    """Train so many iterations in short runs; how many there were."""
    for number in range(1, starts + 1):
        target = -(-total * number // starts)
        run = Run(place, recipe, "--set", f"target_iter={target}", late=late)
        if run.end() != 0:
            raise RuntimeError("\n".join(run.lines[-20:]))
        if "is finished" in run.lines[-1]:
            return number
    run = Run(place, recipe, "--set", "target_iter=0", late=late)
    if run.end() != 0:
        raise RuntimeError("\n".join(run.lines[-20:]))
    return starts + 1


def main() -> int:
    """Print what was found; 1 if any weights differ."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("workspace", type=Path, nargs="?", default=ROOT / "dfl_tf" / "demo_data")
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--starts", type=int, default=40)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--late", action="store_true", help="read losses one step late")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        base = Path(folder)
        recipe = base / "five.yaml"
        recipe.write_text(RECIPE)
        whole = copied(args.workspace, base / "whole")
        finish(whole, recipe)
        expected = saved(whole)
        print(f"uninterrupted: {expected.iteration} iterations", flush=True)
        facts: dict[str, Any] = {"tool": "kill_recipe", "iterations": expected.iteration}
        if args.kills:
            counts, ends = killed(
                args.workspace, base, recipe, args.kills, random.Random(args.seed), late=args.late
            )
            facts["kills"] = counts["SIGKILL"] + counts["SIGTERM"]
            facts["at_a_change"] = counts["at a change"]
            facts["after_kills"] = [each for end in ends for each in differences(expected, end)]
            print(
                f"{dict(counts)} in {len(ends)} trainings: "
                f"{facts['after_kills'] or 'the same bits'}",
                flush=True,
            )
        if args.starts:
            place = copied(args.workspace, base / "starts")
            total = expected.iteration
            facts["starts"] = many_starts(place, recipe, args.starts, total, late=args.late)
            found = differences(expected, saved(place))
            facts["after_starts"] = [each for each in found if each != "options"]
            print(f"{facts['starts']} starts: {facts['after_starts'] or 'the same bits'}")
    facts["losses"] = len(facts.get("after_kills", [])) + len(facts.get("after_starts", []))
    if args.json:
        print(json.dumps(facts))
    return 1 if facts["losses"] else 0


if __name__ == "__main__":
    sys.exit(main())
