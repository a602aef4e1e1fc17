#!/usr/bin/env python3
"""Kill an extraction at random moments and look whether its folder is whole each time.

    python tools/kill_extract.py [--kills 50] [--frames 60] [--workers 2] [--smooth] [--seed 0]
                                 [--json]

Each round starts the extraction of the same made-up frames in a forked process and kills it
(SIGKILL) at a random moment. Every face that is there must be whole, every line of the journal
must speak of a face that is there, and the run that is left alone in the end must make the very
folder of an undisturbed one, byte for byte, with its checksums. Half of the kills hit a folder
that was killed before.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import random
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "ops")]

import cv2  # noqa: E402

from dfl_tf.disk.checksums import checksum_path  # noqa: E402
from dfl_tf.disk.durable import is_temporary  # noqa: E402
from dfl_tf.extract.journal import read_journal  # noqa: E402
from dfl_tf.extract.networks import Networks  # noqa: E402
from dfl_tf.extract.run import extract_faces  # noqa: E402
from dfl_tf.extract.sources import FolderFrames  # noqa: E402
from dfl_tf.formats import read_metadata  # noqa: E402
from dfl_tf.imaging import decode_image  # noqa: E402
from dfl_tf.options import ExtractOptions, default  # noqa: E402
from tests.extract.squares import SquareDetector, SquareLandmarker, draw_frame  # noqa: E402


@dataclass
class Report:
    """What the kills met."""

    kills: int = 0
    half_done: int = 0
    losses: list[str] = field(default_factory=list)


def make_frames(folder: Path, count: int, seed: int) -> None:
    """Frames with no, one or two faces."""
    rng = random.Random(seed)
    folder.mkdir()
    for number in range(1, count + 1):
        squares = [(20 + rng.randrange(60), 60, 80), (200, 90, 60)][: rng.choice((0, 1, 1, 2))]
        cv2.imwrite(str(folder / f"{number:05d}.png"), draw_frame(*squares))


def extract(frames: Path, out: Path, workers: int, smooth: bool) -> None:
    """One run with networks that take no time."""
    extract_faces(
        FolderFrames(frames),
        out,
        default(ExtractOptions, image_size=96, smooth=smooth),
        networks=Networks(SquareDetector(), SquareLandmarker()),
        workers=workers,
    )


def in_child(work: Callable[[], object], kill_after: float | None = None) -> int:
    """Run in a forked process; its exit code, or minus the signal that ended it."""
    child = os.fork()
    if child == 0:
        try:
            work()
        except BaseException as error:
            print(f"{type(error).__name__}: {error}", file=sys.stderr)
            os._exit(1)
        os._exit(0)
    if kill_after is not None:
        time.sleep(kill_after)
        os.kill(child, signal.SIGKILL)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def content(out: Path) -> dict[str, bytes]:
    """All files of a folder of faces, and its checksums."""
    files = {path.name: path.read_bytes() for path in out.iterdir()}
    return {**files, "checksums": checksum_path(out).read_bytes()}


def look(out: Path) -> bool:
    """Whether a killed run left something; raises what is wrong with it."""
    if not out.is_dir():
        return False
    faces = [path for path in out.iterdir() if path.suffix == ".jpg"]
    for path in faces:
        if is_temporary(path.name):
            continue
        if read_metadata(path) is None:
            raise AssertionError(f"{path.name}: a face without metadata")
        decode_image(path.read_bytes(), what=path.name)
    journal = read_journal(out)
    for record in journal.records if journal else []:
        for face in record.faces:
            if face.file and not (out / face.file).exists():
                raise AssertionError(f"{record.name}: {face.file} is in the journal and not there")
    return bool(faces)


def kill_often(
    base: Path, *, kills: int, frames: int, workers: int, smooth: bool, seed: int
) -> Report:
    """The rounds."""
    rng, report, source = random.Random(seed), Report(), base / "frames"
    make_frames(source, frames, seed)
    whole = base / "whole" / "aligned"
    start = time.perf_counter()
    if in_child(lambda: extract(source, whole, workers, smooth)) != 0:
        raise RuntimeError("the undisturbed extraction fails")
    seconds = time.perf_counter() - start
    expected, number = content(whole), 0
    while report.kills < kills:
        number += 1
        out = base / str(number) / "aligned"
        try:
            while report.kills < kills:
                wait = rng.uniform(0, 1.1 * seconds)
                in_child(lambda out=out: extract(source, out, workers, smooth), wait)
                report.kills += 1
                report.half_done += look(out)
                if rng.random() < 0.5:
                    break
            if in_child(lambda out=out: extract(source, out, workers, smooth)) != 0:
                raise AssertionError("the run after the kill fails")
            found = content(out)
            different = sorted(
                name
                for name in found.keys() | expected.keys()
                if found.get(name) != expected.get(name)
            )
            if different:
                raise AssertionError(f"not as undisturbed: {', '.join(different[:5])}")
        except Exception as error:  # every kind of fault is what this looks for
            report.losses.append(f"round {number}: {type(error).__name__}: {error}")
    return report


def main() -> int:
    """Print what was found; 1 if anything was lost."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--frames", type=int, default=60)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--smooth", action="store_true", help="look at all frames, then store")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", action="store_true", help="print one line of JSON at the end")
    args = parser.parse_args()
    logging.disable(logging.WARNING)
    cv2.setNumThreads(1)
    with tempfile.TemporaryDirectory() as folder:
        report = kill_often(
            Path(folder),
            kills=args.kills,
            frames=args.frames,
            workers=args.workers,
            smooth=args.smooth,
            seed=args.seed,
        )
    print(
        f"{report.kills} kills of an extraction ({report.half_done} left faces behind): "
        f"{len(report.losses)} losses"
    )
    for loss in report.losses:
        print(f"  {loss}")
    if args.json:
        print(
            json.dumps({
                "tool": "kill_extract", "kills": report.kills, "half_done": report.half_done,
                "losses": len(report.losses),
            })
        )  # fmt: skip
    return 1 if report.losses else 0


if __name__ == "__main__":
    sys.exit(main())
