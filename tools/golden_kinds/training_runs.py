"""Whole training steps of a model class against a golden run, float32 or float64."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from dfl_tf import models
from dfl_tf.data import Batch
from dfl_tf.models.base import FaceModel, Update
from dfl_tf.options import OPTIONS, RunOptions, from_mapping
from golden_kinds.check import Check
from golden_kinds.tensor_summary import Rows, weight

Meta = Mapping[str, Any]
Golden = Mapping[str, np.ndarray]
PREDICTIONS = ("pred_src_src", "pred_dst_dst", "pred_dst_dstm", "pred_src_dst", "pred_src_dstm")
# float32 gates of the README, by class; the steps beyond the last named one take the last.
LOSS32 = {
    "SAEHD": (5e-6, 4e-5, 1e-3, 1e-2),
    "AMP": (5e-6, 4e-5, 1e-3, 1e-2),
    "Quick96": (5e-6, 4e-5, 1e-3, 1e-2),
    "XSeg": (5e-6, 1e-3),
}


@contextlib.contextmanager
def eager() -> Iterator[None]:
    """Run steps without tracing them: for five steps of a small network that is faster."""
    before = tf.config.functions_run_eagerly()
    tf.config.run_functions_eagerly(True)
    try:
        yield
    finally:
        tf.config.run_functions_eagerly(before)


def make_model(golden: Golden, meta: Meta, *, double: bool) -> FaceModel:
    """The model of a case with the deterministic weights."""
    cls = meta["cls"]
    options, _ = from_mapping(
        OPTIONS[cls], meta["options"], origin=str(meta.get("name", cls)), unknown="keep"
    )
    axes = "ch" if meta.get("data_format") == "NCHW" else "hw"
    run = RunOptions(
        seed=0, precision="float64" if double else "float32", total_variation_axes=axes
    )
    # The legacy program trained with the true-face term while pretraining; only this comparer does.
    quirk = {"pretrain_true_face": True} if cls == "SAEHD" and options.pretrain else {}
    model = models.create(cls, options, run, initialized=False, **quirk)
    model.step.replicas = int(meta.get("devices", 1))
    if meta.get("lr_dropout_forced_off"):
        for optimizer in model.optimizers.values():
            optimizer.lr_dropout = 1.0
    if "amp_masks" in golden:
        model.inject_mixing = iter(golden["amp_masks"])
    for network in model.networks.values():
        for variable in network.weights:
            key = variable.path + ":0"
            variable.assign(weight(key, tuple(variable.shape), meta.get("salt", "")))
    return model


def batches(meta: Meta, inputs: Golden, step: int) -> tuple[Batch, ...]:
    """The batches of a step (counted from 1): A on odd ones, B on even ones."""
    cls, resolution = meta["cls"], int(meta["resolution"])
    letter = "A" if step % 2 else "B"
    names = {
        "image": "warped_{}",
        "target": "target_{}",
        "mask": "target_{}m",
        "eyes_mouth": "target_{}m_em",
    }
    sides = ("src", "dst")
    if cls == "Quick96":
        order = slice(None) if letter == "A" else slice(None, None, -1)

        def tiled(key: str) -> np.ndarray:
            both = np.concatenate([inputs[f"{x}_{key}"] for x in "AB"])
            return np.tile(both[order], (1, 2, 2, 1))[:, :resolution, :resolution]

        return tuple(
            Batch({name: tiled(key.format(side)) for name, key in names.items()}) for side in sides
        )
    times = resolution // 64

    def enlarged(key: str) -> np.ndarray:
        return inputs[f"{letter}_{key}"].repeat(times, axis=1).repeat(times, axis=2)

    if cls == "XSeg":
        image = enlarged("target_src")
        target = image[..., 1:2] if meta["options"].get("pretrain") else enlarged("target_srcm")
        return (Batch({"image": image, "target": target}),)
    return tuple(
        Batch({name: enlarged(key.format(side)) for name, key in names.items()}) for side in sides
    )


def compare_run(golden: Golden, meta: Meta, inputs: Golden) -> list[Check]:
    """Run all steps of a case and compare every array that the file has."""
    double = _is_double(golden)
    with eager():
        recording = record(make_model(golden, meta, double=double), golden, meta, inputs)
    checks = _check_names(golden, recording) + _not_known(golden)
    gates = gate_double if double else gate_single
    return checks + gates(golden, meta, recording)


def record(model: FaceModel, golden: Golden, meta: Meta, inputs: Golden) -> dict[str, Any]:
    """Run a case; keys as in the golden file, with tensors in place of their summaries."""
    out: dict[str, Any] = {"w0": _weights(model)}
    first = model.inputs(*batches(meta, inputs, 1))
    out["pred"] = predictions(model, meta, golden, first)
    started: dict[str, Any] = {}
    mine = slice(first[0].shape[0] // model.step.replicas * (model.step.replicas - 1), None)
    for update in _all_updates(model):
        name = _objective_name(update)
        draws = _mixing(golden, model)
        losses, gradients = model.step.gradients(update, [x[mine] for x in [*first, *draws]])
        if name == "G" and model.step.replicas == 1:
            started = {"losses": losses, "gradients": gradients}
        out[f"loss0_{name}"] = losses[update.optimizer].numpy()
        out[f"grad{name}"] = {
            v.path + ":0": g.numpy() for v, g in zip(update.variables, gradients, strict=True)
        }
    norms = [np.linalg.norm(g.astype(np.float64)) for g in out["gradG"].values()]
    out["gradG_globalnorm"] = np.linalg.norm(norms)
    for step in range(1, int(meta["steps"]) + 1):
        given = model.inputs(*batches(meta, inputs, step))
        reported: dict[str, Any] = {}
        for update in model.updates:
            if step == 1 and started and _objective_name(update) == "G":
                # What `run_update` would compute again, from the same batch and weights.
                model.draws(update, given[0].shape[0])
                model.step.apply_gradients(update, started["gradients"])
                losses = started["losses"]
            else:
                losses = model.step.run_update(update, given)
            reported[_objective_name(update)] = losses.pop(update.optimizer)[mine]
            reported.update(losses)
        for name, value in reported.items():
            out.setdefault(f"loss_{name}", []).append(value.numpy())
        if any(key.startswith((f"w{step}_", f"o{step}_")) for key in golden):
            out[f"w{step}"], out[f"o{step}"] = _weights(model), _slots(model)
    out.setdefault("o1", _slots(model))  # for the names alone, if the file has no such arrays
    return out


def predictions(
    model: Any, meta: Meta, golden: Golden, first: list[tf.Tensor]
) -> dict[str, np.ndarray]:
    """Images of the first batch at the start weights."""
    if meta["cls"] == "XSeg":
        return {"pred": model.predict(first[0]).numpy()}
    src, dst = first[0], first[len(first) // 2]
    if meta["cls"] == "AMP":
        mixing = tf.cast(golden["amp_masks"][0], model.dtype)
        images = model.generator.view(src, dst, mixing, tf.constant(0.5, tf.float32))
    else:
        images = model.generator.view(src, dst)
    (ss, _), (dd, ddm), (sd, sdm) = images
    return dict(zip(PREDICTIONS, (x.numpy() for x in (ss, dd, ddm, sd, sdm)), strict=True))


def _all_updates(model: Any) -> list[Update]:
    """The updates of a step, and that of a code discriminator which pretraining leaves alone."""
    updates = list(model.updates)
    known = {update.optimizer for update in updates}
    if "code_discriminator" in model.networks and "D_code_opt" not in known:
        variables = model.weights_of(["code_discriminator"])
        updates.append(Update("D_code_opt", variables, model.objective.discriminate_codes))
    return updates


def _is_double(golden: Golden) -> bool:
    """README: a float64 run is known by float64 samples; without any, by its float64 losses."""
    samples = [golden[key].dtype for key in golden if key.endswith("_smp")]
    losses = [golden[key].dtype for key in golden if key.startswith(("loss_", "loss0_"))]
    return (samples or losses or [np.dtype(np.float32)])[0] == np.float64


def _not_known(golden: Golden) -> list[Check]:
    """Nothing of a file may be passed over in silence."""
    groups = r"(w0|w\d+|o\d+|pred|grad(G|Dcode|GAN))_(smp|stat)"
    others = r"names_(w|o|pred|grad\w+)|loss0?_\w+|gradG_globalnorm|amp_masks|meta_json"
    unknown = [key for key in golden if not re.fullmatch(f"{groups}|{others}", key)]
    return [Check(f"{key} is not compared", 1, 0, "unknown array") for key in unknown]


def _objective_name(update: Update) -> str:
    return {"D_code_opt": "Dcode", "GAN_opt": "GAN"}.get(update.optimizer, "G")


def _mixing(golden: Golden, model: FaceModel) -> list[tf.Tensor]:
    """What AMP draws first; it holds for all that is evaluated at the start weights."""
    return [tf.cast(golden["amp_masks"][0], model.dtype)] if "amp_masks" in golden else []


def _weights(model: FaceModel) -> dict[str, np.ndarray]:
    return {
        v.path + ":0": v.numpy() for network in model.networks.values() for v in network.weights
    }


def _slots(model: FaceModel) -> dict[str, np.ndarray]:
    slots = {}
    for stem, optimizer in model.optimizers.items():
        names = [v.path + ":0" for v in model.optimizer_variables[stem]]
        for key, value in optimizer.state_arrays(names).items():
            slots[f"{optimizer.name}/{key}"] = np.array(value)
    return slots


def _check_names(golden: Golden, recording: dict[str, Any]) -> list[Check]:
    """The lists of names, in order."""
    checks = []
    for key in golden:
        if not key.startswith("names_"):
            continue
        group = {"names_w": "w0", "names_o": "o1"}.get(key, key.removeprefix("names_"))
        got, want = list(recording[group]), [str(x) for x in golden[key]]
        differing = sum(a != b for a, b in zip(got, want, strict=False)) + abs(len(got) - len(want))
        checks.append(Check(key, differing, 0, "names in order"))
    return checks


def _losses(golden: Golden, recording: dict[str, Any]) -> Iterator[tuple[str, int, float]]:
    """(name, step, relative error) of every loss; at the start weights step is 1.

    The discriminators' losses are taken after the generator's update of their step, so their drift
    is that of the step after it: in `saehd_trueface_gan` the legacy program's own float32 run is
    7.6e-5 away from its float64 twin in step 2, twice the gate of that step.
    """
    for key in golden:
        if key.startswith("loss0_"):
            yield key, 1, _relative(recording[key], golden[key])
        elif key.startswith("loss_"):
            for step, (got, row) in enumerate(zip(recording[key], golden[key], strict=True), 1):
                if np.ndim(row) == 0:
                    got = np.mean(got)
                late = step > 1 and key in ("loss_Dcode", "loss_GAN")
                yield f"{key}[{step}]", step + late, _relative(got, row)


def _relative(got: Any, want: Any) -> float:
    got, want = np.asarray(got, np.float64), np.asarray(want, np.float64)
    if got.shape != want.shape:
        return float("inf")
    return float(np.max(np.abs(got - want) / np.maximum(np.abs(want), np.finfo(np.float64).tiny)))


def _groups(golden: Golden, recording: dict[str, Any]) -> Iterator[tuple[str, Rows]]:
    found = (re.fullmatch(r"(\w+)_(?:smp|stat)", key) for key in golden)
    for prefix in dict.fromkeys(match[1] for match in found if match):
        yield prefix, Rows(golden, prefix, recording[prefix])


def gate_double(golden: Golden, meta: Meta, recording: dict[str, Any]) -> list[Check]:
    """The float64 tolerances of the README: a miss means another logic."""
    checks = [Check(name, error, 1e-10) for name, _, error in _losses(golden, recording)]
    checks += _global_norm(golden, recording, 1e-10)
    for prefix, rows in _groups(golden, recording):
        relative = prefix.startswith(("grad", "o"))
        scale = rows.scale if relative else np.ones_like(rows.scale)
        tolerance = 1e-8 if prefix.startswith("o") else 1e-10
        if rows.has_samples:
            checks.append(_worst_row(f"{prefix}_smp", rows, rows.row_errors() / scale, tolerance))
        if rows.has_stat:
            stats = rows.stat_errors().max(axis=1) / scale
            checks.append(_worst_row(f"{prefix}_stat", rows, stats, tolerance))
    return checks


def gate_single(golden: Golden, meta: Meta, recording: dict[str, Any]) -> list[Check]:
    """The float32 tolerances of the README: they bound the drift."""
    cls = meta["cls"]
    gates = LOSS32[cls]
    checks = [
        Check(name, error, gates[min(step, len(gates)) - 1])
        for name, step, error in _losses(golden, recording)
    ]
    xseg = cls == "XSeg"
    checks += _global_norm(golden, recording, 2e-2 if xseg else 2e-3)
    for prefix, rows in _groups(golden, recording):
        if not rows.has_samples:
            continue
        if prefix == "pred":
            checks.append(_worst_row(prefix, rows, rows.row_errors(), 5e-5 if xseg else 1e-4))
        elif prefix.startswith("grad"):
            checks += _single_gradient(prefix, rows, xseg)
        elif prefix == "w0":
            checks.append(_worst_row(prefix, rows, rows.row_errors(), 0.0))
        elif prefix == "w1" and not xseg:
            tolerance, share = (2e-4, 0.03) if cls == "Quick96" else (1e-4, 0.05)
            errors = rows.errors()
            checks.append(_worst_row(prefix, rows, rows.row_errors(), tolerance))
            beyond = float(np.mean(errors[~np.isnan(errors)] > 1e-6))
            checks.append(Check("w1 beyond 1e-6", beyond, share, "share of entries"))
        elif prefix.startswith("o"):
            counters = [i for i, name in enumerate(rows.names) if name.endswith("/iters:0")]
            worst = float(np.max(rows.row_errors()[counters]))
            checks.append(Check(f"{prefix} counters", worst, 0.0))
    if "w5_smp" in golden and "w0_smp" in golden and not xseg:
        start = Rows(golden, "w0", recording["w0"])
        end = Rows(golden, "w5", recording["w5"])
        moved, wanted = end.got - start.got, end.want - start.want
        cosine = np.nansum(moved * wanted) / np.sqrt(np.nansum(moved**2) * np.nansum(wanted**2))
        checks.append(Check("1 - cosine of w5 - w0", float(1 - cosine), 0.03))
    return checks


def _single_gradient(prefix: str, rows: Rows, xseg: bool) -> list[Check]:
    each, median, norm = (1e-1, 2e-2, 2e-2) if xseg else (1e-2, 1e-3, 2e-3)
    gated = np.array([not (xseg and name.endswith("eps:0")) for name in rows.names])
    relative = rows.row_errors() / rows.scale
    norms = np.abs(rows.got_stat[:, 1] - rows.want_stat[:, 1])
    norms /= np.where(rows.want_stat[:, 1] > 0, rows.want_stat[:, 1], 1.0)
    return [
        _worst_row(f"{prefix} rows", rows, np.where(gated, relative, 0.0), each),
        Check(f"{prefix} median row", float(np.median(relative[gated])), median),
        _worst_row(f"{prefix} norms", rows, np.where(gated, norms, 0.0), norm),
    ]


def _global_norm(golden: Golden, recording: dict[str, Any], tolerance: float) -> list[Check]:
    if "gradG_globalnorm" not in golden:
        return []
    error = _relative(recording["gradG_globalnorm"], golden["gradG_globalnorm"])
    return [Check("gradG_globalnorm", error, tolerance)]


def _worst_row(name: str, rows: Rows, errors: np.ndarray, tolerance: float) -> Check:
    worst = int(np.argmax(errors))
    return Check(name, float(errors[worst]), tolerance, rows.names[worst])
