from __future__ import annotations

import math
import os
import signal
import time
from types import SimpleNamespace

import numpy as np
import pytest

from dfl_tf.devices.memory import OutOfMemory
from dfl_tf.errors import FacesetError, TrainingDiverged, WorkspaceError
from dfl_tf.formats import read_model
from dfl_tf.train import backup
from dfl_tf.train import checkpoint as checkpoint_module
from dfl_tf.train import run as run_module

from .support.fake_model import FakeModel, check_whole, options
from .support.runs import ListLog, trainer


@pytest.fixture(params=[False, True], ids=["", "late"], autouse=True)
def late(request, monkeypatch):
    """Each test twice: with losses that are read at once, and one step late."""
    monkeypatch.setattr(FakeModel, "works_ahead", request.param)


def saved(folder):
    state = read_model(folder, "new", "SAEHD")
    check_whole(state)
    return state


def test_it_trains_to_the_target_saves_and_says_so(tmp_path):
    log = ListLog()
    model = FakeModel(options(target_iter=12))
    result = trainer(tmp_path, model, log=log).run()
    assert (result.exit_code, result.iteration) == (0, 12)
    assert log.iterations == list(range(1, 13))
    state = saved(tmp_path)
    assert state.iteration == 12
    assert state.loss_history[3] == [0.25, 0.5]
    assert state.options["odd_key"] == "kept"
    # The first iteration is saved at once, the target at the end.
    saves = [fields["iteration"] for kind, fields in log.events if kind == "save"]
    assert saves == [1, 12]
    assert log.events[-1][0] == "end"
    assert log.events[-1][1]["saved_iteration"] == 12
    assert "iteration 12: target iteration reached" in log.lines[-1]
    assert (tmp_path / "new_SAEHD_summary.txt").read_text().startswith("====")
    assert (tmp_path / "SAEHD_default_options.dat").exists()


def test_a_model_that_is_at_its_target_is_not_trained_but_shown(tmp_path):
    trainer(tmp_path, FakeModel(options(target_iter=3))).run()
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir() if path.is_file()}
    model = FakeModel(options(target_iter=3))
    model.load_state(saved(tmp_path))
    log = ListLog()
    result = trainer(tmp_path, model, first=False, log=log).run()
    assert (result.exit_code, result.iteration, log.iterations) == (0, 3, [])
    assert log.images == ["SAEHD", "SAEHD masked"]
    after = {path.name: path.read_bytes() for path in tmp_path.iterdir() if path.is_file()}
    assert after == before


def test_periodic_saves_and_the_mean_line_after_each(tmp_path):
    log = ListLog()
    model = FakeModel(options(target_iter=10))
    trainer(tmp_path, model, log=log, save_every_iters=4).run()
    saves = [fields["iteration"] for kind, fields in log.events if kind == "save"]
    assert saves == [1, 4, 8, 10]
    assert [iteration for iteration, _ in log.means] == [2, 5, 9]
    expected = np.mean([[1 / k, 2 / k] for k in (3, 4, 5)], axis=0)
    np.testing.assert_allclose(log.means[1][1], expected)


def test_saving_by_time(tmp_path, monkeypatch):
    clock = SimpleNamespace(now=0.0, perf_counter=time.perf_counter)
    clock.monotonic = lambda: clock.now
    monkeypatch.setattr(run_module, "time", clock)

    class Ticking(FakeModel):
        def train_step(self, *batches):
            clock.now += 4
            return super().train_step(*batches)

    log = ListLog()
    trainer(tmp_path, Ticking(), log=log, save_every=0.25, stop_after=60).run()
    saves = [fields["iteration"] for kind, fields in log.events if kind == "save"]
    assert saves == [1, 4, 8, 12, 15]  # at once, after 15, 30, 45 seconds or more, at the end


def test_n_plus_m_iterations_equal_n_stop_resume_m(tmp_path):
    one, two = tmp_path / "one", tmp_path / "two"
    trainer(one, FakeModel(options(target_iter=9))).run()
    trainer(two, FakeModel(options(target_iter=5))).run()
    state = saved(two)
    assert state.run["positions"] == {"src": 10, "dst": 10}
    model = FakeModel(options(target_iter=9))
    model.load_state(state)
    position = state.run["positions"]["src"]
    trainer(two, model, first=False, position=position).run()
    first, second = saved(one), saved(two)
    assert first.loss_history == second.loss_history
    assert first.run == second.run
    for part, arrays in first.tensors.items():
        for name, array in arrays.items():
            np.testing.assert_array_equal(array, second.tensors[part][name])


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_finishes_the_iteration_and_saves(tmp_path, number, code):
    class Signalled(FakeModel):
        def train_step(self, *batches):
            if self.begun == 4:
                os.kill(os.getpid(), number)
            return super().train_step(*batches)

    before = signal.getsignal(number)
    result = trainer(tmp_path, Signalled()).run()
    assert (result.exit_code, result.iteration, result.reason) == (code, 5, "interrupted")
    assert saved(tmp_path).iteration == 5
    assert signal.getsignal(number) == before


def test_request_files_are_obeyed_within_an_iteration_and_deleted(tmp_path):
    class Scripted(FakeModel):
        def train_step(self, *batches):
            ask = {4: "save", 6: "preview", 7: "backup", 9: "stop"}.get(self.begun + 1)
            if ask:
                (tmp_path / f"new_SAEHD_{ask}.request").touch()
            return super().train_step(*batches)

    (tmp_path / "new_SAEHD_stop.request").touch()
    log = ListLog()
    result = trainer(tmp_path, Scripted(), log=log).run()
    assert (result.exit_code, result.iteration, result.reason) == (0, 9, "stop requested")
    assert "new_SAEHD_stop.request was left over" in log.lines[0]
    assert not list(tmp_path.glob("*.request"))
    assert [f["iteration"] for kind, f in log.events if kind == "save"] == [1, 4, 7, 9]
    shown = [f["iteration"] for kind, f in log.events if kind == "preview"]
    assert shown == [1, 4, 6, 7, 9]
    backup = tmp_path / "new_SAEHD_autobackups" / "01"
    assert read_model(backup, "new", "SAEHD").iteration == 7
    assert (backup / "preview_SAEHD masked.jpg").exists()


def test_backup_now_copies_what_was_there_before_training(tmp_path):
    trainer(tmp_path, FakeModel(options(target_iter=3))).run()
    model = FakeModel(options(target_iter=6))
    model.load_state(saved(tmp_path))
    trainer(tmp_path, model, first=False, backup_now=True).run()
    assert read_model(tmp_path / "new_SAEHD_autobackups" / "01", "new", "SAEHD").iteration == 3
    assert saved(tmp_path).iteration == 6


def test_automatic_backups_follow_the_clock(tmp_path):
    log = ListLog()
    run = {"save_every_iters": 5, "backup_every": 1e-9}
    trainer(tmp_path, FakeModel(options(target_iter=10)), log=log, **run).run()
    assert log.kinds().count("backup") == 3
    assert (tmp_path / "new_SAEHD_autobackups" / "03").is_dir()


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_loss_that_is_no_number_keeps_the_last_save(tmp_path, bad):
    model = FakeModel()
    model.losses_to_give = {8: bad}
    with pytest.raises(TrainingDiverged, match="iteration 8") as caught:
        trainer(tmp_path, model, save_every_iters=3).run()
    assert caught.value.exit_code == 3
    assert saved(tmp_path).iteration == 6


def test_weights_that_are_no_numbers_are_not_saved(tmp_path):
    model = FakeModel()
    model.spoil_weights_at = 5
    with pytest.raises(TrainingDiverged, match="weights are not finite"):
        trainer(tmp_path, model, save_every_iters=3).run()
    state = saved(tmp_path)
    assert state.iteration == 3
    assert np.isfinite(state.tensors["encoder"]["layer/weight:0"]).all()


def test_a_collapse_is_stopped_and_nothing_of_it_is_saved(tmp_path):
    model = FakeModel()
    model.losses_to_give = {k: (1.0 if k <= 150 else 50.0) + k * 1e-9 for k in range(1, 300)}
    log = ListLog()
    with pytest.raises(TrainingDiverged, match="iteration 170: the src loss stayed above"):
        trainer(tmp_path, model, log=log, save_every_iters=10, no_preview=True).run()
    assert saved(tmp_path).iteration == 150
    assert any("risen sharply: skipping this save" in line for line in log.lines)


def test_the_collapse_guard_can_be_switched_off(tmp_path):
    model = FakeModel(options(target_iter=200))
    model.losses_to_give = {k: (1.0 if k <= 150 else 50.0) + k * 1e-9 for k in range(1, 300)}
    trainer(tmp_path, model, guard_collapse=False, no_preview=True).run()
    assert saved(tmp_path).iteration == 200


def full_disk_from(monkeypatch, first_failing: int, last_failing: int = 10**9):
    real, calls = checkpoint_module.write_model, []

    def write(*args, **settings):
        calls.append(1)
        if first_failing <= len(calls) <= last_failing:
            raise WorkspaceError("model: cannot be written. The disk is full: free some space.")
        return real(*args, **settings)

    monkeypatch.setattr(checkpoint_module, "write_model", write)


def test_a_full_disk_at_the_first_save_stops_at_once(tmp_path, monkeypatch):
    full_disk_from(monkeypatch, 1)
    log = ListLog()
    with pytest.raises(WorkspaceError, match="disk is full"):
        trainer(tmp_path, log=log).run()
    assert log.iterations == [1]


def test_a_full_disk_later_is_told_and_training_goes_on(tmp_path, monkeypatch):
    full_disk_from(monkeypatch, 2, 3)
    log = ListLog()
    trainer(tmp_path, FakeModel(options(target_iter=20)), log=log, save_every_iters=5).run()
    assert log.kinds().count("save_failed") == 2
    assert any("saving failed: model: cannot be written" in line for line in log.lines)
    assert saved(tmp_path).iteration == 20


def test_a_full_disk_at_the_first_save_of_a_resumed_run_is_told_and_training_goes_on(
    tmp_path, monkeypatch
):
    trainer(tmp_path, FakeModel(options(target_iter=3))).run()
    model = FakeModel(options(target_iter=20))
    model.load_state(saved(tmp_path))
    full_disk_from(monkeypatch, 1, 1)
    log = ListLog()
    trainer(tmp_path, model, first=False, log=log, save_every_iters=8).run()
    assert any("The save of iteration 3 is intact" in line for line in log.lines)
    assert saved(tmp_path).iteration == 20


def test_a_full_disk_at_the_end_is_an_error_and_the_last_save_is_whole(tmp_path, monkeypatch):
    full_disk_from(monkeypatch, 2)
    with pytest.raises(WorkspaceError, match="disk is full"):
        trainer(tmp_path, FakeModel(options(target_iter=6))).run()
    assert saved(tmp_path).iteration == 1


def test_no_save_writes_no_model(tmp_path):
    trainer(tmp_path, FakeModel(options(target_iter=4)), no_save=True, no_preview=True).run()
    assert list(tmp_path.iterdir()) == []


def test_previews_and_plot_are_files(tmp_path):
    log = ListLog()
    model = FakeModel(options(target_iter=10))
    trainer(tmp_path, model, log=log, preview_every=4).run()
    folder = tmp_path / "new_SAEHD_preview"
    assert sorted(path.name for path in folder.iterdir()) == [
        "SAEHD masked.jpg",
        "SAEHD.jpg",
        "loss.png",
    ]
    assert log.kinds().count("preview") == 4  # iterations 1, 4, 8 and the end


def test_the_preview_folder_can_be_chosen_and_a_failure_is_not_fatal(tmp_path):
    chosen = tmp_path / "chosen"
    trainer(tmp_path / "a", FakeModel(options(target_iter=2)), preview_dir=str(chosen)).run()
    assert (chosen / "SAEHD.jpg").exists()
    blocked = tmp_path / "file"
    blocked.write_text("in the way")
    log = ListLog()
    model = FakeModel(options(target_iter=2))
    trainer(tmp_path / "b", model, log=log, preview_dir=str(blocked)).run()
    assert any(line.startswith("warning: the preview was not written") for line in log.lines)
    assert saved(tmp_path / "b").iteration == 2


def test_preview_history_shows_the_fixed_sample(tmp_path):
    model = FakeModel(options(target_iter=25, write_preview_history=True))
    trainer(tmp_path, model).run()
    place = tmp_path / "new_SAEHD_history" / "SAEHD"
    names = sorted(path.name for path in place.iterdir())
    assert names == ["0000000.jpg", "0000010.jpg", "0000020.jpg", "_last.jpg"]
    assert (place / "_last.jpg").read_bytes() == (place / "0000020.jpg").read_bytes()
    stored = saved(tmp_path).extra["sample_for_preview"]
    again = FakeModel(options(target_iter=30))
    again.load_state(saved(tmp_path))
    trainer(tmp_path, again, first=False, position=50).run()
    for before, after in zip(stored, saved(tmp_path).extra["sample_for_preview"], strict=True):
        np.testing.assert_array_equal(before[0], after[0])
    redrawn = FakeModel(options(target_iter=31))
    redrawn.load_state(saved(tmp_path))
    trainer(tmp_path, redrawn, first=False, position=60, new_preview_sample=True).run()
    now = saved(tmp_path).extra["sample_for_preview"]
    assert np.abs(now[0][0] - stored[0][0]).max() > 0


def test_streams_are_closed_whatever_happens(tmp_path):
    model = FakeModel()
    model.losses_to_give = {2: math.nan}
    run = trainer(tmp_path, model)
    with pytest.raises(TrainingDiverged):
        run.run()
    assert all(stream.closed for stream in run.batch_source._streams.values())


class _Broken(FakeModel):
    """A model whose fourth step fails."""

    def __init__(self, error: Exception) -> None:
        super().__init__()
        self.error = error

    def train_step(self, *batches):
        if self.begun == 3:
            raise self.error
        return super().train_step(*batches)


class ResourceExhaustedError(Exception):
    """What TensorFlow raises when a device has no memory left; told by its name."""


@pytest.mark.parametrize(
    ("error", "raised", "says"),
    [
        (FacesetError("32 faces in a row cannot be read"), FacesetError, "32 faces"),
        (RuntimeError("a bug"), RuntimeError, "a bug"),
        (MemoryError(), OutOfMemory, r"(?s)batch_size=2.*1\. --batch-size 1"),
        (ResourceExhaustedError("OOM when allocating"), OutOfMemory, "--plan"),
    ],
)
def test_whatever_ends_a_run_the_finished_iterations_are_saved(tmp_path, error, raised, says):
    log = ListLog()
    with pytest.raises(raised, match=says):
        trainer(tmp_path, _Broken(error), log=log).run()
    assert saved(tmp_path).iteration == 3
    assert "the model is saved at iteration 3" in log.lines


def test_an_error_is_told_even_if_nothing_can_be_saved(tmp_path, monkeypatch):
    full_disk_from(monkeypatch, 2)
    log = ListLog()
    with pytest.raises(FacesetError, match="gone"):
        trainer(tmp_path, _Broken(FacesetError("gone")), log=log).run()
    assert any("saving failed: model: cannot be written" in line for line in log.lines)
    assert saved(tmp_path).iteration == 1


def test_a_save_that_failed_while_the_next_or_a_backup_waited_for_it_is_not_the_end(
    tmp_path, monkeypatch
):
    real, calls = checkpoint_module.write_model, []

    def slow_and_full(*args, **settings):
        calls.append(1)
        if len(calls) in (2, 4):
            time.sleep(0.2)
            raise WorkspaceError("model: cannot be written. The disk is full: free some space.")
        return real(*args, **settings)

    monkeypatch.setattr(checkpoint_module, "write_model", slow_and_full)
    log = ListLog()
    run = {"save_every_iters": 1, "no_preview": True, "backup_every": 1e-9}
    trainer(tmp_path, FakeModel(options(target_iter=8)), log=log, **run).run()
    assert log.kinds().count("save_failed") == 2
    assert saved(tmp_path).iteration == 8


def test_the_last_save_is_made_though_the_one_before_it_is_failing(tmp_path, monkeypatch):
    real, calls = checkpoint_module.write_model, []

    def slow_and_full(*args, **settings):
        calls.append(1)
        if len(calls) == 3:
            time.sleep(0.3)
            raise WorkspaceError("model: cannot be written. The disk is full: free some space.")
        return real(*args, **settings)

    monkeypatch.setattr(checkpoint_module, "write_model", slow_and_full)
    log = ListLog()
    run = {"save_every_iters": 2, "no_preview": True}
    trainer(tmp_path, FakeModel(options(target_iter=5)), log=log, **run).run()
    assert log.kinds().count("save_failed") == 1
    assert saved(tmp_path).iteration == 5


def test_a_backup_that_fails_is_told_and_training_goes_on(tmp_path, monkeypatch):
    trainer(tmp_path, FakeModel(options(target_iter=3))).run()

    def full(*args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(backup.durable, "copy_file", full)
    model = FakeModel(options(target_iter=6))
    model.load_state(saved(tmp_path))
    log = ListLog()
    run = {"save_every_iters": 1, "backup_every": 1e-9}
    trainer(tmp_path, model, first=False, log=log, **run).run()
    assert saved(tmp_path).iteration == 6
    assert any(line.startswith("warning: no backup was made") for line in log.lines)
    assert not list((tmp_path / "new_SAEHD_autobackups").iterdir())  # the copy is taken away
    with pytest.raises(WorkspaceError, match="nothing was trained"):
        trainer(tmp_path, model, first=False, backup_now=True).run()


def test_a_closed_terminal_is_a_reason_to_save_but_not_under_nohup(tmp_path):
    class HungUp(FakeModel):
        def train_step(self, *batches):
            if self.begun == 2:
                os.kill(os.getpid(), signal.SIGHUP)
            return super().train_step(*batches)

    result = trainer(tmp_path, HungUp(options(target_iter=5))).run()
    assert (result.exit_code, result.iteration) == (129, 3)
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        assert trainer(tmp_path, HungUp(options(target_iter=5))).run().iteration == 5
        assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)


def test_a_target_that_was_reached_before_says_how_to_go_on(tmp_path):
    trainer(tmp_path, FakeModel(options(target_iter=3))).run()
    model = FakeModel(options(target_iter=3))
    model.load_state(saved(tmp_path))
    log = ListLog()
    trainer(tmp_path, model, first=False, log=log).run()
    assert "--target-iter" in log.lines[-1]
    assert "nothing was trained" in log.lines[-1]
