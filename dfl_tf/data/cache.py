"""A store of prepared arrays that never grows beyond its budget, and how large that is."""

from __future__ import annotations

import threading
from collections.abc import Hashable
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
from dfl_tf_ops.process import available_at_peak, available_memory

if TYPE_CHECKING:
    from dfl_tf_ops.packed import Packed

    from dfl_tf.data.disk_cache import DiskCache

Array = npt.NDArray[np.float32]

SHARE = 4
"""The cache takes a quarter of the memory that is free when the streams are opened."""
_UNKNOWN = 512 << 20  # bytes, where the system does not say what is free
_STEP = 64 << 20  # bytes, after which it is asked again what is free


class ArrayCache:
    """Keep arrays by key up to a number of bytes; thread-safe.

    What was kept first stays: an epoch visits every face once, so throwing out the oldest would
    leave nothing to find in a faceset that is larger than the budget, while a fixed part of it
    is found every time. Arrays are packed where that saves memory, without losing a bit
    (`dfl_tf_ops.packed`).

    Parameters
    ----------
    max_bytes : int
        Budget; 0 keeps nothing.
    reserve : int
        Bytes that stay free: the cache grows no further when fewer would be left once the process
        holds as much again as it did at most.
    packs : bool
        Whether arrays are packed; it costs time.
    disk : DiskCache, optional
        Where everything is kept as well, and looked for.

    Attributes
    ----------
    used_bytes : int
    found, made : int
        Faces of samples of which everything was found here; of which something had to be made.
    """

    def __init__(
        self,
        max_bytes: int,
        *,
        reserve: int = 0,
        packs: bool = True,
        disk: DiskCache | None = None,
    ) -> None:
        self.max_bytes, self.disk = max_bytes, disk
        self.used_bytes = self.found = self.made = 0
        self._reserve, self._packs = reserve, packs
        self._next_look, self._full = _STEP, max_bytes == 0
        self._arrays: dict[Hashable, Array | Packed] = {}
        self._lock = threading.Lock()

    @classmethod
    def sized(cls, megabytes: int | None, disk: DiskCache | None = None) -> ArrayCache:
        """Make a cache of that many MiB, or of its share of the memory that is free now."""
        size = cache_bytes(megabytes)
        return cls(size, reserve=size // 2 if megabytes is None else 0, disk=disk)

    def __len__(self) -> int:
        return len(self._arrays)

    def __contains__(self, key: Hashable) -> bool:
        return key in self._arrays or (self.disk is not None and key in self.disk)

    def kept(self, key: Hashable) -> Array | Packed | None:
        """Return an array, any shape, float32, as it is kept, or None; not to be written to."""
        kept = self._arrays.get(key)
        if kept is None and self.disk is not None:
            kept = self.disk.get(key)
            if kept is not None:
                self._keep(key, kept)
        return kept

    def get(self, key: Hashable) -> Array | None:
        """Return an array, any shape, float32, or None; not to be written to."""
        kept = self.kept(key)
        return None if kept is None else unpacked(kept)

    def put(self, key: Hashable, array: Array, *, packs: bool = True) -> None:
        """Keep an array of any shape, float32, if it still fits; it becomes read-only.

        With `packs` it is tried whether it takes fewer bytes: not worth it for resized images.
        """
        if self._full and self.disk is None:
            return
        kept: Array | Packed = array
        if packs and self._packs:
            from dfl_tf_ops.packed import pack  # loads numba

            kept = pack(array) or array
        array.flags.writeable = False
        self._keep(key, kept)
        if self.disk is not None:
            self.disk.put(key, kept)

    def _keep(self, key: Hashable, kept: Array | Packed) -> None:
        """Keep an array in memory, if there is room."""
        if self._full:
            return
        with self._lock:
            if key in self._arrays:
                return
            if self.used_bytes + kept.nbytes > self.max_bytes or self._memory_is_short():
                self._full = True
                return
            self._arrays[key] = kept
            self.used_bytes += kept.nbytes

    def clear(self) -> None:
        """Give the memory back and keep nothing more; the figures stay."""
        with self._lock:
            self._arrays, self._full = {}, True
        if self.disk is not None:
            self.disk.close()

    def count(self, *, found: bool) -> None:
        """Count the face of a sample."""
        with self._lock:
            self.found += found
            self.made += not found

    @property
    def hit_rate(self) -> float:
        """The share of the faces that were found, 0..1."""
        return self.found / max(1, self.found + self.made)

    def text(self) -> str:
        """Say in one line what was found and how much is kept."""
        kept = f"{self.used_bytes / 2**20:,.0f} MiB"
        if self.disk is not None:
            kept += f", {self.disk.size / 2**20:,.0f} MiB on the disk"
        return f"{100 * self.hit_rate:.1f} % of the faces found in the cache ({kept})"

    def as_dict(self) -> dict[str, float]:
        """The same for machines."""
        figures = {
            "cache_hit_rate": round(self.hit_rate, 4),
            "cache_mib": round(self.used_bytes / 2**20, 1),
        }
        if self.disk is not None:
            figures["cache_disk_mib"] = round(self.disk.size / 2**20, 1)
        return figures

    def _memory_is_short(self) -> bool:
        if not self._reserve or self.used_bytes < self._next_look:
            return False
        self._next_look = self.used_bytes + _STEP
        free = available_at_peak()
        return free is not None and free < self._reserve


def cache_bytes(megabytes: int | None) -> int:
    """Return the budget of a cache: what is given, in MiB, else its share of what is free now."""
    if megabytes is not None:
        return megabytes << 20
    free = available_memory()
    return _UNKNOWN if free is None else free // SHARE


def unpacked(kept: Array | Packed) -> Array:
    """Return an array, any shape, float32, of what a cache keeps; not to be written to."""
    return kept if isinstance(kept, np.ndarray) else kept.unpack()
