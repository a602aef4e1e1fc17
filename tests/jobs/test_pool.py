"""Results in order, bounded memory, failures that stop nobody."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from dfl_tf.jobs.pool import ordered


@pytest.mark.parametrize("workers", [1, 3])
def test_results_come_in_order_and_a_failure_stops_no_other(workers: int) -> None:
    def work(number: int) -> int:
        time.sleep(0.002 * (number % 3))
        if number == 4:
            raise ValueError("four")
        return number * number

    outcomes = list(ordered(work, range(10), workers=workers))
    assert [outcome.item for outcome in outcomes] == list(range(10))
    assert [o.result for o in outcomes if o.error is None] == [n * n for n in range(10) if n != 4]
    with pytest.raises(ValueError, match="four"):
        outcomes[4].get()
    assert outcomes[5].get() == 25


def test_items_are_taken_no_further_than_the_bound() -> None:
    taken = []

    def items():
        for number in range(50):
            taken.append(number)
            yield number

    given = 0
    for outcome in ordered(lambda n: n, items(), workers=2, ahead=5):
        assert len(taken) <= given + 5
        given = outcome.item + 1
    assert given == 50


def test_closing_drops_what_nobody_began() -> None:
    done = []
    gate = threading.Event()

    def work(number: int) -> int:
        if number:
            gate.wait(5)
        done.append(number)
        return number

    results = ordered(work, range(100), workers=2, ahead=8)
    assert next(results).item == 0
    threading.Timer(0.05, gate.set).start()
    results.close()
    assert len(done) <= 3  # the first, and those two that were in work


def test_stages_of_a_work_share_threads_and_keep_the_order() -> None:
    with ThreadPoolExecutor(2) as pool:
        first = ordered(lambda n: n + 1, range(20), workers=2, pool=pool)
        doubled = ordered(lambda o: 2 * o.get(), first, workers=2, pool=pool)
        assert [outcome.get() for outcome in doubled] == [2 * (n + 1) for n in range(20)]
        assert pool.submit(lambda: "open").result() == "open"
