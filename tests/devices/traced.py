"""What a training step consists of on a GPU, found by tracing it for one where there is none."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import tensorflow as tf

from dfl_tf.devices.placement import Placement
from dfl_tf.models.step import Update

ON_GPU = Placement("/GPU:0", "/GPU:0", flat=True)
TABLE = json.loads((Path(__file__).parent / "gpu_kernels.json").read_text(encoding="utf-8"))

LAUNCHES_NOTHING = {
    "Const", "NoOp", "Identity", "IdentityN", "Placeholder", "Reshape", "Bitcast", "ExpandDims",
    "Squeeze", "StopGradient", "PreventGradient", "Shape", "ShapeN", "VarHandleOp",
    "ReadVariableOp", "AssignVariableOp",
}  # fmt: skip
"""Operations that a GPU is not asked for: they name, or hand over, what is there."""


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


def launches(operations) -> Counter:
    """Count the operations for which a GPU has to start something, by their kind."""
    return Counter(
        op.type for op in operations
        if op.type not in LAUNCHES_NOTHING and "CPU" not in op.device
    )  # fmt: skip


def has_kernel(op: tf.Operation) -> bool:
    """Whether TensorFlow's GPU build runs an operation on a GPU."""
    for constraint in TABLE["kernels"].get(op.type, ()):
        if all(_attribute(op, name) <= set(types) for name, types in constraint.items()):
            return True
    return False


def _attribute(op: tf.Operation, name: str) -> set[str]:
    value = op.get_attr(name)
    return {t.name for t in (value if isinstance(value, list) else [value])}
