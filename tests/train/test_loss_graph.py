from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from dfl_tf.train.loss_graph import LossTrace, loss_graph
from dfl_tf.train.loss_plot import loss_plot, moving_median, plot_of_model, write_loss_plot
from dfl_tf.train.marks import Mark

pytestmark = pytest.mark.usefixtures("drawn_loss_plots")
GOLDEN = Path(__file__).parents[1] / "golden" / "workspace" / "loss_history_preview.npz"


@pytest.mark.golden
@pytest.mark.parametrize("kind", ["short", "long", "single"])
def test_loss_graph_is_the_legacy_one(kind):
    golden = np.load(GOLDEN)
    graph = loss_graph(golden[f"hist_{kind}"], 320)
    differing = np.abs(graph - golden[f"img_{kind}"]).max(axis=-1) > 0
    assert differing.mean() < 0.001  # tests/golden/workspace/README.md


def test_loss_graph_writes_the_iteration_into_its_last_line():
    plain, marked = loss_graph([[1.0, 2.0]], 200), loss_graph([[1.0, 2.0]], 200, iteration=1234)
    rows = np.flatnonzero(np.abs(plain - marked).max(axis=(1, 2)))
    assert rows.min() >= 79
    assert rows.max() <= 98
    assert marked.max() <= 1.0


@pytest.mark.parametrize("history", [[], [[np.nan, np.nan]], [[0.0, 0.0]] * 3])
def test_loss_graph_of_nothing_to_draw(history):
    graph = loss_graph(history, 64)
    assert graph.shape == (100, 64, 3)
    assert np.isfinite(graph).all()


def test_loss_graph_leaves_a_gap_at_nan():
    history = np.ones((100, 1))
    history[50] = np.nan
    graph = loss_graph(history, 100)
    assert (graph[49, 50] == 0.1).all()
    np.testing.assert_allclose(graph[50, 10], [1, 0, 0])


def test_loss_trace_grows_and_keeps_odd_entries():
    trace = LossTrace([[1.0], [2.0, 3.0]])
    for step in range(200):
        trace.append([step, step + 0.5])
    assert len(trace) == 202
    assert np.isnan(trace.array[0, 1])
    assert trace.array[-1].tolist() == [199.0, 199.5]
    empty = LossTrace()
    empty.append([1.0])
    assert empty.array.tolist() == [[1.0]]


def test_moving_median_skips_nan():
    values = np.array([np.nan, 1.0, np.nan, 3.0, 100.0])
    np.testing.assert_array_equal(moving_median(values, 3), [np.nan, 1, 1, 2, 51.5])
    assert np.isnan(moving_median(np.full(3, np.nan), 2)).all()


@pytest.mark.parametrize(
    "history",
    [[], [[1.0, 2.0]], [[np.nan, np.inf]] * 5, [[0.5, 0.5]] * 10, [[-1.0, 0.0]] * 4],
)
def test_loss_plot_takes_any_history(history):
    plot = loss_plot(history, ("src", "dst"))
    assert plot.shape == (480, 960, 3)
    assert plot.dtype == np.uint8


BLUE, ORANGE = (200, 90, 20), (20, 130, 240)  # BGR


def near(plot, color, tolerance=30):
    """Where a plot has a color, as (rows, columns)."""
    return np.nonzero(np.abs(plot.astype(int) - color).max(axis=-1) < tolerance)


def test_loss_plot_draws_a_falling_line(tmp_path):
    history = 4 * np.exp(-np.arange(3000) / 800)[:, None] + 0.1
    plot = loss_plot(history, ("loss",), start=500)
    write_loss_plot(tmp_path / "loss.png", plot)
    rows, columns = near(plot[50:], BLUE)
    assert columns.max() - columns.min() > 700
    left, right = (rows[np.abs(columns - at) < 4].mean() for at in (120, 900))
    assert right > left + 200
    assert (tmp_path / "loss.png").read_bytes().startswith(b"\x89PNG")


def test_loss_plot_draws_each_loss_in_its_color_and_leaves_gaps():
    history = np.stack([np.full(200, 1.0), np.full(200, 0.5)], axis=1)
    history[:100, 1] = np.nan
    plot = loss_plot(history, ("src", "dst"))[50:]
    (blue, blue_columns), (orange, orange_columns) = near(plot, BLUE), near(plot, ORANGE)
    assert np.median(blue) < np.median(orange)  # 1.0 lies above 0.5
    assert blue_columns.min() < 130
    assert 450 < orange_columns.min() < 560


def test_loss_plot_marks_what_was_measured():
    history = np.full((200, 1), 0.5)
    plain = loss_plot(history, ("loss",))
    assert np.array_equal(loss_plot(history, ("loss",), quality=()), plain)
    measured = loss_plot(history, ("loss",), quality=[(50, 0.2), (100, 0.5), (150, 0.8)])
    marks = (measured[60:420, 80:880] < 60).all(axis=-1)
    left, right = (np.nonzero(half)[0].mean() for half in np.array_split(marks, 2, axis=1))
    assert left > right + 50  # it rises


def test_loss_plot_writes_marks_that_are_close_as_one_text():
    history = np.full((200, 1), 0.5)
    one = loss_plot(history, ("loss",), marks=[Mark(50, "phase", "a ends; rolled back")])
    two = loss_plot(
        history,
        ("loss",),
        marks=[Mark(50, "phase", "rolled back"), Mark(50, "phase", "a ends")][::-1],
    )
    assert np.array_equal(one, two)
    apart = loss_plot(
        history, ("loss",), marks=[Mark(50, "phase", "a ends"), Mark(150, "phase", "rolled back")]
    )
    dark = (apart[60:200, 80:900] < 120).all(axis=-1).any(axis=0)
    assert dark[:400].any()
    assert dark[500:].any()
    edge = loss_plot(history, ("loss",), marks=[Mark(200, "phase", "the last one ends")])
    assert (edge[45:400, 935:] == 255).all()  # nothing is written beyond the axes


def test_plot_of_a_model_marks_what_its_run_stored():
    history = np.linspace(2, 1, 200)[:, None].tolist()
    done = [{"name": "warp", "until": "iterations", "start": 0, "end": 100}]
    recipe = {"recipe": "two", "phase": "detail", "start": 100, "done": done}
    plain, marked = (plot_of_model(history, "m", run) for run in ({}, {"recipe": recipe}))
    assert np.array_equal(plain, loss_plot(history, ("loss",), title="m"))
    expected = loss_plot(history, ("loss",), title="m", marks=[Mark(100, "phase", "warp ends")])
    assert np.array_equal(marked, expected)
    assert not np.array_equal(marked, plain)


def test_loss_plot_takes_titles_as_they_are():
    """No formula, no character that a font lacks, no style of the user's."""
    import matplotlib as mpl

    with mpl.rc_context({"text.usetex": True, "figure.facecolor": "black"}):
        plot = loss_plot([[1.0], [2.0]], ("loss",), title="a $b_ \u4eba")
    assert (plot[0, 0] == 255).all()


@pytest.mark.parametrize("count", [400, 1000, 3000, 20000])
def test_loss_plot_shows_the_losses_of_all_iterations(count):
    """Neighboring losses that lie apart fill the space between them, however many they are."""
    history = np.where(np.arange(count) % 2, 1.0, 2.0)[:, None]
    plot = loss_plot(history, ("loss",))[60:420, 100:900].astype(int)
    pale = plot[..., 0] - plot[..., 2] > 10
    assert pale.any(axis=0).mean() > 0.98
    assert np.median(pale.sum(axis=0)) > 40
