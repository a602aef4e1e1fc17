"""Running out of memory, told as something that a user can act on."""

from __future__ import annotations

from dfl_tf.errors import DflTfError


class OutOfMemory(DflTfError):
    """A device has less memory than the model and its batch need."""


def out_of_memory(error: BaseException) -> bool:
    """Whether TensorFlow, NumPy or Python could not get memory."""
    # By name: this must not import TensorFlow before it is needed.
    return isinstance(error, MemoryError) or type(error).__name__ == "ResourceExhaustedError"
