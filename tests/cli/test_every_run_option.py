"""Every option of a training run, given as a user gives it, and seen in what comes out."""

from __future__ import annotations

import contextlib
import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

import numpy as np
import pytest
import tensorflow as tf

from dfl_tf.cli.main import run as run_command
from dfl_tf.data import disk_cache
from dfl_tf.data.cache import ArrayCache
from dfl_tf.data.prefetch import Prefetch
from dfl_tf.devices.cluster import WorkerLost
from dfl_tf.formats import read_model
from dfl_tf.models import step as models_step
from dfl_tf.nn.layers import Conv2D
from dfl_tf.options import RunOptions, specs
from dfl_tf.train.backup import BackupClock
from dfl_tf.train.guard import Guard
from dfl_tf.train.outliers import LossHistories
from dfl_tf.train.requests import StopSignals

from .support import option_checks as sees
from .support import run_option_checks as shows
from .support.option_checks import Check
from .support.option_runs import Trainings, make_workspace


@dataclass(frozen=True)
class Row:
    """One option: what is given, what is given `beside` to both runs, and what is seen.

    `resumed` runs train a model on.
    """

    value: Any
    check: Check
    beside: dict[str, Any] = field(default_factory=dict)
    step: bool = False
    resumed: bool = False


GAN = {"gan_power": 10.0, "gan_patch_size": 8, "gan_dims": 4}
SHOWN = {"no_preview": None}
EACH = {"snapshot_every": 1, "save_every_iters": 1}
ROWS = {
    "save_every": Row(1e-5, sees.saves_at(1, 2, 3)),
    "save_every_iters": Row(2, sees.saves_at(1, 2, 3)),
    "backup_now": Row(True, sees.new_file("*_autobackups/01/*"), resumed=True),
    "backup_every": Row(1.0, sees.new_file("*_autobackups/01/*")),
    "snapshot_every": Row(1, sees.new_file("*_snapshots/regular-1/*_encoder.npy")),
    "snapshots_keep": Row(3, shows.more_snapshots, EACH | {"target_iter": 4}),
    "keep_best": Row("ssim", shows.the_best, {"validate_every": 1, "target_iter": 2}),
    "snapshots_max_gb": Row(1e-6, shows.no_room, EACH),
    "no_save": Row(True, shows.no_model),
    "model_format": Row("native", sees.new_file("**/*.safetensors")),
    "reinit": Row("decoder_src", shows.reinitialized, {"seed": 4}, resumed=True),
    "preview_every": Row(2, sees.events_at("preview", 1, 2, 4, 5), SHOWN | {"target_iter": 5}),
    "preview_dir": Row("shown here", shows.in_other_folder, SHOWN),
    "no_preview": Row(True, shows.previews),
    "legacy_previews": Row(True, shows.legacy_look, SHOWN, step=True),
    "new_preview_sample": Row(True, shows.new_faces, resumed=True),
    "advice": Row(False, shows.no_remarks),
    "log_every": Row(2, shows.fewer_lines, {"target_iter": 5}),
    "log_json": Row("other.json", shows.log_elsewhere),
    "tensorboard": Row("board", shows.tensorboard_asked),
    "stop_after": Row(0.05, shows.stopped_early, {"target_iter": 45}),
    "guard_collapse": Row(False, shows.unguarded, {"target_iter": 140}),
    "seed": Row(4, sees.data_differs),
    "precision": Row("bfloat16", shows.bfloat16, step=True),
    "accumulate": Row(2, shows.twice_the_samples),
    "recompute": Row(True, shows.same_step, step=True),
    "total_variation_axes": Row("ch", sees.update_differs, GAN, step=True),
    "workers": Row(3, shows.more_threads),
    "after_save": Row("touch saved", shows.saved_marker),
}
ELSEWHERE = {
    "devices": "test_devices_and_workers_share_the_batch",
    "cluster": "test_devices_and_workers_share_the_batch",
    "worker_index": "test_the_worker_index_says_who_is_the_chief",
    "cpu": "test_cpu_hides_the_gpus",
    "threads": "test_threads_reach_tensorflow",
    "require_gpu": "test_a_gpu_can_be_required",
    "tf32": "test_numbers_of_a_gpu_are_chosen",
    "deterministic": "test_numbers_of_a_gpu_are_chosen",
    "xla": "test_xla_is_decided_by_the_option",
    "prefetch": "test_prefetch_and_cache_reach_the_streams",
    "cache_mb": "test_prefetch_and_cache_reach_the_streams",
    "cache_disk_gb": "test_faces_are_kept_on_the_disk",
    "worker_timeout": "test_the_wait_for_workers_is_the_options",
    "accept_changes": "test_ways_on_after_an_edit_of_the_folder",
    "use_previous": "test_ways_on_after_an_edit_of_the_folder",
    "allow_smaller_faces": "test_smaller_faces_and_large_images_are_let_in",
    "max_image_pixels": "test_smaller_faces_and_large_images_are_let_in",
    "data": "test_faces_of_another_workspace",
    "init_from": "test_a_new_model_starts_from_parts_of_another",
    "recipe": "test_a_recipe_goes_through_its_phases",
    "on_collapse": "test_a_collapse_is_rolled_back",
    "save_deadline": "test_a_signal_has_a_deadline",
    "quarantine": "test_a_face_that_stands_out_is_left_out",
}
"""Options whose effect is on the process or on other processes: a test of their own below."""


@pytest.fixture(scope="module")
def trainings(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Trainings]:
    root = make_workspace(tmp_path_factory.mktemp("options"))
    tf.config.run_functions_eagerly(True)
    with contextlib.chdir(root):
        yield Trainings(root)
    tf.config.run_functions_eagerly(False)


def test_every_option_has_a_row() -> None:
    assert set(ROWS) | set(ELSEWHERE) == set(specs(RunOptions))
    assert not set(ROWS) & set(ELSEWHERE)
    assert set(ELSEWHERE.values()) <= set(globals())


@pytest.mark.parametrize("key", ROWS)
def test_option_shows(key: str, trainings: Trainings) -> None:
    row = ROWS[key]
    how: dict[str, Any] = {"step": row.step}
    if row.resumed:
        how["after"] = trainings("SAEHD", step=False)
        how["target_iter"] = 2
    if key.startswith("save_every"):
        how["target_iter"] = 3
    by_file = list(ROWS).index(key) % 2 == 1
    without = {key: None} if key in ("no_preview", "log_json") else {}
    with contextlib.ExitStack() as stack:
        if key == "backup_every":
            due, how["apart"] = BackupClock.due, "hours later"
            later = lambda clock, now: due(clock, now + 5400)  # noqa: E731
            stack.enter_context(patch.object(BackupClock, "due", later))
        if key == "recompute":
            stack.enter_context(counting(Conv2D, "call", "both"))
            how["apart"] = "counted"
        base = trainings("SAEHD", **{**how, **row.beside, **without})
        if key == "recompute":
            stack.enter_context(counting(Conv2D, "call", "recompute on"))
        given = {**how, **row.beside, key: row.value}
        run = trainings("SAEHD", by_file=by_file, **given)
    row.check(base, run)


@contextlib.contextmanager
def counting(cls: type, name: str, label: str) -> Iterator[None]:
    """Count calls of a method in `CALLS[label]`."""
    real = getattr(cls, name)
    shows.CALLS[label] = 0

    def counted(*args: Any, **kwargs: Any) -> Any:
        shows.CALLS[label] += 1
        return real(*args, **kwargs)

    with patch.object(cls, name, counted):
        yield


def printed_batch(capsys: pytest.CaptureFixture[str], *flags: str) -> int:
    words = ["train", ".", "--model=SAEHD", "--name=none", "--batch-size=3", *flags]
    assert run_command([*words, "--print-options"]) == 0
    return int(json.loads(capsys.readouterr().out)["batch_size"])


def test_devices_and_workers_share_the_batch(
    trainings: Trainings, capsys: pytest.CaptureFixture[str]
) -> None:
    assert printed_batch(capsys) == 3
    assert printed_batch(capsys, "--devices=cpu:0,cpu:1") == 2
    assert printed_batch(capsys, "--cluster=a:1,b:2", "--worker-index=0") == 2


def test_the_worker_index_says_who_is_the_chief(
    trainings: Trainings, capsys: pytest.CaptureFixture[str]
) -> None:
    seen = []
    for index in range(2):
        done = SimpleNamespace(run=lambda: SimpleNamespace(exit_code=0))
        started = lambda prepared, facesets, log, *_: seen.append(log) or done  # noqa: E731, B023
        with patch("dfl_tf.train.job.start", started):
            words = ["train", ".", "--name=none", "--cluster=a:1,b:2"]
            assert run_command([*words, f"--worker-index={index}"]) == 0
    capsys.readouterr()
    for log in seen:
        log.say("here")
    assert capsys.readouterr().err.splitlines() == ["here", "worker 1: here"]


def test_cpu_hides_the_gpus(trainings: Trainings) -> None:
    assert "CUDA_VISIBLE_DEVICES" not in trainings("SAEHD", step=False).environ
    run = trainings("SAEHD", step=False, cpu=True)
    assert run.environ["CUDA_VISIBLE_DEVICES"] == "-1"


def test_a_gpu_can_be_required(trainings: Trainings, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["train", ".", "--name=none", "--no-save", "--require-gpu"]) == 2
    assert "--require-gpu: TensorFlow finds no GPU." in capsys.readouterr().err


def test_numbers_of_a_gpu_are_chosen(trainings: Trainings) -> None:
    with (
        patch.object(tf.config.experimental, "enable_op_determinism") as same_bits,
        patch.object(tf.config.experimental, "enable_tensor_float_32_execution") as tf32,
    ):
        seen = []
        for options in ({"tf32": True}, {"tf32": False}, {"deterministic": True}):
            trainings("SAEHD", step=False, seed=48, **options)
            seen.append((tf32.call_args.args[0], same_bits.call_count))
    assert seen == [(True, 0), (False, 0), (False, 1)]


def test_threads_reach_tensorflow(trainings: Trainings) -> None:
    with (
        patch.object(tf.config.threading, "set_intra_op_parallelism_threads") as inner,
        patch.object(tf.config.threading, "set_inter_op_parallelism_threads") as outer,
    ):
        trainings("SAEHD", step=False, apart="no --threads")
        assert not inner.called
        trainings("SAEHD", step=False, threads=1)
        inner.assert_called_with(1)
        outer.assert_called_with(1)


def test_xla_is_decided_by_the_option(trainings: Trainings) -> None:
    asked = []

    def decide(plain: Any, compiled: Any, inputs: Any, *, mode: str, name: str) -> Any:
        asked.append(mode)
        return False, ""

    with patch.object(models_step, "decide", decide):
        trainings("SAEHD", step=True, xla="on")
    assert set(asked) == {"on"}


def test_prefetch_and_cache_reach_the_streams(trainings: Trainings) -> None:
    ahead: list[int] = []
    hits: list[bool] = []
    begin, kept = Prefetch.__init__, ArrayCache.kept

    def beginning(self: Any, make: Any, *, workers: int, ahead: int) -> None:
        windows.append(ahead)
        begin(self, make, workers=workers, ahead=ahead)

    def getting(self: Any, key: Any) -> Any:
        found = kept(self, key)
        hits.append(found is not None)
        return found

    windows = ahead
    with patch.object(Prefetch, "__init__", beginning), patch.object(ArrayCache, "kept", getting):
        trainings("SAEHD", step=False, target_iter=6, apart="watched")
        assert (set(ahead), any(hits)) == ({1}, True)
        ahead.clear()
        hits.clear()
        trainings("SAEHD", step=False, target_iter=6, prefetch=5, cache_mb=0)
        assert (set(ahead), any(hits)) == ({5}, False)


def test_faces_are_kept_on_the_disk(trainings: Trainings, tmp_path: Any) -> None:
    with patch.object(disk_cache, "user_cache", lambda: tmp_path):
        trainings("SAEHD", step=False, target_iter=2)
        assert list(tmp_path.iterdir()) == []
        trainings("SAEHD", step=False, target_iter=2, cache_disk_gb=1)
    assert len(list((tmp_path / disk_cache.FOLDER).glob("*.sqlite"))) == 2


def test_amp_previews_show_one_face_after_the_other(trainings: Trainings) -> None:
    """Its sheets hold one face: that of the batch whose number the iteration gives."""
    run = trainings("AMP", step=False, target_iter=4, preview_every=1, no_preview=None)
    assert run.code == 0, run.said
    faces = [
        [np.array_equal(shown[0]["target"][0], face) for face in batches[0]["target"]].index(True)
        for shown, batches in zip(run.shown, run.batches, strict=False)
    ]
    assert faces == [1, 2, 3, 0]


def test_the_wait_for_workers_is_the_options(trainings: Trainings) -> None:
    waits = []

    def meet(cluster: Any, *, timeout: float, say: Any) -> None:
        waits.append(timeout)
        raise WorkerLost("nobody came")

    with patch("dfl_tf.train.distribution.meet", meet):
        run = trainings("SAEHD", step=False, cluster="a:1,b:2", worker_index=0, worker_timeout=7.0)
    assert (run.code, waits) == (1, [7.0])


def test_ways_on_after_an_edit_of_the_folder(trainings: Trainings) -> None:
    first = trainings("SAEHD", step=False, target_iter=2, apart="edited")
    other = (first.folder / "new_SAEHD_decoder_dst.npy").read_bytes()
    (first.folder / "new_SAEHD_decoder_src.npy").write_bytes(other)
    how: dict[str, Any] = {"step": False, "after": first, "target_iter": 3}
    assert trainings("SAEHD", **how).code == 2
    accepted = trainings("SAEHD", **how, accept_changes=True)
    assert accepted.code == 0, accepted.said
    np.testing.assert_array_equal(accepted.before["decoder_src"], accepted.before["decoder_dst"])
    previous = trainings("SAEHD", **how, use_previous=True)
    assert previous.code == 0, previous.said
    started = [event for event in previous.events() if event["event"] == "start"]
    assert started[0]["iteration"] == 1
    assert not np.array_equal(previous.before["decoder_src"], previous.before["decoder_dst"])


def test_a_signal_has_a_deadline(trainings: Trainings) -> None:
    """What happens when it is over is in tests/train/test_save_deadline.py."""
    limits, enter = [], StopSignals.__enter__

    def entered(self: Any) -> Any:
        limits.append(self._deadline.seconds())
        return enter(self)

    with patch.object(StopSignals, "__enter__", entered):
        assert trainings("SAEHD", step=False, save_deadline=7.5).code == 0
    assert limits == [7.5]


def test_smaller_faces_and_large_images_are_let_in(trainings: Trainings) -> None:
    assert trainings("SAEHD", step=False, face_type="head").code == 1
    assert trainings("SAEHD", step=False, face_type="head", allow_smaller_faces=True).code == 0
    assert trainings("SAEHD", step=False, max_image_pixels=1000).code == 1


def test_a_new_model_starts_from_parts_of_another(trainings: Trainings) -> None:
    other = trainings("SAEHD", step=False)
    named = {"seed": 4, "init_from": f"{other.folder}:encoder,inter"}
    run = trainings("SAEHD", step=False, **named)
    for part, values in other.before.items():
        assert np.array_equal(values, run.before[part]) == (part in ("encoder", "inter"))
    assert "encoder, inter: weights of new (SAEHD)" in run.said
    wrong = trainings("SAEHD", step=False, **{**named, "init_from": f"{other.folder}:inter_B"})
    assert wrong.code == 2
    assert "has no network inter_B. It has encoder, inter, decoder_src, decoder_dst" in wrong.said
    assert not list(wrong.folder.glob("*.npy"))


def test_faces_of_another_workspace(trainings: Trainings) -> None:
    other = trainings.root / "other"
    for side, from_side in (("data_src", "data_dst"), ("data_dst", "data_src")):
        shutil.copytree(trainings.root / from_side / "aligned", other / side / "aligned")
    for given, blue in (({}, False), ({"data": "other"}, True)):
        target = trainings("SAEHD", step=False, **given).side(0, "target")
        assert (target[..., 0].mean() > target[..., 2].mean()) == blue
    missing = trainings("SAEHD", step=False, data="nowhere")
    assert missing.code == 1
    assert "nowhere" in missing.said


def test_a_recipe_goes_through_its_phases(trainings: Trainings) -> None:
    (trainings.root / "two.yaml").write_text(
        """
phases:
  - {name: warp, set: {random_warp: true, lr_dropout: y}, until: {iterations: 1}}
  - {name: detail, set: {random_warp: false, batch_size: 2}, until: {iterations: 2}}
"""
    )
    done = trainings("SAEHD", step=False, recipe="two.yaml", target_iter=0)
    assert done.code == 0, done.said
    assert (
        "recipe two: phase 2 of 2, detail, begins at iteration 1 (warp ended: 1 iter" in done.said
    )
    assert "set explicitly, so left alone: batch_size" in done.said
    assert "iteration 3: recipe two is finished" in done.said
    options = done.trainer.segment.settings.options
    assert (options.random_warp, options.lr_dropout, options.batch_size) == (False, "y", 4)
    assert trainings("SAEHD", step=False, recipe="three").code == 2


def test_a_collapse_is_rolled_back(
    trainings: Trainings, capsys: pytest.CaptureFixture[str]
) -> None:
    check, given = Guard.check, {"target_iter": 4, "save_every_iters": 1}
    healed: list[bool] = []

    def spoiled(self: Guard, iteration: int, losses: list[float], *more: Any) -> None:
        bad = iteration == 3 and not healed
        check(self, iteration, [float("nan")] * len(losses) if bad else losses)

    def once(self: Guard, iteration: int, losses: list[float], *more: Any) -> None:
        try:
            spoiled(self, iteration, losses)
        finally:
            healed.extend([True] * (iteration == 3))

    with patch.object(Guard, "check", spoiled):
        stopped = trainings("SAEHD", step=False, **given)
    assert (stopped.code, stopped.trainer.model.iteration) == (3, 2)
    assert "is not finite" in stopped.said
    with patch.object(Guard, "check", once):
        rolled = trainings("SAEHD", step=False, on_collapse="rollback", **given)
    assert (rolled.code, rolled.trainer.model.iteration) == (0, 4)
    assert "rolled back from iteration 2 to 2, try 1 of 6: gradients are clipped" in rolled.said
    assert rolled.trainer.segment.settings.options.clipgrad
    assert rolled.trainer.state.run_state["retry"] == 1
    reason = "gradients are clipped (clipgrad) after the collapse at iteration 2; --set clipgrad=…"
    model = ["train", ".", f"--model-dir={rolled.folder}", "--model=SAEHD"]
    for words in (["model", "show", str(rolled.folder)], [*model, "--print-options"]):
        assert run_command(words) == 0
        said = capsys.readouterr()
        assert reason in said.out + said.err
    assert run_command([*model, "--plan"]) == 0
    (line,) = [each for each in capsys.readouterr().out.splitlines() if "  clipgrad " in each]
    assert line.startswith("  clipgrad ")
    assert f" True  ({reason}" in line
    assert run_command([*model, "--set", "clipgrad=false", "--print-options"]) == 0
    said = capsys.readouterr()
    assert "now: clipgrad" in said.err
    assert json.loads(said.out)["clipgrad"] is False


def test_a_face_that_stands_out_is_left_out(trainings: Trainings) -> None:
    """One face of src has NaN as its loss, alone; then it is named and left out."""
    look = LossHistories.look

    def spoiled(self: LossHistories, iteration: int, batches: Any, losses: Any, before: Any) -> Any:
        if iteration == 1:
            bad = batches["src"].samples[0].face
            values = [float("nan") if s.face == bad else 1.0 for s in batches["src"].samples]
            losses = {**losses, "src": np.array(values)}
        return look(self, iteration, batches, losses, before)

    given: dict[str, Any] = {"target_iter": 3, "batch_size": 4}
    with patch.object(LossHistories, "look", spoiled):
        named = trainings("SAEHD", step=False, **given)
        left_out = trainings("SAEHD", step=False, quarantine=True, **given)
    assert "is not finite" in named.said
    assert "left out of training from now on" not in named.said
    assert "left out of training from now on: the loss of src face" in left_out.said
    counts = [len(each.trainer.segment.facesets.src) for each in (named, left_out)]
    assert counts[1] == counts[0] - 1
    state = read_model(left_out.folder, left_out.trainer.checkpoint.place.name, "SAEHD")
    assert len(state.run["quarantine"]) == 1
    again = {**given, "target_iter": 4}
    stays = trainings("SAEHD", step=False, after=left_out, **again)
    taken_back = trainings("SAEHD", step=False, after=left_out, quarantine=False, **again)
    assert "1 face is trained on again that was left out" in taken_back.said
    counts = [len(each.trainer.segment.facesets.src) for each in (stays, taken_back)]
    assert counts[1] == counts[0] + 1
