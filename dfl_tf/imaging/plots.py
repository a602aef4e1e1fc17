"""Figures of matplotlib: no window, no global state, the same look for everybody.

It takes half a second to import, so that is done only when something is drawn.
"""

from __future__ import annotations

import contextlib
import gc
import logging
from collections.abc import Iterator
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@contextlib.contextmanager
def plain_style() -> Iterator[None]:
    """Draw as matplotlib comes, whatever a user's matplotlibrc says; a decorator as well.

    A figure is full of references in circles. Those that are not returned are let go at the end (of
    the decorated function), not when Python next looks through all objects of the process: between
    two such looks a training drew a hundred of them, which took hundreds of megabytes.
    """
    # It says on stderr where it keeps its cache of fonts, in the middle of our own lines.
    logging.getLogger("matplotlib").setLevel(logging.ERROR)
    from matplotlib.style import context

    enabled = gc.isenabled()
    gc.disable()  # so that all that is made here is still among the youngest objects at the end
    try:
        with context("default"):
            yield
    finally:
        gc.collect(0)
        if enabled:
            gc.enable()


def new_figure(
    width: float, height: float, dpi: int, *, layout: Literal["constrained"] | None = None
) -> Figure:
    """Make an empty `matplotlib.figure.Figure` that is drawn to memory; use it in `plain_style`.

    `draw` gives its pixels.

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


def draw(figure: Figure) -> NDArray[np.uint8]:
    """Draw a figure of `new_figure`.

    Returns
    -------
    ndarray, shape (h, w, 3), uint8, BGR
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    canvas = figure.canvas
    assert isinstance(canvas, FigureCanvasAgg)
    canvas.draw()
    return np.ascontiguousarray(np.asarray(canvas.buffer_rgba())[..., 2::-1])
