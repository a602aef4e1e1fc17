"""Figures of matplotlib: no window, no global state, the same look for everybody.

It takes half a second to import, so that is done only when something is drawn.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@contextlib.contextmanager
def plain_style() -> Iterator[None]:
    """Draw as matplotlib comes, whatever a user's matplotlibrc says; a decorator as well."""
    # It says on stderr where it keeps its cache of fonts, in the middle of our own lines.
    logging.getLogger("matplotlib").setLevel(logging.ERROR)
    from matplotlib.style import context

    with context("default"):
        yield


def new_figure(
    width: float, height: float, dpi: int, *, layout: Literal["constrained"] | None = None
) -> Figure:
    """Make an empty `matplotlib.figure.Figure` that is drawn to memory; use it in `plain_style`.

    Parameters
    ----------
    width, height : float
        Inches.
    dpi : int
        Pixels an inch.
    layout : {"constrained"}, optional
        How the parts make room for each other.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), dpi=dpi, layout=layout)
    FigureCanvasAgg(figure)
    return figure
