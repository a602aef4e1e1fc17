#!/usr/bin/env python3
"""Frames a second of extraction, by detector, size and number of workers, and where the time goes.

    python tools/bench_extract.py [--frames 120] [--workers 1,2] [--sizes 480x360,1920x1080]
                                  [--detectors mesh,s3fd] [--rounds 3] [--json]

Each frame shows one face of the demo, half a frame high and moved from frame to frame. `mesh`
runs the open models. `s3fd` runs the networks of S3FD and FAN with two passes; without --dfl-home
their weights mean nothing, so that the known place of the face takes the place of what they
answer: the time is that of the real ones. The shares are of the time of all workers together:
read (decode), find (detector and landmarker), align (warp, encode), write (with fsync). Numbers of
workers take turns for some rounds; speeds and speed-ups are the medians of the rounds. The last
row of a block is what the machine can do: as many processes as the largest number of workers,
with one worker each, that share nothing. `s3fd` takes seconds a frame: it gets a thirtieth of the
frames and one round. At the end `bench_facesets.py` says how fast sorting and moving are.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from multiprocessing.connection import Connection
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "ops"), str(ROOT / "tools")]

import bench_facesets  # noqa: E402
import cv2  # noqa: E402
import numpy as np  # noqa: E402

from dfl_tf.extract.found import Detection, Detector, Landmarks  # noqa: E402
from dfl_tf.extract.networks import (  # noqa: E402
    ExtractNetworks,
    NetworkFiles,
    load_networks,
    start_tensorflow,
)
from dfl_tf.extract.run import extract_faces  # noqa: E402
from dfl_tf.extract.sources import FolderFrames  # noqa: E402
from dfl_tf.face import transform_points  # noqa: E402
from dfl_tf.formats.faces.faceset_pak import PAK_NAME, read_pak  # noqa: E402
from dfl_tf.imaging import decode_image  # noqa: E402
from dfl_tf.options import ExtractOptions, default  # noqa: E402

STAGES = ("read", "find", "align", "write")


@dataclass(frozen=True)
class Row:
    """One line of the table."""

    detector: str
    size: str
    workers: str
    frames: int
    faces: int
    frames_per_second: float
    frames_per_core_second: float
    shares: dict[str, float]
    speed_up: float


@dataclass(frozen=True)
class Known:
    """Where the face of each frame is, told by the one colored pixel of the frame's corner."""

    boxes: list[tuple[float, float, float, float]]
    landmarks: list[np.ndarray]

    def number(self, image: np.ndarray) -> int:
        """Which frame an image is; 0 for an aligned face."""
        return int(image[0, 0, 0]) if image.shape[0] != image.shape[1] else 0


class TimedDetector:
    """Takes the time of a detector and gives the known box."""

    name, version = "s3fd", "no weights"

    def __init__(self, detector: Detector, known: Known) -> None:
        self._detector, self._known = detector, known

    def detect(self, image: np.ndarray) -> list[Detection]:
        self._detector.detect(image)
        if image.shape[0] == image.shape[1]:
            return [Detection((40.0, 40.0, 216.0, 216.0), 1.0)]
        return [Detection(self._known.boxes[self._known.number(image)], 1.0)]

    def search(self, image: np.ndarray) -> list[Detection]:
        return []


class TimedLandmarker:
    """Takes the time of a landmarker and gives the known landmarks."""

    name, version = "2dfan", "no weights"

    def __init__(self, landmarker: object, known: Known) -> None:
        self._landmarker, self._known = landmarker, known

    def find(self, image: np.ndarray, detections: Sequence[Detection]) -> list[Landmarks | None]:
        self._landmarker.find(image, detections)  # type: ignore[attr-defined]
        points = self._known.landmarks[self._known.number(image)]
        return [Landmarks(points) for _ in detections]


def make_frames(folder: Path, count: int, width: int, height: int) -> Known:
    """Frames with a face of the demo."""
    folder.mkdir(parents=True)
    pak = read_pak(ROOT / "dfl_tf" / "demo_data" / "data_src" / "aligned" / PAK_NAME)
    face = decode_image(pak.jpeg(0))
    landmarks, known = pak[0].metadata.landmarks, Known([], [])
    side = height * 3 // 4
    rng = np.random.default_rng(0)
    background = cv2.resize(
        rng.integers(60, 120, (height // 20, width // 20, 3), np.uint8), (width, height)
    )
    for number in range(count):
        x = (width - side) * number / max(count - 1, 1) * 0.5 + (width - side) / 4
        matrix = np.array([(side / face.shape[1], 0, x), (0, side / face.shape[0], height / 8)])
        image = background.copy()
        cv2.warpAffine(face, matrix, (width, height), image, cv2.INTER_AREA, cv2.BORDER_TRANSPARENT)
        image[0, 0] = number
        points = transform_points(landmarks, matrix)
        low, high = points.min(axis=0).tolist(), points.max(axis=0).tolist()
        known.boxes.append((*low, *high))
        known.landmarks.append(points)
        cv2.imwrite(str(folder / f"{number + 1:05d}.png"), image)
    return known


def legacy_networks(known: Known, files: NetworkFiles) -> ExtractNetworks:
    """S3FD and FAN with the user's weights, or with ones that mean nothing."""
    if files.names_release:
        return load_networks(default(ExtractOptions, detector="s3fd"), files)
    start_tensorflow()
    from dfl_tf.extract.detectors.s3fd import S3FD
    from dfl_tf.extract.detectors.s3fd_network import S3FDNetwork
    from dfl_tf.extract.landmarkers.fan import FAN
    from dfl_tf.extract.landmarkers.fan_network import FANNetwork

    s3fd, fan = S3FDNetwork(), FANNetwork()

    def silent(image: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
        outputs = s3fd(image[None])
        return [(np.zeros_like(a[0].numpy()), b[0].numpy()) for a, b in outputs]

    detector = TimedDetector(S3FD(silent), known)
    landmarker = FAN(lambda images: fan(images).numpy(), second_pass=detector)
    return ExtractNetworks(detector, TimedLandmarker(landmarker, known))


@dataclass(frozen=True)
class Run:
    """One extraction of all frames."""

    frames: int
    faces: int
    seconds: float
    core_seconds: float
    stage_seconds: dict[str, float]


def extract(frames: Path, networks: ExtractNetworks, workers: int) -> Run:
    """Extract a folder of frames into one that is thrown away."""
    with tempfile.TemporaryDirectory() as out:
        spent = time.process_time()
        source = FolderFrames(frames)
        report = extract_faces(source, Path(out) / "aligned", networks=networks, workers=workers)
        spent = time.process_time() - spent
    return Run(report.frames, report.faces, report.seconds, spent, dict(report.stage_seconds))


def load(detector: str, known: Known, files: NetworkFiles) -> ExtractNetworks:
    """The networks of a detector."""
    if detector == "mesh":
        return load_networks(default(ExtractOptions, detector="mesh"), files)
    return legacy_networks(known, files)


def extract_alone(
    detector: str, frames: Path, known: Known, files: NetworkFiles, turns: Connection
) -> None:
    """One of several processes that share nothing: extracts whenever it is asked to."""
    networks = load(detector, known, files)
    extract(frames, networks, 1)  # to warm up
    turns.send(None)
    while turns.recv():
        turns.send(extract(frames, networks, 1))


class Processes:
    """As many processes as there are workers, each with one worker and its own networks."""

    def __init__(
        self, count: int, detector: str, frames: Path, known: Known, files: NetworkFiles
    ) -> None:
        context = multiprocessing.get_context("spawn")
        self._ends: list[Connection] = []
        for _ in range(count):
            here, there = context.Pipe()
            unloaded = NetworkFiles(files.dfl_home, files.models_dir)
            arguments = (detector, frames, known, unloaded, there)
            context.Process(target=extract_alone, args=arguments, daemon=True).start()
            self._ends.append(here)
        for end in self._ends:
            end.recv()

    def run(self) -> Run:
        """All at once; frames and processor time are those of all together."""
        start = time.perf_counter()
        for end in self._ends:
            end.send(True)
        runs: list[Run] = [end.recv() for end in self._ends]
        stages = {stage: sum(run.stage_seconds[stage] for run in runs) for stage in STAGES}
        return Run(
            sum(run.frames for run in runs),
            sum(run.faces for run in runs),
            time.perf_counter() - start,
            sum(run.core_seconds for run in runs),
            stages,
        )

    def close(self) -> None:
        """End the processes."""
        for end in self._ends:
            end.send(False)


def measure(
    detector: str, size: str, workers: Sequence[int], frames: int, rounds: int, files: NetworkFiles
) -> list[Row]:
    """Rows of one detector and size."""
    width, height = (int(side) for side in size.split("x"))
    runs: dict[str, list[Run]] = {}
    with tempfile.TemporaryDirectory() as base:
        folder = Path(base) / "frames"
        known = make_frames(folder, frames, width, height)
        networks = load(detector, known, files)
        processes = Processes(max(workers), detector, folder, known, files)
        for number in range(rounds + 1):  # once to warm up
            for count in workers:
                run = extract(folder, networks, count)
                runs.setdefault(str(count), []).append(run)
            runs.setdefault(f"{max(workers)} x 1", []).append(processes.run())
            if not number:
                runs.clear()
        processes.close()
    return [make_row(detector, size, name, runs[name], runs[str(workers[0])]) for name in runs]


def make_row(
    detector: str, size: str, workers: str, runs: Sequence[Run], base: Sequence[Run]
) -> Row:
    """The medians of the rounds."""
    totals = {stage: sum(run.stage_seconds[stage] for run in runs) for stage in STAGES}
    everything = sum(totals.values())
    speeds = [run.frames / run.seconds for run in runs]
    gains = [speed * one.seconds / one.frames for speed, one in zip(speeds, base, strict=True)]
    return Row(
        detector,
        size,
        workers,
        runs[0].frames,
        runs[0].faces,
        round(statistics.median(speeds), 2),
        round(statistics.median(run.frames / run.core_seconds for run in runs), 2),
        {stage: round(total / everything, 3) for stage, total in totals.items()},
        round(statistics.median(gains), 3),
    )


def main() -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--frames", type=int, default=120)
    parser.add_argument("--workers", default="1,2")
    parser.add_argument("--sizes", default="480x360,1920x1080")
    parser.add_argument("--detectors", default="mesh,s3fd")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--models-dir", type=Path)
    parser.add_argument("--dfl-home", type=Path)
    parser.add_argument("--json", action="store_true", help="print one line of JSON at the end")
    args = parser.parse_args()
    files = NetworkFiles(args.dfl_home, args.models_dir)
    workers = [int(count) for count in args.workers.split(",")]
    print(
        f"{'detector':9} {'size':>10} {'workers':>7} {'faces':>6} {'frames/s':>9} {'per core':>9}"
        + "".join(f"{stage:>8}" for stage in STAGES)
        + "  speed-up",
        flush=True,
    )
    found: list[Row] = []
    for detector in args.detectors.split(","):
        for size in args.sizes.split(","):
            slow = detector == "s3fd"
            frames = max(args.frames // 30, 2 * max(workers)) if slow else args.frames
            rows = measure(detector, size, workers, frames, 1 if slow else args.rounds, files)
            found += rows
            for row in rows:
                shares = "".join(f"{100 * row.shares[stage]:7.0f}%" for stage in STAGES)
                each = row.frames_per_core_second
                print(
                    f"{row.detector:9} {row.size:>10} {row.workers:>7} {row.faces:>6} "
                    f"{row.frames_per_second:>9.2f} {each:>9.2f}{shares}  {row.speed_up:.2f}x",
                    flush=True,
                )
    print("\nsorting and moving, beside the straightforward way:", flush=True)
    sorted_fast = bench_facesets.main([])
    if args.json:
        print(json.dumps({"tool": "bench_extract", "rows": [asdict(row) for row in found]}))
    return sorted_fast


if __name__ == "__main__":
    sys.exit(main())
