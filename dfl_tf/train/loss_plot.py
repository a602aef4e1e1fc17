"""A readable plot of the loss history: axes, a log scale, the cloud and its moving median."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from dfl_tf.disk.durable import write_file
from dfl_tf.disk.text import drawable
from dfl_tf.train.loss_graph import column_ranges

_WIDTH, _HEIGHT = 960, 480
_LEFT, _RIGHT, _TOP, _BOTTOM = 70, 20, 40, 45
_INK = (40, 40, 40)
_FAINT = (225, 225, 225)
_COLORS = ((200, 90, 20), (20, 130, 240), (60, 160, 60), (160, 60, 160))  # BGR
_FONT = cv2.FONT_HERSHEY_SIMPLEX


def moving_median(values: NDArray[np.float64], window: int) -> NDArray[np.float64]:
    """The median of the last `window` finite values at each position.

    Positions with no finite value in reach are NaN. Computed on at most 2,000 positions and
    interpolated between them, so that a long history stays cheap.

    Parameters
    ----------
    values : ndarray, shape (n,), float64
    window : int

    Returns
    -------
    ndarray, shape (n,), float64
    """
    count = len(values)
    if count == 0:
        return values.copy()
    places = np.unique(np.linspace(0, count - 1, min(count, 2000)).astype(int))
    medians = np.full(len(places), np.nan)
    for index, place in enumerate(places):
        block = values[max(0, place + 1 - window) : place + 1]
        block = block[np.isfinite(block)]
        if block.size:
            medians[index] = np.median(block)
    good = np.isfinite(medians)
    if not good.any():
        return np.full(count, np.nan)
    filled = np.interp(np.arange(count), places[good], medians[good])
    filled[: places[good][0]] = np.nan
    return filled


def _limits(table: NDArray[np.float64]) -> tuple[float, float]:
    """The decades (log10) that the plot covers; robust against single outliers."""
    values = table[np.isfinite(table) & (table > 0)]
    if not values.size:
        return -1.0, 1.0
    low, high = np.log10(np.percentile(values, [0.1, 99.9]))
    margin = max(0.05, 0.06 * (high - low))
    return float(low - margin), float(high + margin)


def _ticks(low: float, high: float) -> list[float]:
    """Round values inside the limits, denser for a narrow range."""
    digits = (1, 2, 5) if high - low > 1 else (1, 1.5, 2, 3, 4, 5, 6, 8)
    ticks = [
        digit * 10.0**decade
        for decade in range(math.floor(low), math.ceil(high) + 1)
        for digit in digits
        if low <= math.log10(digit * 10.0**decade) <= high
    ]
    return ticks if len(ticks) >= 2 else [10**value for value in np.linspace(low, high, 5)]


def _step(count: int) -> int:
    """A round distance between marks of the iteration axis: 1, 2 or 5 times a power of ten."""
    rough = max(1.0, count / 8)
    power = 10 ** math.floor(math.log10(rough))
    return next(int(k * power) for k in (1, 2, 5, 10) if k * power >= rough)


class _Axes:
    """The mapping from (iteration, loss) to pixels, and what is drawn around it."""

    def __init__(self, canvas: NDArray[np.uint8], count: int, low: float, high: float) -> None:
        self.canvas, self.count, self.low, self.high = canvas, max(1, count), low, high
        self.width = _WIDTH - _LEFT - _RIGHT
        self.height = _HEIGHT - _TOP - _BOTTOM

    def x(self, position: float) -> int:
        return _LEFT + int(position / self.count * self.width)

    def y(self, loss: float) -> int:
        share = (math.log10(max(loss, 1e-12)) - self.low) / (self.high - self.low)
        return _TOP + int((1 - min(1.0, max(0.0, share))) * self.height)

    def text(self, text: str, at: tuple[int, int], size: float = 0.42) -> None:
        cv2.putText(self.canvas, drawable(text), at, _FONT, size, _INK, 1, cv2.LINE_AA)

    def draw(self, start: int, title: str) -> None:
        right, bottom = _WIDTH - _RIGHT, _HEIGHT - _BOTTOM
        for value in _ticks(self.low, self.high):
            row = self.y(value)
            cv2.line(self.canvas, (_LEFT, row), (right, row), _FAINT, 1)
            self.text(f"{value:.3g}", (8, row + 4))
        step = _step(self.count)
        for mark in range(-(-start // step) * step, start + self.count + 1, step):
            column = self.x(mark - start)
            cv2.line(self.canvas, (column, _TOP), (column, bottom), _FAINT, 1)
            self.text(f"{mark}", (column - 4 * len(str(mark)), bottom + 16))
        cv2.rectangle(self.canvas, (_LEFT, _TOP), (right, bottom), _INK, 1)
        self.text("iteration", (_LEFT + self.width // 2 - 30, _HEIGHT - 10))
        self.text(title, (_LEFT, 24), 0.5)


def loss_plot(
    history: NDArray[np.float64] | Sequence[Sequence[float]],
    names: Sequence[str],
    *,
    title: str = "loss",
    start: int = 0,
) -> NDArray[np.uint8]:
    """Draw the loss history as a plot that can be read without a legend in mind.

    Parameters
    ----------
    history : ndarray, shape (iterations, losses), float64, or sequence of sequences
        NaN and infinite values leave gaps.
    names : sequence of str
        One name a loss.
    title : str
        Written at the top left.
    start : int
        Iteration number of the first entry.

    Returns
    -------
    ndarray, shape (480, 960, 3), uint8, BGR
    """
    table = np.asarray(history, np.float64)
    table = table.reshape(len(table), -1) if table.size else np.zeros((0, max(1, len(names))))
    canvas = np.full((_HEIGHT, _WIDTH, 3), 255, np.uint8)
    axes = _Axes(canvas, len(table), *_limits(table))
    axes.draw(start, title)
    window = max(5, min(501, len(table) // 20))
    for loss in range(table.shape[1]):
        color = _COLORS[loss % len(_COLORS)]
        _draw_cloud(axes, table[:, loss : loss + 1], color)
    for loss in range(table.shape[1]):
        color = _COLORS[loss % len(_COLORS)]
        median = moving_median(table[:, loss], window)
        _draw_line(axes, median, color)
        last = median[np.isfinite(median)][-1:] if median.size else median
        name = names[loss] if loss < len(names) else str(loss)
        label = f"{name} {last[0]:.4f}" if last.size else name
        left = _WIDTH - _RIGHT - 150 * (table.shape[1] - loss)
        cv2.line(canvas, (left, 20), (left + 18, 20), color, 2)
        axes.text(label, (left + 24, 24))
    return canvas


def _draw_cloud(axes: _Axes, values: NDArray[np.float64], color: tuple[int, ...]) -> None:
    """What lies behind the median, pale: the losses, or the range of each column of many."""
    pale = tuple(int(255 - (255 - channel) * 0.35) for channel in color)
    if len(values) < 4 * axes.width:
        # Ranges of columns with one value or two would be dots and stripes.
        _draw_line(axes, values[:, 0], pale, thickness=1)
        return
    columns = axes.width
    highest, lowest = column_ranges(values, columns)
    for column in np.flatnonzero(np.isfinite(highest[:, 0])):
        x = axes.x((column + 0.5) * axes.count / columns)
        top, bottom = axes.y(highest[column, 0]), axes.y(lowest[column, 0])
        cv2.line(axes.canvas, (x, top), (x, bottom), pale, 1)


def _draw_line(
    axes: _Axes, values: NDArray[np.float64], color: tuple[int, ...], thickness: int = 2
) -> None:
    """The polyline of the finite values, broken at gaps."""
    step = max(1, len(values) // (2 * axes.width))
    points: list[tuple[int, int]] = []
    for position in range(0, len(values), step):
        if not np.isfinite(values[position]):
            _stroke(axes, points, color, thickness)
            points = []
            continue
        points.append((axes.x(position + 0.5), axes.y(values[position])))
    _stroke(axes, points, color, thickness)


def _stroke(
    axes: _Axes, points: list[tuple[int, int]], color: tuple[int, ...], thickness: int
) -> None:
    if points:
        line = np.asarray(points, np.int32).reshape(-1, 1, 2)
        cv2.polylines(axes.canvas, [line], False, color, thickness, cv2.LINE_AA)


def write_loss_plot(
    path: Path,
    history: NDArray[np.float64] | Sequence[Sequence[float]],
    names: Sequence[str],
    *,
    title: str = "loss",
    start: int = 0,
) -> None:
    """Write `loss_plot` as a PNG, whole or not at all; arguments: see `loss_plot`."""
    picture = loss_plot(history, names, title=title, start=start)
    write_file(path, cv2.imencode(".png", picture)[1].tobytes())
