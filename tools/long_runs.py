"""Train a small model, go on from it with GAN, true face and style, and provoke a collapse.

    python tools/long_runs.py [WORKSPACE] [--base 500] [--iterations 500] [--output DIR]

Without a workspace the faces of `dfl-tf demo` are taken. The base is trained first; each further
run starts from a copy of it, the collapse from the GAN run. For each the means of the losses of
every 100 iterations are printed, a plot is written, and the verdict: sane, when all losses are
finite and the last mean is no more than `WORSE` times the first. The collapse has clipping off and
a GAN power far too high: the guard must stop it (exit code 3), and the last save must open, be
finite and be one from before it.

Everything lies in the output folder, which is a scratch folder: a base that is there is used again.
Exit code 1 if a run is not as it should be.
"""

from __future__ import annotations

import argparse
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "ops")]

from dfl_tf.cli.main import run as command  # noqa: E402
from dfl_tf.formats import ModelState, read_model  # noqa: E402
from dfl_tf.train.loss_plot import loss_plot, write_loss_plot  # noqa: E402

NAME, CLASS = "run", "SAEHD"
STEP = 100
WORSE = 1.25
GUARDED = 3
BASE = (
    "--resolution=64", "--face-type=wf", "--archi=df-ud", "--ae-dims=64", "--e-dims=32",
    "--d-dims=32", "--d-mask-dims=16", "--batch-size=4",
)  # fmt: skip
SANE = {
    "gan": ("--gan-power=0.1", "--gan-patch-size=8", "--gan-dims=16", "--no-random-warp"),
    "true-face": ("--true-face-power=0.01",),
    "style": ("--face-style-power=0.1", "--bg-style-power=2"),
}
COLLAPSE = ("--no-clipgrad", "--gan-power=10")


def train(workspace: Path, model: Path, options: Sequence[str], *, until: int, seed: int) -> int:
    """Train by the command line up to an iteration; its exit code."""
    arguments = [
        "train", str(workspace), f"--model-dir={model}", f"--name={NAME}", f"--seed={seed}",
        f"--target-iter={until}", "--save-every-iters=50", "--log-every=100", *options,
    ]  # fmt: skip
    print("\n$ dfl-tf", *arguments, flush=True)
    return command(arguments)


def report(title: str, state: ModelState, start: int, plot: Path) -> np.ndarray:
    """Print the means of a run that began after `start` iterations; returns them, (n, losses)."""
    history = np.asarray(state.loss_history, np.float64)
    write_loss_plot(plot, loss_plot(history, ("src", "dst"), title=title))
    part = history[start:]
    means = [part[i : i + STEP].mean(axis=0) for i in range(0, len(part), STEP)]
    for number, mean in enumerate(means):
        first = start + number * STEP + 1
        last = min(first + STEP - 1, len(history))
        print(f"  {title:<10} {first:>5}-{last:<5} src {mean[0]:.4f}  dst {mean[1]:.4f}")
    return np.asarray(means)


def is_sane(code: int, means: np.ndarray, expected: int, state: ModelState) -> bool:
    """Whether a run ended as it should with losses that did not get worse."""
    reached = code == 0 and state.iteration == expected
    return bool(reached and np.isfinite(means).all() and (means[-1] <= WORSE * means[0]).all())


def opens(model: Path, before: ModelState) -> bool:
    """Whether the last save loads, is finite, and has the losses of the model it started from."""
    from dfl_tf.models.restore import restore

    state = read_model(model, NAME, CLASS)
    restore(state, name=NAME, training=False)
    finite = all(
        np.isfinite(array).all() for part in state.tensors.values() for array in part.values()
    )
    last, good = (np.asarray(s.loss_history[-10:]).mean(axis=0) for s in (state, before))
    print(
        f"  last save: iteration {state.iteration}, finite {finite}, "
        f"src/dst {last[0]:.4f} / {last[1]:.4f}, before {good[0]:.4f} / {good[1]:.4f}"
    )
    return finite and bool((last <= 2 * good).all())


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("workspace", type=Path, nargs="?", default=ROOT / "dfl_tf" / "demo_data")
    parser.add_argument("--base", type=int, default=500, help="iterations of the first run")
    parser.add_argument("--iterations", type=int, default=500, help="of each further run")
    parser.add_argument("--runs", default=",".join([*SANE, "collapse"]))
    parser.add_argument("--output", type=Path, default=Path("long_runs"))
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    output: Path = args.output
    output.mkdir(parents=True, exist_ok=True)

    where, until = output / "base", args.base
    code = train(args.workspace, where, BASE, until=until, seed=args.seed)
    base = read_model(where, NAME, CLASS)
    verdicts = {"base": is_sane(code, report("base", base, 0, output / "base.png"), until, base)}
    for title in args.runs.split(","):
        model, start = output / title, where if title in SANE else output / "gan"
        shutil.rmtree(model, ignore_errors=True)
        shutil.copytree(start, model)
        before = read_model(start, NAME, CLASS)
        until = before.iteration + args.iterations
        options = SANE.get(title, COLLAPSE)
        code = train(args.workspace, model, options, until=until, seed=args.seed)
        state = read_model(model, NAME, CLASS)
        means = report(title, state, before.iteration, output / f"{title}.png")
        if title in SANE:
            verdicts[title] = is_sane(code, means, until, state)
        else:
            print(f"  exit code {code}")
            verdicts[title] = opens(model, before) and code == GUARDED
    for title, good in verdicts.items():
        word = "sane" if title != "collapse" else "stopped by the guard, the last save opens"
        print(f"{title}: {word if good else 'INSANE'}")
    return 0 if all(verdicts.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
