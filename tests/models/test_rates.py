"""Learning rates that change: warm-up, cosine, what is stored of them, and frozen networks."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from dfl_tf.errors import ModelFileError, OptionError
from dfl_tf.models.rates import LearningRates
from dfl_tf.options import Layer, SAEHDOptions, default, kind_of, resolve
from dfl_tf.options.resolve import OptionErrors


def rates(**options):
    return LearningRates(default(SAEHDOptions, **options))


def test_warm_up_rises_by_steps_from_where_the_optimizer_began():
    found = rates(lr=1e-4, lr_warmup=4)
    found.since["GAN_opt"] = 100
    assert [found.rate("src_dst_opt", n) for n in (1, 2, 3, 4, 5)] == pytest.approx(
        [2.5e-5, 5e-5, 7.5e-5, 1e-4, 1e-4]
    )
    gan = [found.rate("GAN_opt", n) for n in (101, 103, 200)]
    assert gan == pytest.approx([2.5e-5, 7.5e-5, 1e-4])


def test_cosine_goes_from_lr_to_lr_final_between_its_beginning_and_its_end():
    found = rates(lr=1e-4, lr_schedule="cosine", lr_final=2e-5, lr_end=300)
    found.start = 100
    assert found.rate("src_dst_opt", 101) == pytest.approx(1e-4)
    assert found.rate("src_dst_opt", 201) == pytest.approx(6e-5)
    quarter = 2e-5 + 8e-5 * (1 + math.cos(math.pi / 4)) / 2
    assert found.rate("src_dst_opt", 151) == pytest.approx(quarter)
    assert [found.rate("src_dst_opt", n) for n in (301, 900)] == pytest.approx([2e-5, 2e-5])


def test_cosine_of_a_plain_run_ends_at_target_iter():
    found = rates(lr=1e-4, lr_schedule="cosine", lr_final=2e-5, target_iter=200)
    assert found.rate("src_dst_opt", 101) == pytest.approx(6e-5)
    with pytest.raises(OptionErrors, match=r"lr_schedule.*needs lr_end or target_iter"):
        resolve(SAEHDOptions, [Layer({"lr_schedule": "cosine"}, "--set")], new=True)


def test_a_constant_rate_is_not_varied():
    assert not rates().vary
    assert rates().stored() == {}


def test_what_is_stored_goes_on_and_begins_again_with_the_count():
    found = rates(lr_schedule="cosine", lr_end=900, lr_warmup=5)
    found.restore({}, 100, {"src_dst_opt": False, "GAN_opt": True})
    assert found.stored() == {"lr_start": 100, "slots_since": {"GAN_opt": 100}}
    again = rates(lr_schedule="cosine", lr_end=900, lr_warmup=5)
    again.restore(found.stored(), 150, {"src_dst_opt": False, "GAN_opt": False})
    assert again.stored() == found.stored()
    again.restore(found.stored(), 0, {"src_dst_opt": True})  # pretraining has ended
    assert again.stored() == {"lr_start": 0}
    with pytest.raises(ModelFileError, match="slots_since"):
        again.restore({"slots_since": [1]}, 10, {})


def moved(model, batches):
    """How far one step moves each network, and the slots of each, on the mean."""
    before = model.state().tensors
    model.train_step(*batches(model))
    after = model.state().tensors
    parts = {
        part: float(np.mean([np.abs(after[part][k] - v).mean() for k, v in before[part].items()]))
        for part in model.networks
    }
    slots = {
        scope: any(
            np.any(after["src_dst_opt"][k] != v)
            for k, v in before["src_dst_opt"].items()
            if f"s_{scope}/" in k
        )
        for scope in model.networks
    }
    return parts, slots


@pytest.mark.usefixtures("eagerly")
def test_a_step_takes_the_rate_of_its_iteration_and_leaves_frozen_networks(make, batches):
    plain, plain_slots = moved(make(lr=1e-4), batches)
    model = make(lr=1e-4, lr_warmup=100, freeze="encoder, inter_AB")
    parts, slots = moved(model, batches)
    assert all(plain.values())
    assert all(plain_slots.values())
    assert {part for part, distance in parts.items() if not distance} == {"encoder", "inter_AB"}
    assert {scope for scope, changed in slots.items() if not changed} == {"encoder", "inter_AB"}
    assert parts["decoder"] == pytest.approx(plain["decoder"] / 100, rel=1e-2)
    assert model.step.scalars()["learning_rate/src_dst_opt"] == pytest.approx(1e-6)
    model.iteration = 1
    model.train_step(*batches(model))
    assert model.step.scalars()["learning_rate/src_dst_opt"] == pytest.approx(2e-6)


def test_a_frozen_gan_is_not_trained_and_all_frozen_is_refused(make):
    model = make(gan_power=0.1, archi="df", freeze="GAN")
    assert [update.optimizer for update in model.updates] == ["src_dst_opt"]
    with pytest.raises(OptionError, match="leaves nothing to train"):
        make(archi="df", freeze="encoder,inter,decoder_src,decoder_dst")


def test_networks_that_are_not_there_cannot_be_frozen():
    options = default(SAEHDOptions, archi="df-ud", freeze="encoder,inter_AB,GAN")
    assert kind_of("SAEHD").freeze_error(options) == (
        "freeze=encoder,inter_AB,GAN: there is no network inter_AB, GAN in this model; there are "
        "encoder, inter, decoder_src, decoder_dst"
    )
    assert kind_of("SAEHD").freeze_error(replace(options, freeze="encoder,inter")) == ""
