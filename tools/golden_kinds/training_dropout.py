"""Statistics of learning-rate dropout in our own run against those of the legacy run."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from dfl_tf import models
from dfl_tf.data import Batch
from dfl_tf.options import OPTIONS, RunOptions, default
from golden_kinds.check import Check
from golden_kinds.tensor_summary import weight

Golden = Mapping[str, np.ndarray]
KEEP = 0.3
# The legacy program draws with half-precision numbers: it keeps 308 of 1024 (training.md 3).
LEGACY_KEEP = 308 / 1024
LARGE = 10_000


def compare_statistics(golden: Golden, inputs: Golden) -> list[Check]:
    """Train df-ud with lr_dropout and compare shares: they are random, so the gates are bands.

    A share over n entries scatters by sqrt(0.21 / n); the gates are 6 of that plus the known
    difference of the two keep rates.
    """
    checks = []
    names = [k.removesuffix("_fraction_changed_per_step") for k in golden if k.endswith("_step")]
    for name in names:
        steps = len(golden[f"{name}_fraction_changed_per_step"])
        ours = _statistics(name, steps, inputs)
        bias = LEGACY_KEEP - KEEP
        for step, want in enumerate(golden[f"{name}_fraction_changed_per_step"]):
            error = abs(ours["changed"][step] - want)
            checks.append(Check(f"{name} share moved [{step}]", error, bias + 3e-3))
        for step, want in enumerate(golden[f"{name}_overlap_consecutive"]):
            error = abs(ours["overlap"][step] - want)
            checks.append(Check(f"{name} overlap [{step}]", error, 2 * bias * KEEP + 3e-3))
        spread = 6 * np.sqrt(KEEP * (1 - KEEP) / LARGE) + bias
        worst = float(np.max(np.abs(ours["large"] - KEEP)))
        checks.append(Check(f"{name} share of each large tensor", worst, spread))
        golden_worst = float(np.max(np.abs(golden[f"{name}_bigtensor_fraction"] - LEGACY_KEEP)))
        checks.append(Check(f"{name} the same in the golden run", golden_worst, spread))
        zero = float(golden[f"{name}_slot_zero_fraction_max"])
        excess = max(0.0, ours["zero_slots"] - zero)
        checks.append(Check(f"{name} empty slots", excess, 1e-3, "slots move everywhere"))
    checks.append(Check("keep rate", abs(KEEP - float(golden["mask_fraction_float16_rule"])), 1e-3))
    mean = float(golden["binomial_mean_4M_draws"])
    checks.append(Check("mean of the legacy draws", abs(LEGACY_KEEP - mean), 2e-3))
    return checks


def _statistics(name: str, steps: int, inputs: Golden) -> dict[str, np.ndarray | float]:
    options = default(
        OPTIONS["SAEHD"],
        resolution=64,
        archi="df-ud",
        ae_dims=32,
        e_dims=16,
        d_dims=16,
        d_mask_dims=16,
        batch_size=2,
        lr_dropout="y",
        adabelief=name == "adabelief",
    )
    model = models.create("SAEHD", options, RunOptions(seed=1), initialized=False)
    for network in model.networks.values():
        for variable in network.weights:
            key = variable.path + ":0"
            variable.assign(weight(key, tuple(variable.shape)))
    moved_before: np.ndarray | None = None
    changed, overlap, large = [], [], []
    for step in range(steps):
        letter = "AB"[step % 2]
        batches = [
            Batch(
                {
                    "image": inputs[f"{letter}_warped_{p}"],
                    "target": inputs[f"{letter}_target_{p}"],
                    "mask": inputs[f"{letter}_target_{p}m"],
                }
            )
            for p in ("src", "dst")
        ]
        before = [v.numpy() for n in model.networks.values() for v in n.weights]
        model.train_step(*batches)
        after = [v.numpy() for n in model.networks.values() for v in n.weights]
        pieces = [(a != b).reshape(-1) for a, b in zip(after, before, strict=True)]
        moved = np.concatenate(pieces)
        changed.append(moved.mean())
        large += [piece.mean() for piece in pieces if piece.size >= LARGE]
        if moved_before is not None:
            overlap.append((moved & moved_before).mean())
        moved_before = moved
    arrays = model.state().tensors["src_dst_opt"]
    zero = max(np.mean(np.asarray(v) == 0) for k, v in arrays.items() if k != "iters:0")
    return {
        "changed": np.array(changed),
        "overlap": np.array(overlap),
        "large": np.array(large),
        "zero_slots": float(zero),
    }
