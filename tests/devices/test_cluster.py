from __future__ import annotations

import json

import pytest

from dfl_tf.devices.cluster import (
    Cluster,
    cluster_of,
    described,
    devices_of,
    machine_of,
    replicas_of,
)
from dfl_tf.errors import UsageError
from dfl_tf.options import OPTIONS, Layer, RunOptions, resolve


def test_spellings_of_devices():
    assert devices_of(RunOptions()).count == 1
    two = devices_of(RunOptions(devices="1, 3"))
    assert (two.kind, two.numbers, two.count, two.logical_cpus) == ("GPU", (1, 3), 2, 1)
    assert devices_of(RunOptions(devices="gpu:1,GPU:3")) == two
    cpus = devices_of(RunOptions(devices="cpu:1,cpu:2"))
    assert (cpus.kind, cpus.names, cpus.logical_cpus) == ("CPU", ["cpu:1", "cpu:2"], 3)
    assert devices_of(RunOptions(devices="0,1", cpu=True)).count == 1


@pytest.mark.parametrize("text", ["x", "0,x", "0,0", "gpu:0,0", "cpu:0,gpu:1", "0;1", "-1"])
def test_other_spellings_are_refused(text):
    with pytest.raises(UsageError, match=r"cpu:0,cpu:1"):
        devices_of(RunOptions(devices=text))


def test_a_batch_is_rounded_to_all_devices_and_stored_so():
    run = RunOptions(devices="0,1", cluster="a:1,b:1", worker_index=1)
    assert replicas_of(run) == machine_of(run).devices == 4
    layer = Layer({"batch_size": 7}, "here")
    resolved = resolve(OPTIONS["SAEHD"], [layer], machine=machine_of(run))
    assert resolved.legacy()["batch_size"] == 4
    assert described(run, 4)[0] == "4 devices, 1 samples of each batch on each of them"
    assert described(run, 4)[-1] == "worker 1 of 2 workers: a:1, b:1"
    assert described(RunOptions(), 4) == []


def test_cluster_by_flags():
    run = RunOptions(cluster="a:1, b:2", worker_index=1)
    assert cluster_of(run, {}) == Cluster(("a:1", "b:2"), 1)
    assert not Cluster(("a:1", "b:2"), 1).chief
    assert cluster_of(RunOptions(), {}) is None
    assert cluster_of(RunOptions(cluster="a:1", worker_index=0), {}) is None


def tf_config(cluster: object, task: object) -> dict[str, str]:
    return {"TF_CONFIG": json.dumps({"cluster": cluster, "task": task})}


def test_cluster_by_environment():
    workers = {"worker": ["a:1", "b:2"]}
    run = RunOptions()
    found = cluster_of(run, tf_config(workers, {"type": "worker", "index": 1}))
    assert found == Cluster(("a:1", "b:2"), 1)
    jobs = {"chief": ["c:1"], "worker": ["a:1", "b:2"]}
    found = cluster_of(run, tf_config(jobs, {"type": "worker", "index": 1}))
    assert found == Cluster(("c:1", "a:1", "b:2"), 2)
    assert cluster_of(run, tf_config(jobs, {"type": "chief", "index": 0})).chief


@pytest.mark.parametrize(
    ("run", "environ"),
    [
        ({"worker_index": 0}, {}),
        ({"cluster": "a:1,b:1"}, {}),
        ({"cluster": "a:1,b:1", "worker_index": 2}, {}),
        ({"cluster": "a:1,a:1", "worker_index": 0}, {}),
        ({"cluster": "a,b:1", "worker_index": 0}, {}),
        ({}, {"TF_CONFIG": "no JSON"}),
        ({}, {"TF_CONFIG": "[]"}),
        ({}, {"TF_CONFIG": "[" * 100_000}),
        ({}, tf_config({"worker": [1.5]}, {"type": "worker", "index": 0})),
        ({}, tf_config({"worker": ["a:1"]}, {"type": "worker", "index": 1e9})),
        ({}, tf_config({"ps": ["a:1"]}, {"type": "ps", "index": 0})),
        ({}, tf_config({"worker": ["a:1"]}, {"type": "evaluator", "index": 0})),
    ],
)
def test_wrong_clusters_are_refused(run, environ):
    with pytest.raises(UsageError, match=r"worker|TF_CONFIG"):
        cluster_of(RunOptions(**run), environ)


def test_a_cpu_worker_has_one_device():
    run = RunOptions(devices="cpu:0,cpu:1", cluster="a:1,b:1", worker_index=0)
    with pytest.raises(UsageError, match="Start more workers"):
        replicas_of(run)
