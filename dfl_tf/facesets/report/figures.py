"""The plots of a report, as PNG. They show numbers only: no name of a file is drawn."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import cv2
import numpy as np
import numpy.typing as npt

from dfl_tf.facesets.report.facts import Facts, Scale, SideFacts
from dfl_tf.facesets.report.poses import PITCH_EDGES, YAW_EDGES, Counts, neighborhood
from dfl_tf.imaging.plots import new_figure, plain_style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Floats = npt.NDArray[np.float64]

COLORS = {"src": "#2563a8", "dst": "#d1651f"}
_DPI = 110
_BINS = 40
_DOTS = 4_000  # of a scatter plot; more would be one blot


def _figure(width: float, height: float) -> Figure:
    return new_figure(width, height, _DPI, layout="constrained")


def _png(figure: Figure) -> bytes:
    out = io.BytesIO()
    figure.savefig(out, format="png", metadata={"Software": None})
    return out.getvalue()


@plain_style()
def pose_maps(facts: Facts) -> bytes:
    """Yaw by pitch of each side as heat maps; in that of dst the cells are marked where src has
    nothing: hatched once where it has faces beside them, else twice.
    """
    sides = facts.sides
    rows, columns = _occupied([side.poses for side in sides.values()])
    height = max(2.6, 0.32 * (rows.stop - rows.start) + 1.2)
    figure = _figure(5.6 * len(sides), min(height, 8.0))
    axes = figure.subplots(1, len(sides), squeeze=False)[0]
    extent = (
        YAW_EDGES[columns.start],
        YAW_EDGES[columns.stop],
        PITCH_EDGES[rows.start],
        PITCH_EDGES[rows.stop],
    )
    for ax, (name, side) in zip(axes, sides.items(), strict=True):
        counts = side.poses[rows, columns]
        shown = np.ma.masked_equal(counts, 0)
        image = ax.imshow(
            shown, extent=extent, origin="lower", aspect="auto", cmap="viridis",
            vmin=1, vmax=max(2, int(counts.max(initial=1))), norm=None,
        )  # fmt: skip
        figure.colorbar(image, ax=ax, label="faces", shrink=0.9)
        ax.set_facecolor("#eeeeee")
        ax.set_xticks(YAW_EDGES[columns.start : columns.stop + 1 : 1 + len(YAW_EDGES) // 16])
        ax.set_title(f"{name}: {int(side.poses.sum())} faces")
        ax.set_xlabel("yaw in degrees (positive: to the left of the image)")
        ax.set_ylabel("pitch in degrees (positive: up)")
        ax.grid(color="white", linewidth=0.6)
    if facts.dst is not None:
        _mark_gaps(axes[1], facts.src.poses, facts.dst.poses)
    return _png(figure)


def _mark_gaps(ax: Axes, src: Counts, dst: Counts) -> None:
    from matplotlib.patches import Rectangle

    around = neighborhood(src)
    for row, column in np.argwhere((dst > 0) & (src == 0)):
        near = around[row, column]
        ax.add_patch(
            Rectangle(
                (YAW_EDGES[column], PITCH_EDGES[row]),
                YAW_EDGES[column + 1] - YAW_EDGES[column],
                PITCH_EDGES[row + 1] - PITCH_EDGES[row],
                fill=False,
                edgecolor="#e11d2e",
                linewidth=1 if near else 3,
                hatch="//" if near else "xx",
            )
        )


def _occupied(counts: Sequence[Counts]) -> tuple[slice, slice]:
    """The rows and columns that hold faces on any side, with one empty cell around them."""
    together = sum(counts[1:], counts[0])
    found = []
    for axis in (1, 0):
        used = np.flatnonzero(together.any(axis=axis))
        size = together.shape[1 - axis]
        first, last = (used[0], used[-1]) if used.size else (size // 2 - 1, size // 2)
        found.append(slice(max(0, first - 1), min(size, last + 2)))
    return found[0], found[1]


@plain_style()
def histogram(facts: Facts, scale: Scale) -> bytes:
    """Shares of the faces of each side by one scale."""
    values = {name: _known(side.scales[scale.name]) for name, side in facts.sides.items()}
    figure = _figure(5.6, 2.8)
    ax = figure.subplots()
    everything = np.concatenate([*values.values(), np.zeros(0)])
    if everything.size:
        low, high = float(everything.min()), float(everything.max())
        edges = np.linspace(low, high if high > low else low + 1, _BINS + 1).tolist()
        for name, side in values.items():
            weights = np.full(len(side), 100 / max(len(side), 1))
            color = COLORS[name]
            ax.hist(side, bins=edges, weights=weights, label=name, color=color, alpha=0.6)
        ax.legend()
    ax.set_title(scale.title)
    ax.set_xlabel(scale.unit or "larger is better")
    ax.set_ylabel("% of the faces")
    return _png(figure)


@plain_style()
def color_map(facts: Facts) -> bytes:
    """The mean color of each face: a* by b* of CIELAB, and lightness by chroma."""
    figure = _figure(11.2, 3.6)
    hue_ax, light_ax = figure.subplots(1, 2)
    for name, side in facts.sides.items():
        lab = _lab(side)
        step = max(1, -(-len(lab) // _DOTS))
        lab = lab[::step]
        dots: Mapping[str, object] = {"s": 9, "alpha": 0.55, "color": COLORS[name], "label": name}
        hue_ax.scatter(lab[:, 1], lab[:, 2], **dots)
        light_ax.scatter(np.hypot(lab[:, 1], lab[:, 2]), lab[:, 0], **dots)
    hue_ax.set_title("Color of the face")
    hue_ax.set_xlabel("green (-) to red (+): a* of CIELAB")
    hue_ax.set_ylabel("blue (-) to yellow (+): b*")
    light_ax.set_title("Light on the face")
    light_ax.set_xlabel("chroma")
    light_ax.set_ylabel("lightness L*")
    for ax in (hue_ax, light_ax):
        ax.grid(color="#dddddd", linewidth=0.6)
        if ax.get_legend_handles_labels()[0]:
            ax.legend()
    return _png(figure)


def _lab(side: SideFacts) -> Floats:
    known = side.colors[~np.isnan(side.colors).any(axis=1)]
    if not len(known):
        return np.zeros((0, 3))
    image = np.asarray(known[None] / 255, np.float32)
    return np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2LAB)[0], np.float64)


def _known(values: Floats) -> Floats:
    return values[~np.isnan(values)]
