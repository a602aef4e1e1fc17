"""TensorFlow's distribution strategy for the devices and hosts of a run."""

from __future__ import annotations

import contextlib
import faulthandler
import os
from collections.abc import Iterator

import tensorflow as tf

from dfl_tf.devices.cluster import Cluster, Devices, WorkerLost


def connect(
    devices: Devices, cluster: Cluster | None, connect_seconds: float
) -> tf.distribute.Strategy:
    """Return the strategy for the devices of one process, connected to the others of its cluster.

    Parameters
    ----------
    devices : Devices
    cluster : Cluster or None
    connect_seconds : float
        How long TensorFlow tries to connect the processes.

    Raises
    ------
    WorkerLost
        If they could not be connected.
    """
    if cluster is None:
        if devices.kind == "GPU":
            return tf.distribute.MirroredStrategy([f"/GPU:{n}" for n in range(devices.count)])
        # TensorFlow's collectives mix up two strategies of one process; a CPU needs none.
        return tf.distribute.MirroredStrategy(
            [f"/CPU:{n}" for n in devices.numbers],
            cross_device_ops=tf.distribute.ReductionToOneDevice(),
        )
    resolver = tf.distribute.cluster_resolver.SimpleClusterResolver(
        tf.train.ClusterSpec({"worker": list(cluster.addresses)}),
        task_type="worker",
        task_id=cluster.index,
        rpc_layer="grpc",
    )
    _limit_connecting(cluster, connect_seconds)
    try:
        with _leaving_after(connect_seconds + 5):
            return tf.distribute.MultiWorkerMirroredStrategy(cluster_resolver=resolver)
    except tf.errors.OpError as error:
        reason = str(error.message).partition("\n")[0][:300]
        raise WorkerLost(
            f"The {len(cluster.addresses)} processes were all there, but could not be connected: "
            f"{reason} Nothing was trained. Start all of them again."
        ) from None


@contextlib.contextmanager
def _leaving_after(seconds: float) -> Iterator[None]:
    """End the process with exit code 1 if the body takes longer.

    TensorFlow's chief waits without a limit for a worker that died after all had met, and holds
    Python's lock meanwhile: only a timer outside of Python can end it. The caller has said so.
    """
    with open(os.devnull, "w") as nowhere:
        faulthandler.dump_traceback_later(seconds, exit=True, file=nowhere)
        try:
            yield
        finally:
            faulthandler.cancel_dump_traceback_later()


def _limit_connecting(cluster: Cluster, seconds: float) -> None:
    """Configure the service by which the processes know of each other as the strategy does.

    The strategy has no argument for the time in which all must have come; its own is an hour.
    """
    from tensorflow.compiler.xla.tsl.protobuf import coordination_config_pb2
    from tensorflow.python.eager import context

    job = coordination_config_pb2.CoordinatedJob(name="worker", num_tasks=len(cluster.addresses))
    context.context().configure_coordination_service(
        service_type="standalone",
        service_leader="/job:worker/replica:0/task:0",
        cluster_register_timeout_in_ms=int(seconds * 1000),
        coordinated_jobs=[job],
    )
