#!/usr/bin/env python3
"""Time the making of training samples against the straight way of the data specification.

    python tools/bench_samples.py [--faces FOLDER] [--seconds S] [--quick] [--modes none,sot]
        [--images 256,512] [--resolutions 128,256,512]

Without options: faces of 512 pixels at 128 and 256, without color transfer, with rct and with sot,
in some six minutes on two idle cores; targets stand behind their figures. Prints, for each image
size, resolution and color transfer mode, the CPU time of a sample made the straight way
(`reference_sample.py`), on first sight of a face and from the cache, with the medians of the ratios
of neighboring measurements. Under each: milliseconds that the interpreter's lock is held and times
that it is given away, of a sample and of one made in single steps as before ("steps": the
yardstick), counted as `lock_count.py` says, and samples a second that 4, 8 and 16 threads on as
many cores would make, simulated from these; how two threads scale beside two processes; what a face
takes in the cache, packed and not, how many faces a cache of half of the predicted need finds, and
what a cache on the disk could give. Last, what a thread that works as a training does loses beside
a thread that makes samples. All figures of time are CPU time of one core, except for scaling, that
loss and what the disk takes.
"""

from __future__ import annotations

import argparse
import contextlib
import heapq
import multiprocessing
import os

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # the work beside samples is one thread's

import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
for entry in (ROOT / "tools", ROOT / "ops", ROOT):
    if str(entry) not in sys.path:
        sys.path.insert(0, str(entry))

import cv2  # noqa: E402
import lock_count  # noqa: E402
import numpy as np  # noqa: E402
from dfl_tf_ops.process import user_cache  # noqa: E402
from reference_sample import reference_sample  # noqa: E402

from dfl_tf.data import (  # noqa: E402
    ArrayCache,
    CacheNeed,
    DiskCache,
    FaceSample,
    Faceset,
    OutputSpec,
    SampleSpec,
    make_sample,
)
from dfl_tf.data import sample as sample_module  # noqa: E402
from dfl_tf.data.batch import empty_array  # noqa: E402
from dfl_tf.data.prefetch import Prefetch  # noqa: E402
from dfl_tf.face import FaceType  # noqa: E402
from dfl_tf.imaging import encode_image, to_uint8  # noqa: E402

MODES = ("none", "rct", "lct", "mkl", "idt", "sot")
MIN_ROUNDS = 5
# By mode and resolution: so many times as fast as the straight way, at first sight and cached.
TARGETS = {
    ("none", 128): (5, 20),
    ("none", 256): (4, 9),
    ("rct", 128): (4, 0),
    ("rct", 256): (4, 0),
    ("sot", 128): (10, 0),
    ("sot", 256): (10, 0),
}
HELD, GIVEN, SCALING, LOSS = 0.15, 8, 1.9, 0.03
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


@contextlib.contextmanager
def single_steps() -> Iterator[None]:
    """Make samples as before: every step a call of its own."""
    together = sample_module._moves_together
    sample_module._moves_together = lambda spec: False
    try:
        yield
    finally:
        sample_module._moves_together = together


def count_lock(
    faces: list[FaceSample], spec: SampleSpec, cache: ArrayCache | None, count: int = 48
) -> tuple[float, float, float]:
    """Medians of one sample: milliseconds with the lock, times given away, milliseconds in all."""
    rows = []
    rooms = {name: empty_array(*shape) for name, shape in spec.shapes.items()}  # as of a batch
    for number in range(count):
        face, other = faces[number % len(faces)], faces[(3 * number + 1) % len(faces)]
        begin = time.thread_time()
        with lock_count.LockCount() as lock:
            make_sample(face, spec, number, color_source=other, cache=cache, rooms=rooms)
        rows.append((lock.held * 1000, lock.given_away, (time.thread_time() - begin) * 1000))
    held, given, total = (statistics.median(column) for column in zip(*rows, strict=True))
    return held, given, total


def predict(held: float, given: float, total: float, workers: int, samples: int = 400) -> float:
    """Samples a second of threads that have a core each and share one lock.

    A sample holds the lock in as many pieces as it is given away, with what is done without it in
    between; whoever asks first is served first. What a change of threads costs is left out.
    """
    pieces = max(1, round(given))
    with_lock, without = held / pieces, max(0.0, total - held) / pieces
    asking = [(0.0, worker, pieces) for worker in range(workers)]
    free, done = 0.0, 0
    while done < samples:
        at, worker, left = heapq.heappop(asking)
        free = max(free, at) + with_lock
        done += left == 1
        heapq.heappush(asking, (free + without, worker, pieces if left == 1 else left - 1))
    return 1000 * done / free


def print_lock(faces: list[FaceSample], spec: SampleSpec) -> None:
    """Lines beside the single steps: first sight, with one more image to decode, and cached."""
    bare = [replace(face, xseg_bytes=None, key=f"{face.key} bare") for face in faces]
    rows = [("first sight", bare, None), ("cached", bare, ArrayCache(2**30))]
    if any(face.xseg_bytes for face in faces):
        rows.insert(1, ("... XSeg", faces, None))
    for what, faces, kept in rows:
        count_lock(faces, spec, kept)
        held, given, total = count_lock(faces, spec, kept)
        with single_steps():
            steps_held, steps_given, _ = count_lock(faces, spec, kept)
        rates = (f"{predict(held, given, total, n):.0f}" for n in (4, 8, 16))
        print(
            f"      {what:11}: lock held {held:.2f} ms (<= {HELD}), given away {given:.0f} times "
            f"(<= {GIVEN}; steps: {steps_held:.2f} ms, {steps_given:.0f}); "
            f"4, 8, 16 threads: {', '.join(rates)}/s",
            flush=True,
        )


def print_cache(faces: list[FaceSample], spec: SampleSpec) -> None:
    """What a face takes in the cache, and how many of them are found in half of the need."""
    sizes = []
    for packs in (True, False):
        cache = ArrayCache(2**34, packs=packs)
        for face in faces:
            make_sample(face, spec, 1, color_source=face, cache=cache)
        sizes.append(cache.used_bytes / len(faces) / 2**10)
    need = CacheNeed.of({"src": (faces, spec)}, faces if spec.ct_mode in ("idt", "sot") else None)
    half = ArrayCache(need.size // 2)
    for number in range(10 * len(faces)):
        if number == len(faces):
            half.found = half.made = 0
        face = faces[number % len(faces)]
        make_sample(face, spec, number, color_source=face, cache=half)
    predicted = need.size / need.faces / 2**10
    print(
        f"      cache      : {sizes[0]:.0f} KiB a face (predicted {predicted:.0f}, "
        f"not packed {sizes[1]:.0f}); in half of the predicted need {half.hit_rate:.0%} are found",
        flush=True,
    )


def print_disk(faces: list[FaceSample], spec: SampleSpec, first: float, cached: float) -> None:
    """A sample of a face that only the disk cache holds.

    Processor time, with the file in the memory in which the system keeps files; and wall time with
    the file out of it.
    """
    folder = user_cache() or Path(tempfile.gettempdir())
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder) as place:
        source: Any = SimpleNamespace(
            path=Path(place) / "aligned", stamps=lambda: {face.key: (1, 1) for face in faces}
        )

        def taken(read: Callable[[], float], *, cold: bool) -> float:
            disk = DiskCache([source], 2**34, Path(place))
            cache, spent = ArrayCache(0, disk=disk), []
            for number in range(4 * len(faces)):
                face = faces[number % len(faces)]
                if cold:
                    for path in Path(place).iterdir():
                        with open(path, "rb") as file:
                            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
                begin = read()
                make_sample(face, spec, number, color_source=face, cache=cache)
                spent.append((read() - begin) * 1000)
            cache.clear()
            return statistics.median(spent)

        taken(time.thread_time, cold=False)  # fills it
        os.sync()
        kept = taken(time.thread_time, cold=False)
        wall = taken(time.perf_counter, cold=True)
        size = max(path.stat().st_size for path in Path(place).iterdir()) // len(faces)
    print(
        f"      disk cache : {size / 2**10:.0f} KiB a face; a sample takes {kept:.2f} ms of the "
        f"processor's time (cached {cached:.2f}, first sight {first:.2f}: {first / kept:.1f}x), "
        f"{wall:.2f} ms on the clock if the disk itself is read",
        flush=True,
    )


def training_loss(
    faces: list[FaceSample], spec: SampleSpec, cache: ArrayCache | None, rounds: int = 9
) -> tuple[float, ...]:
    """Medians of what a training's thread loses beside samples, made at once and in single steps.

    It works as a training does: 60 times a millisecond or so without the lock, and a few
    microseconds with it. Beside it a thread of this process makes samples, or another *process*:
    how much longer work takes beside the thread is due to the lock. That compares two spans of
    time, on whose difference everything else on the machine acts; so the share of the span in
    which the thread waited for the lock is counted as well, where it can be.
    """
    matrix = np.random.RandomState(0).rand(220, 220)
    counted = lock_count.available()

    def work() -> tuple[float, float]:
        begin = time.perf_counter()
        with lock_count.LockCount() if counted else contextlib.nullcontext() as lock:
            for _ in range(60):
                matrix @ matrix
                sum(range(300))
        spent = time.perf_counter() - begin
        return spent, lock.waited / spent if counted else float("nan")

    def samples(stop: threading.Event) -> None:
        number = 0
        while not stop.is_set():
            make_sample(faces[number % len(faces)], spec, number, cache=cache)
            number += 1

    def beside(
        kind: type[threading.Thread] | Callable[..., multiprocessing.Process],
    ) -> tuple[float, float]:
        stop = multiprocessing.get_context("fork").Event()
        other = kind(target=samples, args=(stop,))
        other.start()
        time.sleep(0.05)
        result = work()
        stop.set()
        other.join()
        return result

    process = multiprocessing.get_context("fork").Process
    work()
    rows = []
    for _ in range(rounds):
        alone, _ = beside(process)
        together, waited = beside(threading.Thread)
        with single_steps():
            steps, steps_waited = beside(threading.Thread)
        rows.append((together / alone - 1, waited, steps / alone - 1, steps_waited))
    return tuple(statistics.median(column) for column in zip(*rows, strict=True))


def measure_scaling(
    faces: list[FaceSample], spec: SampleSpec, cache: ArrayCache | None
) -> tuple[float, ...]:
    """Batches of 4 a second with one thread, what a second one gains, what a second process gains.

    Processes share nothing but the machine: they show how much of the second core there is.
    """

    def make(number: int) -> list[dict[str, np.ndarray]]:
        return [
            make_sample(
                faces[place % len(faces)],
                spec,
                place,
                color_source=faces[(3 * place + 1) % len(faces)],
                cache=cache,
            )
            for place in range(4 * number, 4 * number + 4)
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

    for number in range(len(faces)):  # every face is in the cache afterwards
        make(number)
    begin = time.perf_counter()
    make(0)
    batches = max(8, round(0.6 / (time.perf_counter() - begin)))
    rounds = []
    for _ in range(5):
        one, two = by_threads(1), by_threads(2)
        rounds.append((one, two / one, by_processes(2) / by_processes(1)))
    return tuple(statistics.median(column) for column in zip(*rounds, strict=True))


def print_rows(faces: list[FaceSample], resolution: int, mode: str, seconds: float) -> None:
    """All figures of one mode at one resolution."""
    spec = saehd_spec(resolution, mode)
    size = faces[0].shape[0]
    reference, first, cached, *ratios = measure(faces, spec, seconds)
    wanted = [f"(>= {each})" if each else "" for each in TARGETS.get((mode, resolution), (0, 0))]
    print(
        f"{size:4}  {resolution:4}  {mode:4} {reference:8.2f} ms"
        f" {first:8.2f} ms {ratios[0]:5.1f}x {wanted[0]:7} {cached:8.2f} ms {ratios[1]:5.1f}x"
        f" {wanted[1]:7} {1000 / cached:8.0f}",
        flush=True,
    )
    if lock_count.available():
        print_lock(faces, spec)
    for what, cache in (("first sight", None), ("cached", ArrayCache(2**32))):
        one, threads, processes = measure_scaling(faces, spec, cache)
        print(
            f"      {what:11}: {4 * one:.0f} samples/s with one thread; two threads "
            f"{threads:.2f}x (>= {SCALING}), two processes {processes:.2f}x",
            flush=True,
        )
    print_cache(faces, spec)
    if hasattr(os, "posix_fadvise"):
        print_disk(faces, spec, first, cached)


def numbers(text: str) -> list[int]:
    """Whole numbers by commas."""
    return [int(part) for part in text.split(",")]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--faces", type=Path, default=DEFAULT_FACES, help="folder of aligned faces")
    parser.add_argument("--seconds", type=float, default=3, help="of each first line of figures")
    parser.add_argument("--quick", action="store_true", help="128 px from 256 px only")
    parser.add_argument("--modes", default="none,rct,sot", help=f"of {','.join(MODES)}, by commas")
    parser.add_argument("--images", type=numbers, default=[512], help="sides of faces, by commas")
    parser.add_argument("--resolutions", type=numbers, default=[128, 256], help="by commas")
    options = parser.parse_args()
    modes = options.modes.split(",")
    if unknown := set(modes) - set(MODES):
        parser.error(f"--modes: {', '.join(sorted(unknown))} is not one of {', '.join(MODES)}")
    lock_count.restart_with_counter()
    if not lock_count.available():
        print("the lock is not counted: no C compiler, or a Python of another kind")
    cv2.setNumThreads(1)
    faces = list(Faceset.open(options.faces))[:12]
    load, begin = os.getloadavg()[0], time.perf_counter()
    print(f"{len(faces)} faces of {options.faces}; {os.cpu_count()} cores, load {load:.1f}")
    print(
        "JPEG  size  mode   straight   first sight              cached                  samples/s"
    )
    for image in (256,) if options.quick else options.images:
        scaled = [resized(face, image) for face in faces]
        for resolution in (128,) if options.quick else options.resolutions:
            for mode in modes:
                print_rows(scaled, resolution, mode, options.seconds)
    for what, cache in (("first sight", None), ("cached", ArrayCache(2**32))):
        found = training_loss(scaled, saehd_spec(128, "none"), cache)
        print(
            f"{what}: a training loses {found[0]:+.1%}, {found[1]:.1%} waiting for the lock "
            f"(<= {LOSS:.0%}) beside one thread (steps: {found[2]:+.1%}, {found[3]:.1%})"
        )
    print(f"load at the end {os.getloadavg()[0]:.1f}; {time.perf_counter() - begin:.0f} s")


if __name__ == "__main__":
    main()
