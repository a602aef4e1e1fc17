"""Images and masks in fewer bytes, with every bit of them kept; packed and unpacked without a lock.

Pixels that come from bytes (0 … 255, divided by 255) are bytes again; a mask, which is 0 or 1
almost everywhere, is runs of 0, runs of 1 and the values between them.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from dfl_tf_ops.jit import njit, njit_inner

Bytes = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float32]
Words = npt.NDArray[np.uint32]

_BYTES, _RUNS = 1, 2
_ONE, _MINUS_ZERO = 0x3F800000, 0x80000000  # as float32


@dataclass(frozen=True, slots=True)
class Packed:
    """An array in fewer bytes.

    Attributes
    ----------
    words : ndarray, shape (n,), uint32
        The form, and what it needs; see `unpack_into`.
    shape : tuple of int
        Of the array.
    """

    words: Words
    shape: tuple[int, ...]

    @property
    def nbytes(self) -> int:
        """Bytes that are kept."""
        return int(self.words.nbytes)

    def unpack(self) -> Floats:
        """Return the array, of shape `shape`, float32, a new one."""
        array = np.empty(self.shape, np.float32)
        flat = array.reshape(-1)
        unpack_into(self.words, self.words.view(np.uint8), flat, flat.view(np.uint32))
        return array


class _Room(threading.local):
    """Memory of the working thread."""

    def __init__(self) -> None:
        self.words = np.empty(0, np.uint32)

    def take(self, size: int) -> Words:
        if len(self.words) < size:
            self.words = np.empty(size, np.uint32)
        return self.words[:size]


_room = _Room()


def pack(array: Floats) -> Packed | None:
    """Pack an array of any shape, float32; None if that saves less than a quarter.

    Examples
    --------
    >>> import numpy as np
    >>> mask = np.zeros((64, 64, 1), np.float32)
    >>> mask[20:40, 20:40] = 1
    >>> packed = pack(mask)
    >>> mask.nbytes, packed.nbytes, np.array_equal(packed.unpack(), mask)
    (16384, 256, True)
    """
    words = _room.take(3 * array.size // 4)
    flat = np.ascontiguousarray(array).reshape(-1)
    used = _pack(flat, flat.view(np.uint32), words, words.view(np.uint8))
    # A copy through bytes: NumPy's gives the interpreter's lock away.
    copy = np.frombuffer(bytearray(words[:used]), np.uint32)
    return Packed(copy, array.shape) if used else None


@njit_inner
def _runs(values: Words, words: Words, limit: int) -> int:
    """Pack as lengths of zeros, ones and others, and the others; words used, 0 if too many."""
    used, place = 1, 0
    while place < values.size:
        head, start = used, place
        used += 3
        if used > limit:
            return 0
        while place < values.size and values[place] == 0:
            place += 1
        words[head] = place - start
        start = place
        while place < values.size and values[place] == _ONE:
            place += 1
        words[head + 1] = place - start
        start = place
        while place < values.size and values[place] != 0 and values[place] != _ONE:
            if used >= limit:
                return 0
            words[used] = values[place]
            used += 1
            place += 1
        words[head + 2] = place - start
    words[0] = _RUNS
    return used


@njit
def _pack(values: Floats, bits: Words, words: Words, levels: Bytes) -> int:
    fewest = 1 + (values.size + 3) // 4
    used = _runs(bits, words, min(fewest, words.size))
    if used > 0 or fewest > words.size:
        return used
    for i in range(values.size):
        value = values[i]
        number = int(value * np.float32(255) + np.float32(0.5)) if 0 <= value <= 1 else 256
        # -0 equals 0 and has other bits
        if number > 255 or np.float32(number) / np.float32(255) != value or bits[i] == _MINUS_ZERO:
            return _runs(bits, words, words.size)
        levels[4 + i] = number
    words[0] = _BYTES
    return fewest


@njit
def unpack_into(words: Words, levels: Bytes, result: Floats, bits: Words) -> None:
    """Unpack into `result`, shape (n,), float32; `words` has shape (m,), uint32.

    `levels` and `bits` are `words` and `result` as uint8 and uint32: views that take long to
    compile.
    """
    if words[0] == _BYTES:
        for i in range(result.size):
            result[i] = np.float32(levels[4 + i]) / np.float32(255)
        return
    place, used = 0, 1
    while place < result.size:
        zeros = place + int(words[used])
        ones = zeros + int(words[used + 1])
        others = ones + int(words[used + 2])
        used += 3
        for i in range(place, zeros):
            bits[i] = np.uint32(0)
        for i in range(zeros, ones):
            bits[i] = np.uint32(_ONE)
        for i in range(ones, others):
            bits[i] = words[used]
            used += 1
        place = others
