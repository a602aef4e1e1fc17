"""How much memory a model needs, counted and traced without running a step."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

import numpy as np

if TYPE_CHECKING:
    import keras
    import tensorflow as tf

    from dfl_tf.models.base import FaceModel, Losses, Update
    from dfl_tf.nn.tracing import Tracing

_MIB = 2**20
_known: WeakKeyDictionary[FaceModel, dict[int, int]] = WeakKeyDictionary()
"""Activations that a model's own updates keep, by the identity of the update."""


def memory(model: FaceModel, cache: int = 0, *, traced: bool = True) -> dict[str, float]:
    """MiB of weights, slots, gradients, kept activations and prepared samples, and their sum.

    `cache` is what the cache of faces takes, in bytes.

    Weights, slots and gradients are exact. While a save is written, a copy of weights and slots
    lies in the host's memory as well. Without `traced` the activations are left out.
    """
    weights = bytes_of(v for network in model.networks.values() for v in network.weights)
    slots = bytes_of(v for optimizer in model.optimizers.values() for v in optimizer.variables)
    moved = [bytes_of(update.variables) for update in model.updates]
    gradients = max(moved, default=0) * (2 if model.run.accumulate > 1 else 1)
    sizes = {
        "weights": weights,
        "slots": slots,
        "gradients": gradients,
        **({"activations (estimate)": kept_activations(model)} if traced else {}),
        "prepared samples": _staging(model),
        "cache of faces (at most)": cache,
    }
    average = 0
    if model.average is not None:
        sizes["averaged weights"] = average = bytes_of(model.average.weights)
    sizes["all of these"] = sum(sizes.values())
    sizes["copy while saving"] = weights + slots + average
    return {what: size / _MIB for what, size in sizes.items()}


def _staging(model: FaceModel) -> int:
    """Bytes of the batches that are made ahead, and the one in use."""
    pixels = sum(
        side * width * channels
        for spec in model.sample_specs().values()
        for side, width, channels in spec.shapes.values()
    )
    return 4 * pixels * model.samples_per_step * (model.run.prefetch + 1)


def bytes_of(variables: Iterable[keras.Variable]) -> int:
    """Return the size of variables."""
    return sum(math.prod(v.shape) * np.dtype(v.dtype).itemsize for v in variables)


def kept_activations(model: FaceModel, updates: Sequence[Update] = ()) -> int:
    """Bytes that flow from the forward into the backward half of the largest update of a step.

    The step is traced, not run: every tensor that is made by the forward half and read by the
    backward half lives until then. With `updates` these are traced in place of the model's own,
    each of which is traced once.
    """
    known = _known.setdefault(model, {})
    found = []
    for update in updates or model.updates:
        if id(update) not in known:
            (graph,) = traced_updates(model, updates=[update])
            size = _crossing_bytes(graph)
            if not any(update is own for own in model.updates):
                found.append(size)
                continue
            known[id(update)] = size
        found.append(known[id(update)])
    return max(found)


def traced_updates(
    model: FaceModel,
    batch: int = 0,
    *,
    tracing: Tracing | None = None,
    updates: Sequence[Update] = (),
) -> list[tf.Graph]:
    """Trace the gradients of every update of a step, for batches of `batch` samples (0 = the own).

    Parameters
    ----------
    tracing : Tracing, optional
        By default that of the model's step.
    updates : sequence of Update
        By default those of the model.

    Returns
    -------
    list of tf.Graph
        Nothing is run.
    """
    import tensorflow as tf

    shapes = [s for spec in model.sample_specs().values() for s in spec.shapes.values()]
    batch = batch or int(model.options.batch_size)
    inputs = [tf.TensorSpec((batch, *shape), model.dtype) for shape in shapes]
    return [_traced(model, update, inputs, tracing).graph for update in updates or model.updates]


def _traced(
    model: FaceModel, update: Update, inputs: Sequence[tf.TensorSpec], tracing: Tracing | None
) -> tf.types.experimental.ConcreteFunction:
    import tensorflow as tf

    def gradients(*tensors: tf.Tensor) -> tuple[Losses, list[tf.Tensor]]:
        drawn = model.draws(update, int(tensors[0].shape[0]))
        return model.step.gradients(update, [*tensors, *drawn], tracing=tracing)

    return tf.function(gradients, autograph=False).get_concrete_function(*inputs)


def _crossing_bytes(graph: tf.Graph) -> int:
    backward: set[str] = set()
    for op in graph.get_operations():  # in the order of their making: inputs come first
        # What is computed again (`--recompute`) waits for a gradient, and is not a forward half.
        if "gradient_tape" in op.name or any(x.op.name in backward for x in op.inputs):
            backward.add(op.name)
    kept = {}
    for op in graph.get_operations():
        for tensor in op.outputs if op.name not in backward else ():
            if tensor.dtype.size and any(user.name in backward for user in tensor.consumers()):
                origin = _origin(tensor)
                if origin.op.type not in ("Const", "ReadVariableOp", "Placeholder"):
                    kept[origin.name] = (origin.shape.num_elements() or 0) * origin.dtype.size
    return sum(kept.values())


def _origin(tensor: tf.Tensor) -> tf.Tensor:
    """Return the tensor whose memory this one shares."""
    while tensor.op.type in ("Identity", "IdentityN", "Reshape"):
        tensor = tensor.op.inputs[tensor.value_index]
    return tensor
