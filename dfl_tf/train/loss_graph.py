"""The loss history as an array, and the small legacy loss graph that sits on top of each preview.

References
----------
workspace.md 7.2.
"""

from __future__ import annotations

import colorsys
from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from dfl_tf.formats.loss_history import LossHistory

GRAPH_HEIGHT = 100
_BACKGROUND = 0.1
_GRID = 0.8


class LossTrace:
    """A loss history that grows cheaply and can be looked at as an array at any time.

    Parameters
    ----------
    history : sequence of sequences of float
        One entry an iteration, as stored with the model. Entries of another length than the last
        one (other loss sets in old files) are padded with NaN or cut.
    """

    def __init__(self, history: Sequence[Sequence[float]] = ()) -> None:
        # shared, not copied: the first new row moves all of them to an array of our own
        self._rows = LossHistory.of(history).array
        self._count, self._width = self._rows.shape

    def append(self, losses: Sequence[float]) -> None:
        """Add the losses of one more iteration."""
        if self._count == 0 and len(losses) != self._width:
            self._width = len(losses)
            self._rows = np.full((64, self._width), np.nan)
        if self._count == len(self._rows):
            room = np.full((max(64, self._count // 2), self._width), np.nan)
            self._rows = np.concatenate([self._rows, room])
        self._rows[self._count, : len(losses)] = list(losses)[: self._width]
        self._count += 1

    def __len__(self) -> int:
        return self._count

    @property
    def array(self) -> NDArray[np.float64]:
        """The history, shape (iterations, losses), float64; a view."""
        return self._rows[: self._count]


def column_ranges(
    history: NDArray[np.float64], width: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The highest and lowest loss that falls on each column of a graph.

    Parameters
    ----------
    history : ndarray, shape (iterations, losses), float64
        NaN and infinite values are left out.
    width : int
        Columns.

    Returns
    -------
    (highest, lowest) : two ndarrays, shape (width, losses), float64; NaN where nothing is finite.
    """
    count, losses = history.shape
    highest = np.full((width, losses), np.nan)
    lowest = np.full((width, losses), np.nan)
    step = count / width
    for column in range(width):
        first = int(column * step)
        block = history[first : max(first + 1, int((column + 1) * step))]
        for loss in range(losses):
            values = block[:, loss]
            values = values[np.isfinite(values)]
            if values.size:
                highest[column, loss] = max(0.0, values.max())
                lowest[column, loss] = min(highest[column, loss], values.min())
    return highest, lowest


def _rows_of(values: NDArray[np.float64], scale: float) -> NDArray[np.int64]:
    return np.clip((values / scale * (GRAPH_HEIGHT - 1)).astype(np.int64), 0, GRAPH_HEIGHT - 1)


def loss_graph(
    history: NDArray[np.float64] | Sequence[Sequence[float]], width: int, iteration: int = 0
) -> NDArray[np.float32]:
    """Draw the legacy loss graph.

    Parameters
    ----------
    history : ndarray, shape (iterations, losses), float64, or sequence of sequences
        One row an iteration. NaN and infinite values leave a gap (the legacy program failed there).
    width : int
        Width in pixels.
    iteration : int
        Written as ``Iter: N`` at the bottom left; 0 writes nothing.

    Returns
    -------
    ndarray, shape (100, width, 3), float32 in [0, 1], BGR
        The first of two losses is blue, the second yellow.

    References
    ----------
    workspace.md 7.2; exact to ``golden/workspace/loss_history_preview.npz``.
    """
    graph = np.full((GRAPH_HEIGHT, width, 3), _BACKGROUND, np.float32)
    table = np.asarray(history, np.float64)
    if table.size:
        recent = table[len(table) // 5 :]
        recent = recent[np.isfinite(recent)]
        scale = 2 * float(recent.mean()) if recent.size else 1.0
        _draw_ranges(graph, table, scale if scale > 0 else 1.0)
    for line in range(6):
        graph[min(GRAPH_HEIGHT - 1, int(line * (GRAPH_HEIGHT - 1) / 5))] = _GRID
    if iteration:
        _add_text(graph, f"Iter: {iteration}")
    return np.clip(graph, 0.0, 1.0)


def _draw_ranges(graph: NDArray[np.float32], table: NDArray[np.float64], scale: float) -> None:
    width = graph.shape[1]
    highest, lowest = column_ranges(table, width)
    losses = table.shape[1]
    colors = [colorsys.hsv_to_rgb(loss / losses, 1.0, 1.0) for loss in range(losses)]
    for column in range(width):
        for loss in range(losses):
            if np.isnan(highest[column, loss]):
                continue
            top = int(_rows_of(highest[column, loss], scale))
            bottom = int(_rows_of(lowest[column, loss], scale))
            graph[GRAPH_HEIGHT - 1 - top : GRAPH_HEIGHT - bottom, column] = colors[loss]


def _add_text(graph: NDArray[np.float32], text: str) -> None:
    """Add the text in the last line of the graph; the font is OpenCV's, the place legacy's."""
    layer = np.zeros(graph.shape[:2], np.uint8)
    cv2.putText(layer, text, (2, 94), cv2.FONT_HERSHEY_SIMPLEX, 0.45, 255, 1, cv2.LINE_AA)
    graph += 0.8 * (layer.astype(np.float32) / 255.0)[..., None]
