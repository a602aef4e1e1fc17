"""Nothing of a training step falls back to the CPU: every operation has a kernel for GPUs.

There is no GPU here. A step is traced for one, and compared with the table of the kernels that
TensorFlow's GPU build registers (`tools/gpu_kernels.py` makes it).
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from types import SimpleNamespace

import keras
import numpy as np
import pytest
import tensorflow as tf
from dfl_tf_ops import native

from dfl_tf import models
from dfl_tf.devices.placement import HOST
from dfl_tf.models.xseg import model as xseg_model
from dfl_tf.models.xseg.networks import XSegNetwork
from dfl_tf.nn.optimizers import AdaBelief
from dfl_tf.options import OPTIONS, RunOptions, default
from tests.devices.traced import (
    ON_GPU,
    TABLE,
    graph_of,
    has_kernel,
    launches,
    operations,
    update_graph,
)

SMALL = {"resolution": 64, "ae_dims": 32, "e_dims": 16, "d_dims": 16, "d_mask_dims": 16,
         "batch_size": 2}  # fmt: skip
GAN = {"gan_power": 0.1, "gan_patch_size": 8, "gan_dims": 4}
SWAP = SMALL | GAN | {"clipgrad": True, "lr_dropout": "y"}
CASES = {
    "saehd": ("SAEHD", SMALL | {"archi": "df-ud", "clipgrad": True, "lr_dropout": "y"}, {}),
    "saehd df": ("SAEHD", SWAP | {"archi": "df-udt", "true_face_power": 0.01,
                                  "eyes_mouth_prio": True, "blur_out_mask": True}, {}),
    "saehd liae": ("SAEHD", SWAP | {"archi": "liae-udc", "face_style_power": 1.0,
                                    "bg_style_power": 1.0, "masked_training": False,
                                    "adabelief": False},
                   {"precision": "bfloat16", "recompute": True}),
    "saehd pretrain": ("SAEHD", SMALL | {"archi": "df", "pretrain": True},
                       {"precision": "float64"}),
    "saehd float16": ("SAEHD", SWAP | {"archi": "df", "lr_dropout": "cpu"},
                      {"precision": "float16"}),
    "amp": ("AMP", SWAP | {"inter_dims": 32, "train_inters": True}, {"precision": "bfloat16"}),
    "quick96": ("Quick96", {"batch_size": 2}, {}),
    "xseg": ("XSeg", {"batch_size": 2}, {"precision": "bfloat16"}),
    "xseg pretrain": ("XSeg", {"batch_size": 2, "pretrain": True}, {}),
}  # fmt: skip
QUICK = {"saehd"}


def make(case, placement=ON_GPU):
    name, options, run = CASES[case]
    values = default(OPTIONS[name], **options)
    model = models.create(name, values, RunOptions(seed=1, **run), placement=placement)
    model.step.measures_gradients = True
    return model


@pytest.fixture(scope="module")
def df():
    return make("saehd")


def without_kernel(graph):
    return {op.type for op in operations(graph) if "CPU" not in op.device and not has_kernel(op)}


@pytest.mark.parametrize(
    "case", [pytest.param(c, marks=[] if c in QUICK else [pytest.mark.slow]) for c in CASES]
)
def test_every_operation_of_a_step_has_a_kernel(case, df, monkeypatch):
    monkeypatch.setattr(xseg_model, "XSegNetwork", partial(XSegNetwork, base=4))
    graph = graph_of(df if case == "saehd" else make(case))
    assert without_kernel(graph) == set()
    on_host = [op for op in operations(graph) if "CPU" in op.device]
    drawn_there = CASES[case][1].get("lr_dropout") == "cpu"
    assert bool(on_host) == drawn_there
    assert len(list(operations(graph))) > 500  # it is a whole step


def test_an_operation_without_a_kernel_is_found():
    with tf.Graph().as_default() as graph, tf.device("/GPU:0"):
        tf.nn.relu(tf.linalg.expm(tf.ones((2, 2))))
        tf.math.bincount(tf.constant([1, 2]), dtype=tf.float64)
        tf.strings.as_string(tf.constant(1.0))
    assert without_kernel(graph) == {"AsString", "DenseBincount"}


def test_the_table_is_that_of_this_tensorflow():
    assert TABLE["tensorflow"].split(".")[:2] == tf.__version__.split(".")[:2]


def test_an_update_is_a_few_operations(df):
    """As with XLA off; the loop that draws masks is counted once and has ten rounds."""
    update = df.updates[0]
    graph = update_graph(df, update)
    drawing = sum(launches(graph.get_operations()).values())
    body = sum(launches(operations(graph)).values()) - drawing
    assert drawing <= 35
    assert body <= 12
    df.optimizers[update.optimizer].lr_dropout = 1.0
    df.optimizers[update.optimizer].lr_cos = 0
    plain = sum(launches(operations(update_graph(df, update))).values())
    df.optimizers[update.optimizer].lr_dropout = 0.3
    df.optimizers[update.optimizer].lr_cos = 500
    assert plain <= 25


def test_the_update_is_one_operation_where_it_is_compiled(df):
    update = df.updates[0]
    assert not df.step.compiles(update)
    df.step.xla[update.optimizer] = True
    try:
        assert df.step.compiles(update)
        df.step.xla[update.optimizer] = True
        on_cpu = replace(df.placement, compute=HOST, variables=HOST, flat=False)
        df.placement, before = on_cpu, df.placement
        assert not df.step.compiles(update)
    finally:
        df.placement = before
        df.step.xla.clear()


def test_the_norm_is_computed_where_the_weights_are():
    """Gradients of a graph do not say where they will be; the weights do."""
    weight = keras.Variable(np.ones(3, np.float32))
    optimizer = AdaBelief(clipnorm=1.0)
    optimizer.build([weight])
    found = {}
    for device in ("/CPU:0", "/GPU:0"):
        with tf.Graph().as_default():
            elsewhere = SimpleNamespace(device=device)
            found[device] = optimizer.norm([tf.constant(np.ones(3, np.float32))], [elsewhere])
    assert found["/GPU:0"].op.type == "Sqrt"
    if native.library() is not None:
        assert found["/CPU:0"].op.type == "DflTf>GlobalNorm"
