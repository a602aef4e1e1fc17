"""All warps of a training sample in one call, which holds no lock.

Each call of OpenCV or of a kernel gives the interpreter's lock away and has to get it back, from
whatever thread took it meanwhile: with dozens of calls a sample, threads wait for one another and
slow the training down.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from dfl_tf_ops import linear_warp, sample_draws
from dfl_tf_ops.cubic_warp import scratch_size
from dfl_tf_ops.cubic_warp import warp_into as _warp_image
from dfl_tf_ops.jit import carray, intrinsic, ir, njit, njit_inner, pointer_to, types
from dfl_tf_ops.linear_warp import WHOLE_BLOCKS, warp_mask
from dfl_tf_ops.packed import Packed, unpack_into
from dfl_tf_ops.sample_draws import draw_warp
from dfl_tf_ops.warp import fill_maps

if TYPE_CHECKING:
    from dfl_tf_ops.jit import BaseContext, CPUContext, Signature

    Emit = Callable[[CPUContext, ir.IRBuilder, Signature, Sequence[ir.Value]], ir.Value]

Float32Array = npt.NDArray[np.float32]

_MIN_SIZE = 64


def supports(size: int, *, masks: bool) -> bool:
    """Whether `warp_all` gives, for this side, what the single steps give, to the bit."""
    if size < _MIN_SIZE or size % WHOLE_BLOCKS:
        return False
    return sample_draws.agrees() and (not masks or linear_warp.agrees())


class _Room(threading.local):
    """Memory of the working thread: fresh memory costs as much as the work on it."""

    def __init__(self) -> None:
        self.size = 0

    def take(self, size: int) -> npt.NDArray[np.int64]:
        """Return where its arrays lie, and the number of values in images and in masks.

        Images and masks within their rims, maps, a matrix, what is unpacked, generators. Addresses:
        a tuple of so many arrays takes longer to hand over than the rest of the call's arguments.
        """
        if self.size != size:
            image = scratch_size(size, size)
            masks = linear_warp.room(size)
            self.arrays: list[npt.NDArray[np.generic]] = [
                *np.zeros((2, image), np.float32),
                *masks,
                *np.empty((2, size, size), np.float32),
                np.empty((2, 3), np.float32),
                np.empty(3 * size * size, np.float32),
                *np.empty((2, 625), np.uint32),
                np.zeros(2),
            ]
            places = [array.ctypes.data for array in self.arrays]
            self.places = np.array([*places, image, masks[0].size], np.int64)
            self.size = size
        return self.places


_room = _Room()


def warp_all(
    sources: Sequence[Float32Array | Packed],
    results: Sequence[Float32Array],
    ways: npt.NDArray[np.int64],
    size: int,
    *,
    seeds: tuple[int, int],
    ranges: npt.NDArray[np.float64],
    mirrors: bool,
) -> None:
    """Draw a warp, and make all arrays of a sample that share it.

    Parameters
    ----------
    sources : sequence of ndarray, shape (s, s, 3) or (s, s, 1), float32
        Images and masks, perhaps packed.
    results : sequence of ndarray, same shape as their sources, float32, C-contiguous
        Images are limited to [0, 1]. Of an image one value more lies behind it in its memory, which
        is overwritten.
    ways : ndarray, shape (n, 5), int64, 0 or 1
        Of each array whether it is an image; whether the elastic warp acts on it, and the
        transform (one does); whether what the transform moves of an image continues beyond its
        border, else 0; whether a mask is divided by its largest value, if that is not 0.
    size : int
        Side of sources and results; see `supports`.
    seeds, ranges, mirrors
        See `sample_draws.draw_warp`.
    """
    kept: list[npt.NDArray[np.generic]] = []  # until the call has ended
    rows = []
    for source, result in zip(sources, results, strict=True):
        # What is packed is one array, which says how many words it has; what is not has none.
        words = source.words.size if isinstance(source, Packed) else 0
        kept.append(source.words if isinstance(source, Packed) else np.ascontiguousarray(source))
        rows.append((_address(kept[-1]), words, _address(result)))
    jobs = np.empty((len(ways), 8), np.int64)
    jobs[:, :3], jobs[:, 3:] = rows, ways
    _warp_all(jobs, size, seeds[0], seeds[1], ranges, mirrors, _room.take(size))


def _address(array: npt.NDArray[np.generic]) -> int:
    address: int = array.__array_interface__["data"][0]
    return address


def _pointer(to: types.Type, kind: ir.Type) -> tuple[Signature, Emit]:
    """Make an address a pointer."""

    def build(
        context: CPUContext, builder: ir.IRBuilder, signature: Signature, args: Sequence[ir.Value]
    ) -> ir.Value:
        return builder.inttoptr(args[0], kind.as_pointer())

    return pointer_to(to)(types.int64), build


@intrinsic
def _floats_at(typing: BaseContext, address: types.Type) -> tuple[Signature, Emit]:
    return _pointer(types.float32, ir.FloatType())


@intrinsic
def _doubles_at(typing: BaseContext, address: types.Type) -> tuple[Signature, Emit]:
    return _pointer(types.float64, ir.DoubleType())


@intrinsic
def _words_at(typing: BaseContext, address: types.Type) -> tuple[Signature, Emit]:
    return _pointer(types.uint32, ir.IntType(32))


@intrinsic
def _bytes_at(typing: BaseContext, address: types.Type) -> tuple[Signature, Emit]:
    return _pointer(types.uint8, ir.IntType(8))


@njit_inner
def _normalize(values: Float32Array) -> None:
    largest = values[0]
    for value in values:
        largest = value if value > largest else largest
    if largest != 0:
        for i in range(values.size):
            values[i] /= largest


@njit
def _warp_all(
    jobs: npt.NDArray[np.int64],
    size: int,
    affine_seed: int,
    elastic_seed: int,
    ranges: npt.NDArray[np.float64],
    mirrors: bool,
    room: npt.NDArray[np.int64],
) -> None:
    image_size, mask_size = room[11], room[12]
    images = carray(_floats_at(room[0]), (image_size,)), carray(_floats_at(room[1]), (image_size,))
    masks = carray(_floats_at(room[2]), (mask_size,)), carray(_floats_at(room[3]), (mask_size,))
    map_x = carray(_floats_at(room[4]), (size, size))
    map_y = carray(_floats_at(room[5]), (size, size))
    inverse, nothing = carray(_floats_at(room[6]), (2, 3)), carray(_floats_at(room[6]), (0, 0))
    generators = (
        carray(_words_at(room[8]), (625,)),
        carray(_words_at(room[9]), (625,)),
        carray(_doubles_at(room[10]), (2,)),
    )
    seeds = (affine_seed, elastic_seed)
    nodes, cell, flip = draw_warp(seeds, ranges, size, mirrors, inverse, generators)
    filled = False
    for number in range(jobs.shape[0]):
        source, words, result, image, warp, transform, replicate, normalize = jobs[number]
        if warp and not filled:
            fill_maps(nodes, size, cell, map_x, map_y)
            filled = True
        if words > 0:
            count = (3 if image else 1) * size * size
            unpack_into(
                carray(_words_at(source), (words,)),
                carray(_bytes_at(source), (4 * words,)),
                carray(_floats_at(room[7]), (count,)),
                carray(_words_at(room[7]), (count,)),
            )
            source = room[7]
        maps_x, maps_y = (map_x, map_y) if warp else (nothing, nothing)
        back = inverse if transform else nothing
        if image:
            pixels = carray(_floats_at(source), (size, size, 3))
            room_behind = carray(_floats_at(result), (3 * size * size + 1,))
            ways = (replicate != 0, flip, True)
            _warp_image(pixels, maps_x, maps_y, back, images, room_behind, size, ways)
        else:
            mask = carray(_floats_at(source), (size, size))
            made = carray(_floats_at(result), (size * size,))
            warp_mask(mask, maps_x, maps_y, back, masks, made, flip)
            if normalize:
                _normalize(made)
