from __future__ import annotations

import numpy as np
import pytest

from dfl_tf.errors import TrainingDiverged
from dfl_tf.train.guard import Guard, NormGuard, check_finite
from dfl_tf.train.host_copies import sum_of_squares


def steady(count=200, **settings) -> tuple[Guard, int]:
    guard = Guard(("src", "dst"), **settings)
    rng = np.random.RandomState(0)
    for iteration in range(1, count + 1):
        guard.check(iteration, [1 + 0.5 * rng.random_sample(), 0.5])
    return guard, count + 1


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), float("-inf")])
def test_a_loss_that_is_no_number_stops_at_once(bad):
    guard = Guard(("src", "dst"), guard_collapse=False)
    with pytest.raises(TrainingDiverged, match=r"iteration 7: loss dst=.*not finite") as caught:
        guard.check(7, [1.0, bad])
    assert caught.value.exit_code == 3


def test_a_collapse_holds_saving_back_and_then_stops():
    guard, iteration = steady()
    for step in range(5):
        assert not guard.suspicious
        guard.check(iteration + step, [1.2, 4.0])
    assert guard.suspicious
    for step in range(5, 19):
        guard.check(iteration + step, [1.2, 4.0])
    with pytest.raises(TrainingDiverged, match="dst loss stayed above 4 times its median"):
        guard.check(iteration + 19, [1.2, 4.0])


def test_single_spikes_and_slow_changes_are_no_collapse():
    guard, iteration = steady()
    for step in range(400):
        spike = 30.0 if step % 3 else 1.0
        guard.check(iteration + step, [spike, 0.5 + step / 200])
    assert not guard.suspicious


def test_the_start_of_a_run_and_a_switched_off_guard_are_let_be():
    guard = Guard(("loss",))
    for iteration in range(1, 100):
        guard.check(iteration, [0.1 if iteration < 50 else 9.0])
    off, iteration = steady(guard_collapse=False)
    for step in range(50):
        off.check(iteration + step, [100.0, 100.0])
    assert not off.suspicious


def test_a_collapse_right_after_resuming_is_told_by_the_losses_before():
    guard = Guard(("src", "dst"), history=np.tile([0.8, 0.7], (200, 1)))
    guard.check(201, [0.9, 0.7])  # before the first update
    for iteration in range(202, 207):
        assert not guard.suspicious
        guard.check(iteration, [4.8, 0.7])
    assert guard.suspicious
    for iteration in range(207, 221):
        guard.check(iteration, [3.9, 0.7])
    with pytest.raises(TrainingDiverged, match=r"the src loss .* \(0\.8000\)"):
        guard.check(221, [3.9, 0.7])


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
def test_a_run_that_does_not_go_on_where_the_last_ended_starts_over(history, first):
    guard = Guard(("src", "dst"), history=history)
    guard.check(1, first)
    for iteration in range(2, 100):
        guard.check(iteration, [4.0 + iteration * 1e-9, 4.0])
    assert not guard.suspicious


def squares(tensors):
    return {
        part: {key: sum_of_squares(array) for key, array in arrays.items()}
        for part, arrays in tensors.items()
    }


def test_weights_that_are_no_numbers_are_named():
    good = {"encoder": {"a:0": np.ones(3, np.float32)}, "opt": {"iters:0": np.int64(3)}}
    check_finite(good, squares(good), 5)
    bad = {**good, "decoder": {"w:0": np.array([1, np.inf]), "b:0": np.zeros(2)}}
    with pytest.raises(TrainingDiverged, match=r"decoder: 1 \(w:0"):
        check_finite(bad, squares(bad), 5)


def test_losses_that_stand_still_are_a_collapse():
    guard = Guard(["src", "dst"])
    for iteration in range(1, 51):
        guard.check(iteration, [0.5, 0.25])
    with pytest.raises(TrainingDiverged, match="have been exactly constant for 50 iterations"):
        guard.check(51, [0.5, 0.25])
    off = Guard(["src", "dst"], guard_collapse=False)
    for iteration in range(1, 200):
        off.check(iteration, [0.5, 0.25])


def test_zero_losses_are_a_collapse_and_a_change_starts_the_count_over():
    guard = Guard(["src", "dst"])
    for iteration in range(1, 50):
        guard.check(iteration, [0.5, 0.25])
    guard.check(50, [0.5, 0.26])
    for iteration in range(51, 100):
        guard.check(iteration, [0.0, 0.0])
    with pytest.raises(TrainingDiverged, match="src=0, dst=0"):
        guard.check(100, [0.0, 0.0])


def test_a_network_that_runs_away_is_seen_when_it_is_saved():
    guard = NormGuard()
    for iteration in range(12):
        size = 0.5 * (1 + iteration / 10)
        guard.check({"encoder": {"w": 16 * size**2}}, iteration)
    # the last ten norms are 2.4, 2.6 … 4.2: their median is 3.3
    with pytest.raises(TrainingDiverged, match=r"encoder 33\.2 \(median 3\.3\)"):
        guard.check({"encoder": {"w": 16 * 8.3**2}}, 12)
    guard.check({"encoder": {"w": 16 * 8.2**2}}, 12)


def test_a_few_saves_are_no_measure():
    guard = NormGuard()
    for size in (0.001, 0.01, 100.0):
        guard.check({"inter": {"w": 4 * size**2}}, 1)


def test_an_output_of_one_color_is_a_collapse():
    guard, iteration = steady()
    shown, flat = {"src": 0.04, "dst": 0.05}, {"src": 0.04, "dst": 9.9e-5}
    for step in range(-100, 1):
        guard.check(iteration + step, [1.2, 0.5 + step / 1000], shown)
    for step in range(1, 20):
        guard.check(iteration + step, [1.2, 0.5 + step / 1000], flat)
        assert guard.suspicious == (step >= 5)
    with pytest.raises(TrainingDiverged, match="output for dst has been flat for 20 iterations"):
        guard.check(iteration + 20, [1.2, 0.6], flat)


def test_a_new_model_begins_flat_and_a_grown_one_does_not():
    flat = {"src": 1e-5, "dst": 1e-5}
    guard = Guard(("src", "dst"))
    for iteration in range(1, 101):
        swings = {"src": 4e-3, "dst": 3e-4} if iteration in (6, 7) else flat
        guard.check(iteration, [1.0 + iteration / 1000, 0.5], swings)
    assert not guard.suspicious
    for step in range(19):  # resumed, flat from the first iteration on
        guard.check(1001 + step, [1.0 + step / 1000, 0.5], flat)
    with pytest.raises(TrainingDiverged, match="output for src has been flat"):
        guard.check(1020, [1.5, 0.5], flat)


def test_flat_stretches_that_end_are_no_collapse_and_the_guard_can_be_off():
    guard, off = steady()[0], Guard(("src", "dst"), guard_collapse=False)
    for step in range(100):
        losses = [1.2 + step / 1000, 0.5]
        guard.check(2000 + step, losses, {"src": 1e-6 if step % 15 else 0.1})
        off.check(2000 + step, losses, {"src": 0.0})
