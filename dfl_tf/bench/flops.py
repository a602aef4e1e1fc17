"""How much arithmetic a training step is: the products of its convolutions and dense layers."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import tensorflow as tf

    from dfl_tf.models.base import FaceModel

_CONVOLUTIONS = ("Conv2D", "Conv2DBackpropInput", "Conv2DBackpropFilter")
_MATMULS = ("MatMul", "BatchMatMulV2")


def step_flops(model: FaceModel) -> float:
    """Count the floating-point operations of the convolutions and matrix products of a step.

    Convolutions count as what they are by definition, even where Winograd takes fewer:
    so the count tells two ways of doing the same work apart, and a step can pass the peak.

    The graph of each update's gradients is traced, not run, and its operations are counted with
    their shapes. Element-wise work, the losses' filters and the update are not counted: the share
    of the peak that follows is what a user loses to everything that is not a product.

    Parameters
    ----------
    model : FaceModel
    """
    pieces = model.step.replicas * model.run.accumulate
    graphs = nominal_graphs(model)
    return pieces * sum(flops_of(op) for graph in graphs for op in graph.get_operations())


def nominal_graphs(model: FaceModel) -> list[tf.Graph]:
    """Trace the gradients of each update with convolutions as what they are by definition."""
    from dfl_tf.train.memory_use import traced_updates

    return traced_updates(model, tracing=replace(model.step.tracing, winograd=False, forms=None))


def flops_of(op: tf.Operation) -> float:
    """Count the floating-point operations of an operation: 0 if it is no product."""
    if op.type in _MATMULS:
        inner = op.inputs[0].shape
        turned = op.get_attr("transpose_a" if op.type == "MatMul" else "adj_x")
        return 2.0 * _size(op.outputs[0]) * int(inner[-2 if turned else -1])
    if op.type not in _CONVOLUTIONS:
        return 0.0
    # Every pair of an output pixel and an entry of the kernel is one product and one sum; the
    # gradients pair the same.
    images, kernel = op.outputs[0], op.inputs[1]
    if op.type == "Conv2DBackpropInput":
        images = op.inputs[2]
    elif op.type == "Conv2DBackpropFilter":
        images, kernel = op.inputs[2], op.outputs[0]
    count, height, width = (int(side) for side in images.shape[:3])
    return 2.0 * count * height * width * _size(kernel)


def _size(tensor: tf.Tensor) -> int:
    return math.prod(int(side) for side in tensor.shape)
