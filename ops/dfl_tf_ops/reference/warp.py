"""Plain NumPy twins of `dfl_tf_ops.warp` and `cubic_warp`, written from data.md 5."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Float32Array = npt.NDArray[np.float32]


def dense_grid(
    nodes: npt.NDArray[np.float64], width: int, cell: int
) -> tuple[Float32Array, Float32Array]:
    """Interpolate node positions linearly to one position a pixel; see `dfl_tf_ops.warp`."""
    count = nodes.shape[0]
    pixels = width + cell
    place = (np.arange(pixels) + 0.5) * (1.0 / (pixels / count)) - 0.5
    # The margin of half a cell is cut off, so no pixel lies outside of the nodes.
    place = np.clip(place[cell // 2 : pixels - cell // 2], 0, count - 1)
    low = np.minimum(np.floor(place).astype(int), count - 2)
    part = place - low
    rest = 1.0 - part
    rows = nodes[low] * rest[:, None] + nodes[low + 1] * part[:, None]
    dense = rows[:, low] * rest + rows[:, low + 1] * part
    map_x = dense.astype(np.float32)
    return map_x, np.ascontiguousarray(map_x.T)


def warp(
    image: npt.NDArray[np.floating],
    *,
    maps: tuple[Float32Array, Float32Array] | None = None,
    matrix: npt.NDArray[np.float64] | None = None,
    size: int,
    replicate: bool = False,
    flip: bool = False,
    clip: bool = False,
) -> npt.NDArray[np.float64]:
    """Warp by maps and by a matrix in float64; see `dfl_tf_ops.cubic_warp.warp`."""
    result = image.astype(np.float64)
    if maps is not None:
        result = _sample(result, maps[0].astype(float), maps[1].astype(float), False)
    if matrix is not None:
        inverse = np.linalg.inv(np.vstack([matrix, (0, 0, 1)]))
        rows, columns = np.mgrid[:size, :size]
        x, y, _ = np.einsum("ab,bij->aij", inverse, np.stack([columns, rows, np.ones_like(rows)]))
        result = _sample(result, x, y, replicate)
    result = result[:size, :size]
    result = result[:, ::-1] if flip else result
    return np.clip(result, 0, 1) if clip else result


def _sample(
    image: npt.NDArray[np.float64],
    x: npt.NDArray[np.float64],
    y: npt.NDArray[np.float64],
    replicate: bool,
) -> npt.NDArray[np.float64]:
    """Sum the 16 neighbors of each position, weighted by Keys' kernel with a = -0.75."""
    height, width = image.shape[:2]
    # A place that is not a number, or far off, lies outside as well as any other there.
    x, y = (np.clip(np.nan_to_num(p, nan=-9.0), -9, n + 9) for p, n in ((x, width), (y, height)))
    left, top = np.floor(x).astype(int) - 1, np.floor(y).astype(int) - 1
    total = np.zeros((*x.shape, image.shape[2]))
    for i in range(4):
        for j in range(4):
            row, column = top + i, left + j
            inside = (row >= 0) & (row < height) & (column >= 0) & (column < width)
            value = image[np.clip(row, 0, height - 1), np.clip(column, 0, width - 1)]
            weight = _keys(y - row) * _keys(x - column) * (inside | replicate)
            total += weight[:, :, None] * value
    return total


def _keys(distance: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    a, t = -0.75, np.abs(distance)
    near = (a + 2) * t**3 - (a + 3) * t**2 + 1
    far = a * (t**3 - 5 * t**2 + 8 * t - 4)
    return np.where(t <= 1, near, np.where(t < 2, far, 0))
