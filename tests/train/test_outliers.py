"""Faces whose losses stand out, and how they are left out."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import dfl_tf
from dfl_tf.data import Batch, Faceset, OutputSpec, SampleSpec
from dfl_tf.data.batch import SampleId
from dfl_tf.errors import ModelFileError, TrainingDiverged
from dfl_tf.face import FaceType
from dfl_tf.formats import read_model
from dfl_tf.jobs.events import Event
from dfl_tf.options import RunOptions, legacy_layer, resolve
from dfl_tf.options.saehd import SAEHDOptions
from dfl_tf.train import outliers
from dfl_tf.train.batch_source import Facesets, open_batch_source
from dfl_tf.train.checkpoint import CheckpointLocation
from dfl_tf.train.events import Iteration
from dfl_tf.train.outliers import LossHistories, Outlier
from dfl_tf.train.quarantine import leave_out, left_out_lines, lift, read_left_out, tree_of
from dfl_tf.train.rollback import RollBackState
from dfl_tf.train.segment import Segment
from dfl_tf.train.settings import Settings
from dfl_tf.train.trainer import Trainer

from .support.fake_model import FakeModel, options
from .support.runs import ListLog

DEMO = Path(dfl_tf.__file__).parent / "demo_data"
SPEC = SampleSpec(resolution=32, face_type=FaceType.FULL, outputs={"image": OutputSpec()})


@pytest.fixture(scope="module")
def facesets() -> Facesets:
    """Twelve faces of each side, so that 80 iterations see each of them more than eight times."""
    sides = (Faceset.open(DEMO / side / "aligned") for side in ("data_src", "data_dst"))
    return Facesets(*(side.subset(range(12)) for side in sides))


class Faces(list):
    """What `LossHistories` asks of a faceset."""

    def key(self, index: int) -> str:
        return f"/faces/{self[index]}"

    identity = list.__getitem__


class Losses:
    """Losses of 40 faces that are drawn in turn, and what of them stands out."""

    def __init__(self, batch: int = 4, sigma: float = 0.3) -> None:
        self.faces = Faces(f"{number:03}.jpg" for number in range(40))
        self.histories = LossHistories({"src": self.faces})
        self.rng, self.batch, self.sigma = np.random.default_rng(0), batch, sigma
        self.history = np.empty((0, 1))

    def values(self, iteration: int) -> tuple[Batch, np.ndarray]:
        """A falling level, each face with a loss of its own, and noise."""
        numbers = [(iteration * self.batch + place) % 40 for place in range(self.batch)]
        samples = tuple(SampleId(0, self.faces.key(number)) for number in numbers)
        own = 1 + np.array(numbers) % 5 / 4
        noise = np.exp(self.sigma * self.rng.normal(size=self.batch))
        return Batch({"image": np.zeros((self.batch, 1))}, samples), own * noise * 0.999**iteration

    def train(self, count: int, change: Any = lambda iteration, batch, values: values) -> Any:
        found = []
        for iteration in range(len(self.history), len(self.history) + count):
            batch, values = self.values(iteration)
            values = change(iteration, batch, values)
            given = {"src": batch}, {"src": values}, self.history
            found += [(iteration, each) for each in self.histories.look(iteration, *given)]
            mean = np.mean(values[np.isfinite(values)]) if np.isfinite(values).any() else np.nan
            self.history = np.concatenate([self.history, [[mean]]])
        return found


def spoil(face: str, factor: float) -> Any:
    def change(iteration: int, batch: Batch, values: np.ndarray) -> np.ndarray:
        bad = np.array([sample.face.endswith(face) for sample in batch.samples])
        return np.where(bad, values * factor, values)

    return change


@pytest.mark.parametrize("batch", [1, 2, 4, 8])
def test_a_face_stands_out_against_its_own_history(batch):
    losses = Losses(batch)
    assert losses.train(40 * 10 // batch) == []
    found = losses.train(40 // batch, spoil("007.jpg", 60))
    assert [(each.side, each.face, each.file) for _, each in found] == [
        ("src", "007.jpg", "/faces/007.jpg")
    ]
    assert 20 < found[0][1].times < 200
    assert found[0][1].text().startswith("the loss of src face 007.jpg, ")
    assert "times its usual one" in found[0][1].text()
    assert losses.train(40 // batch) == []


def test_a_face_that_is_always_hard_is_usual_and_noise_is_none():
    losses = Losses(sigma=0.4)
    assert losses.train(3000, spoil("007.jpg", 6)) == []  # 12,000 samples
    ((_, found),) = losses.train(10, spoil("007.jpg", 6 * 60))
    assert 20 < found.times < 180  # against its own, not against that of all


def test_when_all_losses_rise_no_face_stands_out():
    losses = Losses()
    losses.train(200)
    assert losses.train(50, lambda iteration, batch, values: values * 50) == []


def test_a_loss_that_is_no_number_is_the_face_s_only_where_the_others_are_as_always():
    losses = Losses()
    losses.train(20)
    ((_, found),) = losses.train(10, spoil("007.jpg", np.nan))
    assert (found.face, found.times) == ("007.jpg", np.inf)
    assert found.text() == "the loss of src face 007.jpg, nan, is not finite"
    assert losses.train(10, lambda i, b, values: values * np.nan) == []
    assert losses.train(10, lambda i, b, v: np.where(np.arange(4) < 1, np.inf, v * 1e6)) == []
    pair = Losses(2)
    pair.train(20)
    assert len(pair.train(20, spoil("007.jpg", np.inf))) == 1


def test_histories_are_stored_in_little_and_go_on():
    one, two = Losses(), Losses()
    one.train(100)
    tree = one.histories.tree()
    assert len(tree["data"]) < 40 * 40
    two.train(100)
    two.histories = LossHistories({"src": two.faces})
    assert two.histories.restore(tree)
    assert two.histories.tree() == tree
    change = spoil("009.jpg", 12)
    assert one.train(40, change) == two.train(40, change) != []
    assert not LossHistories({"dst": two.faces}).restore(tree)
    for bad in (None, {}, {**tree, "data": "?"}, {**tree, "data": tree["data"][:40]}):
        assert not two.histories.restore(bad)


def test_memory_is_bounded(monkeypatch):
    monkeypatch.setattr(outliers, "MOST_FACES", 10)
    losses = Losses()
    losses.train(100)
    assert losses.train(10, spoil("030.jpg", 20)) == []
    assert len(losses.train(10, spoil("009.jpg", 20))) == 1


# -- what is left out ------------------------------------------------------------------------------


def outlier(number: int, side: str = "src") -> Outlier:
    return Outlier(side, f"{number:03}.jpg", f"/faces/{number:03}.jpg", 3.0, 12.0)


def test_few_faces_are_left_out():
    sides = {"src": Faces(range(60)), "dst": Faces(range(9))}
    how = {"data": "", "iteration": 7}
    chosen, told = leave_out((), [outlier(1), outlier(1), outlier(2, "dst")], sides, **how)
    assert [(each.side, each.face, each.iteration) for each in chosen] == [
        ("src", "001.jpg", 7), ("dst", "002.jpg", 7),
    ]  # fmt: skip
    assert told[0] == (
        "left out of training from now on: the loss of src face 001.jpg, 3, is 12.0 times its "
        "usual one (/faces/001.jpg)"
    )
    sides = {"src": Faces(range(59)), "dst": Faces(range(8))}
    more, told = leave_out(chosen, [outlier(n) for n in (3, 4, 5)], sides, **how)
    assert [each.face for each in more] == ["003.jpg", "004.jpg"]
    assert "005.jpg is not left out: 3 of 60 are already" in told[2]
    assert leave_out(chosen, [outlier(3, "dst")], sides, **how)[0] == []


def test_what_is_left_out_is_stored_listed_and_lifted():
    sides = {"src": Faces(range(60))}
    chosen, _ = leave_out((), [outlier(1), outlier(2)], sides, data="", iteration=7)
    stored = {"seed": 3, "quarantine": tree_of([*chosen, *chosen])}
    assert read_left_out(stored) == tuple(chosen)
    assert left_out_lines(stored)[1] == (
        "left out of training: src face 002.jpg, since iteration 7: the loss of src face 002.jpg, "
        "3, is 12.0 times its usual one"
    )
    assert lift(stored) == ({"seed": 3}, ["2 faces are trained on again that were left out"])
    assert lift({"seed": 3}) == ({"seed": 3}, [])
    with pytest.raises(ModelFileError, match="list of faces that are left out"):
        read_left_out({"quarantine": [{"side": 3}]})


def test_facesets_without_faces(facesets):
    names = [facesets.src.name(index) for index in range(len(facesets.src))]
    gone = [Outlier("src", name, name, 1.0, 9.0) for name in (names[1], "other.jpg")]
    many = {"src": Faces(range(100))}
    chosen, _ = leave_out((), gone, many, data="", iteration=1)
    fewer = facesets.without(chosen)
    left = [name for name in names if name != names[1]]
    assert [fewer.src.name(index) for index in range(len(fewer.src))] == left
    assert fewer.dst is facesets.dst
    assert f"src: left out, since their losses stood out: {names[1]} " in fewer.lines()[1]
    assert fewer.without(chosen).left_out == fewer.left_out == {"src": (names[1],)}
    elsewhere, _ = leave_out((), gone, many, data="people", iteration=1)
    assert facesets.without(elsewhere).left_out == {}


# -- in a training ---------------------------------------------------------------------------------


class Killed(BaseException):
    """As SIGKILL."""


class PerFace(FakeModel):
    """Losses that depend on the faces of a batch, which are drawn by real streams."""

    name, seed, samples_per_step = "new", 3, 2
    poison = ""
    value = 100.0
    begins = 0

    def sample_specs(self) -> Any:
        return {"src": SPEC, "dst": SPEC}

    def preview_specs(self) -> Any:
        return {}

    def repeats_batch(self, iteration: int) -> bool:
        return False

    def train_step(self, *batches: Batch) -> Any:
        super().train_step(*batches)
        values = {}
        for name, batch in zip(("src", "dst"), batches, strict=True):
            bad = np.array([sample.face == self.poison for sample in batch.samples])
            bad &= self.iteration >= self.begins
            values[name] = np.where(bad, self.value, 1.0 + self.weight[0] % 0.1)
        return values


def run(folder: Path, facesets: Facesets, log: ListLog, kind: type[PerFace], **given: Any) -> Any:
    """Train to iteration 80, or go on to it."""
    found = None
    if (folder / "new_SAEHD_data.dat").exists():
        found = read_model(folder, "new", "SAEHD")
    how = RunOptions(
        **{"no_preview": True, "save_every_iters": 10, "on_collapse": "rollback"} | given
    )
    resolved = resolve(SAEHDOptions, [legacy_layer(SAEHDOptions, {}, origin="a test")])
    resolved = resolved.__class__(**{**vars(resolved), "options": options(target_iter=80)})

    def build(settings: Settings, state: Any) -> Segment:
        model = kind(settings.options)
        if state is not None:
            model.load_state(state)
        stored = {} if state is None else state.run
        faces = facesets.without(read_left_out(stored))
        source = open_batch_source(model, faces, settings.run, stored, iteration=model.iteration)
        return Segment(settings, model, source, facesets=faces)

    first = build(Settings(resolved, how), found)
    form = "legacy" if found is None else "same"
    place = CheckpointLocation(folder, "new", "SAEHD", format=form, first=found is None)
    made = Trainer(first, place, log=log, rebuild=build)
    made.state.restore({} if found is None else found.run)
    return made, made.run()


def kind_of(facesets: Facesets, **given: Any) -> type[PerFace]:
    return type("Poisoned", (PerFace,), {"poison": facesets.src.key(1), **given})


def test_a_face_is_named_once_and_stays_where_nothing_else_is_asked_for(tmp_path, facesets):
    log = ListLog()
    made, result = run(tmp_path, facesets, log, kind_of(facesets, begins=60))
    assert result.iteration == 80
    named = [line for line in log.lines if "times its usual one" in line]
    assert len(named) == 1
    assert facesets.src.key(1) in named[0]
    events = [fields for kind, fields in log.events if kind == "outlier"]
    assert len(events) > 1
    assert {event["face"] for event in events} == {facesets.src.name(1)}
    assert f"the loss of 1 face stood out, {len(events)} times in all" in log.lines[-2]
    assert not {"quarantine", "face_losses"} & made.state.run_state.keys()


def test_quarantine_leaves_it_out_and_is_the_same_when_killed_anywhere(tmp_path, facesets):
    kind = kind_of(facesets, begins=60)
    logs = ListLog()
    made, _ = run(tmp_path / "whole", facesets, logs, kind, quarantine=True, workers=1)
    (left,) = read_left_out(made.state.stored)
    assert left.face == facesets.src.name(1)
    assert sum(kind == "outlier" for kind, _ in logs.events) == 1
    assert len(made.segment.facesets.src) == len(facesets.src) - 1
    rng, kills = random.Random(2), 0
    for _ in range(60):
        count = rng.randrange(5, 45)

        def killing(event: Event) -> None:
            nonlocal count
            count -= isinstance(event, Iteration)
            if count == 0:
                raise Killed

        log = ListLog(killing)
        try:
            run(tmp_path / "parts", facesets, log, kind, quarantine=True, workers=2)
            break
        except Killed:
            kills += 1
    assert kills > 2
    one, two = (read_model(tmp_path / each, "new", "SAEHD") for each in ("whole", "parts"))
    assert one.loss_history == two.loss_history
    assert one.run == two.run
    for part, arrays in one.tensors.items():
        for key, array in arrays.items():
            np.testing.assert_array_equal(array, two.tensors[part][key])


@pytest.mark.parametrize("begins", [0, 25])
def test_a_poisoned_face_does_not_keep_a_run_from_its_target(tmp_path, facesets, begins):
    log = ListLog()
    made, result = run(tmp_path, facesets, log, kind_of(facesets, value=np.nan, begins=begins))
    assert (result.exit_code, result.iteration) == (0, 80)
    (event,) = [fields for kind, fields in log.events if kind == "rollback"]
    assert event["remedy"] == f"left out of training: {facesets.src.name(1)}"
    state = read_model(tmp_path, "new", "SAEHD")
    assert [each.face for each in read_left_out(state.run)] == [facesets.src.name(1)]
    back = RollBackState.read(state.run)
    assert (back.retry, back.tries, back.remedies) == (1, 0, {})
    assert np.isfinite(state.loss_history).all()
    assert len(made.segment.facesets.src) == len(facesets.src) - 1


def test_a_poisoned_face_stops_a_plain_run(tmp_path, facesets):
    kind = kind_of(facesets, value=np.nan, begins=25)
    with pytest.raises(TrainingDiverged, match="not finite"):
        run(tmp_path, facesets, ListLog(), kind, on_collapse="stop")
