"""The processes and devices that train one model, and what they tell each other.

References
----------
training.md 8; design decision 17.
"""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Mapping
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from dfl_tf.devices.cluster import Cluster, Devices, WorkerLost
from dfl_tf.devices.strategy import connect
from dfl_tf.errors import UsageError

# An all-reduce starts when this much is there, while back-propagation goes on.
_PACK = tf.distribute.experimental.CommunicationOptions(bytes_per_pack=32 * 2**20)
GONE = (
    tf.errors.UnavailableError,
    tf.errors.AbortedError,
    tf.errors.CancelledError,
    tf.errors.DeadlineExceededError,
    tf.errors.FailedPreconditionError,
    tf.errors.InternalError,
)
"""What TensorFlow raises when another process is gone."""

_COLLECTIVE = re.compile(r"ollective|heartbeat|oordination|RPC|onnection|remote|unhealthy|socket")


N = TypeVar("N", bound=np.generic)


class WorkerGroup:
    """Devices of this process and of others, connected.

    Parameters
    ----------
    devices : Devices
        Of this process, in the order in which they take their shares of a batch.
    cluster : Cluster, optional
        The processes; None = this one alone.
    connect_seconds : float
        How long TensorFlow tries to connect them.

    Attributes
    ----------
    workers, index : int
        How many processes there are, and which this one is.
    replicas, local : int
        Devices over all processes, and of this one.
    """

    def __init__(
        self, devices: Devices, cluster: Cluster | None = None, *, connect_seconds: float = 600.0
    ) -> None:
        self.cluster = cluster
        self.workers = 1 if cluster is None else len(cluster.addresses)
        self.index = 0 if cluster is None else cluster.index
        self.strategy = connect(devices, cluster, connect_seconds)
        self.replicas = int(self.strategy.num_replicas_in_sync)
        self.local = self.replicas // self.workers
        self._lost: WorkerLost | None = None
        self._sums: dict[tf.DType, tf.types.experimental.PolymorphicFunction] = {}

    @property
    def chief(self) -> bool:
        """Whether this process saves, logs and shows."""
        return self.index == 0

    def all_reduce(self, operation: str, tensors: list[tf.Tensor]) -> list[tf.Tensor]:
        """Reduce tensors of one dtype over all replicas; to be called by each of them.

        Parameters
        ----------
        operation : str
            ``"SUM"`` or ``"MEAN"``.
        tensors : list of tensor, any shape

        Returns
        -------
        list of tensor, same shape and dtype
        """
        context = tf.distribute.get_replica_context()
        # An argument of a graph has no device, which the strategy needs; its copy has.
        return context.all_reduce(operation, [tf.identity(x) for x in tensors], options=_PACK)

    def sum(self, array: npt.NDArray[N]) -> npt.NDArray[N]:
        """Add up vectors over the processes.

        Parameters
        ----------
        array : ndarray, shape (n,), any floating dtype
            Of the same length and dtype in every process.

        Returns
        -------
        ndarray, shape (n,), dtype of `array`

        Raises
        ------
        WorkerLost
        """
        if self.cluster is None:
            return array
        if self._lost is not None:
            raise self._lost
        try:
            total = self._call_sum(tf.constant(array))
            return np.asarray(self._local(total)[0])
        except GONE as error:
            raise self._lost_worker(error) from None

    def _call_sum(self, value: tf.Tensor) -> tf.distribute.DistributedValues:
        if value.dtype not in self._sums:

            def add(value: tf.Tensor) -> tf.Tensor:
                context = tf.distribute.get_replica_context()
                number = int(tf.get_static_value(context.replica_id_in_sync_group))
                mine = value if number % self.local == 0 else tf.zeros_like(value)
                return context.all_reduce("SUM", tf.identity(mine))

            self._sums[value.dtype] = tf.function(
                lambda value: self.strategy.run(add, args=(value,)),
                autograph=False,
                input_signature=[tf.TensorSpec((None,), value.dtype)],
            )
        return self._sums[value.dtype](value)

    def gather(self, number: float) -> list[float]:
        """Return the number that each process gives, in their order."""
        numbers = np.zeros(self.workers, np.float64)
        numbers[self.index] = number
        return [float(x) for x in self.sum(numbers)]

    def agree(self, vote: int) -> int:
        """Return the highest vote: all processes stop at the same iteration, or none does."""
        return vote if self.cluster is None else int(max(self.gather(vote)))

    def from_chief(self, facts: Mapping[str, object]) -> dict[str, Any]:
        """Return the chief's facts (JSON values) on every process."""
        text = json.dumps(facts).encode()
        size = int(self.gather(len(text))[0])
        letters = np.zeros(size, np.float32)
        if self.chief:
            letters[:] = np.frombuffer(text, np.uint8)
        found: dict[str, Any] = json.loads(self.sum(letters).astype(np.uint8).tobytes())
        return found

    def check_same(self, what: str, number: int) -> None:
        """Refuse to train if a number is not the same on all processes.

        Raises
        ------
        UsageError
            On all of them.
        """
        numbers = [int(x) for x in self.gather(number)]
        if len(set(numbers)) > 1:
            each = ", ".join(f"worker {i}: {n}" for i, n in enumerate(numbers))
            raise UsageError(
                f"The workers do not have the same {what} ({each}). Each takes its share of one "
                "sequence of faces: give all of them the same folders."
            )

    def leave(self) -> None:
        """End together: nobody goes while the chief still writes."""
        with contextlib.suppress(WorkerLost):
            self.gather(0)

    def _local(self, value: tf.distribute.DistributedValues) -> tuple[tf.Tensor, ...]:
        return tuple(self.strategy.experimental_local_results(value))

    def _lost_worker(self, error: tf.errors.OpError) -> WorkerLost:
        """Say who is gone; an error that no process caused is raised as it is."""
        text = str(error.message)
        if self.cluster is None or not _COLLECTIVE.search(text):
            raise error
        numbers = {int(n) for n in re.findall(r"task:(\d+)", text)} - {self.index}
        gone = [f"worker {n} ({self.cluster.addresses[n]})" for n in sorted(numbers)]
        return WorkerLost(f"{' and '.join(gone) or 'a worker'} was lost.")
