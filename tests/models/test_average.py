"""The average of the weights: its ramp, its ten steps, what enters and what begins it again."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

import dfl_tf
from dfl_tf.errors import UsageError
from dfl_tf.export.job import load_for_export
from dfl_tf.formats import write_model
from dfl_tf.formats.models.average import AVERAGE, averaged
from dfl_tf.formats.models.convert import convert
from dfl_tf.formats.models.manifest import read_manifest
from dfl_tf.models.average import EVERY, share_of_weights

KEY = "encoder/down1/downs_0/conv1/weight:0"


@pytest.fixture
def small(make):
    """A model whose steps move its weights without computing: small(ema=0.9)."""

    def small(**given):
        model = make("SAEHD", **given)

        def step(inputs):
            for network in model.networks.values():
                for variable in network.weights[:2]:  # the same at the same iteration
                    variable.assign_add(np.full(variable.shape, 0.1 * (1 + model.iteration)))
            return dict.fromkeys(model.loss_names, np.zeros(1))

        model.step.run = step
        model.inputs = lambda *batches: []
        return model

    return small


def weights(model):
    return np.asarray(model.networks["encoder"].weights[0])


def train(model, count):
    """Train, counting as the trainer does; returns the first weights after each step."""
    seen = []
    for _ in range(count):
        model.train_step()
        model.iteration += 1
        seen.append(weights(model))
    return seen


def resumed(small, state, **given):
    model = small(seed=None, settings={"initialized": False}, **given)
    return model, model.load_state(state)


def test_share_follows_the_ramp_and_then_the_decay():
    assert share_of_weights(0.999, 10) == pytest.approx(1 - (11 / 20) ** 10)
    assert share_of_weights(0.9, 10) == pytest.approx(1 - (11 / 20) ** 10)
    assert share_of_weights(0.9, 100) == pytest.approx(1 - 0.9**10)


def test_average_begins_at_the_weights_and_follows_them_every_ten_steps(small):
    model = small(ema=0.5)
    before = weights(model)
    seen = train(model, EVERY - 1)
    np.testing.assert_array_equal(model.state().tensors[AVERAGE][KEY], before)
    seen += train(model, EVERY + 2)
    first = before + share_of_weights(0.5, EVERY) * (seen[EVERY - 1] - before)
    second = first + share_of_weights(0.5, 2 * EVERY) * (seen[2 * EVERY - 1] - first)
    stored = model.state().tensors[AVERAGE]
    np.testing.assert_allclose(stored[KEY], second, rtol=0, atol=1e-5)
    assert (stored["iters:0"], stored["iteration:0"]) == (21, 21)


def test_average_holds_what_makes_faces_and_nothing_else(small):
    model = small(ema=0.5, gan_power=0.1, archi="liae")
    state = model.state()
    assert "GAN" in state.tensors
    parts = {key.split("/")[0] for key in state.tensors[AVERAGE] if "/" in key}
    assert parts == {"encoder", "inter_AB", "inter_B", "decoder"}
    assert small().average is None


def test_stopped_between_two_updates_and_resumed_equals_going_on(small):
    straight, first = small(ema=0.9), small(ema=0.9)
    train(straight, 33)
    train(first, 17)
    again, told = resumed(small, first.state(), ema=0.9)
    assert told == []
    train(again, 16)
    one, other = straight.state().tensors[AVERAGE], again.state().tensors[AVERAGE]
    for key, value in one.items():
        np.testing.assert_array_equal(value, other[key], err_msg=key)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_weights_that_are_not_finite_never_enter(small, bad):
    model = small(ema=0.9)
    train(model, EVERY)
    good = model.state().tensors[AVERAGE]
    last = model.networks["decoder"].weights[-1]
    last.assign(np.full(last.shape, bad, np.float32))
    for _ in range(EVERY):
        model.average.step()
    for key, value in model.state().tensors[AVERAGE].items():
        if key != "iters:0":
            np.testing.assert_array_equal(value, good[key], err_msg=key)


def test_after_training_without_it_the_average_begins_at_the_weights(small):
    first = small(ema=0.9)
    train(first, 12)
    state = first.state()
    trained_on = replace(state, iteration=15)  # by a program that leaves the file alone
    again, (told,) = resumed(small, trained_on, ema=0.9)
    assert "of iteration 12, the weights are of iteration 15" in told
    np.testing.assert_array_equal(again.state().tensors[AVERAGE][KEY], weights(again))
    assert again.average.count == 0
    without = {part: arrays for part, arrays in state.tensors.items() if part != AVERAGE}
    _, (told,) = resumed(small, replace(state, tensors=without), ema=0.9)
    assert "begin at the present weights: there are none" in told


def test_reset_parts_begin_the_average_again(small):
    first = small(ema=0.9, pretrain=True)
    train(first, 12)
    again, told = resumed(small, first.state(), ema=0.9)
    assert again.iteration == 0
    assert any(
        "begin at the present weights: inter_AB, inter_B starts with fresh weights" in t
        for t in told
    )
    inter = again.networks["inter_AB"].weights[0]
    stored = again.state().tensors[AVERAGE]
    np.testing.assert_array_equal(stored["inter_AB/dense1/weight:0"], inter.numpy())
    assert (stored["iters:0"], stored["iteration:0"]) == (0, 0)
    model = small(seed=None, settings={"initialized": False}, ema=0.9, pretrain=True)
    (told,) = model.load_state(first.state(), reinit=[AVERAGE])
    assert "as asked for" in told


def test_average_takes_the_place_of_the_weights(small):
    model = small(ema=0.9)
    train(model, 15)
    state = model.state()
    taken = averaged(state)
    assert AVERAGE not in taken.tensors
    np.testing.assert_array_equal(
        taken.tensors["encoder"][KEY.split("/", 1)[1]], state.tensors[AVERAGE][KEY]
    )
    np.testing.assert_array_equal(
        taken.tensors["src_dst_opt"]["iters:0"], state.tensors["src_dst_opt"]["iters:0"]
    )


def test_average_that_is_not_there_or_old_is_refused(small):
    state = small().state()
    with pytest.raises(UsageError, match=r"there are none.*--ema 0\.999"):
        averaged(state)
    state = small(ema=0.9).state()
    with pytest.raises(UsageError, match="of iteration 0, the weights are of iteration 3"):
        averaged(replace(state, iteration=3))


def test_average_goes_through_files_conversion_loading_and_export(small, tmp_path):
    model = small(ema=0.9)
    train(model, 15)
    state = model.state()
    write_model(tmp_path / "old", "m", state, format="legacy")
    manifest = read_manifest(tmp_path / "old" / "m_SAEHD.manifest.json")
    assert manifest.files["m_SAEHD_average.npy"].role == "average"
    for source, target, to in (("old", "native", "native"), ("native", "back", "legacy")):
        (tmp_path / target).mkdir()
        found = convert(tmp_path / source, tmp_path / target, "m", "SAEHD", to=to)
        assert found["passed"]
        assert KEY in found["tensors"][AVERAGE]
    name = "m_SAEHD_average.npy"
    assert (tmp_path / "back" / name).read_bytes() == (tmp_path / "old" / name).read_bytes()
    expected = state.tensors[AVERAGE][KEY]
    taken = dfl_tf.load_model(tmp_path / "native", training=False, ema=True)
    np.testing.assert_array_equal(weights(taken), expected)
    exported = load_for_export(tmp_path / "old", "m", "SAEHD", print, ema=True)
    np.testing.assert_array_equal(weights(exported), expected)
    plain = dfl_tf.load_model(tmp_path / "old", training=False)
    np.testing.assert_array_equal(weights(plain), weights(model))
