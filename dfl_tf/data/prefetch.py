"""Make numbered items in threads and hand them out in their order."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Generic, TypeVar

from dfl_tf_ops.process import cores

Item = TypeVar("Item")


def auto_workers() -> int:
    """Return the number of sample threads that leaves the other half of the cores to the step."""
    return max(1, min(8, cores() // 2))


class Prefetch(Generic[Item]):
    """Call `make(0)`, `make(1)`, … in threads, a bounded number ahead of the consumer.

    Parameters
    ----------
    make : callable
        Item of a number; must be safe to call from several threads.
    workers : int
        Threads, at least 1.
    ahead : int
        Finished items that may wait.

    Attributes
    ----------
    wait_seconds : float
        Time that `take` spent waiting.
    """

    def __init__(self, make: Callable[[int], Item], *, workers: int, ahead: int) -> None:
        if workers < 1 or ahead < 1:
            raise ValueError(f"workers and ahead must be at least 1; received {workers}, {ahead}")
        self.wait_seconds = 0.0
        self._make = make
        self._window = max(ahead, workers)
        self._changed = threading.Condition()
        self._ready: dict[int, Item] = {}
        self._failed: dict[int, BaseException] = {}
        self._started = 0
        self._taken = 0
        self._closed = False
        self._threads = [
            threading.Thread(target=self._work, name=f"samples-{n}", daemon=True)
            for n in range(workers)
        ]
        for thread in self._threads:
            thread.start()

    def take(self) -> Item:
        """Return the next item; raises what `make` raised for it."""
        begin = time.perf_counter()
        with self._changed:
            number = self._taken
            self._changed.wait_for(
                lambda: self._closed or number in self._ready or number in self._failed
            )
            self.wait_seconds += time.perf_counter() - begin
            if number in self._failed:
                raise self._failed[number]
            if number not in self._ready:
                raise RuntimeError("the stream is closed")
            item = self._ready.pop(number)
            self._taken += 1
            self._changed.notify_all()
            return item

    def close(self) -> None:
        """Stop the threads; waits for items in work."""
        with self._changed:
            self._closed = True
            self._ready.clear()
            self._changed.notify_all()
        for thread in self._threads:
            if thread is not threading.current_thread():
                thread.join()

    def _work(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(
                    lambda: self._closed or self._started < self._taken + self._window
                )
                if self._closed:
                    return
                number = self._started
                self._started += 1
            try:
                item = self._make(number)
            # Whatever it is belongs to the consumer, who sits in another thread.
            except BaseException as error:
                with self._changed:
                    self._failed[number] = error
                    self._changed.notify_all()
                return
            with self._changed:
                if self._closed:
                    return
                self._ready[number] = item
                self._changed.notify_all()
