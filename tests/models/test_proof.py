"""A proof passes for equal states only, and says where two states part."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import pytest

from dfl_tf import models
from dfl_tf.errors import ModelFileError
from dfl_tf.formats.models.state import ModelState
from dfl_tf.models.proof import ProofReport, fixed_batch, prove
from dfl_tf.models.xseg import model as xseg_model
from dfl_tf.models.xseg.networks import XSegNetwork
from dfl_tf.options import OPTIONS, RunOptions, default

DIMS = {"resolution": 64, "ae_dims": 32, "e_dims": 16, "d_dims": 16, "d_mask_dims": 16}


def fresh(model_class: str, **options: Any) -> ModelState:
    chosen = default(OPTIONS[model_class], **options)
    model = models.create(model_class, chosen, RunOptions(seed=5, cpu=True))
    model.iteration, model.loss_history = 3, [[0.5, 0.25]] * 3
    model.extra = {"choosed_gpu_indexes": None, "sample_for_preview": [[np.ones((1, 2))]]}
    return model.state()


@pytest.fixture(scope="module")
def state() -> ModelState:
    return fresh("SAEHD", **DIMS, archi="df-ud", adabelief=True, lr_dropout="y", clipgrad=True)


def differing(report: ProofReport) -> list[str]:
    return [tensor.name for tensor in report.tensors if not tensor.equal]


def with_tensor(state: ModelState, part: str, key: str, change: Callable[[Any], Any]) -> ModelState:
    tensors = {name: dict(arrays) for name, arrays in state.tensors.items()}
    tensors[part][key] = change(np.array(tensors[part][key]))
    return replace(state, tensors=tensors)


def bumped(array: Any) -> Any:
    array.flat[0] = np.nextafter(array.flat[0], np.float32(1e9))
    return array


def test_equal_states_pass_with_no_difference_at_all(state: ModelState) -> None:
    report = prove(state, copy.deepcopy(state))
    assert report.passed
    assert differing(report) == []
    assert len(report.tensors) == sum(len(part) for part in state.tensors.values())
    assert set(report.forward) == {"swap", "swap mask", "dst mask", "loss of src", "loss of dst"}
    assert set(report.forward.values()) == {0.0}
    assert report.step == {"weights": 0.0, "slots": 0.0}
    assert report.lines()[-1] == "proof passed"
    assert json.loads(json.dumps(report.as_dict()))["passed"] is True


def test_one_bit_of_one_weight_is_noticed(state: ModelState) -> None:
    key = "out_conv/weight:0"
    report = prove(state, with_tensor(state, "decoder_src", key, bumped))
    assert not report.passed
    assert differing(report) == [f"decoder_src/{key}"]
    assert 0 < report.step["weights"] < 1e-4
    assert f"  differing: decoder_src/{key}" in report.lines()


@pytest.mark.slow
def test_a_larger_change_shows_in_the_images(state: ModelState) -> None:
    changed = with_tensor(state, "decoder_dst", "out_convm/bias:0", lambda bias: bias + 1.0)
    report = prove(state, changed)
    assert report.forward["dst mask"] > 0.1
    assert report.forward["loss of dst"] > 0
    assert report.forward["swap"] == 0
    assert report.step["weights"] >= 0.9


def test_a_changed_slot_shows_after_the_step(state: ModelState) -> None:
    key = "vs_encoder/down1/downs_0/conv1/weight_0:0"
    report = prove(state, with_tensor(state, "src_dst_opt", key, lambda slot: slot + 1.0))
    assert differing(report) == [f"src_dst_opt/{key}"]
    assert set(report.forward.values()) == {0.0}
    assert report.step["slots"] > 0.5


def test_the_other_entries_are_compared(state: ModelState) -> None:
    other = replace(
        state,
        iteration=4,
        options=state.options | {"batch_size": state.options["batch_size"] + 1},
        loss_history=[*state.loss_history[:2], [0.5, 0.125]],
        extra=state.extra | {"sample_for_preview": [[np.zeros((1, 2))]]},
    )
    report = prove(state, other)
    assert not report.passed
    assert [name for name, same in report.entries.items() if not same] == [
        "iteration",
        "options",
        "loss_history",
        "extra",
    ]


def test_a_number_of_another_type_is_no_equal_option(state: ModelState) -> None:
    other = replace(state, options=state.options | {"gan_power": 0})
    assert not prove(state, other).entries["options"]


def test_states_without_networks_are_compared_by_bytes(state: ModelState) -> None:
    bare = replace(state, tensors={"src_dst_opt": state.tensors["src_dst_opt"]})
    report = prove(bare, copy.deepcopy(bare))
    assert report.passed
    assert "encoder: the file is missing" in report.not_run
    assert (report.forward, report.step) == ({}, {})


def test_a_part_that_only_one_side_has_is_an_error(state: ModelState) -> None:
    bare = replace(state, tensors={k: v for k, v in state.tensors.items() if k != "encoder"})
    with pytest.raises(ModelFileError, match="encoder: the file is missing"):
        prove(bare, state)
    with pytest.raises(ModelFileError, match="encoder: the file is missing"):
        prove(state, bare)


@pytest.mark.slow
def test_amp_and_xseg(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(xseg_model, "XSegNetwork", partial(XSegNetwork, base=4))
    for state in (fresh("AMP", **DIMS, inter_dims=32), fresh("XSeg")):
        report = prove(state, copy.deepcopy(state))
        assert report.passed, state.model_class
        assert report.step == {"weights": 0.0, "slots": 0.0}
        assert not report.not_run


def test_fixed_batches_are_fixed_and_fit_the_spec() -> None:
    options = default(OPTIONS["SAEHD"], **DIMS, eyes_mouth_prio=True)
    model = models.create("SAEHD", options, RunOptions(cpu=True), initialized=False)
    for spec in model.sample_specs().values():
        batch = fixed_batch(spec, 2)
        assert [a.shape for a in batch.arrays.values()] == [(2, 64, 64, c) for c in (3, 3, 1, 1)]
        for name, array in batch.arrays.items():
            again = fixed_batch(spec, 2)[name]
            assert array.dtype == np.float32
            assert (array == again).all()
            assert 0 <= array.min() < array.max() <= 1
