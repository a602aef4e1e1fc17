"""The random draws of a sample's warp in kernels: those of `numpy.random.RandomState`.

The legacy generator is frozen (NumPy's policy), so its stream can be drawn here as well: the
Mersenne twister MT19937, seeded by one integer, and the polar method for normal numbers.
"""

from __future__ import annotations

import functools
import math

import numpy as np
import numpy.typing as npt

from dfl_tf_ops.jit import njit, njit_inner

Doubles = npt.NDArray[np.float64]
Words = npt.NDArray[np.uint32]

_SIZE, _MIDDLE = 624, 397
_LIMIT = 2.5  # of the normal numbers, which are divided by it
_REACH = 0.24  # of a node, in cells


@functools.cache
def agrees() -> bool:
    """Whether the draws are NumPy's on this machine, to the bit; tried with a few seeds."""
    words, gauss, out = np.empty(_SIZE + 1, np.uint32), np.zeros(2), np.empty(40)
    for seed in (0, 1, 2**31 - 1):
        rng = np.random.RandomState(seed)
        wanted = [rng.uniform(-3.0, 0.7), rng.randint(10), rng.randint(3), *rng.normal(size=37)]
        _try(seed, words, gauss, out)
        if not np.array_equal(out, wanted):
            return False
    return True


@njit
def _try(seed: int, words: Words, gauss: Doubles, out: Doubles) -> None:
    start(words, gauss, seed)
    out[0] = uniform(words, -3.0, 0.7)
    out[1] = below(words, 10)
    out[2] = below(words, 3)
    for i in range(3, out.size):
        out[i] = _normal(words, gauss)


@njit_inner
def start(words: Words, gauss: Doubles, seed: int) -> None:
    """Seed a generator.

    `words` has shape (625,), uint32, the last one its place; `gauss` (2,), float64, a kept normal.
    """
    words[0] = np.uint32(seed)
    for i in range(1, _SIZE):
        last = words[i - 1]
        words[i] = np.uint32(1812433253) * (last ^ (last >> np.uint32(30))) + np.uint32(i)
    words[_SIZE] = _SIZE
    gauss[0] = 0.0


@njit_inner
def _twist(words: Words) -> None:
    for i in range(_SIZE):
        following = words[(i + 1) % _SIZE]
        mixed = (words[i] & np.uint32(0x80000000)) | (following & np.uint32(0x7FFFFFFF))
        odd = np.uint32(0x9908B0DF) if mixed & np.uint32(1) else np.uint32(0)
        words[i] = words[(i + _MIDDLE) % _SIZE] ^ (mixed >> np.uint32(1)) ^ odd
    words[_SIZE] = 0


@njit_inner
def _word(words: Words) -> np.uint32:
    if words[_SIZE] == _SIZE:
        _twist(words)
    place = words[_SIZE]
    words[_SIZE] = place + np.uint32(1)
    y = words[place]
    y ^= y >> np.uint32(11)
    y ^= (y << np.uint32(7)) & np.uint32(0x9D2C5680)
    y ^= (y << np.uint32(15)) & np.uint32(0xEFC60000)
    return np.uint32(y ^ (y >> np.uint32(18)))


@njit_inner
def _double(words: Words) -> float:
    high = np.float64(_word(words) >> np.uint32(5))
    low = np.float64(_word(words) >> np.uint32(6))
    return (high * 67108864.0 + low) / 9007199254740992.0


@njit_inner
def uniform(words: Words, low: float, high: float) -> float:
    """As `RandomState.uniform`; `words` has shape (625,), uint32."""
    return low + (high - low) * _double(words)


@njit_inner
def below(words: Words, limit: int) -> int:
    """As `RandomState.randint`, for limits of 2 to 256; `words` has shape (625,), uint32."""
    mask = np.uint32(1)
    while mask < limit - 1:
        mask = (mask << np.uint32(1)) | np.uint32(1)
    value = _word(words) & mask
    while value > limit - 1:
        value = _word(words) & mask
    return int(value)


@njit_inner
def _normal(words: Words, gauss: Doubles) -> float:
    if gauss[0] != 0.0:
        gauss[0] = 0.0
        return gauss[1]
    while True:
        x = 2.0 * _double(words) - 1.0
        y = 2.0 * _double(words) - 1.0
        square = x * x + y * y
        if 0.0 < square < 1.0:
            break
    factor = math.sqrt(-2.0 * math.log(square) / square)
    gauss[0], gauss[1] = 1.0, factor * x
    return factor * y


@njit_inner
def draw_warp(
    seeds: tuple[int, int],
    ranges: Doubles,
    width: int,
    mirrors: bool,
    inverse: npt.NDArray[np.float32],
    generators: tuple[Words, Words, Doubles],
) -> tuple[Doubles, int, bool]:
    """Draw what `dfl_tf.data.augment.draw_warp` draws, in its order, from two seeds.

    Parameters
    ----------
    seeds : tuple of int
        Of the affine draws and of the elastic warp's.
    ranges : ndarray, shape (8,), float64
        Low and high of rotation (degrees), scale, shift x and shift y (parts of the width).
    width : int
        Pixels, at least 8.
    mirrors : bool
        Whether the sample may be mirrored.
    inverse : ndarray, shape (2, 3), float32
        Becomes the matrix of the way back.
    generators : tuple of ndarray
        Room: two times (625,) uint32, and (2,) float64.

    Returns
    -------
    nodes : ndarray, shape (m, m), float64
        See `warp.dense_grid`.
    cell : int
        Side of a cell in pixels.
    mirrored : bool
    """
    affine, elastic, gauss = generators
    start(affine, gauss, seeds[0])
    rotation = uniform(affine, ranges[0], ranges[1])
    scale = uniform(affine, ranges[2], ranges[3])
    shift_x = uniform(affine, ranges[4], ranges[5])
    shift_y = uniform(affine, ranges[6], ranges[7])
    mirrored = mirrors and below(affine, 10) < 4
    _invert(rotation, scale, shift_x * width, shift_y * width, width // 2, inverse)
    start(elastic, gauss, seeds[1])
    cell = width // (2 << below(elastic, 3))
    return _draw_nodes(elastic, gauss, width, cell), cell, mirrored


@njit_inner
def _invert(
    rotation: float,
    scale: float,
    right: float,
    down: float,
    middle: int,
    inverse: npt.NDArray[np.float32],
) -> None:
    """As `WarpParameters.inverse`: rotation about the middle, scale and shift, and OpenCV's way."""
    angle, center = rotation * (math.pi / 180), np.float64(middle)
    cosine, sine = math.cos(angle) * scale, math.sin(angle) * scale
    x = ((1 - cosine) * center - sine * center) + right
    y = (sine * center + (1 - cosine) * center) + down
    determinant = cosine * cosine - sine * -sine
    back = 1 / determinant if determinant != 0 else 0.0
    a, b, c, d = cosine * back, -sine * back, sine * back, cosine * back
    inverse[0, 0], inverse[0, 1], inverse[0, 2] = a, b, -a * x - b * y
    inverse[1, 0], inverse[1, 1], inverse[1, 2] = c, d, -c * x - d * y


@njit_inner
def _draw_nodes(words: Words, gauss: Doubles, width: int, cell: int) -> Doubles:
    """Even nodes along x, the inner ones moved by both displacements."""
    count = width // cell + 1
    side = count - 2
    noise = np.empty(2 * side * side, np.float32)
    found, missing = 0, noise.size
    while missing > 0:
        # As many as are missing are drawn before any is judged; what is beyond is drawn again.
        for _ in range(missing):
            value = _normal(words, gauss)
            if abs(value) <= _LIMIT:
                noise[found] = np.float32(value / _LIMIT)
                found += 1
        missing = noise.size - found
    step = width / np.float64(count - 1)
    reach = np.float32(_REACH * cell)
    nodes = np.empty((count, count), np.float64)
    for i in range(count):
        for j in range(count):
            nodes[i, j] = np.float64(width) if j == count - 1 else j * step
    for i in range(side):
        for j in range(side):
            nodes[i + 1, j + 1] += np.float64(noise[i * side + j] * reach)
            nodes[i + 1, j + 1] += np.float64(noise[side * side + j * side + i] * reach)
    return nodes
