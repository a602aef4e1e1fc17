"""The dense sampling maps of the elastic warp."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from dfl_tf_ops.jit import njit

Float32Array = npt.NDArray[np.float32]


def dense_grid(
    nodes: npt.NDArray[np.float64], width: int, cell: int
) -> tuple[Float32Array, Float32Array]:
    """Interpolate node positions linearly to one sampling position a pixel.

    The nodes lie at the corners of square cells. The legacy program enlarges them to
    `width + cell` pixels by a linear resize and cuts off half a cell at each side; this gives the
    same numbers without the detour.

    Parameters
    ----------
    nodes : ndarray, shape (m, m), float64
        Position along x of each node, in pixels; m is at least 2.
    width : int
        Side of the image, in pixels.
    cell : int
        Side of a cell, in pixels.

    Returns
    -------
    map_x, map_y : ndarray, shape (s, s), float32, C-contiguous
        Positions along x and along y; `map_y` is `map_x` transposed (kept for compatibility: the
        displacements of both axes share one noise). s is `width`, and one more if `cell` is odd.

    Raises
    ------
    ValueError
        If `nodes` is not square or `cell` is not within 1 … `width`.

    References
    ----------
    data.md 5.
    """
    if nodes.ndim != 2 or nodes.shape[0] != nodes.shape[1] or nodes.shape[0] < 2:
        raise ValueError(f"nodes must have shape (m, m) with m >= 2; received {nodes.shape}")
    if not 1 <= cell <= width:
        raise ValueError(f"cell must be within 1 and width; received {cell} and {width}")
    size = width + cell - 2 * (cell // 2)
    map_x = np.empty((size, size), dtype=np.float32)
    map_y = np.empty((size, size), dtype=np.float32)
    fill_maps(np.ascontiguousarray(nodes, dtype=np.float64), width, cell, map_x, map_y)
    return map_x, map_y


@njit
def fill_maps(
    nodes: npt.NDArray[np.float64],
    width: int,
    cell: int,
    map_x: Float32Array,
    map_y: Float32Array,
) -> None:
    """Fill both maps of `dense_grid`, shape (s, s), float32; `nodes` has shape (m, m), float64."""
    count = nodes.shape[0]
    size = map_x.shape[0]
    low = np.empty(size, dtype=np.int64)
    # weights of the next and of the last node
    part = np.empty(size, dtype=np.float64)
    rest = np.empty(size, dtype=np.float64)
    # pixels starts[k] … starts[k + 1] lie between the nodes k and k + 1
    starts = np.zeros(count, dtype=np.int64)
    step = 1.0 / ((width + cell) / count)
    for i in range(size):
        place = min(max((i + cell // 2 + 0.5) * step - 0.5, 0.0), count - 1.0)
        low[i] = min(np.int64(place), count - 2)
        part[i] = place - low[i]
        rest[i] = 1.0 - part[i]
        starts[low[i] + 1 :] = i + 1
    # columns[k, i]: column k of the nodes at the height of pixel row i
    columns = np.empty((count, size), dtype=np.float64)
    for k in range(count):
        for i in range(size):
            columns[k, i] = nodes[low[i], k] * rest[i] + nodes[low[i] + 1, k] * part[i]
    for i in range(size):
        left, right = columns[low[i]], columns[low[i] + 1]
        next_part, last_part = part[i], rest[i]
        for j in range(size):
            map_y[i, j] = np.float32(left[j] * last_part + right[j] * next_part)
        for k in range(count - 1):
            # no gather in the inner loop, so that it vectorizes
            first, second = columns[k, i], columns[k + 1, i]
            for j in range(starts[k], starts[k + 1]):
                map_x[i, j] = np.float32(first * rest[j] + second * part[j])
