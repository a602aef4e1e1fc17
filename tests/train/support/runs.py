"""Trainers around the fake model."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from dfl_tf.formats import ModelState
from dfl_tf.jobs.events import Event, Events, Message
from dfl_tf.options import RunOptions, SAEHDOptions, legacy_layer, resolve
from dfl_tf.train.batch_source import BatchSource
from dfl_tf.train.checkpoint import CheckpointLocation
from dfl_tf.train.events import Iteration, Mean, Preview
from dfl_tf.train.segment import Segment
from dfl_tf.train.settings import Settings
from dfl_tf.train.trainer import Trainer

from .fake_model import FakeModel, FakeStream


class ListLog(Events):
    """A log that remembers, and that may be followed by a function."""

    def __init__(self, then: Callable[[Event], None] = lambda event: None) -> None:
        super().__init__()
        self.lines: list[str] = []
        self.events: list[tuple[str, dict[str, Any]]] = []
        self.iterations: list[int] = []
        self.means: list[tuple[int, list[float]]] = []
        self.images: list[str] = []
        self.then = then

    def emit(self, event: Event) -> None:
        match event:
            case Message():
                self.lines.append(event.text)
            case Iteration():
                self.iterations.append(event.iteration)
            case Mean():
                self.means.append((event.iteration, list(event.losses.values())))
            case _:
                self.events.append((event.kind, event.record()))
        if isinstance(event, Preview):
            self.images += event.images
        self.then(event)

    def kinds(self) -> list[str]:
        return [kind for kind, _ in self.events]


def batch_source(position: int = 0, seed: int = 1) -> BatchSource:
    streams = {"src": FakeStream(seed, position), "dst": FakeStream(seed + 1, position)}
    return BatchSource(streams, seed)


def trainer(
    folder: Path,
    model: FakeModel | None = None,
    *,
    first: bool = True,
    position: int = 0,
    log: Events | None = None,
    **run: Any,
) -> Trainer:
    place = CheckpointLocation(
        folder, "new", "SAEHD", format="legacy" if first else "same", first=first
    )
    made = segment(model or FakeModel(), position, **run)
    return Trainer(made, place, log=log or ListLog(), rebuild=rebuild)


def segment(model: FakeModel, position: int = 0, **run: Any) -> Segment:
    layer = legacy_layer(SAEHDOptions, {"odd_key": "kept"}, origin="a fork")
    resolved = replace(resolve(SAEHDOptions, [layer]), options=model.options)
    return Segment(Settings(resolved, RunOptions(**run)), model, batch_source(position))


def rebuild(settings: Settings, state: ModelState | None) -> Segment:
    """What `segment.Builder.build` does, for the fake model."""
    assert state is not None
    model = FakeModel(settings.options)
    messages = model.load_state(state)
    positions = state.run["positions"]
    return Segment(settings, model, batch_source(positions["src"]), messages)
