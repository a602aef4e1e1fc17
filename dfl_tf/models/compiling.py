"""Whether an update is compiled with XLA: tried on the running model.

On a CPU only the gradients are: what moves the weights is a C++ operation, which XLA does not know.
On a GPU the whole step is compiled if its gradients are.
"""

from __future__ import annotations

import functools
import statistics
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import tensorflow as tf

if TYPE_CHECKING:
    from dfl_tf.models.step import TrainingStep, Update

ROUNDS = 3
WORTH_IT = 0.97
"""XLA is taken if it needs at most this share of the time: repeated runs differ by 3 %."""


def gradient_graph(
    step: TrainingStep, update: Update, *, compiled: bool, named: bool = False
) -> tf.types.experimental.PolymorphicFunction:
    """Make a graph function of the gradients of an update, compiled with XLA or not.

    In code that is compiled for a CPU blurs are matrix products: XLA's depthwise convolutions there
    are some twenty times slower than TensorFlow's. `named` is that of `Tracing`.
    """
    by_matrices = compiled and step.model.placement.on_cpu
    tracing = replace(step.tracing, blur_as_matmul=by_matrices, named=named)
    gradients = functools.partial(step.gradients, update, tracing=tracing)
    return tf.function(gradients, autograph=False, jit_compile=compiled)


def decide(
    plain: tf.types.experimental.PolymorphicFunction,
    compiled: tf.types.experimental.PolymorphicFunction,
    inputs: Sequence[tf.Tensor],
    *,
    mode: str,
    name: str,
) -> tuple[bool, str]:
    """Try gradients with XLA; with `mode` "auto" measure them against those without.

    Gradients change nothing, so trying them costs time only.

    Parameters
    ----------
    plain, compiled : graph functions of `gradient_graph`
    inputs : sequence of tensor, shape (n, …)
        One batch.
    mode : {"auto", "on"}
    name : str
        Of the update, for the message.

    Returns
    -------
    (bool, str)
        Whether to compile, and why; the reason is empty if that was asked for and works.
    """
    try:
        _seconds(compiled, inputs)
    except tf.errors.OpError as error:
        reason = str(error.message).strip().splitlines()[0][:200]
        return False, f"XLA is off for {name}: it could not compile the step ({reason})"
    if mode == "on":
        return True, ""
    _seconds(plain, inputs)
    times: dict[bool, list[float]] = {False: [], True: []}
    for _ in range(ROUNDS):
        for which, function in ((False, plain), (True, compiled)):
            times[which].append(_seconds(function, inputs))
    without, with_xla = (statistics.median(times[which]) * 1e3 for which in (False, True))
    faster = with_xla <= WORTH_IT * without
    return faster, (
        f"XLA is {'on' if faster else 'off'} for {name}: {with_xla:.0f} ms of forward and backward "
        f"pass with it, {without:.0f} ms without"
    )


def _seconds(
    function: tf.types.experimental.PolymorphicFunction, inputs: Sequence[tf.Tensor]
) -> float:
    start = time.perf_counter()
    losses, gradients = function(list(inputs))
    for tensor in (*losses.values(), gradients[0]):
        tensor.numpy()
    return time.perf_counter() - start
