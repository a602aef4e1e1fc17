"""The one door to numba, and its settings: compiled at first use, kept on disk, without the GIL.

All kernels import numba through this module. Sample threads import kernels when they first need
them; a thread that imported a part of numba while another is within `import numba` would find it
half made, whereas it waits for this module.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import llvmlite.binding as llvm
import numba
from llvmlite import ir
from numba.core import types
from numba.extending import intrinsic

__all__ = ["intrinsic", "ir", "njit", "njit_fused", "types"]

_Function = TypeVar("_Function", bound=Callable[..., Any])


_OPTIONS: dict[str, Any] = {"cache": True, "nogil": True, "error_model": "numpy"}


def njit(function: _Function) -> _Function:
    """Compile a kernel on plain arrays. No fastmath: results are those of the written formula."""
    return numba.njit(**_OPTIONS)(function)


def njit_fused(function: _Function) -> _Function:
    """Compile as `njit`, but a product and a sum may be rounded once instead of twice.

    For kernels whose time is arithmetic: CPUs do both in one instruction. The last bits then
    depend on whether the CPU has it.
    """
    return numba.njit(fastmath={"contract"}, **_OPTIONS)(function)


def _use_whole_vectors() -> None:
    """Vectors of 512 bits where the CPU has them: LLVM takes half of it to spare the clock rate.

    The bilateral filter takes a third less time so; results do not depend on the width.
    """
    features = llvm.get_host_cpu_features()
    if features.get("avx512f") and numba.config.CPU_FEATURES is None:
        numba.config.CPU_FEATURES = f"{features.flatten()},-prefer-256-bit"


_use_whole_vectors()
