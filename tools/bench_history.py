"""Read and write the loss history of a very long training; compare with Python's own unpickling.

    python tools/bench_history.py [--entries 3200000] [--json]

A `data.dat` as DeepFaceLab writes it (its pickle is made by Python's own pickler, protocol 4) is
read by the standard library and by dfl_tf, each in a process of its own, alternately, and the
best of three runs counts. Then the same history is written as each save does. Printed are the
ratio of CPU seconds, the peak memory of the process that reads, and what a save costs the
training thread.
"""

from __future__ import annotations

import argparse
import json
import pickle
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "ops")]


def make(path: Path, entries: int) -> None:
    """Write a data.dat as the legacy program does."""
    losses = np.random.default_rng(0).random((entries, 2)).tolist()
    with path.open("wb") as file:
        pickle.dump({"iter": entries, "options": {"a": 1}, "loss_history": losses}, file, 4)


def read(path: Path, how: str) -> dict[str, float]:
    """CPU seconds and peak memory (MB) of one reading, in this process."""
    if how == "pickle":
        start = time.process_time()
        with path.open("rb") as file:
            content = pickle.load(file)  # noqa: S301, TID251 - made here
    else:
        from dfl_tf.formats.models.legacy import read_data

        start = time.process_time()
        content = read_data(path)
    seconds = time.process_time() - start
    if len(content["loss_history"]) != content["iter"]:
        raise AssertionError("entries are missing")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {"seconds": seconds, "peak_mb": peak}


def save(path: Path) -> dict[str, float]:
    """Seconds of handing a state over to the saving thread, and of writing its data.dat."""
    from dfl_tf.formats import ModelState
    from dfl_tf.formats.models.legacy import data_dict, dump_legacy, read_data
    from dfl_tf.train.host_copies import HostCopies

    data = read_data(path)
    state = ModelState(
        model_class="SAEHD", iteration=data["iter"], options={}, tensors={},
        loss_history=data["loss_history"],
    )  # fmt: skip
    start = time.perf_counter()
    owned = HostCopies().take(state).state
    copied = time.perf_counter() - start
    start = time.perf_counter()
    largest = 0

    def write(part: object) -> None:
        nonlocal largest
        largest = max(largest, memoryview(part).nbytes)  # type: ignore[arg-type]

    dump_legacy(data_dict(owned), write)
    return {
        "hand_over": copied,
        "write": time.perf_counter() - start,
        "largest_piece": float(largest),
    }


def measured(path: Path, how: str, entries: int = 0) -> dict[str, float]:
    """`read`, `save` or `make` in a process of its own.

    This process stays small: on Linux a child's peak memory begins with that of its parent.
    """
    command = [sys.executable, __file__, "--entries", str(entries), "--child", str(path), how]
    result: dict[str, float] = json.loads(subprocess.check_output(command))
    return result


def main() -> int:
    """Print the figures; 1 if the ratio passes 3 or the memory 600 MB."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--entries", type=int, default=3_200_000)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--child", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        path, how = Path(options.child[0]), options.child[1]
        if how == "make":
            make(path, options.entries)
            print("{}")
        else:
            print(json.dumps(save(path) if how == "save" else read(path, how)))
        return 0
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "new_SAEHD_data.dat"
        measured(path, "make", options.entries)
        runs = [(measured(path, "pickle"), measured(path, "dfl_tf")) for _ in range(3)]
        saved = measured(path, "save")
    python = min(run[0]["seconds"] for run in runs)
    ours = min(run[1]["seconds"] for run in runs)
    peak = max(run[1]["peak_mb"] for run in runs)
    facts = {
        "entries": options.entries, "pickle_seconds": python, "dfl_tf_seconds": ours,
        "ratio": ours / python, "peak_mb": peak, **saved,
    }  # fmt: skip
    if options.json:
        print(json.dumps(facts))
    else:
        print(
            f"{options.entries} entries: the standard library reads them in {python:.2f} s, dfl_tf "
            f"in {ours:.2f} s: {facts['ratio']:.2f} times, peak memory {peak:.0f} MB"
        )
        print(
            f"a save: {1000 * saved['hand_over']:.2f} ms of the training thread, written in "
            f"{saved['write']:.2f} s by the saving one, in pieces of at most "
            f"{saved['largest_piece'] / 1024:.0f} KiB"
        )
    return 1 if facts["ratio"] > 3 or peak > 600 else 0


if __name__ == "__main__":
    raise SystemExit(main())
