from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from dfl_tf.options.recipe import PlateauRule
from dfl_tf.train.plateau import has_plateaued, measure_trend

RULE = PlateauRule(window=400)
LENGTH = 1600
FALL_AND_REST = ((40, 140), (215, 325), (385, 465))
"""Parts of the losses of a real training."""


def noise(seed: int, sigma: float = 0.15) -> np.ndarray:
    return np.exp(np.random.default_rng(seed).normal(0, sigma, LENGTH))


def answers(*columns: np.ndarray, rule: PlateauRule = RULE) -> list[int]:
    """The iterations at which the test says flat."""
    losses = np.stack(columns, axis=1)
    return [done for done in range(1, LENGTH + 1) if has_plateaued(losses[:done], rule)]


def test_trend_by_the_definition():
    losses = np.array([5.0, 3.0, 4.0, 1.0, 2.0])
    found = measure_trend(losses, blocks=5)
    # S = -6 of 10 pairs, variance 5*4*15/18: normal = (S + 1) / sqrt(16.67) = -1.2247
    assert found.p_value == pytest.approx(0.11034, abs=1e-5)
    # 10 slopes, from -3 on; rank (10 - 1.96 * 4.08) / 2 is below 1: the steepest of them
    assert found.fall == pytest.approx(3 * 5 / 3)


def test_agrees_with_scipy():
    from scipy.stats import kendalltau, theilslopes

    rng = np.random.default_rng(1)
    for _ in range(5):
        losses = rng.normal(1, 0.1, 40) - np.arange(40) * rng.uniform(0, 0.01)
        found = measure_trend(losses, blocks=40)
        slope, _, low, _ = theilslopes(losses, alpha=0.95)
        scale = 40 / np.median(losses)
        assert found.fall == pytest.approx(-low * scale, rel=0.05)
        assert found.fall > -slope * scale
        exact = kendalltau(np.arange(40), losses, alternative="less").pvalue
        assert found.p_value == pytest.approx(exact, abs=0.02)


def test_a_falling_curve_is_not_flat():
    level = 0.8 ** (np.arange(LENGTH) / 400)
    assert answers(level * noise(0), level * noise(1)) == []


def test_one_loss_that_still_falls_is_enough_to_go_on():
    level = 0.8 ** (np.arange(LENGTH) / 400)
    assert answers(level * noise(0), noise(1)) == []


@pytest.mark.parametrize("sigma", [0.0, 0.15, 0.6])
def test_a_flat_curve_is_flat_soon(sigma):
    found = answers(noise(2, sigma), noise(3, sigma))
    assert found[0] < 800
    assert found[0] >= 440  # a window, and two more looks


def test_it_stops_where_the_fall_ends():
    level = np.where(np.arange(LENGTH) < 800, 0.7 ** (np.arange(LENGTH) / 400), 0.7**2)
    first = answers(level * noise(4, 0.1), level * noise(5, 0.1))[0]
    assert 800 < first <= 1240


def test_steps_are_a_fall():
    level = 0.9 ** (np.arange(LENGTH) // 130)
    assert answers(level * noise(6), level * noise(7)) == []


def test_spikes_change_nothing():
    level = 0.8 ** (np.arange(LENGTH) / 400)
    spikes = np.where(np.random.default_rng(8).random(LENGTH) < 0.02, 20.0, 1.0)
    assert answers(level * noise(8) * spikes, level * noise(9)) == []
    assert answers(noise(8) * spikes, noise(9))[0] < 800


def test_a_slow_but_certain_fall_ends_a_phase_by_the_rate():
    level = 1 - 0.004 * np.arange(LENGTH) / 400
    assert answers(level, level)[0] == 440
    assert answers(level, level, rule=PlateauRule(window=400, rate=0.0)) == []


def test_least_and_most():
    falling, flat = np.exp(-np.arange(LENGTH) / 300), np.ones(LENGTH)
    assert answers(flat, flat, rule=PlateauRule(window=400, least=900))[0] == 900
    assert answers(falling, falling, rule=PlateauRule(window=400, most=700))[0] == 700


def test_losses_that_are_not_finite_do_not_matter():
    spoiled = noise(2).copy()
    spoiled[10::50] = np.nan
    assert answers(spoiled, noise(3))[0] < 800


def test_on_the_losses_of_a_real_training():
    """A SAEHD model of 64 pixels on the rendered faces of `dfl-tf demo`, by a recipe (seed 3).

    To the eye the losses fall until about iteration 190, are flat to 385, and fall again when the
    GAN is on.
    """
    losses = np.load(Path(__file__).parent / "losses_of_a_recipe.npz")["losses"].astype(np.float64)
    rule = PlateauRule(window=100)
    flat = [done for done in range(1, 466) if has_plateaued(losses[:done], rule)]
    assert (flat[0], flat[-1]) == (265, 340)
    assert len(flat) == 16
    falling, level, again = (measure_trend(losses[a:b, 0]) for a, b in FALL_AND_REST)
    assert max(falling.p_value, again.p_value) < 1e-3 < 0.1 < level.p_value
    assert min(falling.fall, again.fall) > 0.2 > level.fall
