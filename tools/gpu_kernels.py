"""Write the table of the kernels that TensorFlow's GPU build has: tests/devices/gpu_kernels.json.

python tools/gpu_kernels.py [FILE]

To be run where the package `tensorflow` is installed, not `tensorflow-cpu`: its library has the GPU
kernels and lists them without a GPU. `tests/devices/test_gpu_kernels.py` compares with the table
what a training step consists of.
"""

from __future__ import annotations

import argparse
import json
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import tensorflow as tf
from tensorflow.python.framework import kernels, op_def_registry

TABLE = Path(__file__).resolve().parents[1] / "tests" / "devices" / "gpu_kernels.json"
DEVICES = ("GPU", "DEFAULT")
"""Kernels of kind DEFAULT run on any device: they only move or name what is there."""

Constraint = dict[str, list[str]]


def gpu_kernels(*, of_host: bool = False) -> dict[str, list[Constraint]]:
    """Of each operation with GPU kernels, what their attributes may be: one entry a kernel.

    With `of_host` only kernels all of whose results lie in the host's memory: those are whole
    numbers that say how large or how many, and the GPU is not asked for anything.
    """
    found: dict[str, list[Constraint]] = defaultdict(list)
    for kernel in kernels.get_all_registered_kernels().kernel:
        if kernel.device_type not in DEVICES or kernel.label:
            continue
        results = _results(kernel.op)
        if of_host and not (results and results <= set(kernel.host_memory_arg)):
            continue
        constraint = {
            each.name: sorted(tf.as_dtype(t).name for t in each.allowed_values.list.type)
            for each in kernel.constraint
        }
        if constraint not in found[kernel.op]:
            found[kernel.op].append(constraint)
    return {op: _joined(found[op]) for op in sorted(found)}


def _results(op: str) -> set[str]:
    """Names of what an operation gives."""
    known = op_def_registry.get(op)
    return {result.name for result in known.output_arg} if known else {"unknown"}


def _joined(entries: Sequence[Constraint]) -> list[Constraint]:
    """Write kernels that differ in one attribute only as one."""
    joined: list[Constraint] = []
    for entry in sorted(entries, key=lambda each: json.dumps(each, sort_keys=True)):
        for other in joined:
            differing = [k for k in entry if other.get(k) != entry[k]]
            if entry.keys() == other.keys() and len(differing) == 1:
                key = differing[0]
                other[key] = sorted({*other[key], *entry[key]})
                break
        else:
            joined.append({key: list(values) for key, values in entry.items()})
    return joined


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("file", nargs="?", type=Path, default=TABLE)
    args = parser.parse_args(argv)
    found = gpu_kernels()
    if "Conv2D" not in found:
        parser.error("this TensorFlow has no GPU kernels: install tensorflow, not tensorflow-cpu")
    parts = {"kernels": found, "of_host": gpu_kernels(of_host=True)}
    texts = [f'"tensorflow": {json.dumps(tf.__version__)}']
    for name, operations in parts.items():
        rows = (f"{json.dumps(op)}: {json.dumps(rows)}" for op, rows in operations.items())
        texts.append(f"{json.dumps(name)}: {{\n" + ",\n".join(rows) + "\n}")
    args.file.write_text("{" + ", ".join(texts) + "}\n", encoding="utf-8")
    print(f"{args.file}: {len(found)} operations of TensorFlow {tf.__version__}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
