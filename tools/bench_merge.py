#!/usr/bin/env python3
"""Milliseconds a frame of merging, by mode, size, threads and destination, and where they go.

    python tools/bench_merge.py [--frames N] [--size 1920x1080] [--workers 1,2] [--rounds N]
                                [--to png,tif,jpg,png+video,video] [--case NAME ...] [--model DIR]

Frames are drawn at random with one face a third of the height. Without --model the network is a
small NumPy function, so that everything but the network shows; with --model DIR the newest SAEHD,
AMP or Quick96 model there is asked. Destinations take turns in each round; the first one (by
default PNG, what merging always wrote) is the yardstick, and ratios are medians over the rounds.
`png+video` is what a video took before `--video` wrote no images: merging, then encoding them.
ms are wall time a frame; the parts are processor time of the workers: read (decode), crop, compose,
write (encode). `clone` is OpenCV's share of compose in the seamless modes: the time of
cv2.seamlessClone for the rectangle around the mask, below which those modes cannot come.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
for entry in (ROOT / "ops", ROOT):
    if str(entry) not in sys.path:
        sys.path.insert(0, str(entry))

import cv2  # noqa: E402
import numpy as np  # noqa: E402

from dfl_tf.face import FaceType  # noqa: E402
from dfl_tf.face.reference_tables import REFERENCE_2D  # noqa: E402
from dfl_tf.merge.image_format import ImageFormat  # noqa: E402
from dfl_tf.merge.motion import NO_MOTION  # noqa: E402
from dfl_tf.merge.networks import MergeNetworks  # noqa: E402
from dfl_tf.merge.output import Output  # noqa: E402
from dfl_tf.merge.plan import MergeTask  # noqa: E402
from dfl_tf.merge.run import MergeRun, merge_frames  # noqa: E402
from dfl_tf.merge.video_output import VideoOutput, VideoTarget  # noqa: E402
from dfl_tf.options import MergeOptions, default  # noqa: E402
from dfl_tf.video.encode import encode  # noqa: E402

CASES: dict[str, dict[str, object]] = {
    "original": {"mode": "original"},
    "overlay, no color": {"color_transfer_mode": "none"},
    "overlay + rct": {},
    "overlay + rct, erode 20 blur 60": {"erode_mask_modifier": 20, "blur_mask_modifier": 60},
    "overlay + lct": {"color_transfer_mode": "lct"},
    "overlay + mkl": {"color_transfer_mode": "mkl"},
    "overlay + idt": {"color_transfer_mode": "idt"},
    "overlay + sot-m": {"color_transfer_mode": "sot-m"},
    "overlay + mix-m": {"color_transfer_mode": "mix-m"},
    "hist-match": {"mode": "hist-match"},
    "seamless": {"mode": "seamless"},
    "seamless-hist-match": {"mode": "seamless-hist-match"},
    "raw-rgb": {"mode": "raw-rgb"},
    "raw-predict": {"mode": "raw-predict"},
    "overlay, denoise 50": {"image_denoise_power": 50},
    "overlay, color degrade 50": {"color_degrade_power": 50},
}


DESTINATIONS = ("png", "tif", "jpg", "png+video", "video")


@dataclass
class Row:
    """One measurement: wall time a frame, and parts of it, in milliseconds."""

    size: str
    case: str
    workers: int
    to: str
    milliseconds: float
    network_share: float
    parts: dict[str, float]


@contextmanager
def timed_clone() -> Iterator[list[float]]:
    """Collect the processor time of every cv2.seamlessClone, in seconds."""
    spent: list[float] = []
    lock, clone = threading.Lock(), cv2.seamlessClone

    def timed(*args: object) -> np.ndarray:
        start = time.thread_time()
        result = clone(*args)
        with lock:
            spent.append(time.thread_time() - start)
        return result

    cv2.seamlessClone = timed
    try:
        yield spent
    finally:
        cv2.seamlessClone = clone


def fake_networks(size: int) -> MergeNetworks:
    y, x = np.mgrid[:size, :size] / (size - 1) - 0.5
    mask = np.clip(1.8 - 4 * np.hypot(x, y), 0, 1).astype(np.float32)

    def predict(images: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        masks = np.broadcast_to(mask, (len(images), size, size))
        return images * np.float32(0.9), masks, masks

    return MergeNetworks(predict, size)


def model_networks(folder: Path) -> tuple[MergeNetworks, FaceType]:
    from dfl_tf.formats import find_models, read_model
    from dfl_tf.merge.predictor import networks_of
    from dfl_tf.models.restore import restore

    found = next(m for m in find_models(folder) if m.model_class != "XSeg")
    state = read_model(folder, found.name, found.model_class)
    model, _ = restore(state, name=found.name, training=False)
    return networks_of(model), FaceType.from_name(model.options.face_type)


def make_frames(folder: Path, width: int, height: int, count: int) -> list[MergeTask]:
    """Soft random images with camera-like noise, and upright landmarks in the middle."""
    rng = np.random.default_rng(0)
    soft = rng.integers(0, 256, (9, 16, 3)).astype(np.uint8)
    base = cv2.resize(soft, (width, height), interpolation=cv2.INTER_CUBIC).astype(np.int16)
    points = np.full((68, 2), 0.5)
    points[np.r_[17:49, 54]] = REFERENCE_2D
    points[:17] = np.stack([np.linspace(-0.1, 1.1, 17), 0.2 + np.sin(np.linspace(0, 3.14, 17))], 1)
    tasks = []
    for i in range(count):
        noisy = np.clip(base + rng.integers(-3, 4, base.shape), 0, 255).astype(np.uint8)
        path = folder / f"{i + 1:05d}.png"
        cv2.imwrite(str(path), noisy)
        face = points * (height / 3) + (width / 2 - height / 6 + i, height / 3)
        tasks.append(MergeTask(i, path, (face,), NO_MOTION, default(MergeOptions)))
    return tasks


def measure(
    tasks: list[MergeTask],
    case: str,
    workers: int,
    to: str,
    networks: MergeNetworks,
    face_type: FaceType,
    size: str,
) -> Row:
    settings = default(MergeOptions, **CASES[case])
    chosen = [MergeTask(t.index, t.path, t.faces, t.motion, settings) for t in tasks]
    with tempfile.TemporaryDirectory() as folder, timed_clone() as cloned:
        start = time.perf_counter()
        if to == "video":
            target = VideoTarget(Path(folder) / "merged.mp4", rate=Fraction(25))
            frames, keys = [t.path for t in chosen], [t.key("") for t in chosen]
            video = VideoOutput(target, frames, range(len(frames)), keys, Path(folder) / "record")
            video.prepare(resume=False, overwrite=False)
            run = MergeRun(networks, face_type, video, workers=workers)
            report = merge_frames(chosen, run, session=video)
            video.finish()
        else:
            form = ImageFormat(to.partition("+")[0])
            output = Output(Path(folder) / "merged", Path(folder) / "mask", None, form)
            output.prepare(resume=False, overwrite=False)
            report = merge_frames(chosen, MergeRun(networks, face_type, output, workers=workers))
            if to == "png+video":
                for images in (output.images, output.masks):
                    encode(images, Path(folder) / f"{images.name}.mp4", rate=Fraction(25))
        seconds = time.perf_counter() - start
    parts = {k: 1000 * v / len(chosen) for k, v in report.worker_seconds.items()}
    if cloned:
        parts["clone"] = 1000 * sum(cloned) / len(chosen)
    share = report.network_seconds / seconds
    return Row(size, case, workers, to, 1000 * seconds / len(chosen), share, parts)


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--frames", type=int, default=24)
    parser.add_argument("--size", action="append", help="WIDTHxHEIGHT, may be repeated")
    parser.add_argument("--workers", default=f"1,{min(2, os.cpu_count() or 1)}")
    parser.add_argument("--to", default=",".join(DESTINATIONS), help="the first is the yardstick")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--case", action="append", choices=list(CASES))
    parser.add_argument("--resolution", type=int, default=256, help="of the stand-in network")
    parser.add_argument("--model", type=Path, help="folder of model files")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    networks, face_type = fake_networks(args.resolution), FaceType.WHOLE_FACE
    if args.model is not None:
        networks, face_type = model_networks(args.model)
    rows: list[Row] = []
    for size in args.size or ["1920x1080"]:
        width, height = (int(part) for part in size.split("x"))
        with tempfile.TemporaryDirectory() as folder:
            tasks = make_frames(Path(folder), width, height, args.frames)
            measure(tasks[:4], "overlay + rct", 1, "png", networks, face_type, size)  # warms up
            for case in args.case or CASES:
                for workers in (int(n) for n in args.workers.split(",")):
                    found = [
                        [
                            measure(tasks, case, workers, to, networks, face_type, size)
                            for to in args.to.split(",")
                        ]
                        for _ in range(args.rounds)
                    ]
                    rows += [row for taken in found for row in taken]
                    if not args.json:
                        print("\n".join(lines(found)), flush=True)
    if args.json:
        print(json.dumps([vars(row) for row in rows], indent=1))
    return 0


def lines(rounds: list[list[Row]]) -> list[str]:
    """A line for each destination: medians over the rounds, and the ratio to the first one."""
    made = []
    for turn in zip(*rounds, strict=True):
        first = turn[0]
        parts = {
            name: statistics.median(row.parts.get(name, 0.0) for row in turn)
            for name in first.parts
        }
        ratio = statistics.median(
            taken[0].milliseconds / row.milliseconds
            for taken, row in zip(rounds, turn, strict=True)
        )
        made.append(
            f"{first.size:>9}  {first.case:24} {first.workers} workers -> {first.to:5} "
            f"{statistics.median(row.milliseconds for row in turn):6.0f} ms/frame  x{ratio:.2f}  "
            f"network {statistics.median(row.network_share for row in turn):3.0%}  ms: "
            + "  ".join(f"{name} {value:.0f}" for name, value in parts.items())
        )
    return made


if __name__ == "__main__":
    sys.exit(main())
