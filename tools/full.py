"""What `tools/full.sh` runs: the parts of the second tier, each with its figures in one JSON line.

python tools/full.py [PART …] [--again] [--jobs 2]
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "build" / "proof"
INPUTS, KILLS = 100_000, 200
Figures = dict[str, Any]


@dataclass(frozen=True)
class Part:
    """One part: the commands that may run side by side, and what their output comes to."""

    commands: tuple[str, ...]
    figures: Callable[[Sequence[str]], Figures]


def _last_json(output: str) -> Figures:
    lines = [line for line in output.splitlines() if line.startswith("{")]
    return json.loads(lines[-1]) if lines else {}


def _summed(*keys: str) -> Callable[[Sequence[str]], Figures]:
    """Add up some numbers of the last JSON line of every command."""

    def figures(outputs: Sequence[str]) -> Figures:
        found = [_last_json(output) for output in outputs]
        return {key: sum(int(one[key]) for one in found if key in one) for key in keys}

    return figures


def _quality(outputs: Sequence[str]) -> Figures:
    found = _last_json(outputs[0])
    averaged, weights = found["curves"]["ema"], found["weights"]["ema"]
    plain = found["curves"]["no_warp"]
    return {
        "iterations": ", ".join(f"{point['iteration']:,}" for point in averaged),
        "ssim": ", ".join(f"{point['ssim']:.3f}" for point in averaged),
        "weights_ssim": ", ".join(f"{point['ssim']:.3f}" for point in weights),
        "without_warp_ssim": ", ".join(f"{point['ssim']:.3f}" for point in plain),
    }


def _mutants(outputs: Sequence[str]) -> Figures:
    found = _last_json(outputs[0])
    return {key: found[key] for key in ("mutants", "caught", "survived", "errors")}


def _fuzz(outputs: Sequence[str]) -> Figures:
    found = [_last_json(output) for output in outputs]
    readers = {name: row for one in found for name, row in one["readers"].items()}
    return {
        "inputs": sum(one["inputs"] for one in found),
        "readers": len(readers),
        "faults": sum(one["faults"] for one in found),
        "slowest_seconds": round(
            max(row["slowest"] for one in found for row in one["readers"].values()), 2
        ),
    }


def _passed(outputs: Sequence[str]) -> Figures:
    found = re.findall(r"(\d+) passed", outputs[0])
    return {"passed": int(found[-1]) if found else 0}


def _jax(outputs: Sequence[str]) -> Figures:
    rows = [json.loads(line) for line in outputs[0].splitlines() if '"compile_s"' in line]
    return {
        "cases": len(rows),
        "passed": sum(row["passed"] for row in rows),
        "variables": sum(row["variables"] for row in rows),
    }


FACES = " ../shared/faces/workspace_s" if (ROOT / "../shared/faces/workspace_s").is_dir() else ""
"""The synthetic workspace, where it is at hand; else the demo's faces."""
PYTEST = "python -m pytest -q -p no:cacheprovider"
HALF = INPUTS // 2
PARTS = {
    "power": Part(
        ("python tools/power_cuts.py --all --json",), _summed("operations", "states", "losses")
    ),
    "kills": Part(
        (
            # about four of five hit a save
            f"python tools/kill_trainer.py --kills {KILLS + KILLS // 3} --json",
            f"python tools/crash_operations.py --kills {KILLS} --json",
            "python tools/kill_extract.py --json",
            "python tools/kill_facesets.py --json",
            f"python tools/kill_recipe.py{FACES} --json",
            "python tools/kill_recipe.py --late --kills 10 --starts 0 --json",
            f"python tools/kill_trainer.py --late --kills {KILLS // 4} --json",
            "python tools/crash_saves.py --json",
        ),
        _summed("kills", "in_a_save", "tried", "losses"),
    ),
    "fuzz": Part(
        tuple(
            f"python tools/fuzz_formats.py --count {HALF} --seed {seed} --json" for seed in (1, 2)
        ),
        _fuzz,
    ),
    "mutate": Part(("python tools/mutate.py --json",), _mutants),
    "slow": Part((f"{PYTEST} -m slow tests",), _passed),
    "quality": Part(
        (
            f"python tools/bench_quality.py{FACES} --at 100,1000,4000 --variants no_warp,ema"
            " --rising",
        ),
        _quality,
    ),
    "jax": Part(("bash tools/step_hlo.sh",), _jax),
    "gpu_check": Part(
        ("python tools/gpu_check.py --small",),
        lambda outputs: {"parts": outputs[0].count('"passed": true')},
    ),
    "notebook": Part(
        ("python tools/run_notebook.py docs/first_look.ipynb --json",),
        lambda outputs: {"cells": _last_json(outputs[0])["cells"]},
    ),
    "package": Part(
        ("python tools/check_package.py --json",),
        lambda outputs: {key: _last_json(outputs[0])[key] for key in ("commands", "merged")},
    ),
    "endurance": Part(
        (
            "python tools/endurance.py --json",
            "python tools/endurance.py --class SAEHD --iterations 2000 --points 20 --json",
        ),
        lambda outputs: {
            "iterations": _last_json(outputs[0])["iterations"],
            **{f"{name}_growth": n for name, n in _last_json(outputs[0])["growth"].items()},
        },
    ),
    "bench": Part(
        (
            "python tools/bench_merge.py --frames 2 --size 320x240 --workers 1 --rounds 1",
            "python tools/bench_saves.py --rounds 1 --resolution 64 --dims 16",
            "python tools/bench_start.py --rounds 1 --resolution 64 --dims 16",
            "python tools/bench_samples.py --quick --seconds 0.1 --modes none",
            "python tools/bench_ops.py --rounds 1 --only warp",
            "python tools/bench_history.py --entries 20000",
            "python tools/bench_log.py --megabytes 20 --rounds 1",
            "python tools/bench_train.py --archi df --dims 32,16,16,16 --resolution 64 --rounds 1"
            " --only plain --variants best",
        ),
        lambda outputs: {"tools": len(outputs)},
    ),
}


@dataclass(frozen=True)
class Result:
    """What a part came to: kept as build/proof/PART.json."""

    part: str
    commit: str
    modified: bool
    date: str
    minutes: float
    passed: bool
    commands: tuple[str, ...]
    figures: Figures


def git(*words: str) -> str:
    done = subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True, check=False)
    return done.stdout.strip()


def results(names: Iterable[str] = PARTS) -> dict[str, Result]:
    """What is kept of earlier runs, by part."""
    found = {}
    for name in names:
        path = RESULTS / f"{name}.json"
        if path.is_file():
            stored = json.loads(path.read_text(encoding="utf-8"))
            found[name] = Result(**{**stored, "commands": tuple(stored["commands"])})
    return found


def _run(command: str) -> tuple[int, str]:
    words = [sys.executable if word == "python" else word for word in command.split()]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        print(
            f"{command}: ended with {done.returncode}\n{done.stdout[-3000:]}{done.stderr[-3000:]}"
        )
    return done.returncode, done.stdout


def run_part(name: str, commit: str, modified: bool, jobs: int) -> Result:
    """Run a part; commands that fail or print no figures make it fail."""
    part, started = PARTS[name], time.monotonic()
    with ThreadPoolExecutor(jobs) as pool:
        ended = list(pool.map(_run, part.commands))
    passed = all(code == 0 for code, _ in ended)
    try:
        figures = part.figures([output for _, output in ended])
    except (KeyError, ValueError, TypeError) as error:
        figures, passed = {"fault": repr(error)}, False
    minutes = round((time.monotonic() - started) / 60, 1)
    date = datetime.now(UTC).strftime("%Y-%m-%d")
    return Result(name, commit, modified, date, minutes, passed, part.commands, figures)


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("parts", nargs="*", metavar="PART", help=", ".join(PARTS))
    parser.add_argument("--again", action="store_true", help="run parts that passed before, too")
    parser.add_argument("--jobs", type=int, default=2, help="commands of a part at a time")
    args = parser.parse_args(argv)
    if wrong := set(args.parts) - set(PARTS):
        parser.error(f"no such part: {', '.join(sorted(wrong))}; there are {', '.join(PARTS)}")
    commit = git("rev-parse", "HEAD")
    modified = bool(git("status", "--porcelain", "--untracked-files=no"))
    RESULTS.mkdir(parents=True, exist_ok=True)
    known, failed = results(), []
    for name in args.parts or PARTS:
        before = known.get(name)
        fresh = before and before.passed and before.commit == commit and not before.modified
        if before and fresh and not modified and not args.again:
            result = before
        else:
            result = run_part(name, commit, modified, args.jobs)
            text = json.dumps(asdict(result))
            (RESULTS / f"{name}.json").write_text(text + "\n", encoding="utf-8")
        print(json.dumps(asdict(result)), flush=True)
        if not result.passed:
            failed.append(name)
    if failed:
        print(f"failed: {', '.join(failed)}")
        return 1
    if not args.parts:
        import write_proof

        return write_proof.main()
    return 0


if __name__ == "__main__":
    sys.exit(main())
