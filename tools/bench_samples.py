#!/usr/bin/env python3
"""Time the making of training samples against the straight way of the data specification.

    python tools/bench_samples.py [--faces FOLDER] [--seconds S] [--quick] [--modes none,sot]

Prints, for each image size, resolution and color transfer mode, the CPU time of a sample made
the straight way (`reference_sample.py`), on first sight of a face and from the cache, with the
medians of the ratios of neighboring measurements; then how two threads scale, and two processes
for comparison. All figures are CPU time of one core, except for these.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
for entry in (ROOT / "tools", ROOT / "ops", ROOT):
    if str(entry) not in sys.path:
        sys.path.insert(0, str(entry))

import cv2  # noqa: E402
import numpy as np  # noqa: E402
from reference_sample import reference_sample  # noqa: E402

from dfl_tf.data import (  # noqa: E402
    ArrayCache,
    FaceSample,
    Faceset,
    OutputSpec,
    SampleSpec,
    make_sample,
)
from dfl_tf.data.prefetch import Prefetch  # noqa: E402
from dfl_tf.face import FaceType  # noqa: E402
from dfl_tf.imaging import encode_image, to_uint8  # noqa: E402

MODES = ("none", "rct", "lct", "mkl", "idt", "sot")
MIN_ROUNDS = 5
DEFAULT_FACES = ROOT / "tests" / "golden" / "data" / "workspace" / "data_src" / "aligned"


def saehd_spec(resolution: int, ct_mode: str) -> SampleSpec:
    """The four outputs that SAEHD and AMP ask for."""
    return SampleSpec(
        resolution=resolution,
        face_type=FaceType.WHOLE_FACE,
        outputs={
            "image": OutputSpec(warp=True, color_transfer=True),
            "target": OutputSpec(color_transfer=True),
            "mask": OutputSpec(kind="mask", mask="full"),
            "eyes_mouth": OutputSpec(kind="mask", mask="eyes_mouth"),
        },
        random_flip=True,
        ct_mode=ct_mode,
    )


def resized(sample: FaceSample, size: int) -> FaceSample:
    """The face as a JPEG of another size, in memory, taken for a whole face."""
    image = cv2.resize(sample.image(), (size, size), interpolation=cv2.INTER_CUBIC)
    data = encode_image(to_uint8(image), ".jpg", quality=90)
    return replace(
        sample,
        key=f"{sample.key}@{size}",
        face_type=FaceType.WHOLE_FACE,
        shape=(size, size, 3),
        landmarks=sample.landmarks * (size / sample.shape[1]),
        read=lambda: data,
    )


def measure(faces: list[FaceSample], spec: SampleSpec, seconds: float) -> tuple[float, ...]:
    """Milliseconds of straight, first sight and cached; and the medians of both ratios."""
    cache = ArrayCache(2**30)
    rng = np.random.RandomState(1)
    ways: tuple[Callable[[FaceSample, FaceSample, int], object], ...] = (
        lambda a, b, seed: reference_sample(a, spec, seed, b, rng),
        lambda a, b, seed: make_sample(a, spec, seed, color_source=b),
        lambda a, b, seed: make_sample(a, spec, seed, color_source=b, cache=cache),
    )
    for face in faces:
        ways[2](face, face, 0)
    times: list[tuple[float, ...]] = []
    end = time.perf_counter() + seconds
    while len(times) < MIN_ROUNDS or time.perf_counter() < end:
        # Neighbors in time share what the machine does besides.
        face, other = faces[len(times) % len(faces)], faces[(3 * len(times) + 1) % len(faces)]
        seed = int(rng.randint(2**31))
        spent = []
        for way in ways:
            begin = time.thread_time()
            way(face, other, seed)
            spent.append((time.thread_time() - begin) * 1000)
        times.append(tuple(spent))
    reference, first, cached = (statistics.median(column) for column in zip(*times, strict=True))
    first_ratio = statistics.median(s / f for s, f, _ in times)
    cached_ratio = statistics.median(s / c for s, _, c in times)
    return reference, first, cached, first_ratio, cached_ratio


def measure_scaling(faces: list[FaceSample], spec: SampleSpec, batches: int) -> tuple[float, ...]:
    """Batches of 4 a second with one thread, what a second one gains, what a second process gains.

    Processes share nothing but the machine: they show how much of the second core there is.
    """

    def make(number: int) -> list[dict[str, np.ndarray]]:
        return [
            make_sample(faces[(4 * number + i) % len(faces)], spec, 4 * number + i)
            for i in range(4)
        ]

    def by_threads(workers: int) -> float:
        pool = Prefetch(make, workers=workers, ahead=4)
        for _ in range(4):
            pool.take()
        begin = time.perf_counter()
        for _ in range(batches):
            pool.take()
        rate = batches / (time.perf_counter() - begin)
        pool.close()
        return rate

    def by_processes(workers: int) -> float:
        context = multiprocessing.get_context("fork")
        started = [context.Process(target=work) for _ in range(workers)]
        begin = time.perf_counter()
        for process in started:
            process.start()
        for process in started:
            process.join()
        return workers * batches / (time.perf_counter() - begin)

    def work() -> None:
        for number in range(batches):
            make(number)

    work()
    rounds = []
    for _ in range(5):
        one, two = by_threads(1), by_threads(2)
        rounds.append((one, two / one, by_processes(2) / by_processes(1)))
    return tuple(statistics.median(column) for column in zip(*rounds, strict=True))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--faces", type=Path, default=DEFAULT_FACES, help="folder of aligned faces")
    parser.add_argument("--seconds", type=float, default=1.5, help="for each line")
    parser.add_argument("--quick", action="store_true", help="128 px from 256 px only")
    parser.add_argument("--modes", default=",".join(MODES), help="default: all, by commas")
    options = parser.parse_args()
    modes = options.modes.split(",")
    if unknown := set(modes) - set(MODES):
        parser.error(f"--modes: {', '.join(sorted(unknown))} is not one of {', '.join(MODES)}")
    cv2.setNumThreads(1)
    faces = list(Faceset.open(options.faces))[:12]
    load = os.getloadavg()[0]
    print(f"{len(faces)} faces of {options.faces}; {os.cpu_count()} cores, load {load:.1f}")
    print("JPEG  size  mode   straight   first sight      cached        samples/s (cached)")
    for image in (256,) if options.quick else (256, 512):
        scaled = [resized(face, image) for face in faces]
        for resolution in (128,) if options.quick else (128, 256, 512):
            for mode in modes:
                spec = saehd_spec(resolution, mode)
                reference, first, cached, *ratios = measure(scaled, spec, options.seconds)
                print(
                    f"{image:4}  {resolution:4}  {mode:4} {reference:8.2f} ms"
                    f" {first:8.2f} ms {ratios[0]:5.1f}x {cached:8.2f} ms {ratios[1]:5.1f}x"
                    f" {1000 / cached:8.0f}",
                    flush=True,
                )
        one, threads, processes = measure_scaling(scaled, saehd_spec(128, "none"), 60)
        print(
            f"{image:4}   128  {one:.0f} batches/s with one thread; two threads {threads:.2f}x, "
            f"two processes {processes:.2f}x"
        )
    print(f"load at the end {os.getloadavg()[0]:.1f}")


if __name__ == "__main__":
    main()
