"""What a training step consists of on a GPU, found by tracing it for one where there is none."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import tensorflow as tf

from dfl_tf import models
from dfl_tf.devices.placement import Placement
from dfl_tf.models.step import Update
from dfl_tf.options import OPTIONS, RunOptions, default

ON_GPU = Placement("/GPU:0", "/GPU:0", flat=True)
TABLE = json.loads((Path(__file__).parent / "gpu_kernels.json").read_text(encoding="utf-8"))

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
    "saehd styles": ("SAEHD", SMALL | {"archi": "liae", "face_style_power": 1.0,
                                       "bg_style_power": 1.0, "blur_out_mask": True}, {}),
    "saehd pretrain": ("SAEHD", SMALL | {"archi": "df", "pretrain": True},
                       {"precision": "float64"}),
    "saehd float16": ("SAEHD", SWAP | {"archi": "df", "lr_dropout": "cpu"},
                      {"precision": "float16"}),
    "amp": ("AMP", SWAP | {"inter_dims": 32, "train_inters": True}, {"precision": "bfloat16"}),
    "amp float32": ("AMP", SWAP | {"inter_dims": 32, "blur_out_mask": True,
                                   "lr_dropout": "n"}, {}),
    "quick96": ("Quick96", {"batch_size": 2}, {}),
    "xseg": ("XSeg", {"batch_size": 2}, {"precision": "bfloat16"}),
    "xseg pretrain": ("XSeg", {"batch_size": 2, "pretrain": True}, {}),
}  # fmt: skip
"""Every model, with all of its switches that change what a step consists of."""

PRODUCTS = {"MatMul", "BatchMatMul", "BatchMatMulV2", "BatchMatMulV3", "Einsum", "Conv2D",
            "Conv2DBackpropInput", "Conv2DBackpropFilter", "Conv2DBackpropInputV2",
            "Conv2DBackpropFilterV2", "Conv3D", "_FusedConv2D", "_FusedMatMul"}  # fmt: skip
"""Operations that TensorFlow rounds to TF32 on cards that have it."""

LAUNCHES_NOTHING = {
    "Const", "NoOp", "Identity", "IdentityN", "Placeholder", "Reshape", "Bitcast", "ExpandDims",
    "Squeeze", "StopGradient", "PreventGradient", "Shape", "ShapeN", "VarHandleOp",
    "ReadVariableOp", "AssignVariableOp",
    "If", "StatelessIf", "While", "StatelessWhile", "TensorListReserve", "TensorListSetItem",
}  # fmt: skip
"""Operations that a GPU is not asked for: they name, or hand over, what is there, or say which
operations come next."""


def make(case: str, placement: Placement = ON_GPU):
    """Make the model of a case."""
    name, options, run = CASES[case]
    values = default(OPTIONS[name], **options)
    model = models.create(name, values, RunOptions(seed=1, **run), placement=placement)
    model.step.measures_gradients = True
    return model


def inputs_of(model) -> list[tf.TensorSpec]:
    count = model.samples_per_step
    shapes = [shape for spec in model.sample_specs().values() for shape in spec.shapes.values()]
    return [tf.TensorSpec((count, *shape), model.dtype) for shape in shapes]


def graph_of(model):
    """All updates of a step as one graph."""

    def step(*inputs):
        for update in model.updates:
            drawn = model.draws(update, inputs[0].shape[0])
            model.step.whole_update(update, [*inputs, *drawn])

    return tf.function(step, autograph=False).get_concrete_function(*inputs_of(model)).graph


def update_graph(model, update: Update):
    """What moves the weights, as a graph of its own."""

    def apply(*gradients):
        model.step.apply_gradients(update, gradients)

    specs = [tf.TensorSpec(v.shape, v.dtype) for v in update.variables]
    return tf.function(apply, autograph=False).get_concrete_function(*specs).graph


def operations(graph) -> Iterator[tf.Operation]:
    """The operations of a graph, then those of the functions that it calls, each once."""
    yield from graph.get_operations()
    for function in graph._functions.values():
        if hasattr(function, "graph"):
            yield from function.graph.get_operations()


def rounded_outside_networks(model, graph) -> set[str]:
    """Scopes of float32 products that TF32 would round, but for those of networks.

    Convolutions and dense layers are called in the scope of their network; their gradients, too.
    """
    networks = {re.sub(r"\W", "_", network.name) for network in model.networks.values()}
    return {
        f"{name} ({op.type})"
        for name, op in scoped(graph)
        if op.type in PRODUCTS and tf.float32 in {tensor.dtype for tensor in op.inputs}
        if not networks & {re.sub(r"_\d+$", "", part) for part in name.split("/")}
    }


def scoped(graph, scope: str = "") -> Iterator[tuple[str, tf.Operation]]:
    """Operations with their scopes; those of a function once for each call, in its scope."""
    functions = {name: f.graph for name, f in graph._functions.items() if hasattr(f, "graph")}
    for op in graph.get_operations():
        name = scope + op.name
        yield name, op
        for attribute in ("f", "body", "cond", "then_branch", "else_branch"):
            if attribute in op.node_def.attr:
                inner = functions.get(op.node_def.attr[attribute].func.name)
                if inner is not None:
                    yield from scoped(inner, f"{name}/")


def launches(operations) -> Counter:
    """Count the operations for which a GPU has to start something, by their kind.

    Not those whose results stay in the host's memory.
    """
    return Counter(
        op.type for op in operations
        if op.type not in LAUNCHES_NOTHING and "CPU" not in op.device and not is_of_host(op)
    )  # fmt: skip


def has_kernel(op: tf.Operation) -> bool:
    """Whether TensorFlow's GPU build runs an operation on a GPU."""
    return _is_listed(op, "kernels")


def is_of_host(op: tf.Operation) -> bool:
    """Whether the result of an operation on a GPU's side lies in the host's memory."""
    return _is_listed(op, "of_host")


def _is_listed(op: tf.Operation, table: str) -> bool:
    for constraint in TABLE[table].get(op.type, ()):
        if all(_attribute(op, name) <= set(types) for name, types in constraint.items()):
            return True
    return False


def _attribute(op: tf.Operation, name: str) -> set[str]:
    value = op.get_attr(name)
    return {t.name for t in (value if isinstance(value, list) else [value])}
