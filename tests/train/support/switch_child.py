"""Trains the same model twice: by switches in one run, and by stopping and resuming.

Run by `test_switching` with the devices as its argument, for TensorFlow makes several CPU devices
and takes a number of threads only at the start of a process. Prints how the two differ.
"""

from __future__ import annotations

import gc
import json
import shutil
import sys
import tempfile
import weakref
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

import dfl_tf
from dfl_tf.formats import ModelState, read_model
from dfl_tf.formats.sessions.workspace import Workspace
from dfl_tf.options import RunOptions
from dfl_tf.options.inputs import OptionInputs
from dfl_tf.train.batch_source import Facesets
from dfl_tf.train.segment import Builder
from dfl_tf.train.start import prepare, start
from dfl_tf.train.trainer import Trainer
from tests.train.support.runs import ListLog

DEMO = Path(dfl_tf.__file__).parent / "demo_data"
GAN = {"gan_power": 0.1, "gan_dims": 4, "gan_patch_size": 8}
NEW: dict[str, Any] = {
    "resolution": 64, "face_type": "wf", "archi": "df", "ae_dims": 32, "e_dims": 16, "d_dims": 16,
    "d_mask_dims": 16, "batch_size": 2, "autobackup_hour": 0, "target_iter": 1, **GAN,
}  # fmt: skip
STORY: list[dict[str, Any]] = [
    {"gan_power": 0.0, "random_warp": False, "batch_size": 4, "target_iter": 2},
    {**GAN, "lr_dropout": "y", "ct_mode": "rct", "batch_size": 2, "target_iter": 3},
]
"""GAN off, then on again."""


def trainer(root: Path, values: dict[str, Any], devices: str, log: ListLog) -> Trainer:
    run = RunOptions(seed=5, threads=1, workers=1, devices=devices, no_preview=True)
    place = Workspace.open(root)
    prepared = prepare(place, "SAEHD", "new", OptionInputs.of_program(values, "the test", run))
    return start(prepared, Facesets.open(place, pretrain=False), log)


def workspace(parent: Path, name: str) -> Path:
    for side in ("data_src", "data_dst"):
        shutil.copytree(DEMO / side, parent / name / side)
    return parent / name


def watched(alive: list[int]) -> None:
    """Count the models that are alive whenever another one is built."""
    models: list[weakref.ref[Any]] = []
    create = Builder.create

    def counting(self: Builder, *given: Any) -> Any:
        gc.collect()
        alive.append(sum(ref() is not None for ref in models))
        model = create(self, *given)
        variables = [v for network in model.networks.values() for v in network.weights]
        models.extend(weakref.ref(each) for each in (model, *variables))
        return model

    Builder.create = counting  # type: ignore[method-assign]


def by_switches(root: Path, devices: str) -> tuple[ModelState, ListLog]:
    log, story = ListLog(), list(STORY)
    training = trainer(root, NEW, devices, log)

    def asking(event: Any) -> None:
        if event.kind == "iteration" and event.iteration in (1, 2):
            training.switch(story.pop(0))

    log.then = asking
    training.run()
    return read_model(root / "model", "new", "SAEHD"), log


def by_restarts(root: Path, devices: str) -> tuple[ModelState, ListLog]:
    log = ListLog()
    for values in (NEW, *STORY):
        trainer(root, values, devices, log).run()
    return read_model(root / "model", "new", "SAEHD"), log


def differences(one: ModelState, other: ModelState) -> list[str]:
    found = []
    for what in ("iteration", "options", "run", "loss_history"):
        a, b = getattr(one, what), getattr(other, what)
        found += [] if a == b else [f"{what}: {a} {b}"]
    if [*one.tensors] != [*other.tensors]:
        found.append(f"parts {[*one.tensors]} {[*other.tensors]}")
    for part, arrays in one.tensors.items():
        for key, array in arrays.items():
            if not np.array_equal(array, other.tensors[part][key]):
                found.append(f"{part}/{key}")
    return found


def main(devices: str) -> None:
    alive: list[int] = []
    watched(alive)
    tf.config.run_functions_eagerly(True)  # for a few steps of a tiny network that is faster
    with tempfile.TemporaryDirectory() as folder:
        one, log = by_switches(workspace(Path(folder), "one"), devices)
        built = len(alive)
        other, restarted = by_restarts(workspace(Path(folder), "other"), devices)
    print(
        json.dumps(
            {
                "differences": differences(one, other),
                "alive": alive[:built],
                "iterations": log.iterations,
                "lines": log.lines,
                "restarted": restarted.lines,
                "iteration": one.iteration,
                "gan moved": bool(np.any(one.tensors["GAN_opt"]["iters:0"] == 2)),
                "segments": [fields for kind, fields in log.events if kind == "segment"],
            }
        )
    )


if __name__ == "__main__":
    main(sys.argv[1])
