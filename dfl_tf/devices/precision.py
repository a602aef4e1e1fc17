"""Which precisions the machine computes with itself, and what to say where it does not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from dfl_tf.devices.cpu import cpu_bfloat16
from dfl_tf.options import RunOptions

_CAPABILITY = {"bfloat16": (8, 0), "float16": (7, 0)}
"""The first compute capability of a GPU that has tensor cores for these numbers."""


def precision_notes(run: RunOptions) -> list[str]:
    """What a user should be told about the precision on the devices in use, one sentence each."""
    if run.precision not in _CAPABILITY:
        return []
    from dfl_tf_ops.native_output import import_tensorflow

    tf = import_tensorflow()
    gpus = [] if run.cpu else tf.config.get_visible_devices("GPU")
    if not gpus:
        return _cpu_notes(run.precision, cpu_bfloat16())
    details = [tf.config.experimental.get_device_details(gpu) for gpu in gpus]
    return _gpu_notes(run.precision, details)


def _cpu_notes(precision: str, native: Sequence[str]) -> list[str]:
    if precision == "float16":
        return [
            "precision float16 is for GPUs: a CPU multiplies in float32 and only rounds to it, "
            "which is slower than float32. Take float32, or bfloat16 where it is native."
        ]
    if native:
        return []
    return [
        "precision bfloat16: this CPU does not say that it multiplies bfloat16 itself (avx512_bf16 "
        "or amx_bf16), so it is emulated: multiplied in float32 and rounded, which is slower than "
        "float32. Take float32 here."
    ]


def _gpu_notes(precision: str, details: Sequence[Mapping[str, tuple[int, int]]]) -> list[str]:
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
