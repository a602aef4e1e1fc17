"""Kill a saving trainer at random moments and look whether its model is whole each time.

    python tools/kill_trainer.py [--kills 50] [--model fake|SAEHD] [--seed 0] [--late] [--json]

Each round starts the trainer on the same folder (it resumes), waits for a random moment after
its first save of the round, sends SIGKILL, and reads the model: every file of one and the same
iteration, never an older one than the last finished save. `fake` is a tiny NumPy model that does
nothing but save; SAEHD is a real one (64 px, smallest dimensions) on the faces of the demo. With
--late losses are read one step late, as on a GPU, and every third iteration is saved.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "ops")]

from dfl_tf.devices.cpu import WORKS_AHEAD  # noqa: E402
from dfl_tf.disk.temporary_names import is_temporary  # noqa: E402
from dfl_tf.formats import ModelState, read_model  # noqa: E402
from dfl_tf.formats.models.manifest import read_manifest  # noqa: E402

FAKE = ("-m", "tests.train.support.saving_child")
SAEHD = (
    "-m", "dfl_tf", "train", str(ROOT / "dfl_tf" / "demo_data"), "--save-every-iters", "1",
    "--no-preview", "--yes", "--threads=1", "--log-every", "1000",
    *(f"--{key}={value}" for key, value in {
        "resolution": 64, "face-type": "wf", "archi": "df", "ae-dims": 32, "e-dims": 16,
        "d-dims": 16, "d-mask-dims": 16, "batch-size": 2, "name": "new",
    }.items()),
    "--model-dir",
)  # fmt: skip


@dataclass
class Report:
    """What the kills met."""

    iterations: list[int] = field(default_factory=list)
    torn: list[str] = field(default_factory=list)
    in_a_save: int = 0


def check_real(state: ModelState) -> None:
    """A real model at least counts its iterations in three places; checksums do the rest."""
    counted = int(state.tensors["src_dst_opt"]["iters:0"])
    if not counted == state.iteration == len(state.loss_history):
        raise AssertionError(f"{counted}, {state.iteration}, {len(state.loss_history)}")


def kill_often(
    folder: Path,
    command: Sequence[str],
    check: Callable[[ModelState], None],
    *,
    kills: int,
    seed: int = 0,
    longest: float = 0.5,
    late: bool = False,
) -> Report:
    """Start, kill, check; `longest` is the upper bound of the random wait in seconds."""
    rng, report = random.Random(seed), Report()
    manifest = folder / "new_SAEHD.manifest.json"
    for _ in range(kills):
        before = manifest.stat().st_mtime_ns if manifest.exists() else 0
        child = subprocess.Popen(
            [sys.executable, *command, str(folder)],
            cwd=ROOT,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            env={**os.environ, WORKS_AHEAD: str(int(late))},
        )
        try:
            while not manifest.exists() or manifest.stat().st_mtime_ns == before:
                if child.poll() is not None:
                    output = child.communicate()[1].decode(errors="replace")
                    raise RuntimeError(f"the trainer did not get to a save:\n{output}")
                time.sleep(0.005)
            time.sleep(rng.uniform(0, longest))
        finally:
            child.send_signal(signal.SIGKILL)
            child.communicate()
        _look(folder, check, report)
    return report


def _look(folder: Path, check: Callable[[ModelState], None], report: Report) -> None:
    leftovers = [path.name for path in folder.iterdir() if path.suffix in (".dfl_tf-new", ".tmp")]
    leftovers += [path.name for path in folder.rglob("*") if is_temporary(path.name)]
    report.in_a_save += bool(leftovers or list(folder.glob("*.commit.json")))
    finished = read_manifest(folder / "new_SAEHD.manifest.json")
    try:
        state = read_model(folder, "new", "SAEHD")
        check(state)
        last = max([0, *report.iterations, finished.iteration if finished else 0])
        if state.iteration < last:
            raise AssertionError(f"iteration {state.iteration} after {last} had been saved")
        report.iterations.append(state.iteration)
    except Exception as error:  # every kind of error is what this looks for
        report.torn.append(f"{type(error).__name__}: {error}")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--model", choices=("fake", "SAEHD"), default="fake")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--longest", type=float, default=0.5)
    parser.add_argument("--late", action="store_true", help="read losses one step late")
    parser.add_argument("--json", action="store_true", help="print one line of JSON at the end")
    args = parser.parse_args()
    from tests.train.support.fake_model import check_whole

    command, check = (FAKE, check_whole) if args.model == "fake" else (SAEHD, check_real)
    if args.late:
        command = tuple("3" if word == "1" else word for word in command)
    with tempfile.TemporaryDirectory() as folder:
        report = kill_often(
            Path(folder), command, check, kills=args.kills, seed=args.seed,
            longest=args.longest, late=args.late,
        )  # fmt: skip
    print(
        f"{args.kills} kills of {args.model}: {len(report.torn)} torn models, "
        f"{report.in_a_save} kills inside a save, last iteration {report.iterations[-1]}"
    )
    for error in report.torn:
        print(f"  {error}")
    if args.json:
        print(
            json.dumps({
                "tool": "kill_trainer", "model": args.model, "kills": args.kills,
                "in_a_save": report.in_a_save, "losses": len(report.torn),
            })
        )  # fmt: skip
    return 1 if report.torn else 0


if __name__ == "__main__":
    sys.exit(main())
