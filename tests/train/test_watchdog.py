from __future__ import annotations

import numpy as np
import pytest

from dfl_tf.errors import TrainingDiverged
from dfl_tf.train.watchdog import Watchdog, check_finite


def steady(count=200, **settings) -> tuple[Watchdog, int]:
    watchdog = Watchdog(("src", "dst"), **settings)
    rng = np.random.RandomState(0)
    for iteration in range(1, count + 1):
        watchdog.check(iteration, [1 + 0.5 * rng.random_sample(), 0.5])
    return watchdog, count + 1


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), float("-inf")])
def test_a_loss_that_is_no_number_stops_at_once(bad):
    watchdog = Watchdog(("src", "dst"), guard_collapse=False)
    with pytest.raises(TrainingDiverged, match=r"iteration 7: loss dst=.*not finite") as caught:
        watchdog.check(7, [1.0, bad])
    assert caught.value.exit_code == 3


def test_a_collapse_holds_saving_back_and_then_stops():
    watchdog, iteration = steady()
    for step in range(5):
        assert not watchdog.suspicious
        watchdog.check(iteration + step, [1.2, 4.0])
    assert watchdog.suspicious
    for step in range(5, 19):
        watchdog.check(iteration + step, [1.2, 4.0])
    with pytest.raises(TrainingDiverged, match="dst loss stayed above 4 times its median"):
        watchdog.check(iteration + 19, [1.2, 4.0])


def test_single_spikes_and_slow_changes_are_no_collapse():
    watchdog, iteration = steady()
    for step in range(400):
        spike = 30.0 if step % 3 else 1.0
        watchdog.check(iteration + step, [spike, 0.5 + step / 200])
    assert not watchdog.suspicious


def test_the_start_of_a_run_and_a_switched_off_guard_are_let_be():
    watchdog = Watchdog(("loss",))
    for iteration in range(1, 100):
        watchdog.check(iteration, [0.1 if iteration < 50 else 9.0])
    off, iteration = steady(guard_collapse=False)
    for step in range(50):
        off.check(iteration + step, [100.0, 100.0])
    assert not off.suspicious


def test_a_collapse_right_after_resuming_is_told_by_the_losses_before():
    watchdog = Watchdog(("src", "dst"), history=np.tile([0.8, 0.7], (200, 1)))
    watchdog.check(201, [0.9, 0.7])  # before the first update
    for iteration in range(202, 207):
        assert not watchdog.suspicious
        watchdog.check(iteration, [4.8, 0.7])
    assert watchdog.suspicious
    for iteration in range(207, 221):
        watchdog.check(iteration, [3.9, 0.7])
    with pytest.raises(TrainingDiverged, match=r"the src loss .* \(0\.8000\)"):
        watchdog.check(221, [3.9, 0.7])


@pytest.mark.parametrize(
    ("history", "first"),
    [
        (np.tile([0.8, 0.7], (200, 1)), [0.8, 3.0]),  # another dst
        (np.tile([0.8, 0.7], (99, 1)), [0.8, 0.7]),  # hardly trained
        (np.tile([0.8], (200, 1)), [0.8, 0.7]),
        (np.tile([0.8, np.nan], (200, 1)), [0.8, 0.7]),
        (np.zeros((0, 0)), [0.8, 0.7]),
    ],
)
def test_a_run_that_does_not_go_on_where_the_last_ended_starts_anew(history, first):
    watchdog = Watchdog(("src", "dst"), history=history)
    watchdog.check(1, first)
    for iteration in range(2, 100):
        watchdog.check(iteration, [4.0, 4.0])
    assert not watchdog.suspicious


def test_weights_that_are_no_numbers_are_named():
    good = {"encoder": {"a:0": np.ones(3, np.float32)}, "opt": {"iters:0": np.int64(3)}}
    check_finite(good, 5)
    bad = {**good, "decoder": {"w:0": np.array([1, np.inf]), "b:0": np.zeros(2)}}
    with pytest.raises(TrainingDiverged, match=r"decoder: 1 \(w:0"):
        check_finite(bad, 5)
