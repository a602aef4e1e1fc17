"""Small models and batches for the tests of this folder."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
import tensorflow as tf

from dfl_tf import models
from dfl_tf.data import Batch
from dfl_tf.models.xseg import model as xseg_model
from dfl_tf.models.xseg.networks import XSegNetwork
from dfl_tf.options import OPTIONS, RunOptions, default

SMALL = {
    "resolution": 64,
    "ae_dims": 32,
    "e_dims": 16,
    "d_dims": 16,
    "d_mask_dims": 16,
    "gan_patch_size": 8,
    "gan_dims": 4,
    "batch_size": 2,
}


@pytest.fixture
def make(monkeypatch):
    """Make a small model: make("SAEHD", precision="float64", gan_power=0.1).

    XSeg has an eighth of its width.
    """
    monkeypatch.setattr(xseg_model, "XSegNetwork", partial(XSegNetwork, base=4))

    def make(
        cls="SAEHD",
        *,
        seed=1,
        precision="float32",
        accumulate=1,
        xla="off",
        recompute=False,
        settings=None,
        **options,
    ):
        values = dict(SMALL) if cls in ("SAEHD", "AMP") else {"batch_size": 2}
        if cls == "AMP":
            values["inter_dims"] = 32
        values |= options
        run = RunOptions(
            seed=seed, precision=precision, accumulate=accumulate, xla=xla, recompute=recompute
        )
        return models.create(cls, default(OPTIONS[cls], **values), run, **(settings or {}))

    return make


@pytest.fixture
def batches():
    """Smooth random batches for a model: batches(model, n, seed)."""

    def draw(model, n=2, seed=0):
        rng = np.random.default_rng(seed)
        size = model.options.resolution

        def image(channels):
            coarse = rng.random((n, 8, 8, channels), dtype=np.float32)
            return np.asarray(tf.image.resize(coarse, (size, size)))

        if model.model_class == "XSeg":
            return (Batch({"image": image(3), "target": np.round(image(1))}),)
        return tuple(
            Batch({"image": image(3), "target": image(3), "mask": image(1), "eyes_mouth": image(1)})
            for _ in range(2)
        )

    return draw


@pytest.fixture
def eagerly():
    """Run steps without tracing them."""
    tf.config.run_functions_eagerly(True)
    yield
    tf.config.run_functions_eagerly(False)


@pytest.fixture
def snapshot():
    """Copy the weights of all networks: snapshot(model)["encoder"]."""

    def copy(model):
        return {
            part: [v.numpy() for v in network.weights] for part, network in model.networks.items()
        }

    return copy
