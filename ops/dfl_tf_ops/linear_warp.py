"""The warp of a mask: dense maps, then an affine matrix, with linear interpolation.

The same bits as `cv2.remap` and `cv2.warpAffine`, but compiled, so that a whole training sample is
one call (`sample_warp`). OpenCV rounds as the instructions of the CPU do that it chose: `agrees`
says whether these kernels do the same here.
"""

from __future__ import annotations

import functools

import cv2
import numpy as np
import numpy.typing as npt

from dfl_tf_ops.fused import fused
from dfl_tf_ops.jit import njit, njit_inner

Float32Array = npt.NDArray[np.float32]

RIM = 2  # pixels of 0 around a mask, so that no neighborhood needs a check
WHOLE_BLOCKS = 16  # OpenCV rounds what is left of a row beyond whole blocks in another way


@functools.cache
def agrees() -> bool:
    """Whether OpenCV's linear interpolation rounds as `warp_mask` does, on this machine.

    Each product and sum of an interpolation rounded once, and of a position along a row as well:
    so with AVX2 or NEON, not without fused instructions. Both are tried on one mask.
    """
    side = 4 * WHOLE_BLOCKS
    rng = np.random.RandomState(5)
    mask = rng.random_sample((side, side)).astype(np.float32)
    maps = (rng.random_sample((2, side, side)) * (side + 8) - 4).astype(np.float32)
    matrix = np.array([[1.03, 0.11, -4.2], [-0.11, 1.03, 3.7]])
    wanted = cv2.remap(mask, maps[0], maps[1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT)
    wanted = cv2.warpAffine(wanted, matrix, (side, side), flags=cv2.INTER_LINEAR)
    inverse = cv2.invertAffineTransform(matrix).astype(np.float32)
    result = np.empty(side * side, np.float32)
    warp_mask(mask, maps[0], maps[1], inverse, room(side), result, False)
    return bool(np.array_equal(result.reshape(side, side), wanted))


def room(side: int) -> tuple[Float32Array, Float32Array]:
    """Return memory that `warp_mask` works in, to be reused: two masks within their rim.

    Both are flat: shape (n,), float32.
    """
    size = (side + 2 * RIM) ** 2
    return np.zeros(size, np.float32), np.zeros(size, np.float32)


@njit_inner
def _split(
    x: Float32Array, y: Float32Array, side: int, places: npt.NDArray[np.int32], parts: Float32Array
) -> None:
    """Find the first of the four neighbors of each position in a mask within its rim.

    `parts` (2, n) become the ways from there, along x and y.
    """
    stride = np.int32(side + 2 * RIM)
    lowest, highest = np.float32(-RIM), np.float32(side + RIM - 2)
    across, down = parts[0], parts[1]
    for j in range(places.shape[0]):
        # Beyond these all four lie in the rim. Written so that NaN goes there, too.
        right = x[j] if x[j] > lowest else lowest
        right = right if right < highest else highest
        low = y[j] if y[j] > lowest else lowest
        low = low if low < highest else highest
        left, top = np.floor(right), np.floor(low)
        across[j], down[j] = right - left, low - top
        places[j] = (np.int32(top) + np.int32(RIM)) * stride + np.int32(left) + np.int32(RIM)


@njit_inner
def _put_row(
    flat: Float32Array,
    side: int,
    places: npt.NDArray[np.int32],
    parts: Float32Array,
    result: Float32Array,
    flip: bool,
) -> None:
    """Interpolate one row of a result, of a mask within its rim."""
    stride = np.uintp(side + 2 * RIM)
    one = np.uintp(1)
    across, down = parts[0], parts[1]
    columns = places.shape[0]
    for place in range(columns):
        # unsigned: numba leaves out the test for an index from the end
        j = np.uintp(columns - 1 - place if flip else place)
        at = np.uintp(places[j])
        below = at + stride
        upper = fused(across[j], flat[at + one] - flat[at], flat[at])
        lower = fused(across[j], flat[below + one] - flat[below], flat[below])
        result[place] = fused(down[j], lower - upper, upper)


@njit_inner
def _inside(flat: Float32Array, side: int, row: int) -> Float32Array:
    """A row of a mask within its rim, without the rim."""
    start = (row + RIM) * (side + 2 * RIM) + RIM
    return flat[start : start + side]


@njit
def warp_mask(
    mask: Float32Array,
    map_x: Float32Array,
    map_y: Float32Array,
    inverse: Float32Array,
    rooms: tuple[Float32Array, Float32Array],
    result: Float32Array,
    flip: bool,
) -> None:
    """Warp a mask (s, s) into `result` (flat): by maps (s, s), then by the matrix of a way back.

    Empty maps or an empty inverse (2, 3), float32, are none; at least one must be given. `rooms`
    are those of `room`, whose rims stay 0. Beyond the mask lies 0.
    """
    side = mask.shape[0]
    flat, moved = rooms
    places, parts = np.empty(side, np.int32), np.empty((2, side), np.float32)
    for i in range(side):
        inside = _inside(flat, side, i)
        for j in range(side):  # not by a slice, whose compilation takes seconds
            inside[j] = mask[i, j]
    if map_x.size > 0:
        last = inverse.size == 0
        for i in range(side):
            row = result[i * side : (i + 1) * side] if last else _inside(moved, side, i)
            _split(map_x[i], map_y[i], side, places, parts)
            _put_row(flat, side, places, parts, row, flip and last)
        flat = moved
    if inverse.size > 0:
        x, y = np.empty(side, np.float32), np.empty(side, np.float32)
        for i in range(side):
            row_number = np.float32(i)
            from_x = row_number * inverse[0, 1] + inverse[0, 2]
            from_y = row_number * inverse[1, 1] + inverse[1, 2]
            for j in range(side):
                x[j] = fused(np.float32(j), inverse[0, 0], from_x)
                y[j] = fused(np.float32(j), inverse[1, 0], from_y)
            _split(x, y, side, places, parts)
            _put_row(flat, side, places, parts, result[i * side : (i + 1) * side], flip)
