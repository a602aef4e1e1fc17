"""What AdaBelief and RMSprop of the legacy program have in common, as a Keras optimizer.

Both differ from Keras' own: no bias correction, epsilon outside the root, one clipping by the
global norm of all gradients, an endless cosine of the rate, and learning-rate dropout (entries that
do not move in this step). The arithmetic of a step is `dfl_tf_ops.optimizer_step`.
"""

from __future__ import annotations

import abc
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import ClassVar, TypedDict, Unpack

import keras
import numpy as np
import numpy.typing as npt
import tensorflow as tf
from dfl_tf_ops import flat_step, optimizer_step
from dfl_tf_ops.optimizer_step import TWO_PI

from dfl_tf.errors import ModelFileError
from dfl_tf.nn.local_replica import local_replica
from dfl_tf.nn.slot_storage import (
    FlatSlots,
    Moving,
    SlotStorage,
    StepSettings,
    VariableSlots,
    shapes_of,
)
from dfl_tf.nn.slots import fit_slots, slot_key

_EPSILON = {"float16": 1e-3, "float32": 1e-6, "float64": 1e-6}

Figures = dict[str, tf.Tensor]
Guard = Callable[[Sequence[tf.Tensor], Callable[[], Figures], Sequence[str]], Figures]
"""Takes gradients, what moves the weights by them, and the names of what that gives; may leave it
out (`dfl_tf.models.loss_scale`)."""


class OptimizerOptions(TypedDict, total=False):
    """What AdaBelief and RMSprop have in common; see `LegacyOptimizer`."""

    lr_dropout: float
    lr_cos: int
    clipnorm: float
    slots_on_cpu: bool
    dropout_on_cpu: bool
    flat: bool
    seed: int
    name: str


class LegacyOptimizer(keras.optimizers.Optimizer, abc.ABC):
    """What AdaBelief and RMSprop share: rate, clipping, dropout, slots and their legacy names.

    Parameters
    ----------
    learning_rate : float
        Stays a Python float: in a float32 variable it would be off by 2.5e-8 (training.md 10).
        A traced `tf.function` keeps the value that it was traced with.
    lr_dropout : float
        Probability that an entry moves in a step; 1 = all move. Slots move always.
    lr_cos : int
        Period of the cosine in iterations; 0 = constant rate.
    clipnorm : float
        Bound of the global norm of the gradients of one `apply`; 0 = no clipping. (Keras' argument
        of this name clips per variable; that one is never used.)
    slots_on_cpu, dropout_on_cpu : bool
        Create the slots, or draw the masks, on CPU:0.
    flat : bool
        Keep each slot as one vector for all variables and step in a few large operations
        (`dfl_tf_ops.flat_step`), as suits a GPU.
    seed : int
        Key of the masks; a mask depends on seed, place of the variable in `build`, and iteration.

    References
    ----------
    training.md 3, 9, 10; models.md 5.3.
    """

    slot_names: ClassVar[tuple[str, ...]]
    _rate: float

    def __init__(
        self,
        learning_rate: float = 5e-5,
        *,
        lr_dropout: float = 1.0,
        lr_cos: int = 0,
        clipnorm: float = 0.0,
        slots_on_cpu: bool = False,
        dropout_on_cpu: bool = False,
        flat: bool = False,
        seed: int = 0,
        name: str = "src_dst_opt",
    ) -> None:
        # A callable keeps Keras from making a float32 variable of the rate.
        super().__init__(learning_rate=lambda: self._rate, name=name)
        self._rate = float(learning_rate)
        self.lr_dropout = float(lr_dropout)
        self.lr_cos = int(lr_cos)
        self.clipnorm = float(clipnorm)
        self.slots_on_cpu = slots_on_cpu
        self.dropout_on_cpu = dropout_on_cpu
        self.flat = flat
        self.seed = int(seed)
        self.inject_masks: Sequence[tf.Tensor] | None = None  # test hook: one mask a built variable
        self._slots: SlotStorage
        self._varying: tf.Variable | None = None
        self._varying_now = 0.0

    def vary_rate(self, rate: float) -> None:
        """Use another rate from the next step on, in steps that are traced already as well.

        To be called before the first step is traced, too; without a call the rate is a constant of
        the traced graph.
        """
        if self._varying is None:
            dtype = tf.as_dtype(self._trainable_variables[0].dtype)
            working = tf.float64 if dtype == tf.float64 else tf.float32
            self._varying = tf.Variable(rate, trainable=False, dtype=working)
        elif rate != self._varying_now:
            self._varying.assign(rate)
        self._varying_now = rate

    @property
    def learning_rate(self) -> float:
        """The rate before the cosine."""
        return self._rate

    @learning_rate.setter
    def learning_rate(self, value: float) -> None:
        self._rate = float(value)

    def build(self, variables: Sequence[keras.Variable]) -> None:
        """Fix the variables (all that this optimizer may ever move, in file order); make slots."""
        if self.built:
            return
        super().build(list(variables))
        if self.flat:
            layout, dtype = shapes_of(variables), variables[0].dtype
            vectors = {
                slot: [self.add_variable((layout.size,), dtype=dtype, name=slot)]
                for slot in self.slot_names
            }
            self._slots = FlatSlots(vectors, layout)
            return
        self._slots = VariableSlots(
            {slot: [self._add_slot(v, slot) for v in variables] for slot in self.slot_names}
        )

    def _add_slot(self, variable: keras.Variable, slot: str) -> keras.Variable:
        if not self.slots_on_cpu:
            return self.add_variable_from_reference(variable, name=slot)
        with tf.device("CPU:0"):
            return self.add_variable(variable.shape, dtype=variable.dtype, name=slot)

    def slot(self, slot: str, variable: keras.Variable) -> keras.Variable | tf.Tensor:
        """Return a slot (`ms`, `vs` or `acc`) of one built variable, in its shape.

        Of a flat one it is a tensor, its value now.
        """
        return self._slots.each(slot)[self._get_variable_index(variable)]

    def slot_variables(self, slot: str) -> list[keras.Variable]:
        """Return the variables in which a slot is stored: one for each built variable, or one."""
        return list(self._slots.stored[slot])

    def apply(
        self,
        grads: Sequence[tf.Tensor],
        trainable_variables: Sequence[keras.Variable] | None = None,
    ) -> None:
        """Move variables along their gradients and count one iteration.

        Parameters
        ----------
        grads : sequence of tensor, shape of each variable
            One a variable; all of them are computed before the first variable is written.
        trainable_variables : sequence of variables, optional
            A subset of the built ones (default: all). The others keep their value and their slots
            and do not count in the norm.

        Raises
        ------
        ValueError
            If a variable is unknown or has no gradient.
        """
        self.apply_and_measure(grads, trainable_variables)

    def apply_and_measure(
        self,
        grads: Sequence[tf.Tensor],
        trainable_variables: Sequence[keras.Variable] | None = None,
        *,
        norm: bool = False,
        guard: Guard | None = None,
        compiled: bool = False,
    ) -> Figures:
        """Do what `apply` does, and return the figures of the step.

        Parameters
        ----------
        grads, trainable_variables
            See `apply`.
        norm : bool
            Compute the norm of the gradients where no clipping needs it; the weights are the same.
        guard : callable, optional
            Decides whether the weights move.
        compiled : bool
            Whether XLA compiles this.

        Returns
        -------
        dict of scalar tensor, dtype of the variables
            Those that `figures` names.
        """
        if trainable_variables is None:
            trainable_variables = self._trainable_variables
        elif not self.built:
            self.build(trainable_variables)
        variables = list(trainable_variables)
        self._check_gradients(grads, variables)
        indices = tuple(self._get_variable_index(v) for v in variables)
        moving = Moving([local_replica(v) for v in variables], indices, compiled)
        dtype = moving.variables[0].dtype
        joined = self._slots.joined([tf.cast(g, dtype) for g in grads], moving)

        def move() -> Figures:
            length = self._slots.norm(joined, moving) if self.clipnorm or norm else None
            factor = self._clip_factor(length, dtype)
            iteration = tf.convert_to_tensor(local_replica(self._iterations).assign_add(1))
            self._step(joined, moving, iteration, clip_factor=factor)
            found = {"gradient_norm": length, "clip_factor": factor}
            return {name: found[name] for name in self.figures(norm=norm)}

        return move() if guard is None else guard(joined, move, self.figures(norm=norm))

    def _check_gradients(
        self, grads: Sequence[tf.Tensor], variables: Sequence[keras.Variable]
    ) -> None:
        self._check_variables_are_known(variables)
        if len(grads) != len(variables):
            raise ValueError(
                f"{len(grads)} gradients for {len(variables)} variables of {self.name}."
            )
        lost = [v.name for v, g in zip(variables, grads, strict=True) if g is None]
        if lost:
            raise ValueError(f"{self.name}: no gradient for {', '.join(lost)}. Leave them out.")

    def figures(self, *, norm: bool) -> tuple[str, ...]:
        """Return the names of what `apply_and_measure` gives.

        With clipping the global norm of the gradients before it and the factor that they were
        multiplied by; without, the norm if it is asked for.
        """
        if self.clipnorm:
            return "gradient_norm", "clip_factor"
        return ("gradient_norm",) if norm else ()

    def _step(
        self,
        gradients: Sequence[tf.Tensor],
        moving: Moving,
        iteration: tf.Tensor,
        *,
        clip_factor: tf.Tensor,
    ) -> None:
        """Update variables and slots as the given iteration, of which the first is 1."""
        dtype, masks = moving.variables[0].dtype, self.inject_masks
        self._slots.step(
            self,
            gradients,
            moving,
            learning_rate=self.effective_rate(iteration, dtype),
            clip_scale=clip_factor,
            step=iteration,
            epsilon=_EPSILON[dtype.name],
            dropout=optimizer_step.Dropout(
                keep=self.lr_dropout,
                seed=self.seed,
                indices=moving.indices,
                device="CPU:0" if self.dropout_on_cpu else "",
                masks=None if masks is None else [masks[i] for i in moving.indices],
                compiled=moving.compiled,
            ),
        )

    @abc.abstractmethod
    def rule(self, rate: tf.Tensor, epsilon: float) -> flat_step.Rule:
        """Return the arithmetic of a step; see `Arithmetic`."""

    @abc.abstractmethod
    def fused_step(
        self,
        variables: Sequence[tf.Variable],
        slots: Sequence[Sequence[tf.Variable]],
        grads: Sequence[tf.Tensor],
        **settings: Unpack[StepSettings],
    ) -> None:
        """Do a step variable by variable; see `Arithmetic`."""

    @property
    def present_rate(self) -> float:
        """The rate of the next step before the cosine."""
        return self._rate if self._varying is None else self._varying_now

    def effective_rate(
        self, iteration: tf.Tensor, dtype: tf.DType = tf.float32, *, rate: float | None = None
    ) -> tf.Tensor:
        """Rate of an iteration (counted from 1): lr * `cosine_share`.

        Computed in float32, for float64 variables in float64; a scalar tensor of `dtype`. `rate`
        takes the place of the present one.
        """
        working = tf.float64 if dtype == tf.float64 else tf.float32
        if rate is None and self._varying is None:
            rate = self._rate
        if rate is not None:
            rate = tf.constant(rate, working)
        else:
            rate = tf.cast(local_replica(self._varying), working)
        if self.lr_cos:
            share = flat_step.cosine_share if self.flat else cosine_share
            rate = rate * share(iteration, self.lr_cos, working)
        return tf.cast(rate, dtype)

    def _clip_factor(self, norm: tf.Tensor | None, dtype: tf.DType) -> tf.Tensor:
        """Factor c/n for all gradients if their global norm n reaches c, else 1; scalar tensors."""
        if not self.clipnorm:
            return tf.ones((), dtype)
        bound = tf.constant(self.clipnorm, dtype)
        return bound / tf.maximum(norm, bound)

    def state_arrays(
        self,
        legacy_names: Sequence[str],
        read: Callable[[keras.Variable | tf.Variable], npt.NDArray[np.generic]] = np.asarray,
    ) -> dict[str, npt.NDArray[np.generic] | np.int64]:
        """Return counter and slots under their legacy keys, in file order.

        Parameters
        ----------
        legacy_names : sequence of str
            For each built variable its full legacy name, `encoder/down1/downs_0/conv1/weight:0`.
        read : callable
            Gives the value of a slot.

        Returns
        -------
        dict of ndarray, shape of each variable and its dtype
            The counter, ``iters:0``, is an int64.

        References
        ----------
        models.md 5.3.
        """
        self._check_names(legacy_names)
        arrays: dict[str, npt.NDArray[np.generic] | np.int64] = {
            "iters:0": np.int64(local_replica(self._iterations).numpy())
        }
        for slot in self.slot_names:
            for name, value in zip(legacy_names, self._slots.each(slot), strict=True):
                arrays[slot_key(slot, name)] = read(value)
        return arrays

    def load_state_arrays(
        self,
        arrays: Mapping[str, npt.ArrayLike],
        legacy_names: Sequence[str],
        *,
        reset: Collection[str] = (),
        optional: Collection[str] = (),
    ) -> list[str]:
        """Restore counter and slots saved by `state_arrays` or by the legacy program.

        Parameters
        ----------
        arrays : mapping of str to ndarray, any shape
            Content of the optimizer's file. If it holds no slot of this class (the optimizer was
            switched), the slots start empty and the counter goes on.
        legacy_names : sequence of str
            As in `state_arrays`.
        reset, optional : collections of str
            Scopes (`inter_AB`) whose slots start empty in any case, or if they are not in the file.

        Returns
        -------
        list of str
            What was started empty, one sentence each, for the log.

        Raises
        ------
        ModelFileError
            If slots are missing or have another number of elements, all of them named.
        """
        self._check_names(legacy_names)
        found = fit_slots(
            self.slot_names,
            self._trainable_variables,
            arrays,
            legacy_names,
            reset=reset,
            optional=optional,
        )
        if found.errors:
            raise ModelFileError(
                f"optimizer state {self.name} does not fit the model: {'; '.join(found.errors)}. "
                "Check the architecture options, or give up the slots of these parts with --reinit."
            )
        self._slots.assign(found.values)
        self._iterations.assign(found.iterations)
        return [f"{self.name}: {text}" for text in found.emptied]

    def _check_names(self, legacy_names: Sequence[str]) -> None:
        if len(legacy_names) != len(self._trainable_variables):
            raise ValueError(
                f"{self.name} was built with {len(self._trainable_variables)} variables, "
                f"got {len(legacy_names)} names."
            )

    def get_config(self) -> dict[str, object]:
        """Return the arguments of the constructor."""
        return {
            "learning_rate": self._rate,
            "lr_dropout": self.lr_dropout,
            "lr_cos": self.lr_cos,
            "clipnorm": self.clipnorm,
            "slots_on_cpu": self.slots_on_cpu,
            "dropout_on_cpu": self.dropout_on_cpu,
            "flat": self.flat,
            "seed": self.seed,
            "name": self.name,
        }


def cosine_share(iteration: tf.Tensor, period: int, dtype: tf.DType) -> tf.Tensor:
    """Share of the rate in an iteration, ``(cos(2 pi t / period) + 1) / 2``: a scalar tensor.

    As in the old program the angle of large iterations is rounded to `dtype`.
    """
    t = tf.cast(iteration, dtype)
    return (tf.cos(t * tf.constant(TWO_PI / period, dtype)) + 1) * 0.5
