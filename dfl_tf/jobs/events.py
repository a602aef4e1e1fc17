"""What a program reports while it works: typed events, given to sinks.

An event is a frozen dataclass, a sink is whatever has a method `emit`. Rooms that report through
Python's `logging` (data, formats, merge, video) end in the same sinks by `captured_logging`.
"""

from __future__ import annotations

import contextlib
import logging
import sys
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from typing import ClassVar, Protocol


@dataclass(frozen=True)
class Event:
    """Something that happened.

    Attributes
    ----------
    kind : str
        Its name in a log.
    """

    kind: ClassVar[str] = "event"

    def record(self) -> dict[str, object]:
        """Return what a log for programs holds: plain values by the names of the fields."""
        return {item.name: getattr(self, item.name) for item in fields(self)}


@dataclass(frozen=True)
class Message(Event):
    """A line for people.

    Attributes
    ----------
    text : str
    level : str
        ``info``, ``warning`` or ``error``.
    source : str
        The logger it came from; empty if it was said directly.
    """

    kind: ClassVar[str] = "message"
    text: str
    level: str = "info"
    source: str = ""

    @property
    def shown(self) -> bool:
        """Whether it is for a terminal; what is merely logged goes to logs."""
        return self.level != "info" or not self.source

    def record(self) -> dict[str, object]:
        """Return the text, and what is not as usual."""
        more = {"level": self.level} if self.level != "info" else {}
        return {"text": self.text, **more, **({"source": self.source} if self.source else {})}


@dataclass(frozen=True)
class Closed(Event):
    """The last event: a sink lets go of what it holds open."""

    kind: ClassVar[str] = "closed"


class Sink(Protocol):
    """Where events go."""

    def emit(self, event: Event) -> None:
        """Take an event; those that do not concern the sink are ignored."""


class Events:
    """Several sinks that are spoken to as one, from any thread.

    A sink that cannot be written any more (full disk, closed pipe or terminal) is left out from
    then on, and the others report it: no work ends because of its log.

    Parameters
    ----------
    sinks : sequence of Sink
    """

    def __init__(self, sinks: Sequence[Sink] = ()) -> None:
        self._sinks = list(sinks)
        # a signal may come, and say something, while an event is being written
        self._lock = threading.RLock()

    def add(self, sink: Sink) -> None:
        """Report to one more sink from now on."""
        self._sinks.append(sink)

    def emit(self, event: Event) -> None:
        """Give an event to all sinks."""
        with self._lock:
            for sink in tuple(self._sinks):
                try:
                    sink.emit(event)
                except OSError as error:
                    self._leave_out(sink, error)

    def _leave_out(self, sink: Sink, error: OSError) -> None:
        self._sinks.remove(sink)
        with contextlib.suppress(OSError, ValueError):
            sink.emit(Closed())
        what = getattr(sink, "name", type(sink).__name__)
        self.say(f"warning: {what} cannot be written any more ({error.strerror}): left out")

    def say(self, text: str) -> None:
        """Report a line for people."""
        start = text.partition(":")[0]
        self.emit(Message(text, start if start in ("warning", "error") else "info"))

    def close(self) -> None:
        """Let all sinks let go."""
        self.emit(Closed())


class Lines:
    """A sink that prints messages and nothing else, on stderr."""

    def emit(self, event: Event) -> None:
        """Print a message; of what is logged, warnings and errors."""
        if isinstance(event, Message) and event.shown:
            print(event.text, file=sys.stderr, flush=True)


class _Bridge(logging.Handler):
    """Makes messages of log records."""

    def __init__(self, events: Events) -> None:
        super().__init__(logging.INFO)
        self._events = events

    def emit(self, record: logging.LogRecord) -> None:
        level = logging.getLevelName(max(record.levelno // 10 * 10, 20)).lower()
        level = "error" if level == "critical" else level
        try:
            text = record.getMessage()
        except Exception:
            self.handleError(record)
            return
        self._events.emit(Message(text, level, record.name))


@contextlib.contextmanager
def captured_logging(events: Events, name: str = "dfl_tf") -> Iterator[None]:
    """Send what is logged under a name to the sinks; the innermost of nested contexts takes it."""
    logger, bridge = logging.getLogger(name), _Bridge(events)
    outer = [handler for handler in logger.handlers if isinstance(handler, _Bridge)]
    for handler in outer:
        logger.removeHandler(handler)
    level = logger.level
    logger.addHandler(bridge)
    if logger.getEffectiveLevel() > logging.INFO:
        logger.setLevel(logging.INFO)
    try:
        yield
    finally:
        logger.removeHandler(bridge)
        logger.setLevel(level)
        for handler in outer:
            logger.addHandler(handler)
