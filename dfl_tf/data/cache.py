"""A store of prepared arrays that never grows beyond its budget."""

from __future__ import annotations

import threading
from collections.abc import Hashable

import numpy as np
import numpy.typing as npt


class ArrayCache:
    """Keep arrays by key up to a number of bytes; thread-safe.

    What was kept first stays: an epoch visits every face once, so throwing out the oldest would
    leave nothing to find in a faceset that is larger than the budget, while a fixed part of it
    is found every time.

    Parameters
    ----------
    max_bytes : int
        Budget; 0 keeps nothing.
    """

    def __init__(self, max_bytes: int) -> None:
        self.max_bytes = max_bytes
        self.used_bytes = 0
        self._arrays: dict[Hashable, npt.NDArray[np.float32]] = {}
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._arrays)

    def get(self, key: Hashable) -> npt.NDArray[np.float32] | None:
        """Return the kept array, any shape, float32, which must not be written to, or None."""
        return self._arrays.get(key)

    def put(self, key: Hashable, array: npt.NDArray[np.float32]) -> None:
        """Keep an array of any shape, float32, if it still fits; it becomes read-only."""
        with self._lock:
            if key in self._arrays or self.used_bytes + array.nbytes > self.max_bytes:
                return
            array.flags.writeable = False
            self._arrays[key] = array
            self.used_bytes += array.nbytes
