"""Which precisions the machine computes with itself, and what to say where it does not."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from dfl_tf.options import RunOptions

_CPU_FLAGS = ("amx_bf16", "avx512_bf16", "avx_ne_convert", "bf16")
_CAPABILITY = {"bfloat16": (8, 0), "float16": (7, 0)}
"""The first compute capability of a GPU that has tensor cores for these numbers."""


def cpu_bfloat16(flags: str | None = None) -> list[str]:
    """The instruction sets of this CPU (or of the given flags) that multiply bfloat16.

    Empty where there are none, or where the system does not tell.
    """
    text = _cpu_flags() if flags is None else flags
    return [flag for flag in _CPU_FLAGS if flag in text.split()]


def _cpu_flags() -> str:
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith(("flags", "Features")):
                return line.partition(":")[2]
    return ""


def precision_notes(run: RunOptions) -> list[str]:
    """What a user should be told about the precision on the devices in use, one sentence each."""
    if run.precision not in _CAPABILITY:
        return []
    from dfl_tf.train.devices import import_tensorflow

    tf = import_tensorflow()
    gpus = [] if run.cpu else tf.config.get_visible_devices("GPU")
    if not gpus:
        return _cpu_notes(run.precision, cpu_bfloat16())
    details = [tf.config.experimental.get_device_details(gpu) for gpu in gpus]
    return _gpu_notes(run.precision, details)


def _cpu_notes(precision: str, native: Sequence[str]) -> list[str]:
    if precision == "float16":
        return [
            "precision float16 is for GPUs: a CPU computes it slower than float32. "
            "Take bfloat16 or float32 here."
        ]
    if native:
        return []
    return [
        "precision bfloat16: this CPU does not say that it multiplies bfloat16 itself (avx512_bf16 "
        "or amx_bf16), so it is emulated and slower than float32. Take float32 here."
    ]


def _gpu_notes(precision: str, details: Sequence[dict[str, Any]]) -> list[str]:
    needed = _CAPABILITY[precision]
    notes = []
    for index, found in enumerate(details):
        capability = found.get("compute_capability")
        if capability is not None and tuple(capability) < needed:
            has, wants = (".".join(map(str, version)) for version in (capability, needed))
            notes.append(
                f"precision {precision}: GPU {index} ({found.get('device_name', 'unknown')}) has "
                f"compute capability {has}; from {wants} on it is faster than float32."
            )
    return notes
