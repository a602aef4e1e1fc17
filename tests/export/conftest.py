"""Tiny models with lively weights; whatever is called runs eagerly (one call each: no tracing)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from dfl_tf import models
from dfl_tf.models.xseg import model as xseg_model
from dfl_tf.models.xseg.networks import XSegNetwork
from dfl_tf.options import OPTIONS, RunOptions, default

DIMS = {"resolution": 64, "ae_dims": 16, "e_dims": 8, "d_dims": 8, "d_mask_dims": 8}
NORM = {"weight": 1.0, "tau": 0.0, "bias": 0.0, "eps": 0.0}


@pytest.fixture(autouse=True)
def _eager() -> Iterator[None]:
    tf.config.run_functions_eagerly(True)
    yield
    tf.config.run_functions_eagerly(False)


def enliven(model: Any, *, seed: int = 7, gain: float) -> Any:
    """Draw weights that keep the signal alive, so that an error anywhere shows in the outputs."""
    rng = np.random.default_rng(seed)
    for network in model.networks.values():
        for variable in network.weights:
            shape = tuple(variable.shape)
            drawn = rng.standard_normal(shape)
            if len(shape) == 4:
                value = drawn * np.sqrt(gain / np.prod(shape[:3]))
            elif len(shape) == 2:
                value = drawn / np.sqrt(shape[0])
            else:
                kind = variable.path.rpartition("/")[2]
                value = NORM[kind] + 0.1 * drawn
            variable.assign(value.astype(np.float32))
    return model


@pytest.fixture(scope="session")
def make() -> Callable[..., Any]:
    """Make a model of a class, without optimizers."""

    def build(model_class: str, *, gain: float = 2.0, **options: Any) -> Any:
        dims = DIMS | ({"inter_dims": 20} if model_class == "AMP" else {})
        settings = {} if model_class in ("XSeg", "Quick96") else dims
        chosen = default(OPTIONS[model_class], **(settings | options))
        model = models.create(
            model_class, chosen, RunOptions(seed=1, cpu=True), training=False, name="tiny"
        )
        # x cos x becomes chaotic with larger weights and would test nothing
        return enliven(model, gain=0.8 if "c" in str(options.get("archi", "")) else gain)

    return build


@pytest.fixture(scope="session")
def saehd(make: Callable[..., Any]) -> Any:
    return make("SAEHD", archi="df-ud")


@pytest.fixture(scope="session")
def amp(make: Callable[..., Any]) -> Any:
    return make("AMP")


@pytest.fixture(scope="session")
def xseg(make: Callable[..., Any]) -> Any:
    """An XSeg with an eighth of its width."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(xseg_model, "XSegNetwork", partial(XSegNetwork, base=4))
        return make("XSeg")
