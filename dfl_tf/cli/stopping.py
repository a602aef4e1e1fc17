"""Ending a run on a signal, after the work that has begun."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType


@contextmanager
def stopping(stop: threading.Event) -> Iterator[list[int]]:
    """Finish the frames in work on SIGINT or SIGTERM; a second SIGINT leaves at once."""
    received: list[int] = []

    def handle(number: int, _: object) -> None:
        if received and number == signal.SIGINT:
            raise KeyboardInterrupt
        received.append(number)
        stop.set()

    before: dict[int, signal.Handlers | int | Callable[[int, FrameType | None], object] | None] = {}
    if threading.current_thread() is threading.main_thread():
        before = {n: signal.signal(n, handle) for n in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield received
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
