"""A readable plot of the loss history: axes, a log scale, the cloud and its moving median."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np
from numpy.typing import NDArray

from dfl_tf.disk.durable import write_file
from dfl_tf.disk.text import drawable
from dfl_tf.errors import ModelFileError
from dfl_tf.imaging.plots import draw, new_figure, plain_style
from dfl_tf.train.log_facts import NO_FACTS, LogFacts
from dfl_tf.train.loss_graph import column_ranges
from dfl_tf.train.marks import Mark, marks_of
from dfl_tf.train.plot_marks import draw_hours, draw_marks, draw_saves, draw_terms

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_WIDTH, _HEIGHT, _TERMS_HEIGHT, _DPI = 960, 480, 180, 100
_HOURS_PAD = 0.04
"""Share of the height of the axes that the hours above them take."""
_COLORS = ("#145ac8", "#f08214", "#3ca03c", "#a03ca0")
_PALE = 0.35
_COLUMNS = 870
"""About the width of the axes in pixels."""


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
    """The losses between which the plot lies; robust against single outliers."""
    values = table[np.isfinite(table) & (table > 0)]
    if not values.size:
        return 0.1, 10.0
    low, high = np.log10(np.percentile(values, [0.1, 99.9]))
    margin = max(0.05, 0.06 * (high - low))
    return float(10 ** (low - margin)), float(10 ** (high + margin))


def loss_plot(
    history: NDArray[np.float64] | Sequence[Sequence[float]],
    names: Sequence[str],
    *,
    title: str = "loss",
    start: int = 0,
    quality: Sequence[tuple[int, float]] = (),
    marks: Sequence[Mark] = (),
    facts: LogFacts = NO_FACTS,
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
    quality : sequence of (int, float)
        Iterations, and how good the model was then (its SSIM), with an axis at the right.
    marks : sequence of Mark
        Vertical lines.
    facts : LogFacts
        What a log tells beside: changed options are further lines, saves are ticks, hours of
        training stand above, and terms of the losses get a panel below.

    Returns
    -------
    ndarray, shape (480, 960, 3), or (660, 960, 3) with terms, uint8, BGR
    """
    table = np.asarray(history, np.float64)
    table = table.reshape(len(table), -1) if table.size else np.zeros((0, max(1, len(names))))

    @plain_style()  # the figure is not known beyond it
    def drawn() -> NDArray[np.uint8]:
        return draw(loss_figure(table, names, title, start, quality, marks, facts))

    return drawn()


def loss_figure(
    table: NDArray[np.float64],
    names: Sequence[str],
    title: str,
    start: int,
    quality: Sequence[tuple[int, float]],
    marks: Sequence[Mark],
    facts: LogFacts,
) -> Figure:
    """Make the figure of `loss_plot`; use it in `plain_style`.

    Parameters
    ----------
    table : ndarray, shape (iterations, losses), float64
    names, title, start, quality, marks, facts
        See `loss_plot`.
    """
    span = (start, start + max(1, len(table)))
    height = _HEIGHT + (_TERMS_HEIGHT if facts.terms else 0)
    figure = new_figure(_WIDTH / _DPI, height / _DPI, _DPI)
    right = 0.91 if quality else 0.97
    above = 38 if facts.hours is None else 54
    figure.subplots_adjust(0.07, 53 / height, right, 1 - above / height, hspace=0.06)
    if facts.terms:
        parts = (_HEIGHT - above - 53, _TERMS_HEIGHT)
        axes, below = figure.subplots(2, 1, sharex=True, height_ratios=parts)
        draw_terms(below, facts.terms)
    else:
        axes = below = figure.subplots()
    _draw(axes, table, names, title, start, 0.0 if facts.hours is None else _HOURS_PAD)
    below.set_xlabel("iteration")
    draw_marks(axes, [*marks, *facts.changes], span)
    draw_saves(axes, facts, span)
    if facts.hours is not None:
        draw_hours(axes, facts.hours, span)
    if quality:
        _draw_quality(axes, quality)
    return figure


def _draw(
    axes: Axes,
    table: NDArray[np.float64],
    names: Sequence[str],
    title: str,
    start: int,
    pad: float,
) -> None:
    from matplotlib.ticker import LogLocator, MaxNLocator, NullLocator

    low, high = _limits(table)
    axes.set_yscale("log", nonpositive="mask")
    axes.set_ylim(low, high)
    axes.set_xlim(start, start + max(1, len(table)))
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.xaxis.set_major_formatter("{x:,.0f}")
    steps = (1, 2, 5) if high > 20 * low else (1, 1.5, 2, 3, 4, 5, 6, 8)
    axes.yaxis.set_major_locator(LogLocator(subs=steps))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter("{x:.3g}")
    axes.grid(color="0.9", linewidth=0.8)
    axes.set_axisbelow(True)
    axes.set_title(drawable(title), loc="left", fontsize="medium", y=1 + pad, parse_math=False)
    window = max(5, min(501, len(table) // 20))
    for loss, values in enumerate(table.T):
        _draw_cloud(axes, values, start, _COLORS[loss % len(_COLORS)])
    iterations = start + 0.5 + np.arange(len(table))
    for loss, values in enumerate(table.T):
        median = moving_median(values, window)
        last = median[np.isfinite(median)][-1:]
        name = names[loss] if loss < len(names) else str(loss)
        label = f"{name} {last[0]:.4f}" if last.size else name
        axes.plot(iterations, median, color=_COLORS[loss % len(_COLORS)], linewidth=2, label=label)
    axes.legend(loc="lower right", bbox_to_anchor=(1, 1 + pad), ncols=len(table.T), frameon=False)


def _draw_quality(axes: Axes, quality: Sequence[tuple[int, float]]) -> None:
    right = axes.twinx()
    right.plot(*zip(*quality, strict=True), color="black", marker="o", markersize=4, linewidth=1)
    right.set_ylabel("SSIM on evaluation faces")
    values = [value for _, value in quality]
    middle, half = (max(values) + min(values)) / 2, (max(values) - min(values)) / 2
    right.set_ylim(middle - max(1.2 * half, 0.01), middle + max(1.2 * half, 0.01))
    right.yaxis.set_major_formatter("{x:.3f}")


def _draw_cloud(axes: Axes, values: NDArray[np.float64], start: int, color: str) -> None:
    """What lies behind the median, pale: the losses, or the range of each column of many."""
    if len(values) < 4 * _COLUMNS:
        # Ranges of columns with one value or two would be dots and stripes.
        iterations = start + 0.5 + np.arange(len(values))
        finite = np.where(np.isfinite(values), values, np.nan)
        axes.plot(iterations, finite, color=color, alpha=_PALE, linewidth=0.9)
        return
    highest, lowest = column_ranges(values[:, None], _COLUMNS)
    bottom = np.maximum(lowest[:, 0], axes.get_ylim()[0])  # the axis has no zero
    middles = start + (np.arange(_COLUMNS) + 0.5) * len(values) / _COLUMNS
    axes.vlines(middles, bottom, highest[:, 0], color=color, alpha=_PALE, linewidth=0.8)


def write_loss_plot(path: Path, image: NDArray[np.uint8]) -> None:
    """Write a plot as a PNG, whole or not at all.

    Parameters
    ----------
    path : Path
    image : ndarray, shape (h, w, 3), uint8, BGR
        See `loss_plot`.
    """
    write_file(path, cv2.imencode(".png", image)[1].tobytes())


def plot_of_model(
    history: Sequence[Sequence[float]],
    title: str,
    run: Mapping[str, object],
    facts: LogFacts = NO_FACTS,
) -> NDArray[np.uint8]:
    """Draw what a model stores of its losses, its quality, and what happened to it.

    Parameters
    ----------
    history : sequence of sequences of float
        `ModelState.loss_history`; rows of another form than the last one are left out.
    title : str
    run : mapping
        `ModelState.run`.
    facts : LogFacts
        What the log beside the model tells.

    Returns
    -------
    ndarray, shape (h, 960, 3), uint8, BGR
        See `loss_plot`.

    Raises
    ------
    ModelFileError
        There is no history, or what is stored of the run is none of ours.
    """
    from dfl_tf.train.validation import curve

    if not history:
        raise ModelFileError(f"{title}: has no loss history to plot.")
    width = len(history[-1])
    rows = [row for row in history if len(row) == width]
    names = ("src", "dst") if width == 2 else ("loss",)
    marks = marks_of(run)
    return loss_plot(rows, names, title=title, quality=curve(run), marks=marks, facts=facts)
