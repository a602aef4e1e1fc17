"""What a plot shows beside the losses: lines and ticks, the time, and a panel of terms."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from dfl_tf.disk.text import drawable
from dfl_tf.train.log_facts import Curve, LogFacts
from dfl_tf.train.marks import Mark

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_MARK_APART = 0.017
"""Share of the width that the text of a mark takes."""
_MARKS_NAMED = 3
_MARK_COLORS = {"phase": "0.3", "options": "#7848a8", "rollback": "#c81e1e"}
_TERM_COLORS = (
    "#145ac8", "#f08214", "#3ca03c", "#a03ca0", "#c81e1e", "#00a0a0", "#a07800", "#646464",
)  # fmt: skip
_SMALLEST = 1e-3
"""Of the largest value of a term: what lies below it is not shown."""
_BEHIND = {"facecolor": "white", "alpha": 0.75, "edgecolor": "none", "pad": 0.5}
_HOURS_APART = 0.06
"""Share of the width between two hours."""


def draw_marks(axes: Axes, marks: Sequence[Mark], span: tuple[int, int]) -> None:
    """Draw vertical lines; texts that would lie on each other become one, at the first line.

    Parameters
    ----------
    axes : Axes
    marks : sequence of Mark
    span : (int, int)
        First and last iteration of the axes; marks outside are left out.
    """
    first, last = span
    room = (last - first) * _MARK_APART
    marks = sorted(
        (mark for mark in marks if first <= mark.iteration <= last),
        key=lambda mark: mark.iteration,
    )
    for kind in dict.fromkeys(mark.kind for mark in marks):
        places = sorted({mark.iteration for mark in marks if mark.kind == kind})
        axes.vlines(
            places, 0, 1, transform=axes.get_xaxis_transform(), linestyles="dashed",
            linewidth=0.8, color=_MARK_COLORS.get(kind, "0.45"), label=f"_{kind}",
        )  # fmt: skip
    texts: list[tuple[float, str, list[str]]] = []
    for mark in marks:
        # what stands at the right edge is written to the left of its line
        place = mark.iteration if mark.iteration + room <= last else mark.iteration - room
        if texts and place - texts[-1][0] < room:
            texts[-1][2].append(drawable(mark.text))
        else:
            texts.append((place, mark.kind, [drawable(mark.text)]))
    for place, kind, parts in texts:
        more = f" and {len(parts) - _MARKS_NAMED} more" if len(parts) > _MARKS_NAMED else ""
        axes.text(
            place, 0.98, f" {'; '.join(parts[:_MARKS_NAMED])}{more}", rotation=90, va="top",
            ha="left", fontsize="x-small", color=_MARK_COLORS.get(kind, "0.3"), bbox=_BEHIND,
            parse_math=False, transform=axes.get_xaxis_transform(),
        )  # fmt: skip


def draw_saves(axes: Axes, facts: LogFacts, span: tuple[int, int]) -> None:
    """Draw a tick for each save and a triangle for each snapshot or backup, at the lower edge."""
    first, last = span
    for places, label, marker, color in (
        (facts.saves, "saves", "|", "0.45"),
        (facts.kept, "snapshots and backups", "^", "#145ac8"),
    ):
        inside = [place for place in places if first <= place <= last]
        if inside:
            axes.plot(
                inside, np.full(len(inside), 0.012), marker, color=color, markersize=6,
                transform=axes.get_xaxis_transform(), label=f"_{label}",
            )  # fmt: skip


def draw_hours(axes: Axes, hours: Curve, span: tuple[int, int]) -> None:
    """Draw hours of training above the iterations: 0 is where the log begins.

    Parameters
    ----------
    axes : Axes
    hours : two ndarrays, shape (n,), float64
        Iterations and hours until then.
    span : (int, int)
        First and last iteration of the axes.
    """
    from matplotlib.ticker import MaxNLocator

    first, last = span
    iterations, spent = hours
    if spent[-1] < 1:
        spent, unit = spent * 60, "min"
    else:
        unit = "h"
    ticks: list[tuple[float, str]] = []
    for time in MaxNLocator(nbins=9, steps=[1, 2, 2.5, 5, 10]).tick_values(0, spent[-1]):
        place = float(np.interp(time, spent, iterations))
        if not (0 <= time <= spent[-1] and first <= place <= last):
            continue
        # where it was rolled back, hours pass and iterations do not
        if not ticks or place - ticks[-1][0] >= (last - first) * _HOURS_APART:
            ticks.append((place, f"{time:g} {unit}"))
    top = axes.secondary_xaxis("top")
    top.set_xticks([place for place, _ in ticks], [text for _, text in ticks])
    top.tick_params(labelsize="small", colors="0.35", length=3, pad=1)


def draw_terms(axes: Axes, terms: Mapping[str, Curve]) -> None:
    """Draw the terms of the losses: a color for each, those of dst dashed.

    Parameters
    ----------
    axes : Axes
        Their own, below the losses.
    terms : mapping of str to (ndarray, ndarray), shape (n,), float64
        Iterations and values.
    """
    from matplotlib.ticker import LogLocator, NullLocator

    positive = [values[values > 0] for _, values in terms.values()]
    largest = max((float(values.max()) for values in positive if values.size), default=1.0)
    smallest = min((float(values.min()) for values in positive if values.size), default=0.1)
    axes.set_yscale("log", nonpositive="mask")
    # below the lowest one is the legend
    axes.set_ylim(max(smallest, largest * _SMALLEST) / 4, largest * 1.3)
    axes.yaxis.set_major_locator(LogLocator(numticks=5))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter("{x:.3g}")
    axes.grid(color="0.9", linewidth=0.8)
    axes.set_axisbelow(True)
    colors: dict[str, str] = {}
    for name, (iterations, values) in terms.items():
        kind = name.removeprefix("src_").removeprefix("dst_")
        label = f"_{name}" if kind in colors else kind
        color = colors.setdefault(kind, _TERM_COLORS[len(colors) % len(_TERM_COLORS)])
        style = "--" if name.startswith("dst_") else "-"
        axes.plot(iterations, values, style, color=color, linewidth=1.1, label=label)
    axes.plot([], [], "--", color="0.4", linewidth=1.1, label="of dst")
    axes.text(
        0.992, 0.94, "terms of the losses", ha="right", va="top", fontsize="small", color="0.3",
        transform=axes.transAxes,
    )  # fmt: skip
    axes.legend(
        loc="lower left", ncols=10, frameon=True, framealpha=0.8, edgecolor="none",
        fontsize="x-small", borderpad=0.2, columnspacing=1, handlelength=1.4,
    )  # fmt: skip
