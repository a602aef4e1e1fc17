"""What the plot of the losses shows beside them, by the data of its axes."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from dfl_tf.formats import read_model
from dfl_tf.imaging.plots import plain_style
from dfl_tf.jobs.events import Events
from dfl_tf.train import drawing
from dfl_tf.train.events import Start
from dfl_tf.train.log_facts import NO_FACTS, LogFacts, book_beside, facts_of
from dfl_tf.train.loss_plot import loss_figure
from dfl_tf.train.marks import Mark
from dfl_tf.train.sinks.json_lines import JsonLinesLog, log_beside

from .support.fake_model import FakeModel, options
from .support.runs import trainer

OPTIONS = {"lr_dropout": "n", "random_warp": True, "gan_power": 0.0, "target_iter": 0}


def write_log(folder: Path) -> Path:
    """Two runs of 10 s an iteration with a night between them, a switch, a roll-back, saves."""
    lines: list[dict[str, object]] = []

    def line(event: str, time: float, **values: object) -> None:
        lines.append({"event": event, "time": 1e9 + time, **values})

    def rows(first: int, last: int, begun: float, **terms: float) -> None:
        for number in range(first, last + 1, 50):
            scalars = {f"term/{name}": value for name, value in terms.items()}
            time = begun + 10 * (number - first + 50)
            line("iteration", time, iteration=number, losses={"src": 1.0}, ms=9, scalars=scalars)

    line("log", 0, schema=1)
    line("message", 0, text="loading")
    line("start", 0, iteration=0, options=OPTIONS)
    rows(50, 400, 0, src_pixels=0.5, dst_pixels=0.25)
    line("save", 4000, iteration=400)
    line("snapshot", 4000, iteration=400, name="a")
    line("end", 4000, iteration=400, reason="stopped", exit_code=0)
    line("log", 90_000, schema=1)
    line("message", 90_000, text="loading")
    options = {**OPTIONS, "lr_dropout": "y", "target_iter": 9000}
    line("start", 90_000, iteration=400, options=options)
    rows(450, 600, 90_000, src_pixels=0.5)
    changes = {"random_warp": [True, False], "save_every": [25, 5]}
    line("segment", 92_000, iteration=600, changes=changes)
    line("segment", 92_000, iteration=600, changes={"save_every": [5, 6]})
    rows(650, 700, 92_000, src_pixels=0.5)
    line("save", 93_000, iteration=700)
    line("rollback", 93_000, iteration=650, undone_until=700, reason="jump", remedy="less")
    rows(700, 800, 93_000, src_pixels=0.5, gan=0.1)
    line("save", 94_500, iteration=800)
    line("backup", 94_500, iteration=750)
    path = folder / "new_SAEHD_log.jsonl"
    path.write_text("".join(json.dumps(each) + "\n" for each in lines))
    return path


@pytest.fixture
def facts(tmp_path: Path) -> LogFacts:
    write_log(tmp_path)
    return facts_of(book_beside(tmp_path, "new_SAEHD"), 800)


def figure_of(
    count: int = 800, *, marks: Sequence[Mark] = (), facts: LogFacts = NO_FACTS, start: int = 0
) -> Figure:
    table = np.full((count, 2), 0.5)
    with plain_style():
        return loss_figure(table, ("src", "dst"), "new_SAEHD", start, (), marks, facts)


def lines_at(axes: Axes, kind: str) -> list[float]:
    """Where vertical lines of a kind stand."""
    return [
        float(segment[0][0])
        for collection in axes.collections
        if collection.get_label() == f"_{kind}"
        for segment in collection.get_segments()
    ]


def ticks_of(axes: Axes, label: str) -> list[float]:
    return [x for line in axes.lines if line.get_label() == label for x in line.get_xdata()]


def test_a_log_tells_of_changes_saves_terms_and_time(facts):
    assert facts.changes == (
        Mark(400, "options", "lr_dropout n -> y"),
        Mark(600, "options", "random_warp yes -> no"),
    )
    assert facts.saves == (400,), "700 was undone, 800 may be written while it is drawn"
    assert facts.kept == (400, 750)
    iterations, hours = facts.hours
    assert iterations.tolist() == [*range(50, 651, 50), 700, 750, 800]
    spent = dict(zip(iterations, np.round(hours * 3600), strict=True))
    assert (spent[50], spent[400], spent[450]) == (500, 4000, 4500)
    assert spent[650] == 6500
    assert spent[700] == 7500, "what was undone took its time"
    assert set(facts.terms) == {"src_pixels", "dst_pixels", "gan"}
    assert facts.terms["gan"][0].tolist() == [700, 750, 800]
    assert facts.terms["dst_pixels"][1].tolist() == [0.25] * 8


def test_a_log_is_read_on_and_what_it_tells_of_later_is_left_out(tmp_path):
    path = write_log(tmp_path)
    book = book_beside(tmp_path, "new_SAEHD")
    early = facts_of(book, 500)
    assert [mark.iteration for mark in early.changes] == [400]
    assert early.hours[0].max() == 500
    assert early.terms["src_pixels"][0].max() == 500
    with path.open("a") as file:
        change = {"event": "segment", "time": 1e9, "iteration": 800}
        file.write(json.dumps({**change, "changes": {"gan_power": [0.0, 0.01]}}) + "\n")
    last = facts_of(book, 900).changes[-1]
    assert last == Mark(800, "options", "gan_power 0.0 -> 0.01")
    assert facts_of(book_beside(tmp_path, "absent"), 900) == NO_FACTS


def test_the_plot_marks_phases_changes_roll_backs_and_saves(facts):
    marks = [Mark(600, "phase", "warp ends"), Mark(650, "rollback", "rolled back from 700")]
    axes = figure_of(marks=marks, facts=facts).axes[0]
    assert lines_at(axes, "phase") == [600]
    assert lines_at(axes, "options") == [400, 600]
    assert lines_at(axes, "rollback") == [650]
    assert ticks_of(axes, "_saves") == [400]
    assert ticks_of(axes, "_snapshots and backups") == [400, 750]
    texts = [text.get_text().strip() for text in axes.texts]
    assert texts == [
        "lr_dropout n -> y", "warp ends; random_warp yes -> no", "rolled back from 700",
    ]  # fmt: skip


def test_marks_outside_of_the_history_are_left_out(facts):
    axes = figure_of(300, facts=facts, start=450, marks=[Mark(100, "phase", "before")]).axes[0]
    assert lines_at(axes, "phase") == []
    assert lines_at(axes, "options") == [600]
    assert ticks_of(axes, "_saves") == []


def test_hours_stand_above_the_iterations(facts):
    axes = figure_of(facts=facts).axes[0]
    (top,) = axes.child_axes
    places = top.get_xticks()
    labels = [text.get_text() for text in top.get_xticklabels()]
    assert labels[0] == "0 h"
    at = dict(zip(labels, places, strict=True))
    assert at["1 h"] == pytest.approx(360)  # ten seconds each
    assert at["2 h"] == pytest.approx(685)  # and 500 s of iterations that were undone
    assert np.all(np.diff(places) > 0.05 * 800)
    iterations, hours = facts.hours
    short = LogFacts(hours=(iterations, hours / 60))
    (top,) = figure_of(facts=short).axes[0].child_axes
    assert top.get_xticklabels()[0].get_text() == "0 min"
    assert not figure_of().axes[0].child_axes


def test_terms_get_axes_of_their_own(facts):
    figure = figure_of(facts=facts)
    _, below = figure.axes
    drawn = {line.get_label(): line for line in below.lines if len(line.get_xdata())}
    assert drawn["gan"].get_xdata().tolist() == [700, 750, 800]
    assert drawn["pixels"].get_ydata()[0] == 0.5
    dst = drawn["_dst_pixels"]
    assert dst.get_color() == drawn["pixels"].get_color()
    assert (drawn["pixels"].get_linestyle(), dst.get_linestyle()) == ("-", "--")
    assert below.get_xlim() == (0, 800)
    assert figure.get_size_inches()[1] > figure_of().get_size_inches()[1]
    assert len(figure_of().axes) == 1


def test_a_plot_of_a_million_iterations_is_made_of_little(tmp_path):
    count = 1_000_000
    lines = [{"event": "start", "time": 0, "iteration": 0, "options": OPTIONS}]
    for number in range(1, 4001):
        lines.append({"event": "save", "time": 250 * number, "iteration": 250 * number})
        row = {"event": "iteration", "time": 250 * number, "iteration": 250 * number}
        lines.append({**row, "scalars": {"term/gan": 0.5, "term/src_mask": 0.1}})
    path = tmp_path / "new_SAEHD_log.jsonl"
    path.write_text("".join(json.dumps(each) + "\n" for each in lines))
    facts = facts_of(book_beside(tmp_path, "new_SAEHD"), count)
    assert len(facts.terms["gan"][0]) <= 800
    assert len(facts.saves) <= 1500
    assert facts.hours[1][-1] == pytest.approx(count / 3600)
    axes, below = figure_of(count, facts=facts).axes
    assert len(axes.collections) + len(axes.lines) + len(axes.texts) < 12
    assert all(len(line.get_xdata()) <= 1500 for line in below.lines)


def test_a_training_draws_what_its_log_tells(tmp_path, monkeypatch):
    shown: list[LogFacts] = []

    def plot(*_: object, facts: LogFacts, **__: object) -> np.ndarray:
        shown.append(facts)
        return np.zeros((8, 8, 3), np.uint8)

    monkeypatch.setattr(drawing, "loss_plot", plot)

    def train(model: FakeModel, *, first: bool) -> None:
        log = Events([JsonLinesLog(log_beside(tmp_path, "new_SAEHD"), 2, rotated=True)])
        made = trainer(tmp_path, model, first=first, log=log, save_every_iters=4)
        stored = made.segment.settings.legacy()
        log.emit(Start("new", "SAEHD", str(tmp_path), model.iteration, 1, stored))
        made.run()
        log.close()

    train(FakeModel(options(target_iter=10)), first=True)
    assert shown[-1].changes == ()
    second = FakeModel(options(target_iter=20, random_warp=False))
    second.load_state(read_model(tmp_path, "new", "SAEHD"))
    train(second, first=False)
    assert shown[-1].changes == (Mark(10, "options", "random_warp yes -> no"),)
    assert {4, 8, 12, 16} <= set(shown[-1].saves)
    assert 20 not in shown[-1].saves
