"""The one door to numba, and its settings: compiled at first use, kept on disk, without the GIL.

Where nothing can be kept on disk (a read-only installation and no home, a full disk), kernels
are compiled in memory at each start, and that is said once.

All kernels import numba through this module. Sample threads import kernels when they first need
them; a thread that imported a part of numba while another is within `import numba` would find it
half made, whereas it waits for this module.
"""

from __future__ import annotations

import contextlib
import functools
import logging
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, TypeVar

import llvmlite.binding as llvm
import numba
from llvmlite import ir
from numba import carray as carray
from numba.core import types
from numba.core.caching import FunctionCache, NullCache
from numba.core.dispatcher import Dispatcher
from numba.extending import intrinsic

if TYPE_CHECKING:
    from numba.core.compiler import CompileResult
    from numba.core.cpu import CPUContext as CPUContext
    from numba.core.typing.context import BaseContext as BaseContext
    from numba.core.typing.templates import Signature as Signature

__all__ = [
    "cache_folder",
    "carray",
    "external",
    "intrinsic",
    "ir",
    "njit",
    "njit_fused",
    "njit_inner",
    "pointer_to",
    "types",
]

_log = logging.getLogger(__name__)

_Function = TypeVar("_Function", bound=Callable[..., object])


# Nobody takes a kernel's address: without that entry it compiles in less time.
_OPTIONS: dict[str, object] = {"nogil": True, "error_model": "numpy", "no_cfunc_wrapper": True}


def njit(function: _Function) -> _Function:
    """Compile a kernel on plain arrays. No fastmath: results are those of the written formula."""
    return _kept(numba.njit(**_OPTIONS)(function))


def njit_inner(function: _Function) -> _Function:
    """Compile as `njit` what only other kernels call: without an entry for Python."""
    return _kept(numba.njit(no_cpython_wrapper=True, **_OPTIONS)(function))


def njit_fused(function: _Function) -> _Function:
    """Compile as `njit`, but a product and a sum may be rounded once instead of twice.

    For kernels whose time is arithmetic: CPUs do both in one instruction. The last bits then
    depend on whether the CPU has it.
    """
    return _kept(numba.njit(fastmath={"contract"}, **_OPTIONS)(function))


def pointer_to(kind: types.Type) -> types.Type:
    """Return the type of a pointer to values of a type."""
    pointer: types.Type = types.CPointer(kind)  # type: ignore[attr-defined]
    return pointer


def external(name: str, signature: Signature) -> Callable[..., int]:
    """Return a function of the C library, for use in kernels; unlike ctypes', they can be kept."""
    function: Callable[..., int] = types.ExternalFunction(name, signature)
    return function


def cache_folder() -> str | None:
    """Compile a kernel and return the folder that keeps it; None if it is in memory only."""
    kernel = njit(_identity)
    kernel(0)
    folder: str | None = kernel.stats.cache_path  # type: ignore[attr-defined]
    return folder


def _identity(value: int) -> int:
    return value


def _kept(kernel: _Function) -> _Function:
    if isinstance(kernel, Dispatcher):  # a plain function under NUMBA_DISABLE_JIT
        kernel._cache = _KernelCache(kernel.py_func)  # type: ignore[attr-defined]
        plain = functools.partial(_call_without_literals, kernel)
        kernel.get_call_template = plain  # type: ignore[assignment]
    return kernel


_unliteral: Callable[[types.Type], types.Type] = types.unliteral  # type: ignore[attr-defined]


def _call_without_literals(
    kernel: Dispatcher, args: Sequence[types.Type], kws: Mapping[str, types.Type]
) -> object:
    """What a kernel that is called by another one is: compiled once for all constants."""
    plain = tuple(_unliteral(kind) for kind in args)
    named = {name: _unliteral(kind) for name, kind in kws.items()}
    return type(kernel).get_call_template(kernel, plain, named)


class _KernelCache(NullCache):
    """Numba's cache of one function, looked for at its first use, that never stops a kernel.

    Numba's `cache=True` looks for a folder where the function is defined, so that the import
    fails where there is none; and a full disk or a torn file of the cache would end the program
    for the sake of some seconds.
    """

    def __init__(self, function: Callable[..., object]) -> None:
        self._function = function

    @functools.cached_property
    def _disk(self) -> FunctionCache | NullCache:
        try:
            return FunctionCache(self._function)
        except (RuntimeError, OSError) as error:
            _say_once(error)
            return NullCache()

    @property
    def cache_path(self) -> str | None:
        folder: str | None = self._disk.cache_path
        return folder

    def load_overload(self, sig: Signature, target_context: CPUContext) -> CompileResult | None:
        try:
            return self._disk.load_overload(sig, target_context)
        except Exception as error:
            # Whatever a torn or foreign file makes of unpickling it: the kernel is compiled.
            _log.debug("a compiled kernel is made again: %r", error)
            with contextlib.suppress(OSError):
                self._disk.flush()
            return None

    def save_overload(self, sig: Signature, cres: CompileResult) -> None:
        try:
            self._disk.save_overload(sig, cres)
        except Exception as error:
            _say_once(error)
            self._disk = NullCache()


_told: list[BaseException] = []


def _say_once(error: BaseException) -> None:
    if not _told:
        _told.append(error)
        reason = "neither the installation nor the home of the user can be written"
        _log.warning(
            "compiled kernels cannot be kept on disk (%s): they are compiled in memory at each "
            "start, which takes some seconds. NUMBA_CACHE_DIR can name a folder for them.",
            error if isinstance(error, OSError) else reason,
        )


def _use_whole_vectors() -> None:
    """Vectors of 512 bits where the CPU has them: LLVM takes half of it to spare the clock rate.

    The bilateral filter takes a third less time so; results do not depend on the width.
    """
    features = llvm.get_host_cpu_features()
    if features.get("avx512f") and numba.config.CPU_FEATURES is None:
        numba.config.CPU_FEATURES = f"{features.flatten()},-prefer-256-bit"


_use_whole_vectors()
