"""Every option of every model: given as a user gives it, and seen in what comes out.

`ROWS` is compared with the dataclasses: an option without a row fails. Half of the values are
given by flag, the others in a YAML file.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Any
from unittest.mock import patch

import numpy as np
import pytest
import tensorflow as tf

from dfl_tf.devices.placement import HOST
from dfl_tf.models.xseg import model as xseg_model
from dfl_tf.models.xseg.networks import XSegNetwork
from dfl_tf.options import OPTIONS, specs
from dfl_tf.train.backup import BackupClock

from .support import option_checks as sees
from .support.option_checks import Check, Outcome
from .support.option_runs import Trainings, make_workspace


@dataclass(frozen=True)
class Row:
    """One option: the value given, what is given besides, and what is seen.

    `step` says whether the network has to be asked. What is given `beside` is given to both runs.
    """

    value: Any
    check: Check
    beside: dict[str, Any] = field(default_factory=dict)
    step: bool = False


DUE = BackupClock.due
GAN = {"gan_power": 0.1, "gan_patch_size": 8, "gan_dims": 4, "batch_size": 2}
BATCHES = {"target_iter": 6}


def on_a_gpu(base: Outcome, run: Outcome) -> None:
    assert base.model.placement.variables == base.model.placement.compute == "/GPU:0"
    assert (run.model.placement.variables, run.model.placement.compute) == (HOST, "/GPU:0")


def other_crop(base: Outcome, run: Outcome) -> None:
    """Less of the head is cut out, so the face mask covers more of the image."""
    assert run.side(0, "mask").mean() > 1.2 * base.side(0, "mask").mean()


def rms_prop(base: Outcome, run: Outcome) -> None:
    def slots(outcome: Outcome) -> set[str]:
        return {key.split("_")[0] for key in outcome.model.state().tensors["src_dst_opt"]}

    assert slots(base) == {"iters:0", "ms", "vs"}
    assert slots(run) == {"iters:0", "acc"}


def learns(part: str) -> Check:
    def check(base: Outcome, run: Outcome) -> None:
        for outcome, moves in ((base, False), (run, True)):
            after = sees.weights(outcome.model)[part]
            assert np.array_equal(after, outcome.before[part]) != moves

    return check


def morphs(base: Outcome, run: Outcome) -> None:
    """The share of inter_src in the codes of src is another, so is what src loses."""
    sees.losses_differ(base, run)


def other_image(base: Outcome, run: Outcome) -> None:
    assert not np.array_equal(base.batches[0][0]["image"], run.batches[0][0]["image"])


def optimizer_rate(base: Outcome, run: Outcome) -> None:
    rates = [o.learning_rate for o in run.model.optimizers.values()]
    assert rates == pytest.approx([1e-6] * len(rates))
    assert base.model.optimizers.keys() == run.model.optimizers.keys()
    assert min(o.learning_rate for o in base.model.optimizers.values()) > 1e-5


def no_labels(base: Outcome, run: Outcome) -> None:
    """Pretraining draws images, not masks: what is to be predicted has three channels."""
    assert base.batches[0][0]["target"].shape[-1] == 1
    assert run.code == 0
    assert run.trainer.model.options.pretrain


def keeps_out(base: Outcome, run: Outcome) -> None:
    """Some faces of each side are drawn by the one training, and not by the other."""

    def drawn(outcome: Outcome) -> set[str]:
        batches = [batch for step in outcome.batches for batch in step]
        return {sample.face for batch in batches for sample in batch.samples}

    for side in run.trainer.segment.facesets.held_out.values():
        held = {face.key for face in side}
        assert held <= drawn(base)
        assert held.isdisjoint(drawn(run))


def is_measured(base: Outcome, run: Outcome) -> None:
    def measured(outcome: Outcome) -> list[dict[str, Any]]:
        return [event for event in outcome.events() if event["event"] == "validation"]

    assert not measured(base)
    (event,) = measured(run)
    assert event["iteration"] == 1
    assert {"ssim", "src_ssim", "dst_psnr", "dst_iou", "jitter"} <= event["metrics"].keys()


def rate_changes(base: Outcome, run: Outcome) -> None:
    """A third of the way down a cosine in the second of three iterations, and warming up."""
    lr = run.trainer.model.options.lr
    low = 1e-6 + (lr - 1e-6) * (1 + np.cos(np.pi / 3)) / 2
    for stem in base.model.optimizers:
        assert [base.model.rates.rate(stem, n) for n in (1, 2)] == [lr, lr]
        rates = [run.model.rates.rate(stem, n) for n in (1, 2)]
        assert rates == pytest.approx([lr / 4, low / 2])


def keeps_encoder(base: Outcome, run: Outcome) -> None:
    """The encoder is moved by the one training, and not by the other; all else is by both."""

    def moved(outcome: Outcome) -> set[str]:
        return {v.path.split("/")[0] for u in outcome.model.updates for v in u.variables}

    assert moved(base) - moved(run) == {"encoder"}


EVERY_MODEL = {
    "autobackup_hour": Row(1, sees.new_file("*_autobackups/01/*")),
    "write_preview_history": Row(True, sees.new_file("*_history/**/*.jpg")),
    "target_iter": Row(2, sees.trained(2)),
    "batch_size": Row(3, sees.batch_of(3)),
    "lr_warmup": Row(4, rate_changes),
    "lr_schedule": Row("cosine", rate_changes),
    "lr_final": Row(1e-6, rate_changes),
    "lr_end": Row(3, rate_changes),
}
LR = {"lr": Row(1e-6, sees.smaller_step, step=True)}
TOGETHER = {key: row.value for key, row in EVERY_MODEL.items()}
"""Given in one run: they show in different places."""
SWAP = EVERY_MODEL | {
    "holdout": Row(0.4, keeps_out, BATCHES),
    "validate_every": Row(1, is_measured),
    "ema": Row(0.5, sees.new_file("*_average.npy")),
    "freeze": Row("encoder", keeps_encoder, {"ema": 0.5}),
}
FACE_SWAP = (
    SWAP
    | LR
    | {
        "random_src_flip": Row(True, sees.only_side(sees.SRC)),
        "random_dst_flip": Row(False, sees.only_side(sees.DST)),
        "models_opt_on_gpu": Row(False, on_a_gpu),
        "e_dims": Row(18, sees.sizes("encoder")),
        "uniform_yaw": Row(True, sees.turned_more_often, BATCHES),
        "blur_out_mask": Row(True, sees.losses_differ, step=True),
        "lr_dropout": Row("y", sees.drops_updates, step=True),
        "random_warp": Row(False, sees.no_warp),
        "gan_power": Row(
            0.1, sees.new_file("*_GAN.npy"), {k: GAN[k] for k in GAN if k != "gan_power"}
        ),
        "gan_patch_size": Row(16, sees.sizes("GAN"), GAN),
        "gan_dims": Row(6, sees.sizes("GAN", same_in="encoder"), GAN),
        "ct_mode": Row("rct", sees.colors_of_dst, {"random_src_flip": False}),
        "clipgrad": Row(True, sees.clips, step=True),
        "resolution": Row(96, sees.image_side(96)),
        "face_type": Row("f", other_crop),
    }
)
ROWS = {
    "SAEHD": FACE_SWAP
    | {
        "ae_dims": Row(48, sees.sizes("inter", same_in="encoder")),
        "d_dims": Row(18, sees.sizes("decoder_src", "decoder_dst", same_in="encoder")),
        "d_mask_dims": Row(18, sees.sizes("decoder_src", "decoder_dst", same_in="inter")),
        "archi": Row("liae", sees.new_file("*_inter_AB.npy")),
        "masked_training": Row(False, sees.losses_differ, step=True),
        "eyes_mouth_prio": Row(True, sees.losses_differ, step=True),
        "adabelief": Row(False, rms_prop),
        "random_hsv_power": Row(0.3, sees.hsv),
        "true_face_power": Row(0.5, sees.new_file("*_code_discriminator.npy")),
        "face_style_power": Row(100.0, sees.losses_differ, step=True),
        "bg_style_power": Row(100.0, sees.losses_differ, step=True),
        "pretrain": Row(True, sees.pretraining),
    },
    "AMP": FACE_SWAP
    | {
        "ae_dims": Row(48, sees.sizes("inter_src", "inter_dst", same_in="decoder")),
        "d_dims": Row(18, sees.sizes("decoder", same_in="encoder")),
        "d_mask_dims": Row(18, sees.sizes("decoder", same_in="inter_src")),
        "inter_dims": Row(64, sees.sizes("inter_src", "inter_dst", same_in="encoder")),
        "morph_factor": Row(0.1, morphs, step=True),
        "train_inters": Row(True, learns("inter_src"), step=True),
    },
    "Quick96": SWAP | {"lr": Row(1e-6, optimizer_rate)},
    "XSeg": EVERY_MODEL
    | {
        "lr": Row(1e-6, optimizer_rate),
        "face_type": Row("f", other_image),
        "pretrain": Row(True, no_labels),
    },
}
SURROUNDINGS = {
    "hours later": (BackupClock, "due", lambda clock, now: DUE(clock, now + 5400)),
    "GPU": (tf.config, "list_logical_devices", lambda kind=None: ["/GPU:0"]),
}
"""What cannot be waited for, or is not there: 1.5 hours, and a GPU."""
CASES = [(name, key) for name, rows in ROWS.items() for key in rows]


def is_slow(name: str, key: str) -> bool:
    """Whether the row is one that SAEHD has as well, for code that the models share."""
    return name in ("AMP", "Quick96") and ROWS["SAEHD"].get(key) is ROWS[name][key]


@pytest.fixture(scope="module")
def trainings(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Trainings]:
    root = make_workspace(tmp_path_factory.mktemp("options"))
    tf.config.run_functions_eagerly(True)
    with patch.object(xseg_model, "XSegNetwork", partial(XSegNetwork, base=4)):
        yield Trainings(root)
    tf.config.run_functions_eagerly(False)


@pytest.mark.parametrize("name", OPTIONS)
def test_every_option_has_a_row(name: str) -> None:
    assert set(ROWS[name]) == set(specs(OPTIONS[name]))


@pytest.mark.parametrize(
    ("name", "key"),
    [
        pytest.param(*case, id="-".join(case), marks=[pytest.mark.slow] if is_slow(*case) else [])
        for case in CASES
    ],
)
def test_option_shows(name: str, key: str, trainings: Trainings) -> None:
    row = ROWS[name][key]
    by_file = CASES.index((name, key)) % 2 == 1 and key not in TOGETHER
    with contextlib.ExitStack() as stack:
        apart = "hours later" if key in TOGETHER else "GPU" if key == "models_opt_on_gpu" else ""
        if apart:
            stack.enter_context(patch.object(*SURROUNDINGS[apart]))
        how: dict[str, Any] = {"step": row.step, "apart": apart}
        base = trainings(name, **row.beside, **how)
        given = TOGETHER if key in TOGETHER else {**row.beside, key: row.value}
        run = trainings(name, by_file=by_file, **given, **how)
    assert (base.code, run.code) == (0, 0), base.said + run.said
    row.check(base, run)
