"""A whole file in one call that holds no lock: opening, asking, reading and closing are four."""

from __future__ import annotations

import os
import threading

import numpy as np
import numpy.typing as npt

from dfl_tf_ops.jit import external, njit, pointer_to, types

Bytes = npt.NDArray[np.uint8]

_FIRST_SIZE = 1 << 19
_END = 2  # SEEK_END
_FLAGS = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0)

_open = external("open", types.int32(pointer_to(types.uint8), types.int32))
_seek = external("lseek", types.int64(types.int32, types.int64, types.int32))
_read = external("read", types.int64(types.int32, pointer_to(types.uint8), types.uint64))
_close = external("close", types.int32(types.int32))


class _Room(threading.local):
    """Memory of the working thread."""

    def __init__(self) -> None:
        self.bytes = np.empty(_FIRST_SIZE, np.uint8)


_room = _Room()


def read_whole(path: str | os.PathLike[str], limit: int) -> Bytes | None:
    """Read a plain file into memory that the thread's next call overwrites.

    Parameters
    ----------
    path : path-like
    limit : int
        Larger files are not read.

    Returns
    -------
    ndarray, shape (n,), uint8, or None
        None if that failed, for whatever reason: a slower way can tell which.
    """
    name = np.frombuffer(os.fsencode(path) + b"\0", np.uint8)
    size = _read_into(name, _room.bytes, _FLAGS)
    if len(_room.bytes) < size <= limit:
        _room.bytes = np.empty(size + size // 4, np.uint8)
        size = _read_into(name, _room.bytes, _FLAGS)
    return _room.bytes[:size] if 0 < size <= min(limit, len(_room.bytes)) else None


@njit
def _read_into(name: Bytes, room: Bytes, flags: int) -> int:
    """Read a file and return its size; -1 if it cannot be read, a size above the room if too large.

    A pipe has no end to go to, a device none beyond 0: neither is read.
    """
    handle = _open(name.ctypes, np.int32(flags))
    if handle < 0:
        return -1
    size = _seek(handle, 0, np.int32(_END))
    if 0 < size <= room.size and _seek(handle, 0, np.int32(0)) == 0:
        done = 0
        while done < size:
            count = _read(handle, room[done:].ctypes, np.uint64(size - done))
            if count <= 0:
                done = size
                size = -1
            done += max(count, 0)
    _close(handle)
    return size
