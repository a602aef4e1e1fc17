"""The table of needed parts says what the models really build."""

from __future__ import annotations

import pytest

from dfl_tf import models
from dfl_tf.options import KINDS, OPTIONS, RunOptions

SMALL = {"ae_dims": 32, "e_dims": 16, "d_dims": 16, "d_mask_dims": 16, "resolution": 64}


@pytest.mark.parametrize(
    ("model_class", "given"),
    [
        ("SAEHD", {"archi": "df", "true_face_power": 0.01, "gan_power": 0.1}),
        ("SAEHD", {"archi": "df", "true_face_power": 0.01, "gan_power": 0.1, "pretrain": True}),
        ("SAEHD", {"archi": "liae", "true_face_power": 0.01}),
        ("AMP", {"inter_dims": 32, "gan_power": 0.1}),
    ],
)
def test_needed_parts_are_those_that_are_built(model_class: str, given: dict[str, object]) -> None:
    values = SMALL | {"gan_dims": 4, "gan_patch_size": 16} | given
    options = OPTIONS[model_class](**values)
    model = models.create(model_class, options, RunOptions(cpu=True), initialized=False)
    assert set(KINDS[model_class].needed_parts(options)) == {*model.networks, *model.optimizers}


@pytest.mark.parametrize("model_class", ["Quick96", "XSeg"])
def test_needed_parts_of_models_without_switches(model_class: str) -> None:
    options = OPTIONS[model_class]()
    model = models.create(model_class, options, RunOptions(cpu=True), initialized=False)
    assert set(KINDS[model_class].needed_parts(options)) == {*model.networks, *model.optimizers}
