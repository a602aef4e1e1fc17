"""What a machine can do at best, and how much a program took of it."""

from __future__ import annotations

import contextlib
import os
import platform
import resource
import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

from dfl_tf_ops.process import cores, resident_memory

_MIB = 2**20

Report = dict[str, Any]
"""What a bench found, as it is printed in JSON: numbers, texts, lists and further reports."""


def milliseconds(
    function: Callable[[], object],
    rounds: int,
    *,
    warm_up: int = 1,
    clock: Callable[[], float] = time.perf_counter,
) -> list[float]:
    """Call a function and return how long each of `rounds` calls took."""
    for _ in range(warm_up):
        function()
    times = []
    for _ in range(rounds):
        start = clock()
        function()
        times.append((clock() - start) * 1e3)
    return times


def gemm_peak(dtype: str = "float32", *, size: int = 1536, seconds: float = 1.0) -> float:
    """Measure the best rate of a square matrix product with all threads, in GFLOP/s.

    Parameters
    ----------
    dtype : str
        Of the factors.
    size : int
        Side of the matrices.
    seconds : float
        How long to try; at least three products are timed and the fastest counts.
    """
    import tensorflow as tf

    factor = tf.cast(tf.random.stateless_uniform((size, size), (1, 2)), dtype)
    product = tf.function(tf.matmul, autograph=False)
    best, end = float("inf"), time.perf_counter() + seconds
    product(factor, factor)
    count = 0
    while count < 3 or time.perf_counter() < end:
        start = time.perf_counter()
        product(factor, factor).numpy()
        best, count = min(best, time.perf_counter() - start), count + 1
    return 2 * size**3 / best / 1e9


def peak_memory_mib() -> float:
    """The most memory that this process has held so far (resident set), in MiB."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (_MIB if sys.platform == "darwin" else 1024)


def resident_mib(pid: int | None = None) -> float | None:
    """What a process holds now, in MiB; None where the system does not tell."""
    held = resident_memory(pid)
    return None if held is None else held / _MIB


def load() -> float:
    """The system's load average over the last minute; 0 where there is none."""
    with contextlib.suppress(OSError, AttributeError):
        return os.getloadavg()[0]
    return 0.0


def facts() -> Report:
    """What figures of two runs must have in common to be compared."""
    import tensorflow as tf
    from dfl_tf_ops import native

    try:
        backend = str(native.backend())
    except native.NativeUnavailableError as error:
        backend = f"missing ({error})"
    return {
        "system": platform.platform(),
        "cores": cores(),
        "load": round(load(), 2),
        "tensorflow": tf.__version__,
        "native_ops": backend,
    }


def spread(times: list[float]) -> dict[str, float]:
    """Median and 95th percentile of some times."""
    ordered = sorted(times)
    last = ordered[min(len(ordered) - 1, int(0.95 * len(ordered)))]
    return {"median_ms": round(statistics.median(times), 3), "p95_ms": round(last, 3)}
