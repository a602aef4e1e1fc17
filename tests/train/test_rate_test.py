"""The range test of the learning rate: what it suggests, and that it leaves a model alone."""

from __future__ import annotations

import numpy as np
import pytest

from dfl_tf import models
from dfl_tf.formats import write_model
from dfl_tf.formats.sessions.workspace import Workspace
from dfl_tf.models.base import FaceModel
from dfl_tf.options import OPTIONS, RunOptions, default
from dfl_tf.options.inputs import OptionInputs
from dfl_tf.train.rate_test import HIGHEST, LOWEST, MovingAverage, find_rate, rate_plot, suggest
from dfl_tf.train.start import prepare
from tests.cli.support.workspaces import DEMO

RATES = LOWEST * (HIGHEST / LOWEST) ** (np.arange(100) / 99)


def averaged(losses):
    average = MovingAverage()
    return [average.add(loss) for loss in losses]


def test_a_steady_level_is_smoothed_to_itself():
    assert averaged([2.0] * 5) == pytest.approx([2.0] * 5)
    assert averaged([0.0, 1.0]) == pytest.approx([0.0, 0.1 / 0.19])


def suggested(losses):
    return suggest(RATES.tolist(), list(losses), averaged(losses))


@pytest.mark.parametrize("noise", [0.0, 0.1])
def test_the_rate_of_the_fastest_fall_is_suggested(noise):
    center = 40
    losses = 3 - 2 / (1 + np.exp(-(np.arange(100) - center) / 4))  # falls around step 40
    losses[75:] = 5
    losses += noise * np.random.default_rng(1).normal(size=100)
    rate, reason = suggested(losses)
    assert RATES[center - 3] < rate < RATES[center + 3]
    assert "fall fastest" in reason


@pytest.mark.parametrize("noise", [0.0, 0.1])
@pytest.mark.parametrize("seed", range(5))
def test_without_a_fall_it_is_a_tenth_of_where_they_rise(noise, seed):
    """Losses of a trained model: nothing to see until they explode."""
    losses = np.where(np.arange(100) < 60, 1.0, 1.0 + 0.3 * (np.arange(100) - 59))
    losses += noise * np.random.default_rng(seed).normal(size=100)
    rate, reason = suggested(losses)
    assert RATES[57] / 10 < rate < RATES[66] / 10
    assert "a tenth" in reason
    assert suggested(np.linspace(1, 2, 100))[0] == 1e-6


def test_a_model_is_tested_on_a_copy(tmp_path, monkeypatch):
    def stub(self, *batches):
        assert len(batches) == 2
        rate = self.rates.rate("src_dst_opt", self.iteration + 1)
        weight = self.networks["encoder"].weights[0]
        weight.assign_add(np.ones(weight.shape))
        return {"src": np.array([2.0, 4.0]), "dst": np.array([np.log(rate)] * 2)}

    monkeypatch.setattr(FaceModel, "train_step", stub)
    dims = {"resolution": 64, "ae_dims": 32, "e_dims": 16, "d_dims": 16, "d_mask_dims": 16}
    options = default(OPTIONS["SAEHD"], archi="df", face_type="wf", batch_size=2, **dims, ema=0.9)
    model = models.create("SAEHD", options, RunOptions(seed=1))
    model.iteration = 5
    write_model(tmp_path / "model", "new", model.state())
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    place = Workspace.open(DEMO, model=tmp_path / "model", need=())
    inputs = OptionInputs((OPTIONS["SAEHD"], RunOptions))
    seen = []
    found = find_rate(
        prepare(place, "SAEHD", "new", inputs),
        steps=12,
        progress=lambda done, count: seen.append((done, count)),
    )
    assert (found.model, found.iteration, found.present) == ("new_SAEHD", 5, 5e-5)
    assert found.rates[0] == pytest.approx(LOWEST)
    assert found.rates[-1] == pytest.approx(HIGHEST)
    assert found.losses == pytest.approx([3 + np.log(rate) for rate in found.rates])
    assert seen[0] == (1, 12)
    assert 1e-6 <= found.suggested <= 1e-3
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before
    image = rate_plot(found)
    assert image.shape == (480, 960, 3)
    assert image.std() > 1
