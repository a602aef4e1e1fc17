"""Plain NumPy twin of `dfl_tf_ops.warp`, written from data.md 5."""

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
