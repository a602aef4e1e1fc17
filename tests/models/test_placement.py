"""Weights and slots in host memory while the networks compute elsewhere (two logical CPUs)."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from dfl_tf.devices.placement import HOST, Placement
from dfl_tf.options import RunOptions

SCRIPT = """
import json
import numpy as np
import tensorflow as tf
cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
from dfl_tf.data import Batch
from dfl_tf.models import create
from dfl_tf.devices.placement import Placement
from dfl_tf.options import RunOptions, SAEHDOptions, default

options = default(SAEHDOptions, resolution=64, ae_dims=32, e_dims=16, d_dims=16, d_mask_dims=16,
                  archi="df-ud", batch_size=1, lr_dropout="cpu", models_opt_on_gpu=False)
channels = {"image": 3, "target": 3, "mask": 1}
given = [Batch({n: np.random.default_rng(i).random((1, 64, 64, c), dtype=np.float32)
                for n, c in channels.items()}) for i in range(2)]
out = {}
for name, placement in (("away", Placement("/CPU:1", "/CPU:0")), ("home", Placement())):
    model = create("SAEHD", options, RunOptions(seed=1), placement=placement)
    losses = model.train_step(*given)
    slots = [s for o in model.optimizers.values() for s in o.variables]
    update = model.updates[0]
    ops = model.step._graphs[("step", update.optimizer)].get_concrete_function(
        [tf.TensorSpec(x.shape, tf.float32) for b in given for x in b.arrays.values()]).graph
    nodes = [op for op in ops.get_operations() if op.type in ("Conv2D", "Conv2DBackpropFilter")]
    out[name] = {
        "weights": sorted({v.value.device for n in model.networks.values() for v in n.weights}),
        "slots": sorted({s.value.device for s in slots}),
        "convolutions": sorted({op.device for op in nodes}),
        "losses": [float(losses[k][0]) for k in ("src", "dst")],
        "weight": float(np.sum(model.networks["encoder"].weights[0].numpy())),
    }
print(json.dumps(out))
"""


@pytest.mark.slow
def test_networks_compute_away_from_weights_and_slots():
    root = Path(__file__).resolve().parents[2]
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT],
        cwd=root,
        env={"PYTHONPATH": f"{root}:{root / 'ops'}", "TF_CPP_MIN_LOG_LEVEL": "3"},
        capture_output=True,
        text=True,
        check=True,
    )
    out = json.loads(done.stdout.splitlines()[-1])
    away, home = out["away"], out["home"]
    assert all(device.endswith("CPU:0") for device in away["weights"] + away["slots"])
    assert away["convolutions"]
    assert all(device.endswith("CPU:1") for device in away["convolutions"])
    assert all(device.endswith("CPU:0") for device in home["convolutions"])
    assert away["losses"] == home["losses"]
    assert away["weight"] == home["weight"]


def test_without_an_accelerator_everything_is_at_home():
    assert Placement.choose(RunOptions(), models_opt_on_gpu=False) == Placement(HOST, HOST)
    assert not Placement().offloaded
