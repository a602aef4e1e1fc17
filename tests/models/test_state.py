"""States: exact round trips, strict loading, and what changed options re-initialize."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from dfl_tf.errors import ModelFileError, UsageError
from dfl_tf.formats import ModelState
from dfl_tf.formats.pickles import safe_pickle
from dfl_tf.models import create
from dfl_tf.options import OPTIONS, RunOptions, from_mapping

GOLDEN = Path(__file__).resolve().parents[1] / "golden"

pytestmark = pytest.mark.usefixtures("eagerly")


def same(a, b):
    assert list(a.tensors) == list(b.tensors)
    for part in a.tensors:
        assert list(a.tensors[part]) == list(b.tensors[part])
        for key, value in a.tensors[part].items():
            np.testing.assert_array_equal(value, b.tensors[part][key], err_msg=f"{part}/{key}")


@pytest.fixture
def trained(make, batches):
    """A model after one step with some history."""

    def train(cls="SAEHD", **options):
        model = make(cls, **options)
        model.train_step(*batches(model))
        model.iteration = 7
        model.loss_history = [[1.0, 2.0]] * 7
        return model

    return train


def zero(state, stem, scope):
    slots = [v for k, v in state.tensors[stem].items() if f"s_{scope}/" in k]
    assert slots
    return all(not np.any(v) for v in slots)


def test_stopped_and_resumed_equals_going_on(trained, make, batches):
    options = {"archi": "df-ud", "lr_dropout": "y", "gan_power": 0.1, "true_face_power": 0.1}
    original = trained(**options)
    resumed = make(seed=None, settings={"initialized": False}, **options)
    assert resumed.load_state(original.state()) == []
    same(resumed.state(), original.state())
    assert (resumed.iteration, resumed.loss_history) == (7, [[1.0, 2.0]] * 7)
    for model in (original, resumed):
        model.train_step(*batches(model, seed=5))
    same(resumed.state(), original.state())


def test_amp_resumes_with_the_same_channel_mixing(trained, make, batches):
    original = trained("AMP", gan_power=0.1)
    resumed = make("AMP", seed=None, gan_power=0.1)
    resumed.load_state(original.state())
    for model in (original, resumed):
        model.train_step(*batches(model, seed=5))
    same(resumed.state(), original.state())


def test_all_errors_are_named_at_once(trained, make):
    state = trained(archi="df-ud").state()
    tensors = {part: dict(arrays) for part, arrays in state.tensors.items()}
    del tensors["encoder"]["down1/downs_0/conv1/bias:0"]
    tensors["encoder"]["unknown:0"] = np.zeros(3, np.float32)
    tensors["inter"]["dense1/bias:0"] = np.zeros(5, np.float32)
    del tensors["decoder_dst"]
    model = make(archi="df-ud", seed=9)
    before = model.state()
    with pytest.raises(ModelFileError) as caught:
        model.load_state(replace(state, tensors=tensors))
    message = str(caught.value)
    assert "encoder: 1 missing (down1/downs_0/conv1/bias:0)" in message
    assert "encoder: 1 unexpected (unknown:0)" in message
    assert "inter: 1 misshapen (dense1/bias:0 is 5, not 32)" in message
    assert "decoder_dst: the file is missing" in message
    same(model.state(), before)


def test_another_architecture_is_recognized(trained, make):
    state = trained(archi="liae-ud").state()
    with pytest.raises(ModelFileError, match=r"archi=liae-d \(options: df\)"):
        make(archi="df").load_state(state)
    with pytest.raises(ModelFileError, match=r"archi=liae-u \(options: liae-ut\)|archi=liae-ud"):
        make(archi="liae-ut").load_state(state)
    with pytest.raises(
        ModelFileError, match=r"e_dims=16 \(options: 20\).*d_dims=16 \(options: 18\)"
    ):
        make(archi="liae-ud", e_dims=20, d_dims=18).load_state(state)
    with pytest.raises(ModelFileError, match=r"resolution=64 \(options: 96\)"):
        make(archi="liae-ud", resolution=96).load_state(state)


def test_amp_dims_are_recognized(trained, make):
    state = trained("AMP").state()
    with pytest.raises(ModelFileError, match=r"inter_dims=32 \(options: 48\)"):
        make("AMP", inter_dims=48).load_state(state)


def test_equal_counts_are_reshaped_and_half_precision_widened(trained, make):
    state = trained(archi="df").state()
    tensors = {part: dict(arrays) for part, arrays in state.tensors.items()}
    key = "dense1/weight:0"
    tensors["inter"][key] = tensors["inter"][key].reshape(-1).astype(np.float16)
    model = make(archi="df")
    model.load_state(replace(state, tensors=tensors))
    want = state.tensors["inter"][key].astype(np.float16).astype(np.float32)
    np.testing.assert_array_equal(model.state().tensors["inter"][key], want)


def test_a_missing_optimizer_file_starts_it_empty(trained, make):
    state = trained(archi="df").state()
    tensors = {part: v for part, v in state.tensors.items() if part != "src_dst_opt"}
    model = make(archi="df")
    assert model.load_state(replace(state, tensors=tensors)) == [
        "src_dst_opt starts empty: there is no file of it."
    ]
    assert zero(model.state(), "src_dst_opt", "encoder")


def test_switching_the_optimizer_keeps_the_counter(trained, make):
    state = trained(archi="df", adabelief=True).state()
    model = make(archi="df", adabelief=False)
    (message,) = model.load_state(state)
    assert "the iteration counter continues" in message
    after = model.state().tensors["src_dst_opt"]
    assert after["iters:0"] == 1
    assert not any(np.any(v) for k, v in after.items() if k != "iters:0")


def test_a_discriminator_just_switched_on_is_initialized(trained, make):
    state = trained(archi="df").state()
    model = make(archi="df", gan_power=0.1, true_face_power=0.1)
    messages = model.load_state(state)
    assert any("GAN starts with fresh weights: it has just been switched on" in m for m in messages)
    assert any(m.startswith("code_discriminator starts with fresh weights") for m in messages)
    assert not zero(model.state(), "src_dst_opt", "encoder")
    assert np.any(model.state().tensors["GAN"]["in_conv/weight:0"])


def test_a_changed_gan_starts_over_with_its_optimizer(trained, make):
    state = trained(archi="df", gan_power=0.1, gan_dims=4).state()
    model = make(archi="df", gan_power=0.1, gan_dims=6)
    messages = model.load_state(state)
    assert any(m.startswith("GAN starts with fresh weights: gan_patch_size") for m in messages)
    assert model.state().tensors["GAN_opt"]["iters:0"] == 0
    same_gan = make(archi="df", gan_power=0.1, gan_dims=4)
    assert same_gan.load_state(state) == []
    assert same_gan.state().tensors["GAN_opt"]["iters:0"] == 1


def test_a_discriminator_that_was_on_must_be_there(trained, make):
    state = trained(archi="df", gan_power=0.1).state()
    tensors = {part: v for part, v in state.tensors.items() if part != "GAN"}
    model = make(archi="df", gan_power=0.1)
    with pytest.raises(ModelFileError, match="GAN: the file is missing"):
        model.load_state(replace(state, tensors=tensors))
    messages = model.load_state(replace(state, tensors=tensors), reinit=["GAN"])
    assert "GAN starts with fresh weights: as asked for." in messages


def test_a_gan_that_fits_outlives_pretraining(trained, make):
    gan = {"gan_power": 0.1, "gan_dims": 4}
    stored = trained(archi="df", **gan).state()
    before = replace(stored, options={**stored.options, "pretrain": True, "gan_patch_size": 9})
    model = make(archi="df", **gan)
    model.load_state(before)
    for key, value in stored.tensors["GAN"].items():
        np.testing.assert_array_equal(model.state().tensors["GAN"][key], value)
    other = make(archi="df", gan_power=0.1, gan_dims=6)
    assert any(m.startswith("GAN starts with fresh weights") for m in other.load_state(before))


@pytest.mark.parametrize(
    ("archi", "inters", "kept"),
    [("df-ud", {"inter"}, "decoder_src"), ("liae-ud", {"inter_AB", "inter_B"}, "decoder")],
)
def test_the_end_of_pretraining_resets_the_inters(trained, make, archi, inters, kept):
    before = trained(archi=archi, pretrain=True)
    before.extra["sample_for_preview"] = [[]]
    state = before.state()
    model = make(archi=archi, pretrain=False, seed=3)
    messages = model.load_state(state)
    after = model.state()
    assert (model.iteration, model.loss_history) == (0, [])
    assert "sample_for_preview" not in model.extra
    for part in inters:
        assert any(m.startswith(f"{part} starts with fresh weights") for m in messages)
        key = "dense1/weight:0"
        assert not np.array_equal(after.tensors[part][key], state.tensors[part][key])
        assert zero(after, "src_dst_opt", part)
    assert not zero(after, "src_dst_opt", kept)
    assert after.tensors["src_dst_opt"]["iters:0"] == 1
    for key, value in state.tensors[kept].items():
        np.testing.assert_array_equal(after.tensors[kept][key], value)


def test_xseg_keeps_its_weights_when_pretraining_ends(make, batches):
    before = make("XSeg", pretrain=True)
    before.iteration, before.loss_history = 4, [[1.0]] * 4
    state = before.state()
    model = make("XSeg", pretrain=False, settings={"initialized": False})
    model.load_state(state)
    assert (model.iteration, model.loss_history) == (0, [])
    same(model.state(), state)


def test_reinit_names_parts(trained, make):
    state = trained(archi="liae-ud").state()
    model = make(archi="liae-ud", seed=3)
    messages = model.load_state(state, reinit=["inter_B"])
    assert "inter_B starts with fresh weights: as asked for." in messages
    assert zero(model.state(), "src_dst_opt", "inter_B")
    assert not zero(model.state(), "src_dst_opt", "encoder")
    with pytest.raises(UsageError, match="There is no part inter_C"):
        model.load_state(state, reinit=["inter_C"])
    assert model.load_state(state, reinit=["src_dst_opt"]) == [
        "src_dst_opt starts empty: as asked for."
    ]


def test_amp_slots_of_inters_may_be_absent(trained, make):
    state = trained("AMP").state()
    model = make("AMP", train_inters=True)
    messages = model.load_state(state)
    assert any("inter_src" in m for m in messages)
    assert zero(model.state(), "src_dst_opt", "inter_src")
    assert not zero(model.state(), "src_dst_opt", "encoder")
    back = make("AMP")
    assert back.load_state(model.state()) == []


def test_another_class_is_refused_and_unknown_options_survive(trained, make):
    state = trained(archi="df").state()
    with pytest.raises(UsageError, match="a state of SAEHD, not of AMP"):
        make("AMP").load_state(state)
    forked = replace(state, options={**state.options, "use_fp16": True})
    model = make(archi="df")
    model.load_state(forked)
    assert model.state().options == forked.options


def test_genuine_legacy_files_swap_as_the_legacy_merger_does():
    parts = GOLDEN / "models" / "legacy_parts"
    stored = json.loads((parts / "options.json").read_text())
    tensors = {
        path.stem.removeprefix("tiny_SAEHD_"): safe_pickle.load_file(path)
        for path in parts.glob("*.npy")
    }
    state = ModelState(
        model_class="SAEHD", iteration=2, options=stored, loss_history=[], tensors=tensors
    )
    options, _ = from_mapping(OPTIONS["SAEHD"], stored, origin="options.json", unknown="keep")
    model = create("SAEHD", options, RunOptions(), training=False, initialized=False)
    assert model.load_state(state) == []
    for part, arrays in model.state().tensors.items():
        assert list(arrays) == list(tensors[part])
        assert all(np.array_equal(arrays[key], tensors[part][key]) for key in arrays)
    with np.load(parts / "merge_io.npz") as golden:
        output = model.swap(golden["in_face"])
        assert np.abs(output.image - golden["merge_celeb_face"]).max() <= 1e-4
        assert np.abs(output.mask - golden["merge_celeb_face_mask"]).max() <= 1e-4
        assert np.abs(output.dst_mask - golden["merge_face_mask"]).max() <= 1e-4
