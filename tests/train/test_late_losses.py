"""A real training that reads its losses one step late ends as one that reads them at once.

The model is small and the device a CPU that is treated as a GPU (`DFL_TF_WORKS_AHEAD`).
"""

from __future__ import annotations

import random

import pytest
from kill_recipe import ROOT, copied, differences, finish, killed, saved

from dfl_tf.devices.cpu import WORKS_AHEAD
from dfl_tf.devices.placement import Placement

FACES = ROOT / "dfl_tf" / "demo_data"
RECIPE = """
name: two
model: SAEHD
defaults:
  set: {resolution: 64, archi: df, ae_dims: 32, e_dims: 16, d_dims: 16, d_mask_dims: 16,
        batch_size: 2}
phases:
  - {name: plain, until: {iterations: 25}}
  - {name: dropout, set: {lr_dropout: y}, until: {iterations: 25}}
"""


@pytest.fixture
def recipe(tmp_path):
    path = tmp_path / "two.yaml"
    path.write_text(RECIPE)
    return path


def test_a_cpu_can_be_treated_as_a_gpu(monkeypatch):
    assert not Placement().works_ahead
    monkeypatch.setenv(WORKS_AHEAD, "1")
    assert Placement().works_ahead
    assert Placement("/GPU:0", "/GPU:0").works_ahead


@pytest.mark.slow
def test_killed_and_stopped_it_ends_with_the_same_bits(tmp_path, recipe):
    whole = copied(FACES, tmp_path / "whole")
    finish(whole, recipe)
    expected = saved(whole)
    assert expected.iteration == 50
    counts, ends = killed(FACES, tmp_path, recipe, 3, random.Random(4), late=True)
    assert counts["SIGKILL"] + counts["SIGTERM"] == 3
    assert [differences(expected, end) for end in ends] == [[]] * len(ends)


@pytest.mark.slow
def test_steps_that_float16_leaves_out_are_counted_alike(tmp_path, recipe):
    ends = []
    for name, late in (("late", True), ("at once", False)):
        place = copied(FACES, tmp_path / name)
        finish(place, recipe, "--precision", "float16", late=late)
        ends.append(saved(place))
    assert differences(*ends) == []
    assert int(ends[0].tensors["src_dst_opt"]["iters:0"]) < ends[0].iteration  # some were left out
