"""Keras can clone, copy, save and load the networks of all models."""

from __future__ import annotations

import copy
from functools import partial

import keras
import numpy as np
import pytest
import tensorflow as tf

from dfl_tf import models
from dfl_tf.models.xseg import model as xseg_model
from dfl_tf.models.xseg.networks import XSegNetwork
from dfl_tf.options import OPTIONS, RunOptions, default

SMALL = {"resolution": 64, "ae_dims": 16, "e_dims": 4, "d_dims": 4, "d_mask_dims": 4}
GAN = {"gan_power": 0.1, "gan_dims": 4, "gan_patch_size": 8}
CASES = {
    "SAEHD df-udtc with discriminators": (
        "SAEHD",
        {**SMALL, **GAN, "archi": "df-udtc", "true_face_power": 0.1, "random_warp": False},
    ),
    "SAEHD liae": ("SAEHD", {**SMALL, "archi": "liae"}),
    "AMP with GAN": ("AMP", {**SMALL, **GAN, "inter_dims": 16}),
    "Quick96": ("Quick96", {}),
    "XSeg": ("XSeg", {}),
}


def inputs_of(model) -> dict[str, tf.Tensor]:
    """An input for each network, as the others make it."""
    rng = np.random.default_rng(1)
    side = model.options.resolution
    face = tf.constant(rng.random((2, side, side, 3), np.float32))
    nets, found = model.networks, {}
    for part in nets:
        if part in ("encoder", "XSeg_256", "GAN"):
            found[part] = face
        elif part.startswith("inter"):
            found[part] = nets["encoder"](face)
        elif part == "code_discriminator":
            found[part] = nets["inter"](nets["encoder"](face))
        elif "inter_AB" in nets:
            code = nets["inter_AB"](nets["encoder"](face))
            found[part] = tf.concat((code, code), axis=-1)
        else:
            inter = "inter" if "inter" in nets else "inter_src"
            found[part] = nets[inter](nets["encoder"](face))
    return found


def arrays(output) -> list[np.ndarray]:
    return [np.asarray(x) for x in tf.nest.flatten(output)]


@pytest.mark.parametrize(
    "case",
    [pytest.param(c, marks=pytest.mark.slow if c in ("Quick96", "XSeg") else ()) for c in CASES],
)
def test_networks_are_cloned_copied_saved_and_loaded(case, tmp_path, monkeypatch):
    monkeypatch.setattr(xseg_model, "XSegNetwork", partial(XSegNetwork, base=4))
    name, given = CASES[case]
    model = models.create(name, default(OPTIONS[name], **given), RunOptions(seed=1, cpu=True))
    if "discriminators" in case:
        assert {"code_discriminator", "GAN"} <= set(model.networks)
    for part, x in inputs_of(model).items():
        network = model.networks[part]
        expected = arrays(network(x))
        assert any(array.std() > 0 for array in expected), part
        cloned = keras.models.clone_model(network)
        cloned.set_weights(network.get_weights())
        file = tmp_path / f"{part}.keras"
        network.save(file)
        for other in (cloned, copy.deepcopy(network), keras.saving.load_model(file)):
            assert type(other) is type(network)
            assert [v.path for v in other.weights] == [v.path for v in network.weights]
            for got, wanted in zip(arrays(other(x)), expected, strict=True):
                np.testing.assert_array_equal(got, wanted, err_msg=part)
            other.weights[0].assign(other.weights[0] + 1.0)  # nothing is shared
        for got, wanted in zip(arrays(network(x)), expected, strict=True):
            np.testing.assert_array_equal(got, wanted, err_msg=part)


def test_the_precision_is_kept():
    options = default(OPTIONS["SAEHD"], **SMALL)
    run = RunOptions(precision="bfloat16", seed=1, cpu=True)
    model = models.create("SAEHD", options, run, training=False)
    for network in model.networks.values():
        assert copy.deepcopy(network).dtype_policy.name == "mixed_bfloat16"
