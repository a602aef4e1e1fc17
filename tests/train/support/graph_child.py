"""Prints the operations of a training step's graph after TensorFlow's rewrites, with how many."""

from __future__ import annotations

import json
from collections import Counter

import numpy as np
from tensorflow.python.eager import context

from dfl_tf import models
from dfl_tf.data import Batch
from dfl_tf.devices.configure import configure_devices
from dfl_tf.options import RunOptions, SAEHDOptions, default

run = RunOptions(seed=1, threads=1)
configure_devices(run)
small = {"ae_dims": 32, "e_dims": 16, "d_dims": 16, "d_mask_dims": 16}
# Below this resolution the pass that matters leaves the graph alone.
options = default(SAEHDOptions, resolution=128, batch_size=4, archi="df", **small)
image, mask = np.full((4, 128, 128, 3), 0.5, np.float32), np.ones((4, 128, 128, 1), np.float32)
side = Batch({"image": image, "target": image, "mask": mask})
model = models.create("SAEHD", options, run)
context.enable_run_metadata()
model.train_step(side, side)
graphs = context.export_run_metadata().partition_graphs
print(json.dumps(Counter(node.op for graph in graphs for node in graph.node)))
