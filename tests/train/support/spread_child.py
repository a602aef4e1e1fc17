"""Trains tiny models on parts of the CPU and on one device, and prints how far apart they end.

Run by `test_distribution`: TensorFlow makes several CPU devices only at the start of a process.
The reference is the split definition itself: `TrainingStep.replicas` on one device.
"""

from __future__ import annotations

import contextlib
import json
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from dfl_tf import models
from dfl_tf.data import Batch
from dfl_tf.devices.cluster import Cluster, Devices, WorkerLost
from dfl_tf.models.average import EVERY
from dfl_tf.models.base import FaceModel
from dfl_tf.options import OPTIONS, RunOptions, default
from dfl_tf.train.distribution import Distribution

SMALL: dict[str, Any] = {"ae_dims": 16, "e_dims": 4, "d_dims": 4, "d_mask_dims": 4}
GAN = {"gan_power": 0.1, "gan_dims": 4, "gan_patch_size": 8}
STEPS = 3


def options(model_class: str, **given: Any) -> Any:
    small = {} if model_class == "XSeg" else {**SMALL, "resolution": 32}
    if model_class == "AMP":
        small["inter_dims"] = 16
    return default(OPTIONS[model_class], **{**small, **given})


def batches(model: FaceModel, step: int) -> list[Batch]:
    """Images in [0, 1] for every spec; masks are soft discs."""
    rng = np.random.default_rng(step)
    count = model.samples_per_step
    return [
        Batch({name: rng.random((count, *s), np.float32) for name, s in spec.shapes.items()})
        for spec in model.sample_specs().values()
    ]


def train(model: FaceModel) -> list[np.ndarray]:
    """Train some steps; returns the losses of every sample."""
    losses = []
    if model.average is not None:
        model.average.begin()
        model.average.count = EVERY - 2  # so that it is updated in the second step
    for step in range(STEPS):
        values = model.train_step(*batches(model, step))
        losses += [np.asarray(values[name]) for name in model.loss_names]
    return losses


def worst(one: list[np.ndarray], other: list[np.ndarray]) -> float:
    """Largest difference, relative to the largest value of each array."""
    assert [a.shape for a in one] == [a.shape for a in other]
    return max(
        float(np.max(np.abs(np.float64(a) - np.float64(b))) / max(1e-30, np.max(np.abs(a))))
        for a, b in zip(one, other, strict=True)
        if a.size
    )


def arrays(model: FaceModel) -> list[np.ndarray]:
    """All weights, slots and averages in their own precision."""
    found = [np.asarray(v) for network in model.networks.values() for v in network.weights]
    for stem, optimizer in model.optimizers.items():
        for slot in optimizer.slot_names:
            found += [np.asarray(optimizer.slot(slot, v)) for v in model.optimizer_variables[stem]]
        found.append(np.float64([int(optimizer.iterations.numpy())]))
    if model.average is not None:
        found += model.average.values()
    return found


def compare(
    model_class: str, numbers: tuple[int, ...], *, accumulate: int = 1, **given: Any
) -> dict[str, Any]:
    """Train the same model by the distribution and by the split definition."""
    run = RunOptions(seed=5, precision="float64", accumulate=accumulate)
    wanted = options(model_class, **given)
    spread = Distribution(Devices("CPU", numbers))
    create = partial(models.create, model_class, wanted, run)
    model = spread.build(create, models_opt_on_gpu=wanted.models_opt_on_gpu)
    single = create()
    single.step.replicas = len(numbers)
    first = arrays(single)
    start = worst(first, arrays(model))
    with eagerly():
        expected = train(single)
    losses = worst(expected, train(model))
    state = model.state()
    again = create(initialized=False)
    again.load_state(state)
    return {
        "start": start,
        "moved": sum(bool((a != b).any()) for a, b in zip(first, arrays(single), strict=True)),
        "variables": len(first),
        "losses": losses,
        "arrays": worst(arrays(single), arrays(model)),
        "copies": spread_of_copies(model),
        "same_keys": [*map(list, state.tensors.values())]
        == [*map(list, single.state().tensors.values())],
        "loaded": worst(arrays(again), [np.float64(np.float32(a)) for a in arrays(model)]),
        "variable devices": places(model),
        "operation devices": operations(spread),
    }


@contextlib.contextmanager
def eagerly() -> Iterator[None]:
    """Do not trace: for a few steps of a tiny network that is faster."""
    tf.config.run_functions_eagerly(True)
    try:
        yield
    finally:
        tf.config.run_functions_eagerly(False)


def spread_of_copies(model: FaceModel) -> float:
    """Largest difference between the copies of any variable on the devices."""
    found = 0.0
    for variable in variables(model):
        value = variable.value
        copies = value.values if isinstance(value, tf.distribute.DistributedValues) else [value]
        found = max(found, *(float(np.max(np.abs(copies[0] - c))) for c in copies))
    return found


def variables(model: FaceModel) -> list[keras.Variable]:
    found = [v for network in model.networks.values() for v in network.weights]
    for stem, optimizer in model.optimizers.items():
        for slot in optimizer.slot_names:
            found += [optimizer.slot(slot, v) for v in model.optimizer_variables[stem]]
    return found


def places(model: FaceModel) -> list[list[str]]:
    """The different sets of devices that variables live on."""
    found = set()
    for variable in variables(model):
        value = variable.value
        copies = value.values if isinstance(value, tf.distribute.DistributedValues) else [value]
        found.add(
            tuple(copy.device.rsplit(":", 2)[-2:][0] + ":" + copy.device[-1] for copy in copies)
        )
    return [list(names) for names in sorted(found)]


def operations(spread: Distribution) -> list[str]:
    """Where the convolutions and the updates of the traced steps run."""
    found = set()
    for function in spread._compiled.values():
        for concrete in function._list_all_concrete_functions():
            for op in concrete.graph.get_operations():
                if op.type == "Conv2D":
                    found.add(f"convolution {op.device[-5:]}")
                elif "ResourceApply" in op.type or op.type == "AssignAddVariableOp":
                    found.add(f"update {op.device[-5:]}")
    return sorted(found)


def lost_between_updates() -> dict[str, Any]:
    """Lose a worker after the generator has moved: the step is finished, the next one refuses."""
    run = RunOptions(seed=5)
    wanted = options("SAEHD", archi="df", batch_size=2, **GAN)
    spread = Distribution(Devices("CPU", (0, 1)))
    model = spread.build(partial(models.create, "SAEHD", wanted, run), models_opt_on_gpu=True)
    reduced = spread._reduced

    def losing(update: Any, pieces: Any) -> Any:
        if update.optimizer == "GAN_opt":
            raise tf.errors.UnavailableError(
                None, None, "Collective ops is aborted by: Error reported from /job:worker/task:1"
            )
        return reduced(update, pieces)

    spread._reduced = losing
    spread.cluster = Cluster(("one:1", "two:2"), 0)
    with eagerly():
        losses = model.train_step(*batches(model, 0))
        try:
            model.train_step(*batches(model, 1))
        except WorkerLost as lost:
            told = str(lost)
    steps = {stem: int(o.iterations.numpy()) for stem, o in model.optimizers.items()}
    return {"told": told, "steps": steps, "losses": len(losses["src"])}


def golden() -> dict[str, float]:
    """The run of the legacy program on two devices, done by two devices."""
    from golden_kinds import training

    folder = Path(__file__).parents[2] / "golden" / "training"
    spread, create = Distribution(Devices("CPU", (0, 1))), models.create

    def build(*given: Any, **settings: Any) -> FaceModel:
        return spread.build(partial(create, *given, **settings), models_opt_on_gpu=True)

    models.create = build
    try:
        checks = training.run(folder, "saehd_multigpu2_clipgrad")
    finally:
        models.create = create
    return {"checks": len(checks), "worst": max(c.error / (c.tolerance or 1e-300) for c in checks)}


def trap() -> dict[str, float]:
    """Two replicas with gradients 1 and 3: what Keras moves, and the mean that our step sees."""
    spread = Distribution(Devices("CPU", (0, 1)))
    with spread.strategy.scope():
        variable = keras.Variable(np.zeros(1), dtype="float64")
        sgd = keras.optimizers.SGD(1.0)
        sgd.build([variable])

    def step() -> Any:
        number = tf.get_static_value(tf.distribute.get_replica_context().replica_id_in_sync_group)
        gradient = tf.constant([1.0 + 2.0 * int(number)], tf.float64)
        sgd.apply([gradient])
        return spread.all_reduce("MEAN", [gradient])[0]

    mean = tf.function(lambda: spread.strategy.run(step))()
    return {"keras": -float(np.asarray(variable)[0]), "ours": float(mean.values[1][0])}


def main() -> None:
    cpu = tf.config.list_physical_devices("CPU")[0]
    tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 4)
    common = {
        "clipgrad": True, "lr_dropout": "y", "adabelief": True, "ema": 0.9, "lr_warmup": 2,
    }  # fmt: skip
    jobs: dict[str, Callable[[], Any]] = {
        "trap": trap,
        "two": lambda: compare("SAEHD", (0, 1), archi="df", batch_size=4, **common),
        "four": lambda: compare(
            "SAEHD", (0, 1, 2, 3), archi="liae", batch_size=4, clipgrad=True, adabelief=False, **GAN
        ),
        "amp": lambda: compare("AMP", (0, 1), accumulate=2, batch_size=2, clipgrad=True),
        "offloaded": lambda: compare(
            "SAEHD", (1, 2), archi="df", batch_size=2, models_opt_on_gpu=False,
            true_face_power=0.01, **common,
        ),
        "lost": lost_between_updates,
        "golden": golden,
    }  # fmt: skip
    found: dict[str, Any] = {}
    for name in sys.argv[1:] or jobs:
        started = time.process_time()
        found[name] = {**jobs[name](), "cpu seconds": round(time.process_time() - started, 1)}
    print(json.dumps(found))


if __name__ == "__main__":
    main()
