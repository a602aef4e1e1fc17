from __future__ import annotations

import pytest

from dfl_tf.train.timing import Timing


def test_figures_leave_the_first_iteration_out():
    timing = Timing()
    timing.add(9.0, 8.0, 8)
    for milliseconds in range(1, 101):
        timing.add(milliseconds / 1000, 0.1 * milliseconds / 1000, 8)
    summary = timing.summary()
    assert summary.first_seconds == 9.0
    assert summary.iterations == 100
    assert summary.median_ms == pytest.approx(50.5)
    assert summary.p95_ms == pytest.approx(95.05)
    assert summary.wait_share == pytest.approx(0.1)
    assert summary.images_per_second == pytest.approx(800 / 5.05)
    assert "50 ms/iter median" in summary.text()


def test_no_iterations_and_one():
    timing = Timing()
    assert timing.summary().iterations == 0
    assert timing.seconds_per_iteration() is None
    timing.add(2.0, 0.0, 4)
    assert timing.summary().text() == "first iteration 2.0 s"
    assert timing.wait_share() == 0.0
