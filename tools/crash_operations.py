"""Kill each operation on files at every call and at random moments: old or new, whole, each time.

    python tools/crash_operations.py [--kills 200] [--every 1] [--only NAME] [--seed 0] [--json]

The operations are those of `power_cuts`: saves, backups, restores, renaming and conversion of
models, packing, unpacking, metadata, XSeg masks, merging with its session. Each runs in a forked
process that ends at the k-th call of write, fsync, rename, link, unlink, mkdir or rmdir, for
every k, before and after the call; or for which that call fails since the disk is full; or that
is killed (SIGKILL) at a random moment. What is found then must be the old or the new, whole, and
the next use of it must succeed. `crash_saves` damages models in more ways.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import random
import shutil
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "ops"), str(ROOT / "tools")]

from crash_harness import child_steps, fork, intercept  # noqa: E402
from power_cuts import Operation, operations, workplace  # noqa: E402

MODES = ("before", "after", "half", "enospc")


@dataclass
class Row:
    """One line of the table."""

    tried: int = 0
    kills: int = 0
    old: int = 0
    new: int = 0
    losses: list[str] = field(default_factory=list)


def try_ends(operation: Operation, base: Path, row: Row, *, every: int) -> None:
    """End the process at its calls, or let them fail."""
    for at in range(1, _calls(operation, base) + 1, every):
        for mode in MODES:

            def work(folder: Path, at: int = at, mode: str = mode) -> int:
                return child_steps(folder, 0, "", at, mode, lambda f, *_: operation.run(f))

            _try(operation, base, row, work, f"call {at} {mode}")


def try_kills(operation: Operation, base: Path, row: Row, *, kills: int, seed: int) -> None:
    """SIGKILL at random moments."""
    rng = random.Random(seed)
    folder = _prepared(operation, base)
    start = time.perf_counter()
    operation.run(folder)
    seconds = time.perf_counter() - start
    shutil.rmtree(folder)
    for number in range(kills):
        wait = rng.uniform(0, 1.2 * seconds)

        def work(folder: Path, wait: float = wait) -> int:
            # a child of the child kills it, whatever it is doing
            victim = os.getpid()
            if os.fork() == 0:
                time.sleep(wait)
                if os.getppid() == victim:
                    os.kill(victim, signal.SIGKILL)
                os._exit(0)
            operation.run(folder)
            return 0

        _try(operation, base, row, work, f"kill {number}")
        row.kills += 1


def _calls(operation: Operation, base: Path) -> int:
    folder = _prepared(operation, base)

    def work() -> int:
        count = intercept(0, lambda *_: None)
        operation.run(folder)
        (base / "count").write_text(str(count[0]))
        return 0

    if fork(work) != 0:
        raise RuntimeError("the operation does not run")
    shutil.rmtree(folder)
    return int((base / "count").read_text())


def _prepared(operation: Operation, base: Path) -> Path:
    folder = base / "folder"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    operation.prepare(folder)
    return folder


def _try(
    operation: Operation, base: Path, row: Row, work: Callable[[Path], Any], what: str
) -> None:
    folder = _prepared(operation, base)
    code = fork(lambda: work(folder))
    row.tried += 1
    try:
        found = operation.check(folder)
        row.new += found == "new"
        row.old += found == "old"
        if code == 0 and found != "new":
            row.losses.append(f"{what}: it had returned, and the old one is there")
        operation.further(folder)
    except Exception as error:  # whatever comes out is what is looked for
        row.losses.append(f"{what}: {type(error).__name__}: {error}")


def run(names: list[str], *, kills: int, every: int, seed: int = 0) -> dict[str, Row]:
    """The rows of some operations; the kills are shared among them."""
    rows = {}
    for number, name in enumerate(names):
        operation, row = operations()[name], Row()
        share = kills // len(names) + (number < kills % len(names))
        with workplace() as base:
            try_ends(operation, base, row, every=every)
            try_kills(operation, base, row, kills=share, seed=seed + number)
        rows[name] = row
        losses = len(row.losses)
        print(f"{name:28}{row.tried:7}{row.kills:7}{row.old:7}{row.new:7}{losses:8}", flush=True)
        for loss in row.losses[:5]:
            print(f"    {loss}")
    return rows


def main() -> int:
    """Print the table; 1 if anything was lost."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=200, help="random SIGKILLs in all")
    parser.add_argument("--every", type=int, default=1, help="try every so many calls")
    parser.add_argument("--only", default="", help="operations that begin so")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", action="store_true", help="print one line of JSON at the end")
    options = parser.parse_args()
    logging.disable(logging.WARNING)
    chosen = [name for name in operations() if name.startswith(options.only)]
    print(f"{'':28}{'tried':>7}{'kills':>7}{'old':>7}{'new':>7}{'losses':>8}")
    rows = run(chosen, kills=options.kills, every=options.every, seed=options.seed)
    tried = sum(row.tried for row in rows.values())
    kills = sum(row.kills for row in rows.values())
    losses = sum(len(row.losses) for row in rows.values())
    print(f"{len(rows)} operations, {tried} interruptions, {kills} of them kills, {losses} losses")
    if options.json:
        print(json.dumps({
            "tool": "crash_operations", "operations": len(rows), "tried": tried,
            "kills": kills, "losses": losses,
            "rows": {name: asdict(row) for name, row in rows.items()},
        }))  # fmt: skip
    return 1 if losses else 0


if __name__ == "__main__":
    raise SystemExit(main())
