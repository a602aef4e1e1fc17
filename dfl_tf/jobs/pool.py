"""A pool of threads that gives its results in the order of the items."""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Executor, Future, ThreadPoolExecutor, wait
from typing import Generic, NamedTuple, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


class Outcome(NamedTuple, Generic[Item, Result]):
    """What became of one item.

    Attributes
    ----------
    item : object
    result : object or None
        None if the work on the item failed.
    error : Exception or None
        Why it failed.
    """

    item: Item
    result: Result | None
    error: Exception | None

    def get(self) -> Result:
        """The result.

        Raises
        ------
        Exception
            The error of the work.
        """
        if self.error is not None:
            raise self.error
        return self.result  # type: ignore[return-value]


def ordered(
    work: Callable[[Item], Result],
    items: Iterable[Item],
    *,
    workers: int,
    ahead: int | None = None,
    pool: Executor | None = None,
) -> Generator[Outcome[Item, Result], None, None]:
    """Work on items in threads; the outcomes come in the order of the items.

    An item that fails stops no other. When the iterator is closed (or the consumer raises), items
    that nobody has begun are dropped, and those in work are waited for.

    Parameters
    ----------
    work : callable
        Called with one item in one of the threads.
    items : iterable
        Taken one by one, no further than `ahead` items before the one that is given out.
    workers : int
        Number of threads; with 1 (and no `pool`) everything happens in the calling thread.
    ahead : int, optional
        How many items may be in work or wait for being given out; by default two a worker. This
        bounds memory.
    pool : Executor, optional
        Whose threads work: several stages of a work, one behind the other, share them. By default
        threads of its own.

    Yields
    ------
    Outcome
    """
    if workers <= 1 and pool is None:
        for item in items:
            yield _outcome(work, item)
        return
    limit = max(workers, 2 * workers if ahead is None else ahead)
    waiting: deque[Future[Outcome[Item, Result]]] = deque()
    with ThreadPoolExecutor(workers) if pool is None else contextlib.nullcontext(pool) as threads:
        try:
            for item in items:
                waiting.append(threads.submit(_outcome, work, item))
                while waiting and (len(waiting) >= limit or waiting[0].done()):
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()
            wait(waiting)


def _outcome(work: Callable[[Item], Result], item: Item) -> Outcome[Item, Result]:
    try:
        return Outcome(item, work(item), None)
    except Exception as error:
        return Outcome(item, None, error)
