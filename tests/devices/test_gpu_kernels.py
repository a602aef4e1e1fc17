"""Nothing of a training step falls back to the CPU: every operation has a kernel for GPUs.

There is no GPU here. A step is traced for one, and compared with the table of the kernels that
TensorFlow's GPU build registers (`tools/gpu_kernels.py` makes it).
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from types import SimpleNamespace

import numpy as np
import pytest
import tensorflow as tf
from dfl_tf_ops import native

from dfl_tf.devices.placement import HOST
from dfl_tf.models.xseg import model as xseg_model
from dfl_tf.models.xseg.networks import XSegNetwork
from dfl_tf.nn.slot_storage import Moving, VariableSlots
from tests.devices.traced import (
    CASES,
    TABLE,
    graph_of,
    has_kernel,
    launches,
    make,
    operations,
    rounded_outside_networks,
    update_graph,
)

QUICK = {"saehd"}


@pytest.fixture(scope="module")
def df():
    return make("saehd")


def without_kernel(graph):
    return {op.type for op in operations(graph) if "CPU" not in op.device and not has_kernel(op)}


@pytest.fixture(
    scope="module",
    params=[pytest.param(c, marks=[] if c in QUICK else [pytest.mark.slow]) for c in CASES],
)
def case(request, df):
    """The name of a case, its model, and its step as a graph."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(xseg_model, "XSegNetwork", partial(XSegNetwork, base=4))
        model = df if request.param == "saehd" else make(request.param)
    return request.param, model, graph_of(model)


def test_every_operation_of_a_step_has_a_kernel(case):
    name, _, graph = case
    assert without_kernel(graph) == set()
    on_host = [op for op in operations(graph) if "CPU" in op.device]
    drawn_there = CASES[name][1].get("lr_dropout") == "cpu"
    assert bool(on_host) == drawn_there
    assert len(list(operations(graph))) > 500  # it is a whole step


def test_tf32_rounds_nothing_but_networks(case):
    """Blurs, SSIM, losses, norms and the update stay float32 where convolutions are TF32."""
    _, model, graph = case
    assert rounded_outside_networks(model, graph) == set()


def test_tf32_rounds_nothing_more_where_the_step_is_compiled(case):
    _, model, _ = case
    model.step.xla.update(dict.fromkeys(model.optimizers, True))
    try:
        assert all(map(model.step.compiles, model.updates))
        assert rounded_outside_networks(model, graph_of(model)) == set()
    finally:
        model.step.xla.clear()


def test_a_product_outside_of_the_networks_is_found(df):
    with tf.Graph().as_default() as graph:
        with tf.name_scope("encoder_1"):
            tf.matmul(tf.ones((2, 2)), tf.ones((2, 2)))
        with tf.name_scope("loss"):
            tf.matmul(tf.ones((2, 2)), tf.ones((2, 2)))
            tf.matmul(tf.ones((2, 2), tf.bfloat16), tf.ones((2, 2), tf.bfloat16))
    assert rounded_outside_networks(df, graph) == {"loss/MatMul (MatMul)"}


def test_an_operation_without_a_kernel_is_found():
    with tf.Graph().as_default() as graph, tf.device("/GPU:0"):
        tf.nn.relu(tf.linalg.expm(tf.ones((2, 2))))
        tf.math.bincount(tf.constant([1, 2]), dtype=tf.float64)
        tf.strings.as_string(tf.constant(1.0))
    assert without_kernel(graph) == {"AsString", "DenseBincount"}


def test_the_table_is_that_of_this_tensorflow():
    assert TABLE["tensorflow"].split(".")[:2] == tf.__version__.split(".")[:2]


@pytest.mark.parametrize(
    ("changes", "most"),
    [
        ({}, 30),  # with clipping, masks and their cosine
        ({"_varying": True}, 30),
        ({"lr_dropout": 1.0, "lr_cos": 0}, 23),
        ({"clipnorm": 0.0}, 30),
    ],
)
def test_an_update_is_a_few_operations(df, monkeypatch, changes, most):
    """As with XLA off; what a loop holds is counted once."""
    update = df.updates[0]
    optimizer = df.optimizers[update.optimizer]
    for name, value in changes.items():
        monkeypatch.setattr(optimizer, name, tf.Variable(1e-4) if name == "_varying" else value)
    assert sum(launches(operations(update_graph(df, update))).values()) <= most


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
    slots, found = VariableSlots({}), {}
    for device in ("/CPU:0", "/GPU:0"):
        with tf.Graph().as_default():
            moving = Moving([SimpleNamespace(device=device)], (0,))
            found[device] = slots.norm([tf.constant(np.ones(3, np.float32))], moving)
    assert found["/GPU:0"].op.type == "Sqrt"
    if native.library() is not None:
        assert found["/CPU:0"].op.type == "DflTf>GlobalNorm"
