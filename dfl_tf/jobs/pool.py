"""A pool of threads that gives its results in the order of the items."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
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
) -> Iterator[Outcome[Item, Result]]:
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
        Number of threads; with 1 everything happens in the calling thread.
    ahead : int, optional
        How many items may be in work or wait for being given out; by default two a worker. This
        bounds memory.

    Yields
    ------
    Outcome
    """
    if workers <= 1:
        for item in items:
            yield _outcome(work, item)
        return
    limit = max(workers, 2 * workers if ahead is None else ahead)
    pool = ThreadPoolExecutor(workers)
    waiting: deque[Future[Outcome[Item, Result]]] = deque()
    try:
        for item in items:
            waiting.append(pool.submit(_outcome, work, item))
            if len(waiting) >= limit:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _outcome(work: Callable[[Item], Result], item: Item) -> Outcome[Item, Result]:
    try:
        return Outcome(item, work(item), None)
    except Exception as error:
        return Outcome(item, None, error)
