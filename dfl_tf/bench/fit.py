"""The largest batch that fits into memory: estimated, then tried in processes of their own.

Run as a module it is such a trial: ``python -m dfl_tf.bench.fit`` reads a JSON request from
its standard input, trains two steps on noise and prints what it needed.
"""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, replace

from dfl_tf_ops.process import available_memory

from dfl_tf.bench import machine
from dfl_tf.bench.machine import Report
from dfl_tf.options import RunOptions, TrainingOptions

SHARE = 0.9
"""Of the available memory that a trial may use if no limit is given."""

_MIB = 2**20
_LARGEST = 1024
_TRIES = 6
_SECONDS = 900.0


def limit_mib(given: float | None) -> float:
    """The limit to try under: `given`, else most of what is available now, else 4 GiB."""
    if given:
        return given
    available = available_memory()
    return 4096.0 if available is None else SHARE * available / _MIB


def fit(
    model_class: str,
    options: TrainingOptions,
    run: RunOptions,
    *,
    limit: float,
    trial: Callable[..., Report] | None = None,
) -> Iterator[Report]:
    """Look for the largest batch size; yields each one that was tried.

    Parameters
    ----------
    model_class : str
    options, run
        Of the model; `batch_size` is what varies.
    limit : float
        MiB that a trial may hold (resident memory of its whole process).
    trial : callable, optional
        Replaces the process (tests): ``trial(model_class, options, run, limit=...)``.

    Yields
    ------
    dict
        `batch_size`, `fits`, `reason`, `estimate_mib`, `peak_mib` (seen; 0 if unknown),
        `limit_mib`, `step_seconds`. The last row that fits is not necessarily the largest one:
        take the maximum.
    """
    attempt = trial or try_batch
    # Two batch sizes tell the fixed part and the part of each sample apart.
    small, large = (_estimate(model_class, options, run, batch) for batch in (2, 4))
    each = max((large - small) / 2, 1e-3)
    fixed = small - 2 * each
    overhead = 0.0
    fitting, failing = 0, _LARGEST + 1
    batch = int(options.batch_size)
    for _ in range(_TRIES):
        sized = replace(options, batch_size=batch)
        row = {"batch_size": batch, "estimate_mib": round(fixed + overhead + batch * each, 1)}
        row |= attempt(model_class, sized, run, limit=limit) | {"limit_mib": round(limit, 1)}
        yield row
        if row["fits"]:
            fitting = max(fitting, batch)
            overhead = row["peak_mib"] - fixed - batch * each  # what TensorFlow itself holds
        else:
            failing = min(failing, batch)
        room = int((limit - fixed - overhead) / each)
        batch = min(max(room, fitting + 1), failing - 1)
        if room >= failing or (fitting and batch > 4 * fitting):
            batch = (fitting + failing) // 2 if failing <= _LARGEST else 4 * fitting
        if failing - fitting <= 1 or batch in (fitting, failing) or batch < 1:
            return


def _estimate(model_class: str, options: TrainingOptions, run: RunOptions, batch: int) -> float:
    """MiB that a model of this batch size needs, without TensorFlow itself."""
    from dfl_tf import models
    from dfl_tf.train.memory_use import memory

    sized = replace(options, batch_size=batch)
    model = models.create(model_class, sized, run, initialized=False)
    return memory(model)["all of these"]


def try_batch(
    model_class: str, options: TrainingOptions, run: RunOptions, *, limit: float
) -> Report:
    """Train two steps in a process of its own, which is ended when it holds more than `limit` MiB.

    Returns
    -------
    dict
        `fits`, `reason`, `peak_mib`, `step_seconds`.
    """
    request = {"model_class": model_class, "options": asdict(options), "run": asdict(run)}
    child = subprocess.Popen(
        [sys.executable, "-m", "dfl_tf.bench.fit"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert child.stdin is not None
    child.stdin.write(json.dumps({**request, "limit_mib": limit}))
    child.stdin.close()
    reason, peak, end = "", 0.0, time.monotonic() + _SECONDS
    while child.poll() is None:
        held = machine.resident_mib(child.pid) or 0.0
        peak = max(peak, held)
        if held > limit or time.monotonic() > end:
            reason = "out of memory" if held > limit else f"not done in {_SECONDS:.0f} s"
            child.kill()
            child.wait()
        time.sleep(0.05)
    assert child.stdout is not None
    text = child.stdout.read()
    child.stdout.close()
    found: Report = {}
    with contextlib.suppress(ValueError):
        found = json.loads(text or "{}")
    if not found:
        reason = reason or "out of memory"
    reason = reason or found.get("reason", "")
    return {
        "fits": not reason,
        "reason": reason,
        "peak_mib": round(max(peak, found.get("peak_mib", 0.0)), 1),
        "step_seconds": found.get("step_seconds", 0.0),
    }


def _limit_memory(mib: float) -> None:
    """Let allocations beyond the limit fail, where the system can do that."""
    import resource

    with contextlib.suppress(OSError, ValueError, AttributeError):
        size = int(mib * _MIB)
        resource.setrlimit(resource.RLIMIT_DATA, (size, size))


def _trial(request: Report) -> Report:
    """The two steps of a trial."""
    _limit_memory(request["limit_mib"])
    import numpy as np
    from dfl_tf_ops.native_output import import_tensorflow

    from dfl_tf import models
    from dfl_tf.data import Batch
    from dfl_tf.devices.configure import configure_devices
    from dfl_tf.options import OPTIONS, RunOptions

    given = request["run"]
    run = RunOptions(**{**given, "reinit": tuple(given["reinit"])})
    configure_devices(run)
    tf = import_tensorflow()
    options = OPTIONS[request["model_class"]](**request["options"])
    try:
        model = models.create(request["model_class"], options, run)
        rng = np.random.default_rng(0)
        count = model.samples_per_step
        batches = [
            Batch(
                {
                    field: rng.random((count, *shape), dtype=np.float32)
                    for field, shape in spec.shapes.items()
                }
            )
            for spec in model.sample_specs().values()
        ]
        seconds = 0.0
        for _ in range(2):
            start = time.perf_counter()
            for value in model.train_step(*batches).values():
                value.numpy()
            model.iteration += 1
            seconds = time.perf_counter() - start
    except (tf.errors.ResourceExhaustedError, MemoryError):
        return {"reason": "out of memory", "peak_mib": machine.peak_memory_mib()}
    return {"peak_mib": machine.peak_memory_mib(), "step_seconds": round(seconds, 3)}


if __name__ == "__main__":
    print(json.dumps(_trial(json.load(sys.stdin))))
