"""The warp of a color image: dense maps, then an affine matrix, with cubic interpolation.

OpenCV's two passes take most of the time of a training sample. Here the four rows of a pixel's
neighborhood are read as whole vectors, three channels of four pixels at once, and nothing but
the result is allocated. Equal to OpenCV's to rounding; `tools/bench_ops.py --only warp` prints by
how much it is faster, which depends on the width of the CPU's vectors.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import cv2
import numpy as np
import numpy.typing as npt

from dfl_tf_ops.jit import intrinsic, ir, njit, njit_fused, njit_inner, types

if TYPE_CHECKING:
    from dfl_tf_ops.jit import BaseContext, CPUContext, Signature

    Emit = Callable[[CPUContext, ir.IRBuilder, Signature, Sequence[ir.Value]], ir.Value]

Float32Array = npt.NDArray[np.float32]
Matrix = npt.NDArray[np.float64]

_RIM = 4  # pixels around an image, so that no neighborhood needs a check
_SLACK = 4  # a row of four pixels is read as 16 values, the last four of them unused
_CUBIC = -0.75  # OpenCV's parameter of Keys' kernel
_NO_MAP = np.empty((0, 0), dtype=np.float32)
_NO_MATRIX = np.empty((0, 0), dtype=np.float32)
# Factors of t^3, t^2, t and 1 in the weights of the four neighbors, t from 0 at the second one to
# 1 at the third.
_KEYS = (
    (_CUBIC, _CUBIC + 2, -_CUBIC - 2, -_CUBIC),
    (-2 * _CUBIC, -_CUBIC - 3, 2 * _CUBIC + 3, _CUBIC),
    (_CUBIC, 0.0, -_CUBIC, 0.0),
    (0.0, 1.0, 0.0, 0.0),
)


class _Scratch(threading.local):
    """Images within their rim, flat, reused: fresh memory costs as much as the work on it."""

    def __init__(self) -> None:
        self._arrays = [np.empty(0, dtype=np.float32)] * 2

    def take(self, number: int, height: int, width: int) -> Float32Array:
        size = scratch_size(height, width)
        if len(self._arrays[number]) < size:
            self._arrays[number] = np.zeros(size, dtype=np.float32)
        return self._arrays[number]


def scratch_size(height: int, width: int) -> int:
    """Number of values of an image within its rim."""
    return 3 * (height + 2 * _RIM) * (width + 2 * _RIM) + _SLACK


_scratch = _Scratch()


def warp(
    image: Float32Array,
    *,
    maps: tuple[Float32Array, Float32Array] | None = None,
    matrix: Matrix | None = None,
    size: int,
    replicate: bool = False,
    flip: bool = False,
    clip: bool = False,
) -> Float32Array:
    """Sample an image by dense maps and move the outcome by an affine matrix.

    Parameters
    ----------
    image : ndarray, shape (h, w, 3), float32
    maps : tuple of ndarray, shape (r, s), float32, optional
        Positions along x and y in pixels of the image, as for `cv2.remap`; r and s are at least
        `size`. Beyond the image, and where a position is not a number, lies 0.
    matrix : ndarray, shape (2, 3), float64, optional
        From positions before to positions after, as for `cv2.warpAffine`.
    size : int
        Side of the result: a larger outcome is cut off at the right and the bottom.
    replicate : bool
        Whether what the matrix moves continues beyond its border; else 0.
    flip : bool
        Whether the result is mirrored left to right.
    clip : bool
        Whether the result is limited to [0, 1]; cubic interpolation overshoots.

    Returns
    -------
    ndarray, shape (size, size, 3), float32

    Raises
    ------
    ValueError
        If a shape or dtype is another, `size` is not positive, or neither maps nor matrix is given.

    References
    ----------
    data.md 5; R. Keys, "Cubic convolution interpolation for digital image processing", 1981.
    """
    _check(image, maps, matrix, size)
    map_x, map_y = (_NO_MAP, _NO_MAP) if maps is None else maps
    # OpenCV's positions to the bit: it computes them in float32.
    inverse = _NO_MATRIX if matrix is None else cv2.invertAffineTransform(matrix).astype(np.float32)
    first = _scratch.take(0, *image.shape[:2])
    second = _scratch.take(1, *map_x.shape)
    result = np.empty(3 * size * size + 1, dtype=np.float32)
    # One call: each one waits for the interpreter's lock again.
    warp_into(
        np.ascontiguousarray(image),
        np.ascontiguousarray(map_x),
        np.ascontiguousarray(map_y),
        inverse,
        (first, second),
        result,
        size,
        (replicate, flip, clip),
    )
    return result[:-1].reshape(size, size, 3)


def _check(
    image: Float32Array,
    maps: tuple[Float32Array, Float32Array] | None,
    matrix: Matrix | None,
    size: int,
) -> None:
    if image.ndim != 3 or image.shape[2] != 3 or 0 in image.shape or image.dtype != np.float32:
        raise ValueError(f"image must be (h, w, 3) float32; received {image.shape} {image.dtype}")
    if size < 1:
        raise ValueError(f"size must be positive; received {size}")
    if maps is None and matrix is None:
        raise ValueError("maps or matrix must be given")
    if maps is not None:
        shapes = [positions.shape for positions in maps]
        dtypes = {positions.dtype for positions in maps}
        if len({*shapes}) != 1 or len(shapes[0]) != 2 or min(shapes[0]) < size:
            raise ValueError(f"both maps must be at least ({size}, {size}); received {shapes}")
        if dtypes != {np.dtype(np.float32)}:
            raise ValueError(f"maps must be float32; received {dtypes}")
    if matrix is not None and matrix.shape != (2, 3):
        raise ValueError(f"matrix must have shape (2, 3); received {matrix.shape}")


@njit_inner
def _lay_out(image: Float32Array, flat: Float32Array) -> None:
    """Copy the image to the inside of the rim."""
    height, width, _ = image.shape
    values, length = image.reshape(image.size), 3 * width
    for i in range(height):
        start = (i + _RIM) * (length + 6 * _RIM) + 3 * _RIM
        # Slices: counted from their own 0 the loop over them becomes one over vectors.
        row, inside = values[i * length : (i + 1) * length], flat[start : start + length]
        for j in range(length):
            inside[j] = row[j]


@njit_inner
def _fill_rim(flat: Float32Array, height: int, width: int, replicate: bool) -> None:
    """Set the rim to 0 or to the nearest pixel of the image."""
    length, rim = 3 * width, 3 * _RIM
    stride = length + 2 * rim
    for i in range(_RIM, height + _RIM):
        row = flat[i * stride : (i + 1) * stride]
        for j in range(rim):
            row[j] = row[rim + j % 3] if replicate else np.float32(0)
            row[rim + length + j] = row[rim + length - 3 + j % 3] if replicate else np.float32(0)
    last = height + _RIM - 1
    for i in range(_RIM):
        for to, edge in ((i, _RIM), (last + 1 + i, last)):
            row = flat[to * stride : (to + 1) * stride]
            nearest = flat[edge * stride : (edge + 1) * stride]
            for j in range(stride):
                row[j] = nearest[j] if replicate else np.float32(0)


@intrinsic
def _put_pixel(
    typing: BaseContext,
    source: types.Type,
    start: types.Type,
    stride: types.Type,
    beyond: types.Type,
    down: types.Type,
    result: types.Type,
    place: types.Type,
    clip: types.Type,
) -> tuple[Signature, Emit]:
    """Write one pixel: the weighted sum of four rows of four pixels of three channels.

    `source` and `result` are flat; `start` is the first value of the first row, `stride` the way
    to the next one. `beyond` is the way beyond the second pixel of each row, `down` the weights of
    the four rows. One value behind the pixel is overwritten, too: pixels must be written from
    left to right.
    """

    def build(
        context: CPUContext, builder: ir.IRBuilder, signature: Signature, args: Sequence[ir.Value]
    ) -> ir.Value:
        lane, index = ir.FloatType(), ir.IntType(32)
        fused = ("contract",)

        def pointer(argument: int, offset: ir.Value) -> ir.Value:
            array = context.make_array(signature.args[argument])
            return builder.gep(array(context, builder, args[argument]).data, [offset])

        def four(argument: int, offset: ir.Value) -> ir.Value:
            return builder.bitcast(pointer(argument, offset), ir.VectorType(lane, 4).as_pointer())

        def pick(vector: ir.Value, lanes: list[int]) -> ir.Value:
            chosen = ir.Constant(ir.VectorType(index, len(lanes)), lanes)
            return builder.shuffle_vector(vector, ir.Constant(vector.type, ir.Undefined), chosen)

        def everywhere(value: ir.Value) -> ir.Value:
            """All 16 lanes set to one value."""
            empty = ir.Constant(ir.VectorType(lane, 1), ir.Undefined)
            return pick(builder.insert_element(empty, value, index(0)), [0] * 16)

        def limit(vector: ir.Value, comparison: str, bound: float) -> ir.Value:
            bounds = ir.Constant(vector.type, [bound] * 4)
            outside = builder.fcmp_ordered(comparison, vector, bounds)
            return builder.select(outside, bounds, vector)

        total, offset = None, args[1]
        for row in range(4):
            address = builder.bitcast(pointer(0, offset), ir.VectorType(lane, 16).as_pointer())
            values = builder.load(address)
            values.align = 4
            height = everywhere(builder.extract_value(args[4], row))
            part = builder.fmul(values, height, flags=fused)
            total = part if total is None else builder.fadd(total, part, flags=fused)
            offset = builder.add(offset, args[2])
        # The weights of the pixels of a row: three lanes each, by Horner's rule.
        way = everywhere(args[3])
        widths = None
        for power in _KEYS:
            factor = ir.Constant(way.type, [power[min(i // 3, 3)] for i in range(16)])
            if widths is not None:
                factor = builder.fadd(builder.fmul(widths, way, flags=fused), factor, flags=fused)
            widths = factor
        total = builder.fmul(total, widths)
        pixels = [pick(total, list(range(3 * i, 3 * i + 4))) for i in range(4)]
        pixel = builder.fadd(builder.fadd(*pixels[:2]), builder.fadd(*pixels[2:]))
        limited = limit(limit(pixel, "<", 0.0), ">", 1.0)
        pixel = builder.select(args[7], limited, pixel)
        stored = builder.store(pixel, four(5, args[6]))
        stored.align = 4
        return context.get_dummy_value()

    kinds = (source, start, stride, beyond, down, result, place, clip)
    return types.void(*kinds), build


@njit_inner
def _split(
    positions: Float32Array, size: int, starts: npt.NDArray[np.int32], beyond: Float32Array
) -> None:
    """Find the first of the four neighbors of each position, counted in the rim.

    `beyond` becomes the way from the second neighbor to the position.
    """
    lowest, highest = np.float32(1 - _RIM), np.float32(size + _RIM - 3)
    for j in range(starts.shape[0]):
        # Beyond these all four lie in the rim. Written so that NaN goes there, too.
        x = positions[j] if positions[j] > lowest else lowest
        x = x if x < highest else highest
        low = np.floor(x)
        starts[j] = np.int32(low) + np.int32(_RIM - 1)
        beyond[j] = x - low


@njit_fused
def _weigh(beyond: Float32Array, weights: Float32Array) -> None:
    """Weights (4, n) of the four neighbors, by Keys' cubic convolution."""
    one, two, three = np.float32(1), np.float32(2), np.float32(3)
    a = np.float32(_CUBIC)
    first, second, third, fourth = weights[0], weights[1], weights[2], weights[3]
    for j in range(beyond.shape[0]):
        t = beyond[j]
        u = one - t
        first[j] = a * t * u * u
        second[j] = ((a + two) * t - (a + three)) * t * t + one
        third[j] = ((a + two) * u - (a + three)) * u * u + one
        fourth[j] = a * u * t * t


@njit_inner
def _put_row(
    flat: Float32Array,
    height: int,
    width: int,
    x: Float32Array,
    y: Float32Array,
    room: tuple[npt.NDArray[np.int32], npt.NDArray[np.int32], Float32Array, Float32Array],
    result: Float32Array,
    first: int,
    flip: bool,
    clip: bool,
) -> None:
    left, top, beyond, down = room
    columns = left.shape[0]
    stride = np.int64(3 * (width + 2 * _RIM))
    _split(y, height, top, beyond)
    _weigh(beyond, down)
    _split(x, width, left, beyond)
    for place in range(columns):
        # unsigned: numba leaves out the test for an index from the end
        j = np.uintp(columns - 1 - place if flip else place)
        start = top[j] * stride + 3 * np.int64(left[j])
        rows = (down[0, j], down[1, j], down[2, j], down[3, j])
        at = np.int64(first + 3 * place)
        _put_pixel(flat, start, stride, beyond[j], rows, result, at, clip)


@njit_inner
def _room(
    columns: int,
) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int32], Float32Array, Float32Array]:
    left, top = np.empty(columns, np.int32), np.empty(columns, np.int32)
    return left, top, np.empty(columns, np.float32), np.empty((4, columns), np.float32)


@njit_inner
def _by_maps(
    flat: Float32Array,
    height: int,
    width: int,
    map_x: Float32Array,
    map_y: Float32Array,
    rows: int,
    columns: int,
    result: Float32Array,
    first: int,
    stride: int,
    flip: bool,
    clip: bool,
) -> None:
    room = _room(columns)
    for i in range(rows):
        place = first + i * stride
        _put_row(flat, height, width, map_x[i], map_y[i], room, result, place, flip, clip)


@njit_inner
def _by_matrix(
    flat: Float32Array,
    height: int,
    width: int,
    inverse: Float32Array,
    size: int,
    result: Float32Array,
    flip: bool,
    clip: bool,
) -> None:
    x, y = np.empty(size, np.float32), np.empty(size, np.float32)
    room = _room(size)
    for i in range(size):
        row = np.float32(i)
        from_x, from_y = row * inverse[0, 1] + inverse[0, 2], row * inverse[1, 1] + inverse[1, 2]
        for j in range(size):
            column = np.float32(j)
            x[j] = column * inverse[0, 0] + from_x
            y[j] = column * inverse[1, 0] + from_y
        _put_row(flat, height, width, x, y, room, result, 3 * i * size, flip, clip)


@njit
def warp_into(
    image: Float32Array,
    map_x: Float32Array,
    map_y: Float32Array,
    inverse: Float32Array,
    scratch: tuple[Float32Array, Float32Array],
    result: Float32Array,
    size: int,
    ways: tuple[bool, bool, bool],
) -> None:
    """Warp into `result`; empty maps and an empty inverse are none.

    `image` has shape (h, w, 3), the maps (r, s), `inverse` (2, 3), `result` (3 size size + 1,): all
    float32; `scratch` is two arrays (`scratch_size`,).
    """
    replicate, flip, clip = ways
    flat, moved = scratch
    height, width, _ = image.shape
    _lay_out(image, flat)
    _fill_rim(flat, height, width, replicate and map_x.size == 0)
    if map_x.size == 0:
        _by_matrix(flat, height, width, inverse, size, result, flip, clip)
    elif inverse.size == 0:
        _by_maps(flat, height, width, map_x, map_y, size, size, result, 0, 3 * size, flip, clip)
    else:
        rows, columns = map_x.shape
        stride = 3 * (columns + 2 * _RIM)
        first = _RIM * (stride + 3)
        _by_maps(
            flat, height, width, map_x, map_y, rows, columns, moved, first, stride, False, False
        )
        _fill_rim(moved, rows, columns, replicate)
        _by_matrix(moved, rows, columns, inverse, size, result, flip, clip)
