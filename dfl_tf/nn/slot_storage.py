"""Where the slots of an optimizer are kept, and how a step goes there.

`VariableSlots` has one slot a variable, as suits a CPU, where one C++ operation moves them all.
`FlatSlots` has one vector for all variables, as suits a GPU, where each operation costs a launch.
"""

from __future__ import annotations

import abc
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, TypedDict, Unpack

import keras
import numpy as np
import numpy.typing as npt
import tensorflow as tf
from dfl_tf_ops import flat_step, optimizer_step

from dfl_tf.nn.local_replica import local_replica


class StepSettings(TypedDict):
    """What the arithmetic of a step takes besides variables and gradients.

    Each tensor is a scalar tensor.
    """

    learning_rate: tf.Tensor
    clip_scale: tf.Tensor
    step: tf.Tensor
    epsilon: float
    dropout: optimizer_step.Dropout


class Arithmetic(Protocol):
    """What an optimizer makes of gradients and slots, in both forms."""

    def rule(self, rate: tf.Tensor, epsilon: float) -> flat_step.Rule:
        """Return a step on whole vectors, at a rate that is a scalar tensor of their dtype."""

    def fused_step(
        self,
        variables: Sequence[tf.Variable],
        slots: Sequence[Sequence[tf.Variable]],
        grads: Sequence[tf.Tensor],
        **settings: Unpack[StepSettings],
    ) -> None:
        """Do a step variable by variable, in C++ where that is there.

        Slots and gradients have any shape, that of their variable, and its dtype.
        """


@dataclass(frozen=True)
class Moving:
    """The variables of one step.

    Attributes
    ----------
    variables : sequence of variables
        The copies of the calling replica.
    indices : tuple of int
        Their places among all that the optimizer was built for.
    compiled : bool
        Whether XLA compiles the step: it knows no loop of tensors whose sizes differ.
    """

    variables: Sequence[tf.Variable]
    indices: tuple[int, ...]
    compiled: bool = False


class SlotStorage(abc.ABC):
    """The slots of one optimizer.

    Parameters
    ----------
    stored : mapping of str to list of variables
        By name of the slot.
    """

    def __init__(self, stored: Mapping[str, list[keras.Variable]]) -> None:
        self.stored = stored

    @abc.abstractmethod
    def each(self, slot: str) -> Sequence[keras.Variable | tf.Tensor]:
        """Return a slot for each built variable, in its shape."""

    @abc.abstractmethod
    def assign(self, values: Mapping[str, Sequence[npt.NDArray[np.generic]]]) -> None:
        """Store values for each slot: one a built variable, in its shape, any floating dtype."""

    @abc.abstractmethod
    def joined(self, gradients: Sequence[tf.Tensor], moving: Moving) -> list[tf.Tensor]:
        """Bring gradients, each in the shape of its variable, into the form that `step` takes."""

    @abc.abstractmethod
    def norm(self, gradients: Sequence[tf.Tensor], moving: Moving) -> tf.Tensor:
        """Return the global norm of what `joined` gave, a scalar tensor of its dtype."""

    @abc.abstractmethod
    def step(
        self,
        arithmetic: Arithmetic,
        gradients: Sequence[tf.Tensor],
        moving: Moving,
        **settings: Unpack[StepSettings],
    ) -> None:
        """Move variables and slots by what `joined` gave: any shape, dtype of the variables."""


class VariableSlots(SlotStorage):
    """One slot for each variable."""

    def each(self, slot: str) -> Sequence[keras.Variable | tf.Tensor]:
        """Return the variables of a slot; see `SlotStorage.each`."""
        return self.stored[slot]

    def assign(self, values: Mapping[str, Sequence[npt.NDArray[np.generic]]]) -> None:
        """Store each value in its variable; see `SlotStorage.assign`."""
        for slot, arrays in values.items():
            for variable, array in zip(self.stored[slot], arrays, strict=True):
                variable.assign(array)

    def joined(self, gradients: Sequence[tf.Tensor], moving: Moving) -> list[tf.Tensor]:
        """Return the gradients as they are; see `SlotStorage.joined`."""
        return list(gradients)

    def norm(self, gradients: Sequence[tf.Tensor], moving: Moving) -> tf.Tensor:
        """Return the global norm, by C++ on a CPU; see `SlotStorage.norm`."""
        on_cpu = all("GPU" not in variable.device for variable in moving.variables)
        return optimizer_step.global_norm(gradients, fused=on_cpu)

    def step(
        self,
        arithmetic: Arithmetic,
        gradients: Sequence[tf.Tensor],
        moving: Moving,
        **settings: Unpack[StepSettings],
    ) -> None:
        """Step variable by variable; see `SlotStorage.step`."""
        slots = [
            [local_replica(stored[i]) for i in moving.indices] for stored in self.stored.values()
        ]
        arithmetic.fused_step(moving.variables, slots, gradients, **settings)


class FlatSlots(SlotStorage):
    """One vector for all variables: a step is a few large operations (`dfl_tf_ops.flat_step`).

    Parameters
    ----------
    stored : mapping of str to list of one variable
    layout : FlatLayout
        Of all built variables.
    """

    def __init__(
        self, stored: Mapping[str, list[keras.Variable]], layout: flat_step.FlatLayout
    ) -> None:
        super().__init__(stored)
        self.layout = layout

    def _vectors(self) -> list[tf.Variable]:
        return [local_replica(vector) for (vector,) in self.stored.values()]

    def each(self, slot: str) -> Sequence[keras.Variable | tf.Tensor]:
        """Return the values of now; see `SlotStorage.each`."""
        (vector,) = self.stored[slot]
        return self.layout.split(local_replica(vector))

    def assign(self, values: Mapping[str, Sequence[npt.NDArray[np.generic]]]) -> None:
        """Store the values of each slot as one; see `SlotStorage.assign`."""
        for slot, arrays in values.items():
            (vector,) = self.stored[slot]
            vector.assign(self.layout.join([tf.cast(a, vector.dtype) for a in arrays]))

    def joined(self, gradients: Sequence[tf.Tensor], moving: Moving) -> list[tf.Tensor]:
        """Join all gradients to one vector; see `SlotStorage.joined`."""
        return [self.layout.of(moving.indices).join(gradients)]

    def norm(self, gradients: Sequence[tf.Tensor], moving: Moving) -> tf.Tensor:
        """Return the norm of the vector; see `SlotStorage.norm`."""
        return flat_step.global_norm(gradients[0], compiled=moving.compiled)

    def step(
        self,
        arithmetic: Arithmetic,
        gradients: Sequence[tf.Tensor],
        moving: Moving,
        **settings: Unpack[StepSettings],
    ) -> None:
        """Step on whole vectors; see `SlotStorage.step`."""
        (gradient,), scale = gradients, settings["clip_scale"]
        flat_step.apply(
            arithmetic.rule(settings["learning_rate"], settings["epsilon"]),
            self.layout,
            moving.variables,
            self._vectors(),
            gradient if is_one(scale) else gradient * scale,
            indices=moving.indices,
            step=settings["step"],
            dropout=settings["dropout"],
        )


def is_one(scale: tf.Tensor) -> bool:
    """Whether a scalar tensor is known to be 1 while a graph is traced."""
    value = tf.get_static_value(scale)
    return value is not None and value == 1


def shapes_of(variables: Iterable[keras.Variable]) -> flat_step.FlatLayout:
    """Return the flat layout of variables."""
    return flat_step.FlatLayout(tuple(tuple(v.shape) for v in variables))
