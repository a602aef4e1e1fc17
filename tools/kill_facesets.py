#!/usr/bin/env python3
"""Kill sorting, grouping and unpacking at random moments and look whether all faces are there.

    python tools/kill_facesets.py [--kills 50] [--faces 120] [--only sort] [--seed 0] [--json]

Each round carries out the command line on the same made-up faces in a forked process, and kills
it (SIGKILL): half of the time at any moment, half of the time while files are moved or written.
After every kill each face must be somewhere, whole. The command that is run again in the end must
leave the very folder, trash and checksums of an uninterrupted run. Half of the kills hit a folder
that was killed before.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import logging
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "ops")]

import cv2  # noqa: E402
import numpy as np  # noqa: E402

from dfl_tf.cli.main import run  # noqa: E402
from dfl_tf.data import identity  # noqa: E402
from dfl_tf.disk import durable  # noqa: E402
from dfl_tf.disk.checksums import checksum_path  # noqa: E402
from dfl_tf.disk.moves import DONE, PLACING, PLAN  # noqa: E402
from dfl_tf.formats import read_pak  # noqa: E402
from dfl_tf.formats.faces.dfljpg import embed_metadata  # noqa: E402
from tests.formats.samples import make_metadata  # noqa: E402

SIDE, PERSONS = 64, 3
PAK = "faceset.pak"


@dataclass
class Row:
    """What the kills met."""

    kills: int = 0
    half_done: int = 0
    losses: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Operation:
    """A command line on a folder, and what it leaves behind when it is killed half-way."""

    words: tuple[str, ...]
    packed: bool
    begun: Callable[[Path], bool]


OPERATIONS = {
    "sort": Operation(("sort", "--by", "brightness"), False, lambda folder: _moving(folder)),
    "sort, trash": Operation(("sort", "--by", "origname"), False, lambda folder: _moving(folder)),
    "group": Operation(("group", "--keep", "1"), False, lambda folder: _moving(folder)),
    "unpack": Operation(("unpack",), True, lambda folder: len(_names(folder)) > 1),
}


def _names(folder: Path) -> list[str]:
    try:
        return os.listdir(folder)
    except FileNotFoundError:
        return []


def _moving(folder: Path) -> bool:
    return (folder / PLAN).exists() or (folder / PLACING).exists()


# -- faces ---------------------------------------------------------------------------------------
def make_faces(folder: Path, count: int) -> None:
    """Faces of three persons, who differ in their color, and two images that are not DFL images."""
    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    for number in range(count):
        image = rng.integers(0, 60, (SIDE, SIDE, 3)).astype(np.uint8)
        image[:, :, number % PERSONS] += 150
        image[0, 0] = number % 256, number // 256, 0
        jpeg = cv2.imencode(".jpg", image)[1].tobytes()
        known = make_metadata(number, shape=image.shape)
        known = replace(known, source_filename=f"{count - number:05d}.png", seg_ie_polys=[])
        (folder / f"{number:05d}_0.jpg").write_bytes(embed_metadata(jpeg, known))
    for number in range(2):
        jpeg = cv2.imencode(".jpg", np.full((SIDE, SIDE, 3), 9 + number, np.uint8))[1].tobytes()
        (folder / f"other{number}.jpg").write_bytes(jpeg)


class ColorEmbedder(identity.DlibEmbedder):
    """Tells the made-up persons apart; needs no network."""

    def ready(self) -> None:
        """Nothing to load."""

    def vector(self, face: object) -> np.ndarray:
        """One of three corners."""
        result = np.zeros(self.length)
        result[int(face.image.mean(axis=(0, 1)).argmax())] = 1  # type: ignore[attr-defined]
        return result


def prepare(place: Path, source: Path, operation: Operation) -> None:
    """A fresh copy of the faces with their checksums, packed where the operation unpacks."""
    place.parent.mkdir(parents=True)
    shutil.copytree(source, place)
    if operation.packed:
        for path in place.glob("other*.jpg"):
            path.unlink()
        command("pack", place, "--delete-originals", "--yes")
    command("checksum", place)


def command(verb: str, place: Path, *more: str) -> int:
    """Run a command of `dfl-tf faceset` without its output; raises with that if it fails."""
    said = io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
        code = run(["faceset", verb, str(place), *more])
    if code:
        raise RuntimeError(f"faceset {verb} ends with {code}: {said.getvalue()[-300:]}")
    return code


# -- killing -------------------------------------------------------------------------------------
def start(work: Callable[[], object]) -> int:
    """Run in a forked process; its number."""
    child = os.fork()
    if child == 0:
        durable._cleared.clear()  # as in a process of its own
        try:
            work()
        except BaseException as error:
            print(f"{type(error).__name__}: {error}", file=sys.stderr)
            os._exit(1)
        os._exit(0)
    return child


def wait_for(child: int) -> int:
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def wait_until(child: int, begun: Callable[[], bool]) -> None:
    """Wait until the work has begun, or has ended before that was seen."""
    ended = os.WEXITED | os.WNOHANG | os.WNOWAIT
    while not begun() and os.waitid(os.P_PID, child, ended) is None:
        time.sleep(0.0002)


def kill(child: int, begun: Callable[[], bool], wait: float) -> None:
    """Wait until `begun`, and so long from there on, then kill."""
    wait_until(child, begun)
    time.sleep(wait)
    os.kill(child, signal.SIGKILL)
    wait_for(child)


def content(place: Path) -> dict[str, bytes]:
    """All files of a folder, its trash and their checksums, but the record for `--undo`."""
    found = {}
    for folder in (place, place.with_name(place.name + "_trash")):
        for name in _names(folder):
            if name != DONE:
                found[f"{folder.name}/{name}"] = (folder / name).read_bytes()
        sums = checksum_path(folder)
        if sums.exists():
            kept = [line for line in sums.read_bytes().splitlines() if not line.startswith(b"# m")]
            found[sums.name] = b"\n".join(kept)  # but the token of the moves
    return found


def look(place: Path, faces: set[bytes], operation: Operation) -> bool:
    """Whether a killed run left its work half done; raises if a face is lost."""
    there = {path.read_bytes() for path in place.iterdir() if path.is_file()}
    trash = place.with_name(place.name + "_trash")
    there |= {path.read_bytes() for path in trash.iterdir()} if trash.exists() else set()
    if (place / PAK).exists():
        pak = read_pak(place / PAK)
        there |= {pak.jpeg(i) for i in range(len(pak))}
    if lost := len(faces - there):
        raise AssertionError(f"{lost} faces are lost after the kill")
    return operation.begun(place) and (not operation.packed or (place / PAK).exists())


def kill_often(base: Path, name: str, *, kills: int, faces: int, seed: int) -> Row:
    """The rounds of one operation."""
    operation, rng, row = OPERATIONS[name], random.Random(f"{seed} {name}"), Row()
    verb, *more = operation.words
    source, number = base / "source", 0
    make_faces(source, faces)

    def begin(place: Path) -> int:
        return start(lambda: command(verb, place, *more))

    whole = base / "whole" / "aligned"
    prepare(whole, source, operation)
    known = {path.read_bytes() for path in source.iterdir() if path.name[0] != "o"}
    before = time.perf_counter()
    child = begin(whole)
    wait_until(child, lambda: operation.begun(whole))
    first = time.perf_counter() - before
    if wait_for(child):
        raise RuntimeError("the uninterrupted run fails")
    last = time.perf_counter() - before
    expected = content(whole)
    while row.kills < kills:
        number += 1
        place = base / str(number) / "aligned"
        try:
            prepare(place, source, operation)
            while row.kills < kills:
                child, any_time = begin(place), rng.random() < 0.5
                wait = rng.uniform(0, 1.1 * last if any_time else last - first)
                kill(child, lambda: any_time or operation.begun(place), wait)  # noqa: B023
                row.kills += 1
                row.half_done += look(place, known, operation)
                done = operation.packed and not (place / PAK).exists()
                if done or rng.random() < 0.5:
                    break
            finish(place, operation, begin)
            found = content(place)
            different = [k for k in sorted({*found, *expected}) if found.get(k) != expected.get(k)]
            if different:
                raise AssertionError(f"not as uninterrupted: {', '.join(different[:5])}")
        except Exception as error:  # every kind of error is what this looks for
            row.losses.append(f"{name}, round {number}: {type(error).__name__}: {error}")
        shutil.rmtree(place.parent)
    return row


def finish(place: Path, operation: Operation, begin: Callable[[Path], int]) -> None:
    """Run the command again; one that had removed the pak was done."""
    if operation.packed and not (place / PAK).exists():
        return
    if wait_for(begin(place)):
        raise AssertionError("the run after the kill fails")


def main() -> int:
    """Print what was found; 1 if anything was lost."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--kills", type=int, default=50, help="of each operation")
    parser.add_argument("--faces", type=int, default=120)
    parser.add_argument("--only", default="", help="operations that begin so")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", action="store_true", help="print one line of JSON at the end")
    args = parser.parse_args()
    logging.disable(logging.WARNING)
    cv2.setNumThreads(1)
    identity.DlibEmbedder = ColorEmbedder  # type: ignore[misc]
    rows = {}
    for name in (name for name in OPERATIONS if name.startswith(args.only)):
        with tempfile.TemporaryDirectory() as folder:
            os.environ["XDG_CACHE_HOME"] = str(Path(folder) / "cache")
            rows[name] = row = kill_often(
                Path(folder), name, kills=args.kills, faces=args.faces, seed=args.seed
            )
        print(
            f"{name}: {row.kills} kills ({row.half_done} found it half done), "
            f"{len(row.losses)} losses",
            flush=True,
        )
        for loss in row.losses:
            print(f"  {loss}")
    losses = sum(len(row.losses) for row in rows.values())
    if args.json:
        print(json.dumps({
            "tool": "kill_facesets", "kills": sum(row.kills for row in rows.values()),
            "losses": losses, "rows": {name: asdict(row) for name, row in rows.items()},
        }))  # fmt: skip
    return 1 if losses else 0


if __name__ == "__main__":
    sys.exit(main())
