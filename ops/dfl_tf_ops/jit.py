"""The one numba setting: compiled at first use, kept on disk, runs without the interpreter lock."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import numba

_Function = TypeVar("_Function", bound=Callable[..., Any])


def njit(function: _Function) -> _Function:
    """Compile a kernel on plain arrays. No fastmath: results are those of the written formula."""
    return numba.njit(cache=True, nogil=True, error_model="numpy")(function)
