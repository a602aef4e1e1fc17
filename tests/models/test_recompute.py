"""Recomputed activations: the same gradients, fewer numbers kept."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from dfl_tf.models.compiling import gradient_graph
from dfl_tf.train.memory_use import kept_activations


@pytest.mark.parametrize(
    ("cls", "options"),
    [
        pytest.param("SAEHD", {"archi": "df-ut", "gan_power": 0.1}, marks=pytest.mark.slow),
        pytest.param("SAEHD", {"archi": "liae-d", "random_warp": False}, marks=pytest.mark.slow),
        pytest.param("AMP", {}, marks=pytest.mark.slow),
    ],
)
def test_recomputed_gradients_are_the_same_and_keep_less(make, batches, cls, options):
    models = [make(cls, precision="float64", recompute=which, **options) for which in (False, True)]
    given = batches(models[0])
    for number in range(len(models[0].updates)):
        found = []
        for model in models:
            update = model.updates[number]
            inputs = model.inputs(*given)
            inputs += [tf.ones_like(x) for x in model.draws(update, 2)]
            graph = gradient_graph(model.step, update, compiled=False)
            losses, gradients = graph(inputs)
            found.append([*losses.values(), *gradients])
        for a, b in zip(*found, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-15)
    kept, recomputed = (kept_activations(model) for model in models)
    assert recomputed < 0.9 * kept


def test_a_step_with_recomputed_activations_moves_the_weights_alike(make, batches, snapshot):
    plain, frugal = (make(recompute=which, clipgrad=True) for which in (False, True))
    for model in (plain, frugal):
        model.train_step(*batches(model))
    for part, values in snapshot(plain).items():
        for a, b in zip(values, snapshot(frugal)[part], strict=True):
            np.testing.assert_allclose(a, b, atol=2e-6)
