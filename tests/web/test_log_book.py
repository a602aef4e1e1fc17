"""Logs of any size, read as they grow."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest

from dfl_tf.train import log_book, log_reader
from dfl_tf.train.log_book import LogBook
from dfl_tf.train.log_reader import LogReader

from .support.trainings import iteration, line, write_log


def book_of(path: Path) -> LogBook:
    book = LogBook(LogReader(path, lambda each: each))
    book.read()
    return book


def losses(book: LogBook, **more: float) -> tuple[list[float], list[float]]:
    asked = {"first": -1e15, "last": 1e15, "points": 10**6, **more}
    made = book.series(["loss/src"], asked["first"], asked["last"], int(asked["points"]))
    return made["iterations"], made["mean"].get("loss/src", [])


def test_what_is_new_is_read_once_in_whole_lines(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_text(iteration(10) + iteration(20)[:-9])
    book = book_of(path)
    assert losses(book)[0] == [10]
    with path.open("a") as file:
        file.write(iteration(20)[-9:] + "no json\n" + iteration(30))
    assert book.read()
    assert losses(book)[0] == [10, 20, 30]
    assert not book.read()


def test_a_log_goes_on_in_a_new_file(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_text(iteration(10))
    book = book_of(path)
    with path.open("a") as file:
        file.write(iteration(20))
    path.rename(tmp_path / "a.1.jsonl")
    path.write_text(iteration(30))
    book.read()
    assert losses(book)[0] == [10, 20, 30]
    assert losses(book_of(path))[0] == [10, 20, 30]
    path.write_text(iteration(40))  # shorter or not, it is another one in the same place
    path.write_text("")
    book.read()
    path.write_text(iteration(50))
    book.read()
    assert losses(book)[0][-1] == 50


def test_what_was_undone_is_not_drawn(tmp_path):
    path = tmp_path / "a.jsonl"
    write_log(path)
    book = book_of(path)
    iterations, values = losses(book)
    assert iterations == sorted(set(iterations))
    assert not [n for n in iterations if 2000 < n < 2510]
    assert len(iterations) == len(values)
    kinds = [mark.kind for mark in book.marks]
    assert kinds == ["start", "save", "options", "rollback", "backup", "snapshot"]
    assert book.options["gan_power"] == 0.05
    assert book.since == {"gan_power": "changed at iteration 1000, was 0.01"}
    with path.open("a") as file:  # killed, and started again from its last save
        file.write(line("start", iteration=3000, options={"a": 1}, seed=2))
    book.read()
    assert losses(book)[0][-1] == 3000
    assert (book.marks[-1].text, book.since) == ("started again from 3000, after 4000", {})


def test_a_large_log_is_read_in_bounds(tmp_path, monkeypatch):
    monkeypatch.setattr(log_reader, "WHOLE", 1000)
    monkeypatch.setattr(log_reader, "TAIL", 5000)
    monkeypatch.setattr(log_reader, "ROWS", 100)
    monkeypatch.setattr(log_reader, "CHUNK", 8000)
    path = tmp_path / "a.jsonl"
    write_log(path, last=20_000)
    parsed = []
    real = log_reader.parse_json
    monkeypatch.setattr(log_reader, "parse_json", lambda *a, **k: parsed.append(1) or real(*a, **k))
    book = book_of(path)
    iterations, _ = losses(book)
    assert 60 < len(iterations) < 250
    assert max(np.diff(iterations)) < 1100, "evenly spread, but for what was undone"
    assert list(np.diff(iterations[-10:])) == [10] * 9, "the end is read whole"
    assert len(parsed) < 300
    assert [m.kind for m in book.marks].count("rollback") == 1, "what is rare is read in any case"


def test_a_flood_of_rare_lines_is_bounded(tmp_path, monkeypatch):
    monkeypatch.setattr(log_reader, "WHOLE", 1000)
    monkeypatch.setattr(log_reader, "EVENTS", 50)
    monkeypatch.setattr(log_reader, "ROWS", 10)
    monkeypatch.setattr(log_reader, "TAIL", 1000)
    monkeypatch.setattr(log_book, "MARKS", 20)
    path = tmp_path / "a.jsonl"
    monkeypatch.setattr(log_reader, "CHUNK", 8000)
    path.write_text("".join(line("save", iteration=n) for n in range(3000)))
    parsed = []
    real = log_reader.parse_json
    monkeypatch.setattr(log_reader, "parse_json", lambda *a, **k: parsed.append(1) or real(*a, **k))
    book = book_of(path)
    assert 0 < len(book.marks) <= 20
    assert len(parsed) < 400
    path.write_text("x" * 300_000 + "\n" + iteration(1))
    assert losses(book_of(path))[0] == [1]


def test_rows_are_thinned_and_buckets_keep_extremes(tmp_path, monkeypatch):
    monkeypatch.setattr(log_book, "ROWS", 1000)
    path = tmp_path / "a.jsonl"
    rows = [iteration(n, losses={"src": 9.0 if n == 1900 else 1.0}) for n in range(1, 2001)]
    path.write_text("".join(rows))
    book = book_of(path)
    assert len(losses(book)[0]) <= 1000
    assert losses(book)[0][-1] == 2000
    made = book.series(["loss/src", "absent"], 0, 1e9, 20)
    assert len(made["iterations"]) <= 20
    assert max(made["high"]["loss/src"]) == 9.0
    assert min(made["low"]["loss/src"]) == 1.0
    assert "absent" not in made["mean"]
    zoomed = book.series(["loss/src"], 1890, 1910, 500)["iterations"]
    assert (zoomed[0], zoomed[-1]) == (1889, 1911)
    assert book.series(["loss/src"], 1e9, 2e9, 10)["iterations"] in ([], [2000])


def test_columns_may_come_later_and_numbers_may_be_none(tmp_path):
    path = tmp_path / "a.jsonl"
    later = {
        "losses": {"src": None, "dst": 1e300, "true": True, "text": "x"},
        "scalars": {"new": 5},
    }
    path.write_text(
        iteration(1, scalars={}) + iteration(2, **later) + iteration(3, losses=[], ms=0)
    )
    book = book_of(path)
    made = book.series(["new", "loss/src", "loss/dst"], 0, 9, 9)
    assert made["mean"]["new"][1] == 5
    assert all(map(math.isnan, (made["mean"]["new"][0], made["mean"]["loss/src"][1])))
    assert math.isnan(made["high"]["loss/dst"][1])
    assert not {"loss/true", "loss/text"} & set(book.columns)


@pytest.mark.parametrize(
    "entry",
    [
        {"event": "iteration"}, {"event": "iteration", "iteration": "x"}, {"event": ["iteration"]},
        {"event": "iteration", "iteration": 1e300}, {"event": "segment", "changes": [1]},
        {"event": "segment", "changes": {"a": 1}}, {"event": "preview", "files": 5}, {},
        {"event": 1}, {"event": "start", "options": "x"}, {"event": "rollback"},
        {"event": "validation"}, {"event": "request", "options": 3}, {"event": "message"},
        {"event": "save", "iteration": []},
        {"event": "message", "text": "x" * 100_000, "level": {}},
    ],
)  # fmt: skip
def test_odd_entries_break_nothing(tmp_path, entry):
    path = tmp_path / "a.jsonl"
    path.write_text(iteration(5) + json.dumps(entry) + "\n" + iteration(7))
    assert losses(book_of(path))[0][-1] == 7
