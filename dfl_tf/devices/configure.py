"""Which devices TensorFlow uses, told to it before it computes anything."""

from __future__ import annotations

import os

from dfl_tf_ops.native_output import import_tensorflow
from dfl_tf_ops.process import cores

from dfl_tf.devices.cluster import devices_of
from dfl_tf.devices.gpus import best_gpu, find_gpus, missing_parts
from dfl_tf.errors import UsageError
from dfl_tf.options import Device, RunOptions


def count_gpus() -> int:
    """Return how many GPUs TensorFlow finds; no device is set up by that."""
    return len(import_tensorflow().config.list_physical_devices("GPU"))


def configure_devices(run: RunOptions) -> None:
    """Tell TensorFlow which devices and how many threads to use; before it computes anything.

    Raises
    ------
    UsageError
        If a GPU is named that is not there, or TensorFlow runs in this process already (it was
        used before) with other devices or threads than those that are asked for.
    """
    try:
        _configure(run)
    except RuntimeError as error:
        raise UsageError(
            f"TensorFlow runs in this process already, and what it was asked to use cannot change "
            f"any more ({error}). Choose threads and devices before its first use, or leave them."
        ) from None


def _configure(run: RunOptions) -> None:
    wanted = devices_of(run)
    if run.cpu:
        os.environ["CUDA_VISIBLE_DEVICES"] = "-1"
    tf = import_tensorflow()
    _keep_order_of_sums()
    threads = run.threads
    if not threads and not _is_running():
        threads = _threads_of_quota()
    if threads:
        tf.config.threading.set_intra_op_parallelism_threads(threads)
        tf.config.threading.set_inter_op_parallelism_threads(min(2, threads))
    if run.deterministic:
        tf.config.experimental.enable_op_determinism()
    tf.config.experimental.enable_tensor_float_32_execution(run.tf32 and not run.deterministic)
    gpus = [] if run.cpu else tf.config.list_physical_devices("GPU")
    if run.require_gpu and not gpus:
        raise UsageError(" ".join(["--require-gpu: TensorFlow finds no GPU.", *missing_parts()]))
    if wanted.kind == "CPU" and wanted.numbers:
        tf.config.set_visible_devices([], "GPU")
        parts = [tf.config.LogicalDeviceConfiguration()] * wanted.logical_cpus
        (cpu,) = tf.config.list_physical_devices("CPU")
        tf.config.set_logical_device_configuration(cpu, parts)
    elif wanted.numbers:
        if max(wanted.numbers) >= len(gpus):
            raise UsageError(
                f"--devices {run.devices}: there is no such GPU ({len(gpus)} found). "
                "Leave it out, or use --cpu."
            )
        gpus = [gpus[number] for number in wanted.numbers]
        tf.config.set_visible_devices(gpus, "GPU")
    elif gpus:
        # All would be taken, and a worker of a cluster computes on all that it sees.
        gpus = [gpus[best_gpu(len(gpus))]]
        tf.config.set_visible_devices(gpus, "GPU")
    for gpu in gpus:
        tf.config.experimental.set_memory_growth(gpu, True)


def _is_running() -> bool:
    from tensorflow.python.eager import context

    return context.context()._initialized


def _threads_of_quota() -> int:
    """Threads for the share of the processor that a container has; 0: TensorFlow counts itself.

    It knows the cores that the process may run on, but no quota, and would start a thread for
    each core of a large machine to share two.
    """
    try:
        visible = len(os.sched_getaffinity(0))
    except (AttributeError, OSError):
        return 0
    return cores() if cores() < visible else 0


def _keep_order_of_sums() -> None:
    """Switch off Grappler's memory pass: it adds gradients in the order in which they get ready.

    Where three and more meet, equal runs would differ in the last bits. The public setter of
    Grappler's options knows all of its passes but this one.
    """
    from tensorflow.core.protobuf import config_pb2
    from tensorflow.python.eager import context

    config = config_pb2.ConfigProto()
    rewrites = config.graph_options.rewrite_options
    rewrites.memory_optimization = rewrites.NO_MEM_OPT
    context.context()._config = config


def summary_devices(run: RunOptions) -> list[Device]:
    """The GPUs in use as the summary names them; empty on a CPU."""
    tf = import_tensorflow()
    known = find_gpus()
    devices = []
    for gpu in [] if run.cpu else tf.config.get_visible_devices("GPU"):
        index = int(gpu.name.rsplit(":", 1)[1])  # physical_device:GPU:1
        details = tf.config.experimental.get_device_details(gpu)
        memory = known[index].total_gib if index < len(known) else 0.0
        devices.append(Device(index, details.get("device_name", gpu.name), memory))
    return devices[: devices_of(run).count]


def device_lines(run: RunOptions) -> list[str]:
    """Say what a run computes on, if it is a GPU, or why it is not although there is one."""
    used = summary_devices(run)
    if not used:
        found = () if run.cpu or devices_of(run).kind == "CPU" else find_gpus()
        return [f"{gpu.name} is not used: {_reason()}" for gpu in found[:1]]
    names = ", ".join(f"GPU {gpu.index} ({gpu.name}, {gpu.memory_gib:.1f} GiB)" for gpu in used)
    tf32 = import_tensorflow().config.experimental.tensor_float_32_execution_enabled()
    how = "TF32 in convolutions and dense layers" if tf32 else "full float32"
    same = ", the same bits each time" if run.deterministic else ""
    return [f"computing on {names}: {how}{same}"]


def _reason() -> str:
    return "; ".join(missing_parts()) or "TensorFlow does not find it"
