from __future__ import annotations

import json
import subprocess
import sys
import time
import weakref
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dfl_tf.errors import FacesetError, OptionError
from dfl_tf.formats import read_model
from dfl_tf.jobs.events import Event
from dfl_tf.train import requests
from dfl_tf.train.events import Iteration
from dfl_tf.train.trainer import Trainer

from .support import runs
from .support.fake_model import FakeModel, check_whole, options
from .support.runs import ListLog, trainer

ROOT = Path(__file__).parents[2]


def saved(folder: Path) -> Any:
    state = read_model(folder, "new", "SAEHD")
    check_whole(state)
    return state


def switching(training: Trainer, changes: dict[int, dict[str, Any]]) -> Trainer:
    """Ask for changes after some iterations."""

    def asking(event: Event) -> None:
        if isinstance(event, Iteration) and event.iteration in changes:
            training.switch(changes[event.iteration])

    training.log.then = asking
    return training


def test_a_switch_equals_stopping_and_resuming(tmp_path):
    one, two = tmp_path / "one", tmp_path / "two"
    log = ListLog()
    training = trainer(one, FakeModel(options(target_iter=5)), log=log)
    change = {"random_warp": False, "target_iter": 9}
    result = switching(training, {5: change}).run()
    assert (result.iteration, log.iterations) == (9, list(range(1, 10)))
    trainer(two, FakeModel(options(target_iter=5))).run()
    model = FakeModel(options(**change))
    model.load_state(saved(two))
    trainer(two, model, first=False, position=10).run()
    first, second = saved(one), saved(two)
    assert first.options == second.options
    assert first.options["random_warp"] is False
    assert first.options["odd_key"] == "kept"
    assert (first.run, first.loss_history) == (second.run, second.loss_history)
    for part, arrays in first.tensors.items():
        for key, array in arrays.items():
            np.testing.assert_array_equal(array, second.tensors[part][key])


def test_a_switch_is_told_and_stored_at_once(tmp_path):
    log = ListLog()
    training = trainer(tmp_path, FakeModel(options(target_iter=4)), log=log)
    seen = []
    rebuild = training._rebuild

    def looking(settings, state):
        seen.append(saved(tmp_path))  # of the end of the segment before
        return rebuild(settings, state)

    training._rebuild = looking
    switching(training, {3: {"random_warp": "n"}}).run()
    assert [(s.iteration, s.options["random_warp"]) for s in seen] == [(3, True)]
    (event,) = [fields for kind, fields in log.events if kind == "segment"]
    assert (event["iteration"], event["rebuilt"]) == (3, True)
    assert event["changes"] == {"random_warp": [True, False]}
    assert "iteration 3: options changed: random_warp on -> off" in log.lines
    assert [f["iteration"] for kind, f in log.events if kind == "save"] == [1, 3, 3, 4]


def test_the_old_model_is_gone_before_the_new_one_is_built(tmp_path, monkeypatch):
    model = FakeModel(options(target_iter=4))
    old, alive = weakref.ref(model), []

    def looking(settings, state):
        alive.append(old() is not None)
        return runs.rebuild(settings, state)

    training = trainer(tmp_path, model)
    training._rebuild = looking
    del model
    switching(training, {2: {"random_warp": False}}).run()
    assert alive == [False]


def test_options_that_the_model_does_not_depend_on_need_no_new_model(tmp_path):
    log, model = ListLog(), FakeModel(options(target_iter=3))
    training = trainer(tmp_path, model, log=log, save_every=0)
    later = {"target_iter": 8, "save_every_iters": 5}
    switching(training, {2: later}).run()
    assert training.model is model
    assert saved(tmp_path).options["target_iter"] == 8
    assert [f["iteration"] for kind, f in log.events if kind == "save"] == [1, 2, 5, 8]


def test_options_that_are_none_are_refused_and_nothing_changes(tmp_path):
    training = trainer(tmp_path, FakeModel(options(target_iter=2)))
    before = training.segment.settings
    with pytest.raises(OptionError) as caught:
        training.switch({"batch_size": 0, "devices": "0,1", "ae_dims": 64, "blur_in": 1}, "a file")
    for text in ("batch_size=0", "devices cannot change during a run", "ae_dims=64", "blur_in"):
        assert text in str(caught.value)
    assert training.run().iteration == 2
    assert training.segment.settings is before


def test_a_model_that_cannot_be_built_leaves_the_old_one_training(tmp_path):
    log = ListLog()
    training = trainer(tmp_path, FakeModel(options(target_iter=6)), log=log)

    def failing(settings, state):
        if settings.options.batch_size == 64:
            raise FacesetError("the faces are gone")
        return runs.rebuild(settings, state)

    training._rebuild = failing
    switching(training, {3: {"batch_size": 64}}).run()
    state = saved(tmp_path)
    assert (state.iteration, state.options["batch_size"]) == (6, 2)
    assert "error: the options are not changed: the faces are gone" in log.lines
    assert state.run["positions"] == {"src": 12, "dst": 12}


def test_a_collapsing_model_is_not_saved_by_a_switch(tmp_path):
    model = FakeModel(options(target_iter=160))
    model.losses_to_give = {k: (1.0 if k <= 150 else 50.0) + k * 1e-9 for k in range(1, 300)}
    training = trainer(tmp_path, model, no_preview=True, save_every_iters=10)
    training.switch({"target_iter": 158})
    switching(training, {157: {"autobackup_hour": 1}}).run()
    assert saved(tmp_path).iteration == 150


def asked_for(folder: Path, text: str, at: int = 3, until: int = 6) -> tuple[Any, ListLog]:
    """A training that finds a file of options after an iteration, and waits until it is read."""
    request = folder / "new_SAEHD_options.request"

    class Scripted(FakeModel):
        def train_step(self, *batches):
            if self.iteration + 1 == at:
                request.write_text(text)
            elif self.iteration + 1 > at and request.exists():
                time.sleep(requests.UNCHANGED_SECONDS)
            return super().train_step(*batches)

    log = ListLog()
    trainer(folder, Scripted(options(target_iter=until)), log=log).run()
    assert not request.exists()
    return saved(folder), log


def test_a_file_of_options_is_applied_answered_and_stored(tmp_path):
    state, log = asked_for(tmp_path, "random_warp: off\ntarget_iter: 9\n")
    assert (state.iteration, state.options["random_warp"]) == (9, False)
    assert not list(tmp_path.glob("*.request*"))
    (told,) = [line for line in log.lines if "options changed" in line]
    assert told.endswith("options changed: target_iter 6 -> 9, random_warp on -> off")
    (answer,) = [fields for kind, fields in log.events if kind == "request"]
    assert answer == {
        "name": "new_SAEHD_options.request",
        "options": {"random_warp": False, "target_iter": 9},
        "refused": "",
    }


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("batch_size: 0\nblur_in: 1\n", "batch_size=0 is less than 1"),
        ("random_warp: [", "new_SAEHD_options.request"),
        ("", "it contains no options"),
        ("threads: 4\n", "threads cannot change during a run"),
    ],
)
def test_a_file_of_options_that_is_wrong_is_refused_in_one_line_and_renamed(tmp_path, text, says):
    state, log = asked_for(tmp_path, text)
    assert state.iteration == 6
    (line,) = [line for line in log.lines if "is refused" in line]
    assert line.startswith("error: new_SAEHD_options.request is refused: ")
    assert says in line
    assert "\n" not in line
    assert (tmp_path / "new_SAEHD_options.request.refused").read_text() == text
    (answer,) = [fields for kind, fields in log.events if kind == "request"]
    assert answer["refused"]


def test_a_file_of_options_from_before_the_run_is_not_applied(tmp_path):
    (tmp_path / "new_SAEHD_options.request").write_text("target_iter: 9\n")
    log = ListLog()
    assert trainer(tmp_path, FakeModel(options(target_iter=2)), log=log).run().iteration == 2
    assert "not applied, renamed to new_SAEHD_options.request.refused" in log.lines[0]


@pytest.mark.slow
@pytest.mark.parametrize("devices", ["", "cpu:0,cpu:1"])
def test_on_off_on_in_one_process_equals_stopping_and_resuming_bit_for_bit(devices):
    """SAEHD with its GAN, which is switched off meanwhile; on two devices as well."""
    child = [sys.executable, "-m", "tests.train.support.switch_child", devices]
    done = subprocess.run(child, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["differences"] == []
    assert found["iterations"] == [1, 2, 3]
    assert found["alive"] == [0, 0, 0]
    assert found["gan moved"]
    assert "GAN, GAN_opt: 1 iterations behind (last trained at 1)" in found["lines"]
    assert [sorted(s["changes"]) for s in found["segments"]] == [
        ["batch_size", "gan_power", "random_warp", "target_iter"],
        ["batch_size", "ct_mode", "gan_power", "lr_dropout", "target_iter"],
    ]
