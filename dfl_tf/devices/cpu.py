"""What the CPU at hand can do, without asking TensorFlow."""

from __future__ import annotations

import functools
import os

from dfl_tf_ops.process import cpu_info

WORKS_AHEAD = "DFL_TF_WORKS_AHEAD"
_BFLOAT16 = ("amx_bf16", "avx512_bf16", "avx_ne_convert", "bf16")


def cpu_bfloat16(flags: str | None = None) -> list[str]:
    """Return the instruction sets of this CPU (or of the given flags) that multiply bfloat16.

    Empty where there are none, or where the system does not tell.
    """
    text = cpu_flags() if flags is None else flags
    return [flag for flag in _BFLOAT16 if flag in text.split()]


def slow_weight_gradients(flags: str | None = None) -> bool:
    """Whether the gradients of convolution kernels are slow here (`nn.convolution`).

    They are on x86 CPUs without AVX-512.
    """
    found = (cpu_flags() if flags is None else flags).split()
    return "avx2" in found and "avx512f" not in found


@functools.cache
def cpu_flags() -> str:
    """Return the flags of the first CPU as Linux lists them; empty on other systems."""
    return cpu_info("flags", "Features")


def cpu_works_ahead() -> bool:
    """Whether a CPU is treated as a GPU, which works on its own: `DFL_TF_WORKS_AHEAD=1`.

    Losses are then read one step late and batches are copied ahead, with the same bits. That is how
    it is proved where there is no GPU (`tools/kill_recipe.py --late`).
    """
    return os.environ.get(WORKS_AHEAD) == "1"
