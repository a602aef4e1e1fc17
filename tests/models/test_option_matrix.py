"""Every option value of every model, in pairs: a step, a save, a load, and a step of both.

The cases are covering arrays: each value of an option meets each value of every other one in at
least one case in which neither is overridden. Faces come from the demo's facesets by the way the
trainer takes.
"""

from __future__ import annotations

import dataclasses
import itertools
from functools import partial
from pathlib import Path

import numpy as np
import pytest

import dfl_tf
from dfl_tf import models
from dfl_tf.data import Faceset
from dfl_tf.formats import read_model, write_model
from dfl_tf.models.xseg import model as xseg_model
from dfl_tf.models.xseg.networks import XSegNetwork
from dfl_tf.options import OPTIONS, RunOptions, default, effective, to_legacy
from dfl_tf.train.batch_source import Facesets, open_batch_source

from .support.pairwise import covered, covering

DEMO = Path(dfl_tf.__file__).parent / "demo_data"
RUN = {
    "precision": ("float32", "bfloat16"),
    "model_format": ("legacy", "native"),
}
"""Run options that change what a step or a save does; the default first."""

FACE_SWAP = {
    "pretrain": (False, True),
    "face_type": ("wf", "h", "mf", "f", "head"),
    "ct_mode": ("none", "rct", "lct", "mkl", "idt", "sot"),
    "gan": ((0.0, 8, 16), (0.1, 8, 4), (1.0, 16, 6), (10.0, 3, 8)),
    "lr_dropout": ("n", "y", "cpu"),
    "batch_size": (2, 1),
    "random_warp": (True, False),
    "clipgrad": (False, True),
    "blur_out_mask": (False, True),
    "uniform_yaw": (False, True),
    "random_src_flip": (False, True),
    "random_dst_flip": (True, False),
    "models_opt_on_gpu": (True, False),
    "ae_dims": (32, 48),
    "e_dims": (16, 18),
    "d_dims": (16, 20),
    "d_mask_dims": (16, 18),
    "autobackup_hour": (0, 24),
    "write_preview_history": (False, True),
    "target_iter": (0, 100),
    **RUN,
}
SAEHD = FACE_SWAP | {
    "flavor": ("df", "liae"),
    **{letter: (False, True) for letter in "udtc"},
    "true_face_power": (0.0, 0.01, 1.0),
    "face_style_power": (0.0, 0.001, 100.0),
    "bg_style_power": (0.0, 2.0, 100.0),
    "masked_training": (True, False),
    "eyes_mouth_prio": (False, True),
    "adabelief": (True, False),
    "random_hsv_power": (0.0, 0.05, 0.3),
}
AMP = {name: values for name, values in FACE_SWAP.items() if name != "pretrain"} | {
    "face_type": ("wf", "f", "head"),
    "ct_mode": ("none", "rct", "sot"),
    "gan": ((0.0, 8, 16), (0.1, 8, 4), (10.0, 3, 6)),
    "morph_factor": (0.5, 0.1),
    "inter_dims": (48, 32),
    "train_inters": (False, True),
}
WHILE_PRETRAINING = {
    "lr_dropout", "random_warp", "gan", "random_hsv_power", "face_style_power", "bg_style_power",
    "ct_mode", "random_src_flip", "random_dst_flip", "uniform_yaw", "true_face_power",
}  # fmt: skip


def overridden(case):
    """Options whose value does not count in a case; where a pair is tried, it is tried for real."""
    return WHILE_PRETRAINING if case.get("pretrain") else set()


def spelled(case):
    """The options and run options of a case as users give them."""
    values = {"resolution": 64} | case
    run = RunOptions(seed=3, **{key: values.pop(key) for key in RUN if key in values})
    if "gan" in values:
        keys = ("gan_power", "gan_patch_size", "gan_dims")
        values |= dict(zip(keys, values.pop("gan"), strict=True))
    if "flavor" in values:
        letters = "".join(letter for letter in "udtc" if values.pop(letter))
        values["archi"] = values.pop("flavor") + ("-" + letters if letters else "")
    return values, run


SAEHD_CASES = covering(SAEHD, overridden)
AMP_CASES = covering(AMP)


@pytest.fixture(scope="module")
def demo_faces():
    """Facesets by whether they are for pretraining."""
    src, dst = (Faceset.open(DEMO / side / "aligned") for side in ("data_src", "data_dst"))
    return {False: Facesets(src, dst), True: Facesets(src, src, pretrain=True)}


def parts_of(cls, options):
    """Files of a model but for its data, those of its networks that learn, and its optimizers.

    Written down from the specification of the files, not asked of the model.
    """
    pretrain = getattr(options, "pretrain", False)
    gan = bool(getattr(options, "gan_power", 0)) and not pretrain
    if cls == "XSeg":
        return {"XSeg_256"}, {"XSeg_256"}, {"XSeg_256_opt": 1}
    if cls == "AMP":
        networks = {"encoder", "inter_src", "inter_dst", "decoder"}
        learning = networks if options.train_inters else {"encoder", "decoder"}
    elif cls == "Quick96" or options.archi.startswith("df"):
        networks = {"encoder", "inter", "decoder_src", "decoder_dst"}
        learning = networks
    else:
        networks = {"encoder", "inter_AB", "inter_B", "decoder"}
        warped = options.random_warp and not pretrain
        learning = networks if warped else networks - {"inter_AB"}
    networks, learning, steps = set(networks), set(learning), {"src_dst_opt": 1}
    if cls == "SAEHD" and options.archi.startswith("df") and options.true_face_power:
        networks.add("code_discriminator")
        learning |= set() if pretrain else {"code_discriminator"}
        steps["D_code_opt"] = 0 if pretrain else 1
    if gan:
        networks.add("GAN")
        learning.add("GAN")
        steps["GAN_opt"] = 1
    return networks, learning, steps


def snapshot(model):
    return {
        part: [weight.numpy() for weight in network.weights]
        for part, network in model.networks.items()
    }


def assert_moved(before, after, learning, *, all_of_them):
    """What learns has moved, and nothing else by a bit."""
    for part, old in before.items():
        still = [np.array_equal(a, b) for a, b in zip(old, after[part], strict=True)]
        if part not in learning:
            assert all(still), f"{part} moved"
        elif all_of_them:
            assert not any(still), f"{part}: {sum(still)} of {len(still)} did not move"
        else:
            assert not all(still), f"{part} did not move"


def assert_slots(state, cls, networks, learning):
    """Frozen networks have empty slots, if any; those that learn have not."""
    scopes = {"code_discriminator": "dis", "GAN": "D_src" if cls == "SAEHD" else "GAN"}
    for part in networks:
        scope = "XSeg" if cls == "XSeg" else scopes.get(part, part)
        slots = [
            np.any(value)
            for stem in state.tensors
            if stem.endswith("_opt")
            for key, value in state.tensors[stem].items()
            if f"s_{scope}/" in key or key.startswith(f"acc_{scope}/")
        ]
        assert any(slots) == (part in learning), part


def same_tensors(one, other):
    assert list(one.tensors) == list(other.tensors)
    for part, arrays in one.tensors.items():
        assert list(arrays) == list(other.tensors[part])
        for key, array in arrays.items():
            np.testing.assert_array_equal(array, other.tensors[part][key], f"{part}/{key}")


def files_of(cls, parts, native):
    if native:
        tensors = {f"{part}.safetensors" for part in parts}
        return tensors | {"manifest.json", "loss_history.rows"}
    prefix = "" if cls == "XSeg" else f"some name_{cls}_"
    data = "XSeg_data.dat" if cls == "XSeg" else f"{prefix}data.dat"
    manifest = data.replace("_data.dat", ".manifest.json")
    return {f"{prefix}{part}.npy" for part in parts} | {data, manifest}


def live(cls, values, run, facesets, folder):
    """Train a step, check, save, load, and train a second step with both models."""
    options = default(OPTIONS[cls], **values)
    model = models.create(cls, options, run, name="some name")
    networks, learning, steps = parts_of(cls, options)
    assert set(model.networks) == networks
    run_options = RunOptions(workers=1, prefetch=1, cache_mb=64)
    batch_source = open_batch_source(
        model, facesets[getattr(options, "pretrain", False)], run_options, {}
    )
    try:
        before = snapshot(model)
        losses = model.train_step(*next(batch_source))
        model.iteration += 1
        model.loss_history.append([float(np.mean(losses[n])) for n in model.loss_names])
        for name in model.loss_names:
            assert losses[name].shape == (options.batch_size * run.accumulate,)
            assert np.isfinite(losses[name]).all(), name
        dropped = getattr(effective(options).options, "lr_dropout", "y") != "n"
        assert_moved(before, snapshot(model), learning, all_of_them=not dropped)
        state = model.state()
        assert {k: int(state.tensors[k]["iters:0"]) for k in steps} == steps
        assert_slots(state, cls, networks, learning)

        write_model(folder, "some name", state, format=run.model_format)
        native = run.model_format == "native"
        written = next(folder.iterdir()) if native else folder
        names = {path.name for path in written.iterdir() if not path.name.startswith(".")}
        assert names - {"extra.safetensors"} == files_of(cls, networks | set(steps), native)

        found = read_model(folder, "some name", cls)
        assert found.options == to_legacy(options)
        assert found.loss_history == model.loss_history
        again = models.create(cls, options, dataclasses.replace(run, seed=None), initialized=False)
        assert again.load_state(found) == []
        assert again.iteration == 1
        same_tensors(again.state(), state)
        batches = next(batch_source)
        second, other = (each.train_step(*batches) for each in (model, again))
        for name in model.loss_names:
            assert np.isfinite(second[name]).all(), name
            np.testing.assert_array_equal(second[name], other[name])
        same_tensors(again.state(), model.state())
    finally:
        batch_source.close()


def name_of(case):
    values, _ = spelled(case)
    return f"{values.get('archi', '')}-{values['face_type']}-{values['ct_mode']}".lstrip("-")


@pytest.mark.parametrize(("parameters", "dead", "cases"), [
    (SAEHD, overridden, SAEHD_CASES), (AMP, lambda case: set(), AMP_CASES),
])  # fmt: skip
def test_the_cases_cover_every_pair(parameters, dead, cases):
    seen = {pair for case in cases for pair in covered(parameters, case, dead)}
    values = [[(name, i) for i in range(len(parameters[name]))] for name in parameters]
    for one, other in itertools.combinations(values, 2):
        for pair in itertools.product(one, other):
            names = {name for name, _ in pair}
            excluded = ("pretrain", 1) in pair and names & WHILE_PRETRAINING
            assert excluded or pair in seen, pair
    assert len(cases) <= 40


def spread(cases):
    """A few cases for every run of the suite, the others for `tools/full.sh`."""
    return [
        pytest.param(case, id=name_of(case), marks=[pytest.mark.slow] if number % 16 else [])
        for number, case in enumerate(cases)
    ]


@pytest.mark.usefixtures("eagerly")
@pytest.mark.parametrize("case", spread(SAEHD_CASES))
def test_saehd(case, demo_faces, tmp_path):
    values, run = spelled(case)
    live("SAEHD", values, run, demo_faces, tmp_path)


@pytest.mark.usefixtures("eagerly")
@pytest.mark.parametrize("case", spread(AMP_CASES))
def test_amp(case, demo_faces, tmp_path):
    values, run = spelled(case)
    live("AMP", values, run, demo_faces, tmp_path)


@pytest.mark.slow
@pytest.mark.usefixtures("eagerly")
def test_two_window_sizes_from_256_pixels(demo_faces, tmp_path):
    values = {"resolution": 256, "archi": "liae-udt", "ae_dims": 32, "e_dims": 16, "d_dims": 16}
    values |= {"d_mask_dims": 16, "batch_size": 1, "gan_power": 0.1, "gan_patch_size": 32}
    live("SAEHD", values | {"gan_dims": 4}, RunOptions(seed=3), demo_faces, tmp_path)


@pytest.mark.slow
@pytest.mark.usefixtures("eagerly")
def test_quick96(demo_faces, tmp_path):
    run = RunOptions(seed=3, accumulate=2)
    live("Quick96", {"batch_size": 1}, run, demo_faces, tmp_path)


@pytest.mark.usefixtures("eagerly")
@pytest.mark.parametrize(
    ("pretrain", "face_type"), [(False, "wf"), pytest.param(True, "head", marks=pytest.mark.slow)]
)
def test_xseg(pretrain, face_type, demo_faces, tmp_path, monkeypatch):
    monkeypatch.setattr(xseg_model, "XSegNetwork", partial(XSegNetwork, base=4))
    values = {"pretrain": pretrain, "face_type": face_type, "batch_size": 2}
    live("XSeg", values, RunOptions(seed=3), demo_faces, tmp_path)
