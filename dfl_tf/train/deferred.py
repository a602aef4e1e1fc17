"""What threads report, kept until the training's thread passes it on: loggers belong to that."""

from __future__ import annotations

import threading
from collections.abc import Callable

from dfl_tf.jobs.events import Event


class Deferred:
    """Lines for people and events, in the order in which threads added them.

    Parameters
    ----------
    say : callable
        Gets the lines.
    emit : callable, optional
        Gets the events; without it only lines may be added.
    """

    def __init__(
        self, say: Callable[[str], object], emit: Callable[[Event], object] | None = None
    ) -> None:
        self._say, self._emit = say, emit
        self._lock = threading.Lock()
        self._waiting: list[str | Event] = []

    def add(self, what: str | Event) -> None:
        """Keep a line or an event; called by any thread."""
        with self._lock:
            self._waiting.append(what)

    def flush(self) -> None:
        """Pass on what was added; called by the thread that the loggers belong to."""
        with self._lock:
            waiting, self._waiting = self._waiting, []
        for what in waiting:
            if isinstance(what, str):
                self._say(what)
            elif self._emit is not None:
                self._emit(what)
