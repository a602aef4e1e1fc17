"""Running out of memory, told as something that a user can act on."""

from __future__ import annotations

from dfl_tf.errors import DflTfError


class OutOfMemory(DflTfError):
    """A device has less memory than the model and its batch need."""


def out_of_memory(error: BaseException) -> bool:
    """Whether TensorFlow, NumPy or Python could not get memory."""
    # By name: this must not import TensorFlow before it is needed.
    return isinstance(error, MemoryError) or type(error).__name__ == "ResourceExhaustedError"


def advice(batch_size: int) -> OutOfMemory:
    """The error to raise instead, with what helps and costs the least first."""
    smaller = f" (now {batch_size})" if batch_size > 1 else ""
    return OutOfMemory(
        f"out of memory: lower --batch-size{smaller} (--accumulate keeps what is learned equal), "
        "on a GPU use --no-models-opt-on-gpu, for a new model choose smaller dims. "
        "--plan lists the memory use, dfl-tf bench train --fit the batches that fit."
    )
