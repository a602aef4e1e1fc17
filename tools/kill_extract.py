#!/usr/bin/env python3
"""Kill extractions at random moments and look whether their folders are whole each time.

    python tools/kill_extract.py [--kills 50] [--frames 60] [--workers 2] [--smooth] [--seed 0]
                                 [--only frames,video] [--workspace DIR] [--json]

Each round starts the extraction of the same source in a forked process and kills it (SIGKILL) at
a random moment. Every face that is there must be whole, every line of the journal must speak of a
face that is there, and the run that is left alone in the end must make the very folder of an
uninterrupted one, byte for byte, with its checksums. Half of the kills hit a folder that was killed
before. Sources: made-up frames and a made-up video with networks that take no time; with
--workspace also the first frames of its data_src with the open models.
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
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "ops")]

import cv2  # noqa: E402

from dfl_tf.disk.checksums import checksum_path  # noqa: E402
from dfl_tf.disk.temporary_names import is_temporary  # noqa: E402
from dfl_tf.extract.journal import read_journal  # noqa: E402
from dfl_tf.extract.networks import ExtractNetworks, load_networks  # noqa: E402
from dfl_tf.extract.run import extract_faces  # noqa: E402
from dfl_tf.extract.sources import FolderFrames, FrameSource  # noqa: E402
from dfl_tf.extract.video_frames import VideoFrames  # noqa: E402
from dfl_tf.formats import read_metadata  # noqa: E402
from dfl_tf.imaging import decode_image  # noqa: E402
from dfl_tf.options import ExtractOptions, default  # noqa: E402
from tests.extract.square_clip import make_clip  # noqa: E402
from tests.extract.squares import SquareDetector, SquareLandmarker, draw_frame  # noqa: E402


@dataclass
class Report:
    """What the kills met."""

    kills: int = 0
    half_done: int = 0
    losses: list[str] = field(default_factory=list)


Extract = Callable[[Path], object]
"""One run into a folder."""


def squares_run(source: Callable[[], FrameSource], workers: int, smooth: bool) -> Extract:
    """Runs with networks that take no time."""
    networks = ExtractNetworks(SquareDetector(), SquareLandmarker())
    options = default(ExtractOptions, image_size=96, smooth=smooth)
    return lambda out: extract_faces(source(), out, options, networks=networks, workers=workers)


def of_frames(base: Path, args: argparse.Namespace) -> Extract:
    """Frames with no, one or two faces."""
    rng, folder = random.Random(args.seed), base / "frames"
    folder.mkdir()
    for number in range(1, args.frames + 1):
        squares = [(20 + rng.randrange(60), 60, 80), (200, 90, 60)][: rng.choice((0, 1, 1, 2))]
        cv2.imwrite(str(folder / f"{number:05d}.png"), draw_frame(*squares))
    return squares_run(lambda: FolderFrames(folder), args.workers, args.smooth)


def of_video(base: Path, args: argparse.Namespace) -> Extract:
    """A clip, read itself."""
    clip = make_clip(base / "clip.mp4", count=args.frames, step=1)
    return squares_run(lambda: VideoFrames(clip), args.workers, args.smooth)


def of_workspace(base: Path, args: argparse.Namespace) -> Extract:
    """The first frames of a workspace, by the open models."""
    frames = sorted((args.workspace / "data_src").glob("*.*"))[: args.frames]
    (base / "some").mkdir()
    for path in frames:
        shutil.copy(path, base / "some")
    options = default(ExtractOptions, image_size=96, detector="mesh", smooth=args.smooth)

    def run(out: Path) -> object:
        # loaded in the child: a fork does not take threads and locks of networks along
        networks = load_networks(options)
        source = FolderFrames(base / "some")
        return extract_faces(source, out, options, networks=networks, workers=args.workers)

    return run


SOURCES = {"frames": of_frames, "video": of_video, "workspace": of_workspace}


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


def look(out: Path) -> int:
    """How many faces a killed run left; raises what is wrong with them."""
    if not out.is_dir():
        return 0
    faces = [p for p in out.iterdir() if p.suffix == ".jpg" and not is_temporary(p.name)]
    for path in faces:
        if read_metadata(path) is None:
            raise AssertionError(f"{path.name}: a face without metadata")
        decode_image(path.read_bytes(), what=path.name)
    journal = read_journal(out)
    for record in journal.records if journal else []:
        for face in record.faces:
            if face.file and not (out / face.file).exists():
                raise AssertionError(f"{record.name}: {face.file} is in the journal and not there")
    return len(faces)


def kill_often(base: Path, extract: Extract, kills: int, seed: int, report: Report) -> None:
    """The rounds of one source."""
    rng, whole, done = random.Random(seed), base / "whole" / "aligned", 0
    start = time.perf_counter()
    if in_child(lambda: extract(whole)) != 0:
        raise RuntimeError("the uninterrupted extraction fails")
    seconds = time.perf_counter() - start
    expected, number = content(whole), 0
    faces = sum(name.endswith(".jpg") for name in expected)
    while done < kills:
        number += 1
        out = base / str(number) / "aligned"
        try:
            while done < kills:
                in_child(lambda out=out: extract(out), rng.uniform(0, 1.1 * seconds))
                done += 1
                report.kills += 1
                report.half_done += 0 < look(out) < faces
                if rng.random() < 0.5:
                    break
            if in_child(lambda out=out: extract(out)) != 0:
                raise AssertionError("the run after the kill fails")
            found = content(out)
            different = sorted(
                name
                for name in found.keys() | expected.keys()
                if found.get(name) != expected.get(name)
            )
            if different:
                raise AssertionError(f"not as uninterrupted: {', '.join(different[:5])}")
        except Exception as error:  # every kind of error is what this looks for
            report.losses.append(f"{base.name}, round {number}: {type(error).__name__}: {error}")


def main() -> int:
    """Print what was found; 1 if anything was lost."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=50, help="of each source")
    parser.add_argument("--frames", type=int, default=60)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--smooth", action="store_true", help="look at all frames, then store")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", default="frames,video", help="sources")
    parser.add_argument("--workspace", type=Path, help="a workspace with frames in data_src")
    parser.add_argument("--json", action="store_true", help="print one line of JSON at the end")
    args = parser.parse_args()
    logging.disable(logging.WARNING)
    cv2.setNumThreads(1)
    report = Report()
    sources = [*args.only.split(","), *(["workspace"] if args.workspace else [])]
    for name in sources:
        with tempfile.TemporaryDirectory() as folder:
            base = Path(folder) / name
            base.mkdir()
            before = report.kills, report.half_done, len(report.losses)
            kill_often(base, SOURCES[name](base, args), args.kills, args.seed, report)
        print(
            f"{report.kills - before[0]} kills of an extraction from {name} "
            f"({report.half_done - before[1]} left a part of the faces behind): "
            f"{len(report.losses) - before[2]} losses",
            flush=True,
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
