"""Which devices and hosts a run uses, read from its options; imports no TensorFlow.

References
----------
training.md 2.6 and 8; options.md 2 (batch_size).
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass

from dfl_tf.devices.gpus import usable_gpus
from dfl_tf.disk.guarded import parse_json
from dfl_tf.disk.tree_schema import ANYTHING, Array, Either, Integer, Record, Table, Text
from dfl_tf.errors import DflTfError, UsageError
from dfl_tf.options import Machine, RunOptions


class WorkerLost(DflTfError):
    """A worker of a training on several hosts is gone; the chief saves before it gives up."""


@dataclass(frozen=True)
class Devices:
    """Devices of one process.

    Attributes
    ----------
    kind : str
        ``"GPU"`` or ``"CPU"``.
    numbers : tuple of int
        As the user counts them; empty = one device, the best one.
    """

    kind: str = "GPU"
    numbers: tuple[int, ...] = ()

    @property
    def count(self) -> int:
        """How many replicas of the model compute."""
        return max(1, len(self.numbers))

    @property
    def names(self) -> list[str]:
        """The names as in ``--devices``: ``gpu:0``."""
        return [f"{self.kind.lower()}:{number}" for number in self.numbers]

    @property
    def logical_cpus(self) -> int:
        """How many CPU devices TensorFlow has to make out of the one that there is."""
        return 1 + max(self.numbers) if self.kind == "CPU" and self.numbers else 1


def devices_of(run: RunOptions) -> Devices:
    """Read ``--devices``: ``0,1`` and ``gpu:0,gpu:1`` are GPUs, ``cpu:0,cpu:1`` parts of the CPU.

    ``best``, as nothing, is one GPU: that with the most free memory.

    Raises
    ------
    UsageError
        If it is spelled otherwise, mixes kinds or names a device twice.
    """
    wanted = "" if run.devices.strip().lower() == "best" else run.devices
    parts = [part.strip().lower() for part in wanted.split(",") if part.strip()]
    matches = [re.fullmatch(r"(?:(cpu|gpu):)?(\d{1,3})", part) for part in parts]
    found = [(match[1] or "gpu", int(match[2])) for match in matches if match]
    kinds = {kind for kind, _ in found}
    if len(found) != len(parts) or len(kinds) > 1 or len(set(found)) != len(found):
        raise UsageError(
            f"--devices {run.devices}: name devices of one kind, each once, such as 0,1 for two "
            "GPUs or cpu:0,cpu:1 to try it out on a CPU"
        )
    if kinds == {"cpu"} or run.cpu:
        on_cpu = kinds == {"cpu"}
        return Devices("CPU", tuple(number for _, number in found) if on_cpu else ())
    return Devices("GPU", tuple(number for _, number in found))


# programs write the index as a number or as text
_INDEX = Either(Integer(0, 9999), Text(pattern=r"\d{1,4}", form="a whole number"))
_TF_CONFIG = Record(
    {
        "cluster": Table(Array(Text(longest=300))),
        "task": Record({"type": Text(), "index": _INDEX}, others=ANYTHING),
    },
    others=ANYTHING,
)


@dataclass(frozen=True)
class Cluster:
    """The processes that train one model together.

    Attributes
    ----------
    addresses : tuple of str
        ``host:port`` of every worker; the first one is the chief.
    index : int
        Which of them this process is.
    """

    addresses: tuple[str, ...]
    index: int

    @property
    def chief(self) -> bool:
        """Whether this process saves, logs and shows."""
        return self.index == 0


def cluster_of(run: RunOptions, environ: Mapping[str, str] = os.environ) -> Cluster | None:
    """Read ``--cluster`` and ``--worker-index``, or else ``TF_CONFIG``; None = one process.

    Raises
    ------
    UsageError
        If they are incomplete or contradict each other.
    """
    if run.cluster:
        addresses = [part.strip() for part in run.cluster.split(",") if part.strip()]
        return _checked(addresses, run.worker_index, f"--cluster {run.cluster}")
    if run.worker_index is not None:
        raise UsageError("--worker-index needs --cluster host:port,host:port")
    text = environ.get("TF_CONFIG", "")
    if not text:
        return None
    config = parse_json(
        text,
        what="TF_CONFIG",
        kind='{"cluster": …, "task": …}',
        schema=_TF_CONFIG,
        error=UsageError,
        advice=f"It is {text[:200]}",
    )
    jobs: dict[str, list[str]] = config["cluster"]
    job, index = config["task"]["type"], int(config["task"]["index"])
    if not set(jobs) <= {"chief", "worker"} or job not in jobs:
        raise UsageError(
            f"TF_CONFIG names the jobs {', '.join(jobs)} and this process as {job}; a training "
            "has workers and perhaps a chief, nothing else"
        )
    first = jobs.get("chief", [])
    own = index if job == "chief" else len(first) + index
    return _checked([*first, *jobs.get("worker", [])], own, "TF_CONFIG")


def _checked(addresses: list[str], index: int | None, origin: str) -> Cluster | None:
    wrong = [a for a in addresses if not re.fullmatch(r"\S+:\d+", a)]
    if wrong or len(set(addresses)) != len(addresses) or not addresses:
        raise UsageError(
            f"{origin}: give host:port of every worker, each once, separated by commas"
        )
    if index is None or not 0 <= index < len(addresses):
        raise UsageError(
            f"{origin} names {len(addresses)} workers; say with --worker-index which of them this "
            f"process is: 0 (the chief) … {len(addresses) - 1}"
            + ("" if index is None else f", not {index}")
        )
    return Cluster(tuple(addresses), index) if len(addresses) > 1 else None


def replicas_of(run: RunOptions) -> int:
    """Return how many devices train together, on all hosts: what `batch_size` is divided by.

    Raises
    ------
    UsageError
    """
    devices, cluster = devices_of(run), cluster_of(run)
    if cluster is None:
        return devices.count
    if devices.kind == "CPU" and devices.count > 1:
        raise UsageError(
            f"--devices {run.devices}: a worker of a cluster has one CPU device. "
            "Start more workers instead."
        )
    return devices.count * len(cluster.addresses)


def machine_of(run: RunOptions) -> Machine:
    """Return what the options of a model depend on: how many devices, and their memory."""
    devices = devices_of(run)
    gpus = usable_gpus() if devices.kind == "GPU" else ()
    chosen = [gpus[number] for number in devices.numbers if number < len(gpus)]
    if not devices.numbers and gpus:
        chosen = [max(gpus, key=lambda gpu: gpu.free_gib)]
    weakest = min((gpu.total_gib for gpu in chosen), default=None)
    return Machine(devices=replicas_of(run), weakest_gpu_gib=weakest)


def described(run: RunOptions, batch_size: int) -> list[str]:
    """Say for people how a batch is spread; nothing for one device."""
    devices, cluster, replicas = devices_of(run), cluster_of(run), replicas_of(run)
    if replicas == 1:
        return []
    lines = [f"{replicas} devices, {batch_size // replicas} samples of each batch on each of them"]
    if devices.count > 1:
        lines.append(f"devices of this host: {', '.join(devices.names)}")
    if cluster is not None:
        role = "the chief" if cluster.chief else f"worker {cluster.index}"
        lines.append(f"{role} of {len(cluster.addresses)} workers: {', '.join(cluster.addresses)}")
    return lines
