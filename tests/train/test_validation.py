"""Quality while a model trains: when, what is kept, and that the training stays the same."""

from __future__ import annotations

import math
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

import dfl_tf
from dfl_tf.data import Faceset
from dfl_tf.errors import FacesetError, ModelFileError, UsageError
from dfl_tf.formats import read_model
from dfl_tf.formats.sessions.workspace import Workspace
from dfl_tf.train.batch_source import Facesets
from dfl_tf.train.events import Iteration
from dfl_tf.train.validation import (
    KEPT,
    curve,
    names_of,
    note,
    note_holdout,
    of_data,
    read_stored,
    validation_lines,
)
from tests.cli.support.workspaces import TINY, loose

from .support.fake_model import FakeModel, options
from .support.runs import ListLog, trainer

ROOT = Path(__file__).parents[2]


def quality(value: float, samples: str = "these", **metrics: float) -> SimpleNamespace:
    return SimpleNamespace(
        metrics={"ssim": value, **metrics}, value=value, samples=samples, faces=7
    )


class NamedFaces(list):
    """A faceset of names."""

    def name(self, index: int) -> str:
        return self[index]


class Measurer:
    """Gives values in turn; notes what it was asked."""

    def __init__(self, *values: float | Exception) -> None:
        self.values, self.asked, self.made = list(values), [], []

    def __call__(self, src, dst, say):
        self.made.append((src, dst))
        return self._measure

    def _measure(self, model):
        self.asked.append(model.iteration)
        value = self.values.pop(0)
        if isinstance(value, Exception):
            raise value
        return quality(value)


def validating(folder: Path, measurer: Measurer | None, *, log=None, model=None, **settings):
    model = model or FakeModel(options(validate_every=2, target_iter=6))
    training = trainer(folder, model, log=log or ListLog(), **settings)
    training.state._make_measure = measurer
    training.segment.facesets = SimpleNamespace(
        held_out={"src": "held src", "dst": "held dst"},
        src=NamedFaces(["src"]),
        dst=NamedFaces(["dst"]),
    )
    return training


def test_it_is_measured_every_n_iterations_and_stored_with_the_model(tmp_path):
    log, measurer = ListLog(), Measurer(0.3, 0.5, 0.4)
    assert validating(tmp_path, measurer, log=log).run().iteration == 6
    assert measurer.asked == [2, 4, 6]
    assert measurer.made == [("held src", "held dst")]
    events = [fields for kind, fields in log.events if kind == "validation"]
    assert [(e["iteration"], e["best"], e["faces"]) for e in events] == [
        (2, True, 7), (4, True, 7), (6, False, 7),
    ]  # fmt: skip
    rows = read_model(tmp_path, "new", "SAEHD").run["validation"]
    assert [(row["iteration"], row["value"], row["best"]) for row in rows] == [
        (2, 0.3, True), (4, 0.5, True), (6, 0.4, False),
    ]  # fmt: skip
    assert "best at iteration 4: ssim 0.5000" in validation_lines({"validation": rows})[1]


def test_what_was_measured_before_is_kept_over_runs_and_switches(tmp_path):
    measurer = Measurer(0.3, 0.5, 0.4)
    validating(tmp_path, measurer, model=FakeModel(options(validate_every=2, target_iter=2))).run()
    state = read_model(tmp_path, "new", "SAEHD")
    model = FakeModel(options(validate_every=2, target_iter=6))
    model.load_state(state)
    training = validating(tmp_path, measurer, model=model, first=False, position=4)
    training.state.restore(state.run)
    training.run()
    rows = read_model(tmp_path, "new", "SAEHD").run["validation"]
    assert [row["best"] for row in rows] == [True, True, False]


def test_the_period_changes_at_once(tmp_path):
    log, measurer = ListLog(), Measurer(*[0.5] * 9)
    training = validating(tmp_path, measurer, log=log)
    log.then = lambda event: (
        training.switch({"validate_every": 1})
        if isinstance(event, Iteration) and event.iteration == 3
        else None
    )
    model = training.model
    training.run()
    assert training.model is model
    assert measurer.asked == [2, 4, 5, 6]


@pytest.mark.parametrize(
    "error", [FacesetError("the faces are gone"), OSError(5, "Input/output error")]
)
def test_a_measurement_that_fails_is_told_and_the_training_goes_on(tmp_path, error):
    log = ListLog()
    assert validating(tmp_path, Measurer(error, 0.5, 0.6), log=log).run().iteration == 6
    (line,) = [line for line in log.lines if "quality was not measured" in line]
    assert line.startswith("warning: ")
    assert len(read_model(tmp_path, "new", "SAEHD").run["validation"]) == 2


def test_an_error_of_the_program_is_not_hidden(tmp_path):
    with pytest.raises(ZeroDivisionError):
        validating(tmp_path, Measurer(ZeroDivisionError())).run()
    assert read_model(tmp_path, "new", "SAEHD").iteration == 2  # saved all the same


def test_faces_that_are_trained_on_are_measured_where_none_are_held_out(tmp_path):
    log, measurer = ListLog(), Measurer(0.1, 0.2, 0.3)
    training = validating(tmp_path, measurer, log=log)
    training.segment.facesets.held_out = {}
    training.run()
    assert measurer.made == [(["src"], ["dst"])]
    assert log.lines.count("holdout is 0: quality is measured on training faces") == 1
    log = ListLog()
    validating(tmp_path / "none", None, log=log).run()
    assert any("no evaluator" in line for line in log.lines)


def test_without_the_options_nothing_is_stored(tmp_path):
    validating(tmp_path, Measurer(), model=FakeModel(options(target_iter=2))).run()
    assert read_model(tmp_path, "new", "SAEHD").run.keys() == {"seed", "positions"}


def test_what_is_no_number_is_never_the_best():
    stored: dict = {}
    given = [math.nan, 0.2, math.nan, math.inf, 0.1, 0.3]
    best = [note(stored, i, quality(value), 0.0).best for i, value in enumerate(given)]
    assert best == [False, True, False, False, False, True]
    rows, _ = read_stored(stored)
    assert [row["value"] for row in rows] == [None, 0.2, None, None, 0.1, 0.3]
    assert curve(stored) == [(1, 0.2), (4, 0.1), (5, 0.3)]
    assert "no number" in validation_lines({"validation": rows[:1]})[0]


def test_what_was_measured_last_can_end_a_phase():
    stored: dict = {}
    note(stored, 5, quality(0.9, dst_ssim=0.7, jitter=math.nan), 0.0)
    assert stored["metrics"] == {"ssim": 0.9, "dst_ssim": 0.7}


def test_the_best_begins_again_with_other_faces_other_data_and_another_phase():
    stored: dict = {}

    def best(value: float, samples: str = "these", data: str = "one") -> bool:
        measured = of_data(lambda model: quality(value, samples), NamedFaces([data]))
        return note(stored, 1, measured(None), 0.0).best

    assert best(0.9)
    assert not best(0.5)
    assert best(0.4, samples="others")
    stored["recipe"] = {"phase": "warp off"}
    assert best(0.3)
    assert best(0.2, data="more faces")
    del stored["recipe"]
    assert not best(0.8)
    assert best(0.95)


def test_a_bounded_number_of_measurements_is_kept():
    stored: dict = {
        "validation": [
            {"iteration": i, "value": 0.5, "metrics": {}, "key": "k", "best": False}
            for i in range(KEPT)
        ]
    }
    note(stored, KEPT, quality(0.5), 0.0)
    assert [row["iteration"] for row in stored["validation"]] == list(range(1, KEPT + 1))


@pytest.mark.parametrize(
    "run", [{"validation": 5}, {"validation": [{}]}, {"holdout": {"share": "x", "since": 0}}]
)
def test_a_record_of_another_kind_is_refused(run):
    with pytest.raises(ModelFileError, match="what its last run saved"):
        read_stored(run)


def test_since_when_faces_are_held_out():
    stored: dict = {}
    note_holdout(stored, 0.0, 0)
    assert stored == {}
    note_holdout(stored, 0.1, 500)
    note_holdout(stored, 0.1, 900)
    assert stored == {"holdout": {"share": 0.1, "since": 500}}
    note_holdout(stored, 0.2, 900)
    assert stored["holdout"] == {"share": 0.2, "since": 900}
    assert "0.2 of the faces, since iteration 900" in validation_lines(stored)[0]
    note_holdout(stored, 0.0, 1000)
    assert stored == {}


def test_the_share_that_a_run_goes_on_with_is_noted(tmp_path):
    for share, before, since in (
        (0.1, {}, 50),
        (0.1, {"share": 0.1, "since": 7}, 7),
        (0.2, {"share": 0.1, "since": 7}, 50),
    ):
        model = FakeModel(options(holdout=share))
        model.iteration = 50
        training = trainer(tmp_path, model, first=False)
        training.state.restore({"holdout": before} if before else {})
        assert training.state.run_state["holdout"] == {"share": share, "since": since}


def test_streams_leave_out_what_is_held_out(tmp_path):
    place = Workspace.open(loose(tmp_path, 8))
    whole = Facesets.open(place, pretrain=False)
    found = Facesets.open(place, pretrain=False, holdout=0.25)
    for side in ("src", "dst"):
        held, kept, every = (
            {face.key for face in faces}
            for faces in (found.held_out[side], found.of(side), whole.of(side))
        )
        assert len(held) == 2
        assert held | kept == every
        assert not held & kept
    assert names_of(found.src) != names_of(whole.src)
    assert found.lines()[1] == (
        "src: held out of training: 2 of 8 faces (1 of 5 blocks of 2 consecutive frames)"
    )
    again = Facesets.open(place, pretrain=False, holdout=0.25)
    assert [f.name for f in again.held_out["src"]] == [f.name for f in found.held_out["src"]]


def test_a_side_of_one_frame_cannot_hold_one_out(tmp_path):
    place = Workspace.open(loose(tmp_path, 1))
    with pytest.raises(UsageError, match=r"holdout 0.1: .*two frames.*set holdout to 0"):
        Facesets.open(place, pretrain=False, holdout=0.1)
    assert len(Faceset.open(place.src)) == 1


@pytest.mark.slow
def test_the_weights_are_the_same_with_and_without_measurements_bit_for_bit(tmp_path):
    root = loose(tmp_path, 6)
    common = [
        sys.executable, "-m", "dfl_tf", "train", str(root), *TINY, "--seed=7", "--threads=1",
        "--holdout=0.3", "--lr-dropout=y", "--target-iter=4",
    ]  # fmt: skip
    children = [
        subprocess.Popen(
            [*common, f"--model-dir={tmp_path / name}", f"--validate-every={every}"],
            cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
        )
        for name, every in (("without", 0), ("with", 1))
    ]  # fmt: skip
    for child in children:
        _, said = child.communicate()
        assert child.returncode == 0, said
    one, two = (read_model(tmp_path / name, "new", "SAEHD") for name in ("without", "with"))
    assert one.iteration == two.iteration == 4
    assert one.loss_history == two.loss_history
    for part, arrays in one.tensors.items():
        for key, array in arrays.items():
            assert np.array_equal(array, two.tensors[part][key]), (part, key)
    assert [row["iteration"] for row in two.run["validation"]] == [1, 2, 3, 4]
    assert all(0 < row["metrics"]["ssim"] < 1 for row in two.run["validation"])
    assert "validation" not in one.run
    assert one.run["holdout"] == {"share": 0.3, "since": 0}
    whole = dfl_tf.evaluate(root, model_dir=str(tmp_path / "with"), identity=False)
    (result,) = whole.results
    assert result.held_out
    assert result.metrics["ssim"] == pytest.approx(two.run["validation"][-1]["value"], abs=1e-4)
    assert whole.near_duplicates.keys() == {"src", "dst"}
    assert any("of the held-out faces have a near duplicate" in note for note in whole.notes)
