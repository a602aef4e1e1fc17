"""Kill, starve and damage saves of a small model: always the old or the new whole set, never a mix.

    python tools/crash_saves.py [--kills N] [--seed S] [--json]

What is tried, for both formats:

* `steps`: the saving process is ended at the k-th call of write, fsync, rename, link, unlink,
  mkdir or rmdir, for every k of a save, once before and once after the call has been made;
* `kills`: SIGKILL at random moments of a process that saves again and again;
* `errors`: the k-th of those calls raises "disk full" or "I/O error" instead;
* `disk`: the process may write only so many bytes (RLIMIT_FSIZE);
* `read-only`: the folder may not be written;
* `backup`, `restore`: the same ends at every call while a backup is made or brought back: the
  model and every numbered backup stay whole;
* `snapshot`: the same while a snapshot is made; `snapshot kills`: SIGKILL at random moments of a
  process that makes snapshots and brings them back: whole snapshots or none, and whole models;
* `corrupt`: one byte of each file of the set is changed; `delete`: one file is removed.

After each, the set is read. After an interrupted save it must be exactly generation n or n+1, as
whole as it was written. Damage must be named and nothing may roll back by itself; the previous
set can be read, and the next save loses no file. A further save must then succeed.
"""

from __future__ import annotations

import argparse
import dataclasses
import errno
import json
import os
import random
import resource
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from crash_harness import (
    CALLS,
    CLASS,
    NAME,
    Tally,
    back_up,
    bring_back,
    calls_of,
    child_steps,
    fork,
    generation,
    is_whole,
    judge,
    prepared,
    save,
    snap,
)

from dfl_tf.errors import DflTfError
from dfl_tf.formats import read_model
from dfl_tf.formats.models import rescue as model_rescue
from dfl_tf.formats.models.restore import find_kept, restore
from dfl_tf.formats.models.snapshots import (
    leftovers,
    list_snapshots,
    remove_snapshot,
    snapshot_folder,
)


# -- children that are killed ---------------------------------------------------------------------
def child_loop(folder: Path, number: int, kind: str) -> int:
    """Save generation after generation until killed; tell which is durable."""
    while True:
        save(folder, number, kind)
        print(number, flush=True)
        number += 1


def child_snapshots(folder: Path, number: int, kind: str) -> int:
    """Save, make a snapshot and bring the one before back, until killed; tell what is durable."""
    while True:
        save(folder, number, kind)
        snap(folder, number, kind)
        print(number, flush=True)
        restore(folder, NAME, CLASS, find_kept(folder, NAME, CLASS, f"kept-{number}"))
        for each in list_snapshots(folder, NAME, CLASS)[:-4]:
            remove_snapshot(each)
        number += 1


# -- the trials ----------------------------------------------------------------------------------
def try_steps(base: Path, kind: str, modes: tuple[str, ...], every: int = 1) -> Tally:
    """End (or fail) the process at every call of a save."""
    tally = Tally()
    for at in range(1, calls_of(base, kind) + 1, every):
        for mode in modes:
            with prepared(base, kind) as folder:
                code = fork(lambda f=folder, a=at, m=mode: child_steps(f, 3, kind, a, m))
                if code not in (0, 98, 99):
                    tally.errors.append(f"call {at} {mode}: exit code {code}")
                judge(tally, folder, kind, 2, f"call {at} {mode}")
    return tally


def try_backups(base: Path, kind: str, every: int = 1) -> Tally:
    """End the process at every call while a second backup is made (of generation 2)."""
    tally = Tally()
    for at in range(1, calls_of(base, kind, back_up, 1) + 1, every):
        for mode in ("before", "after", "enospc"):
            what = f"call {at} {mode}"
            with prepared(base, kind, backups=1) as folder:
                fork(lambda f=folder, a=at, m=mode: child_steps(f, 2, kind, a, m, back_up))
                kept = _backups_there(tally, folder, what)
                tally.old += kept == {1}
                tally.new += kept == {1, 2}
                tally.tried += 1
                state = read_model(folder, NAME, CLASS)
                if kept not in ({1}, {1, 2}) or state.notes or not is_whole(state):
                    tally.errors.append(f"{what}: backups {kept}, model {state.notes}")
                back_up(folder, 2, kind)
                if not {1, 2} <= _backups_there(tally, folder, what):
                    tally.errors.append(f"{what}: the next backup was not clean")
    return tally


def _backups_there(tally: Tally, folder: Path, what: str) -> set[int]:
    """The generations of the numbered backups; each must be whole."""
    found = set()
    for backup in model_rescue.backups(folder, NAME, CLASS):
        state = read_model(backup, NAME, CLASS)
        found.add(state.iteration)
        if state.notes or not is_whole(state):
            tally.errors.append(f"{what}: backup {backup.name} is not whole")
    return found


def try_restores(base: Path, kind: str, every: int = 1) -> Tally:
    """End the process at every call while generation 1 takes the place of generation 2."""
    tally = Tally()
    for at in range(1, calls_of(base, kind, bring_back, 1) + 1, every):
        for mode in ("before", "after", "half", "enospc"):
            what = f"call {at} {mode}"
            with prepared(base, kind, backups=1) as folder:
                fork(lambda f=folder, a=at, m=mode: child_steps(f, 1, kind, a, m, bring_back))
                # old is generation 1 here, which is the newer set
                judge(tally, folder, kind, 1, what)
                if _backups_there(tally, folder, what) != {1}:
                    tally.errors.append(f"{what}: the backup was lost")
                if not _snapshots_there(tally, folder, what) <= {2}:
                    tally.errors.append(f"{what}: a snapshot of something else")
    tally.old, tally.new = tally.new, tally.old
    return tally


def _snapshots_there(tally: Tally, folder: Path, what: str) -> set[int]:
    """The generations of the snapshots; each must be whole."""
    found = set()
    for each in list_snapshots(folder, NAME, CLASS):
        try:
            state = find_kept(folder, NAME, CLASS, each.name).read()
        except DflTfError as error:
            tally.errors.append(f"{what}: snapshot {each.name}: {error}")
            continue
        found.add(state.iteration)
        if not is_whole(state) or each.label.kind == "folder":
            tally.errors.append(f"{what}: snapshot {each.name} is not whole")
    return found


def try_snapshots(base: Path, kind: str, every: int = 1) -> Tally:
    """End (or fail) the process at every call while a snapshot of generation 2 is made."""
    tally = Tally()
    last = calls_of(base, kind, snap)
    for at in sorted({*range(1, last + 1, every), last}):
        for mode in ("before", "after", "half", "enospc"):
            what = f"call {at} {mode}"
            with prepared(base, kind) as folder:
                fork(lambda f=folder, a=at, m=mode: child_steps(f, 2, kind, a, m, snap))
                kept = _snapshots_there(tally, folder, what)
                tally.old += kept == set()
                tally.new += kept == {2}
                tally.tried += 1
                if not is_whole(read_model(folder, NAME, CLASS)):
                    tally.errors.append(f"{what}: the model is not whole")
                snap(folder, 9, kind)
                parent = snapshot_folder(folder, NAME, CLASS)
                if not _snapshots_there(tally, folder, what) or leftovers(parent):
                    tally.errors.append(f"{what}: the next snapshot was not clean")
    return tally


def try_snapshot_kills(base: Path, kind: str, kills: int, rng: random.Random) -> Tally:
    """SIGKILL a process that makes snapshots and brings them back, at random moments."""
    tally = Tally()
    with prepared(base, kind) as folder:
        number = 2
        for index in range(kills):
            what = f"kill {index} after snapshot {number}"
            words = ["--child", str(folder), str(number + 1), kind, "--snapshots"]
            command = [sys.executable, __file__, *words]
            with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
                assert process.stdout is not None
                first = process.stdout.readline()
                time.sleep(rng.random() * 0.4)
                process.send_signal(signal.SIGKILL)
                numbers = [first, *process.stdout.read().split()]
            number = int(numbers[-1])
            tally.tried += 1
            there = _snapshots_there(tally, folder, what)
            tally.new += number + 1 in there
            tally.old += number + 1 not in there
            state = read_model(folder, NAME, CLASS)
            if not is_whole(state) or state.iteration not in (number, number + 1):
                tally.errors.append(f"{what}: the model is not whole")
            if number not in there:
                tally.errors.append(f"{what}: it is not there")
            number += 1
    return tally


def try_kills(base: Path, kind: str, kills: int, rng: random.Random) -> Tally:
    """SIGKILL a saving process at random moments."""
    tally = Tally()
    with prepared(base, kind) as folder:
        durable = 2
        for index in range(kills):
            command = [sys.executable, __file__, "--child", str(folder), str(durable + 1), kind]
            with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
                assert process.stdout is not None
                first = process.stdout.readline()
                time.sleep(rng.random() * 0.06)
                process.send_signal(signal.SIGKILL)
                numbers = [first, *process.stdout.read().split()]
            durable = int(numbers[-1])
            judge(tally, folder, kind, durable, f"kill {index} after generation {durable}")
            durable += 5
    return tally


def try_disk(base: Path, kind: str) -> Tally:
    """Let no file grow beyond a limit (a disk that is full at that point)."""
    tally = Tally()
    for limit in (0, 100, 1000, 2500, 4000, 10000):

        def work(folder: Path, limit: int = limit) -> int:
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
            try:
                save(folder, 3, kind)
            except DflTfError:
                return 98
            return 0

        with prepared(base, kind) as folder:
            code = fork(lambda f=folder: work(f))
            if code not in (0, 98):
                tally.errors.append(f"limit {limit}: exit code {code}")
            judge(tally, folder, kind, 2, f"limit {limit}")
    return tally


def try_read_only(base: Path, kind: str) -> Tally:
    """Save into a folder that may not be written (as root: calls that fail with EROFS)."""
    tally = Tally()

    def refuse(*args: Any, **kwargs: Any) -> Any:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    def work(folder: Path) -> int:
        import builtins

        real = builtins.open

        def opened(*args: Any, **kwargs: Any) -> Any:
            return refuse() if set("wx") & set(str(args[1:2])) else real(*args, **kwargs)

        builtins.open = opened
        for name in CALLS[1:]:
            setattr(os, name, refuse)
        try:
            save(folder, 3, kind)
        except DflTfError:
            return 98
        return 0

    with prepared(base, kind) as folder:
        if fork(lambda: work(folder)) != 98:
            tally.errors.append("read-only: no error of ours")
        judge(tally, folder, kind, 2, "read-only")
    return tally


def set_files(folder: Path) -> list[Path]:
    """The files of the set in their places (not the kept previous ones)."""
    return sorted(
        path
        for path in folder.rglob("*")
        if path.is_file() and ".previous" not in str(path) and "summary" not in path.name
    )


def try_damage(base: Path, kind: str, rng: random.Random, rounds: int) -> tuple[Tally, Tally]:
    """Change one byte of each file, and remove each file: noticed, named, and whole."""
    corrupt, delete = Tally(), Tally()
    with prepared(base, kind) as folder:
        count = len(set_files(folder))
    for index in range(count):
        for number in range(rounds + 1):
            with prepared(base, kind) as folder:
                path = set_files(folder)[index]
                if number == rounds:
                    path.unlink()
                    # without its manifest a legacy set is a set of the old program
                    noted = not path.name.endswith("manifest.json")
                    _judge_damage(delete, folder, kind, path, noted)
                    continue
                data = bytearray(path.read_bytes())
                place = rng.randrange(len(data))
                data[place] ^= 1 << rng.randrange(8)
                path.write_bytes(data)
                _judge_damage(corrupt, folder, kind, path, True)
    return corrupt, delete


def _judge_damage(tally: Tally, folder: Path, kind: str, path: Path, noted: bool) -> None:
    """The error is named, nothing rolls back, and the previous set is there for the asking."""
    tally.tried += 1
    what = path.name
    try:
        state = read_model(folder, NAME, CLASS)
    except DflTfError as error:
        tally.old += 1
        if what not in str(error) or not (noted or "missing" in str(error)):
            tally.errors.append(f"{what}: not named in {error}")
    else:
        tally.new += 1
        if state.iteration != 2:
            tally.errors.append(f"{what}: read generation {state.iteration}")
        elif noted and not any(
            what.removeprefix(f"{NAME}_{CLASS}_") in note for note in state.notes
        ):
            tally.errors.append(f"{what}: not named in {state.notes}")
    previous = read_model(folder, NAME, CLASS, previous=True)
    if path.suffix == ".rows":  # one file for both sets, and no weights in it
        losses = generation(previous.iteration).loss_history
        previous = dataclasses.replace(previous, loss_history=losses)
    if not is_whole(previous):
        tally.errors.append(f"{what}: the previous set is not whole")
    before = {p.read_bytes() for p in set_files(folder) if p.suffix not in (".json", ".rows")}
    save(folder, 7, kind)
    again = read_model(folder, NAME, CLASS)
    if again.iteration != 7 or again.notes or not is_whole(again):
        tally.errors.append(f"{what}: the next save was not clean: {again.notes}")
    kept = {p.read_bytes() for p in folder.rglob("*") if p.is_file()}
    if not before <= kept:
        tally.errors.append(f"{what}: {len(before - kept)} files are gone after the next save")


def run_all(
    base: Path, kills: int, seed: int, *, every: int = 1, rounds: int = 3
) -> dict[str, Tally]:
    """All trials for both formats."""
    rows: dict[str, Tally] = {}
    for kind in ("legacy", "native"):
        rng = random.Random(seed)
        modes = ("before", "after", "half")
        rows[f"{kind} ended at a call"] = try_steps(base, kind, modes, every)
        rows[f"{kind} failing call"] = try_steps(base, kind, ("enospc", "eio"), every)
        rows[f"{kind} backup"] = try_backups(base, kind, every)
        rows[f"{kind} restore"] = try_restores(base, kind, every)
        rows[f"{kind} snapshot"] = try_snapshots(base, kind, every)
        rows[f"{kind} snapshot SIGKILL"] = try_snapshot_kills(base, kind, kills, rng)
        rows[f"{kind} SIGKILL"] = try_kills(base, kind, kills, rng)
        rows[f"{kind} disk full"] = try_disk(base, kind)
        rows[f"{kind} read-only"] = try_read_only(base, kind)
        corrupt, delete = try_damage(base, kind, rng, rounds)
        rows[f"{kind} corrupted byte"], rows[f"{kind} deleted file"] = corrupt, delete
    return rows


def main() -> int:
    """Run and print the table; 1 if any set was lost, mixed or silently damaged."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=50, help="SIGKILLs per format")
    parser.add_argument("--rounds", type=int, default=3, help="corrupted bytes per file")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", action="store_true", help="print one line of JSON at the end")
    parser.add_argument("--child", nargs=3, help=argparse.SUPPRESS)
    parser.add_argument("--snapshots", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        folder, number, kind = options.child
        loop = child_snapshots if options.snapshots else child_loop
        return loop(Path(folder), int(number), kind)
    import logging

    logging.disable(logging.WARNING)
    # in memory if possible: what is tried here is death of the process, not of the disk
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None) as base:
        rows = run_all(Path(base), options.kills, options.seed, rounds=options.rounds)
    print(f"{'':24}{'tried':>7}{'old set':>9}{'new set':>9}{'errors':>8}")
    for name, tally in rows.items():
        errors = len(tally.errors)
        print(f"{name:24}{tally.tried:7}{tally.old:9}{tally.new:9}{errors:8}")
        for error in tally.errors[:20]:
            print(f"    {error}")
    if options.json:
        print(json.dumps({
            "tool": "crash_saves",
            "tried": sum(tally.tried for tally in rows.values()),
            "kills": sum(tally.tried for name, tally in rows.items() if "SIGKILL" in name),
            "losses": sum(len(tally.errors) for tally in rows.values()),
            "rows": {name: vars(tally) for name, tally in rows.items()},
        }))  # fmt: skip
    return 1 if any(tally.errors for tally in rows.values()) else 0


if __name__ == "__main__":
    raise SystemExit(main())
