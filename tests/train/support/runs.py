"""Trainers around the fake model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from dfl_tf.options import RunOptions
from dfl_tf.train.feeds import Feed
from dfl_tf.train.keeper import ModelPlace
from dfl_tf.train.trainer import Trainer

from .fake_model import FakeModel, FakeStream


class ListLog:
    """A logger that remembers."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.events: list[tuple[str, dict[str, Any]]] = []
        self.iterations: list[int] = []
        self.means: list[tuple[int, list[float]]] = []
        self.pictures: list[str] = []

    def iteration(self, event) -> None:
        self.iterations.append(event.iteration)

    def mean_line(self, event, means) -> None:
        self.means.append((event.iteration, list(means)))

    def say(self, text: str) -> None:
        self.lines.append(text)

    def record(self, kind: str, **fields: Any) -> None:
        self.events.append((kind, fields))

    def picture(self, name, iteration, image) -> None:
        self.pictures.append(name)

    def close(self) -> None:
        pass

    def kinds(self) -> list[str]:
        return [kind for kind, _ in self.events]


def feed(position: int = 0, seed: int = 1) -> Feed:
    streams = {"src": FakeStream(seed, position), "dst": FakeStream(seed + 1, position)}
    return Feed(streams, seed)


def trainer(
    folder: Path,
    model: FakeModel | None = None,
    *,
    first: bool = True,
    position: int = 0,
    log: ListLog | None = None,
    **run: Any,
) -> Trainer:
    model = model or FakeModel()
    place = ModelPlace(
        folder,
        "new",
        "SAEHD",
        format="legacy" if first else "same",
        options={"resolution": 64, "archi": "df", "batch_size": 2, "odd_key": "kept"},
        first=first,
    )
    return Trainer(model, feed(position), place, run=RunOptions(**run), log=log or ListLog())
