"""Reading that can be interrupted and that gives up: FFmpeg works in a thread beside."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

from dfl_tf.errors import WorkspaceError
from dfl_tf.video.pyav import PATIENCE

T = TypeVar("T")

_AHEAD = 4
_TICK = 0.1


class _End:
    def __init__(self, error: BaseException | None) -> None:
        self.error = error


def watched(
    items: Callable[[], Iterator[T]], path: Path, *, patience: float | None = None
) -> Iterator[T]:
    """Yield what `items()` yields, which runs in a thread.

    Ctrl-C is heard while FFmpeg works, and a stream that gives nothing for `patience` seconds is
    an error. The thread is left behind then: it is a daemon, so that the program can end.

    Parameters
    ----------
    items : callable
        Opens what it needs itself and closes it at its end.
    path : Path
        Of the video, for the message.
    patience : float, optional
        Seconds; default `PATIENCE`.

    Raises
    ------
    WorkspaceError
        Nothing came in time; or whatever `items` raises.
    """
    limit = PATIENCE if patience is None else patience
    found: queue.Queue[T | _End] = queue.Queue(_AHEAD)
    stop = threading.Event()
    worker = threading.Thread(target=_work, args=(items, found, stop), daemon=True)
    worker.start()
    try:
        while True:
            item = _next(found, path, limit)
            if isinstance(item, _End):
                if item.error is not None:
                    raise item.error
                return
            yield item
    finally:
        stop.set()
        worker.join(1.0)


def _work(
    items: Callable[[], Iterator[T]], found: queue.Queue[T | _End], stop: threading.Event
) -> None:
    def put(item: T | _End) -> bool:
        while not stop.is_set():
            try:
                found.put(item, timeout=_TICK)
                return True
            except queue.Full:
                continue
        return False

    source = items()
    try:
        for item in source:
            if not put(item):
                break
        getattr(source, "close", lambda: None)()
    except BaseException as error:
        put(_End(error))
        return
    put(_End(None))


def _next(found: queue.Queue[T | _End], path: Path, limit: float) -> T | _End:
    end = time.monotonic() + limit
    while True:
        try:
            return found.get(timeout=_TICK)
        except queue.Empty:
            if time.monotonic() > end:
                raise WorkspaceError(
                    f"{path}: no frame could be decoded for {limit:g} s; giving up. The file is "
                    "damaged or the disk does not respond"
                ) from None
