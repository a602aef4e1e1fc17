"""Snapshots that a training makes, around the fake model."""

from __future__ import annotations

import math
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dfl_tf.disk import durable
from dfl_tf.errors import ModelFileError, UsageError
from dfl_tf.formats import read_model, write_model
from dfl_tf.formats.models.snapshot_rules import (
    Rules,
    refuse_beyond,
    surplus,
)
from dfl_tf.formats.models.snapshots import (
    Label,
    Snapshot,
    find_snapshot,
    list_snapshots,
)
from dfl_tf.jobs.events import Event
from dfl_tf.options.recipe import Recipe
from dfl_tf.options.recipe_file import read_recipe
from dfl_tf.train.checkpoint import CheckpointLocation
from dfl_tf.train.events import Iteration
from dfl_tf.train.recipe import ChosenRecipe, RecipeSource
from dfl_tf.train.recipe_state import stand
from dfl_tf.train.snapshots import best_so_far, past_of, regular_is_due
from dfl_tf.train.trainer import Trainer
from dfl_tf.train.validation import note

from .support.fake_model import FakeModel, check_whole, options
from .support.runs import ListLog, segment, trainer

TWO = """
name: two
phases:
  - {name: "warp: one", set: {random_warp: true}, until: {iterations: 4}}
  - {name: same, until: {iterations: 3}}
  - {name: detail, set: {random_warp: false}, until: {iterations: 2}}
"""


class Killed(BaseException):
    """As SIGKILL: nothing is done after it."""


def recipe(folder: Path) -> Recipe:
    path = folder / "two.yaml"
    path.write_text(TWO)
    return read_recipe(path)


def training(folder: Path, found: Recipe, log: ListLog | None = None, **run: Any) -> Trainer:
    """A trainer that goes on with the model of a folder, or begins one, by a recipe."""
    there = (folder / "new_SAEHD_data.dat").exists()
    state = read_model(folder, "new", "SAEHD") if there else None
    stored, iteration = ({}, 0) if state is None else (state.run, state.iteration)
    standing = stand(found, stored, iteration)
    warp = bool(found.layer(standing.index).values["random_warp"])
    model = FakeModel(options(random_warp=warp))
    if state is not None:
        model.load_state(state)
    made = trainer(folder, model, first=not there, position=2 * iteration, log=log, **run)
    source = RecipeSource(ChosenRecipe(found, standing, (), ()))
    made._sources = (source, *made._sources)
    made.state.restore(stored)
    source.follow(made.state)
    return made


def same(one: Any, two: Any) -> None:
    assert one.loss_history == two.loss_history
    for key, array in one.tensors["inter"].items():
        np.testing.assert_array_equal(array, two.tensors["inter"][key])


def there(folder: Path) -> list[Snapshot]:
    return list_snapshots(folder, "new", "SAEHD")


def names(folder: Path) -> list[str]:
    return [each.name for each in there(folder)]


def test_one_of_each_phase(tmp_path):
    log = ListLog()
    training(tmp_path, recipe(tmp_path), log).run()
    found = there(tmp_path)
    assert [(each.name, each.label.phase, each.label.iteration) for each in found] == [
        ("warp-one-4", "warp: one", 4), ("same-7", "same", 7), ("detail-9", "detail", 9),
    ]  # fmt: skip
    assert {each.label.kind for each in found} == {"phase"}
    assert found[0].label.note == "phase warp: one ended: 4 iterations"
    assert [each.label.options["random_warp"] for each in found] == [True, True, False]
    assert found[0].previews == ("preview_SAEHD.jpg", "preview_SAEHD masked.jpg")
    for each in found:
        state = read_model(each.folder, "new", "SAEHD")
        check_whole(state)
        assert state.iteration == each.label.iteration
        assert all((each.folder / name).is_file() for name in each.previews)
        assert all(path.stat().st_nlink == 1 for path in each.folder.iterdir())
    (told,) = [line for line in log.lines if line.startswith("snapshot same-7")]
    assert told.startswith("snapshot same-7 of iteration 7 made (2 snapshots have ")
    made = [fields for kind, fields in log.events if kind == "snapshot"]
    assert [fields["name"] for fields in made] == ["warp-one-4", "same-7", "detail-9"]


def test_the_snapshot_of_a_phase_goes_on_with_the_next_one(tmp_path):
    found, again = recipe(tmp_path), tmp_path / "again"
    training(tmp_path, found).run()
    again.mkdir()
    for path in there(tmp_path)[0].folder.glob("new_SAEHD*"):
        durable.copy_file(path, again / path.name)
    log = ListLog()
    training(again, found, log).run()
    assert log.iterations == [5, 6, 7, 8, 9]
    one, two = (read_model(folder, "new", "SAEHD") for folder in (tmp_path, again))
    same(one, two)


@pytest.mark.slow
@pytest.mark.parametrize("moment", ["while it is copied", "before its name", "after its name"])
def test_killed_while_it_is_made(tmp_path, monkeypatch, moment):
    whole, parts, found = tmp_path / "whole", tmp_path / "parts", recipe(tmp_path)
    training(whole, found).run()
    copy, rename, left = durable.copy_file, durable.rename, [1]
    remove = durable.shutil.rmtree

    def leaving(path: Path, **more: Any) -> None:
        if Path(path).parent.name != "new_SAEHD_snapshots":  # who is killed clears nothing away
            remove(path, **more)

    def killing(source: Path, target: Path) -> None:
        copy(source, target)
        if moment == "while it is copied" and target.name.endswith("inter.npy") and left:
            left.pop()
            raise Killed

    def renaming(source: Path, target: Path) -> None:
        if moment == "before its name" and target.name == "same-7" and left:
            left.pop()
            raise Killed
        rename(source, target)
        if moment == "after its name" and target.name == "same-7" and left:
            left.pop()
            raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(durable, "copy_file", killing)
        patch.setattr(durable, "rename", renaming)
        patch.setattr(durable.shutil, "rmtree", leaving)
        with pytest.raises(Killed):
            training(parts, found).run()
    assert not left
    for each in there(parts):  # whole, or not there
        check_whole(read_model(each.folder, "new", "SAEHD"))
    durable._cleared.clear()  # another process
    log = ListLog()
    training(parts, found, log).run()
    assert names(parts) == names(whole)
    cleared = [line for line in log.lines if "leftovers of an interrupted snapshot" in line]
    assert len(cleared) == (moment != "after its name")
    assert not list((parts / "new_SAEHD_snapshots").glob(".*"))
    one, two = (read_model(folder, "new", "SAEHD") for folder in (whole, parts))
    same(one, two)


def test_a_full_disk_costs_no_training(tmp_path, monkeypatch):
    found, log = recipe(tmp_path), ListLog()
    made = training(tmp_path, found, log)
    with monkeypatch.context() as patch:
        patch.setattr("dfl_tf.formats.models.snapshots.check_space", refuse)
        made.run()
    assert made.model.iteration == 9
    assert not there(tmp_path)
    failed = [line for line in log.lines if line.startswith("warning: no snapshot")]
    assert failed == [
        f"warning: no snapshot {name} was made: no space" for name in
        ("warp-one-4", "same-7", "detail-9")
    ]  # fmt: skip
    assert log.kinds().count("snapshot_failed") == 3


def refuse(folder: Path, needed: int) -> None:
    raise ModelFileError("no space")


def test_a_request_asks_for_a_snapshot_of_a_name_and_a_note(tmp_path):
    file = tmp_path / "new_SAEHD_snapshot.request"

    def asking(event: Event) -> None:
        if isinstance(event, Iteration) and event.iteration in (3, 40):
            file.write_text({3: "before GAN\neyes are good\n", 40: "a/b"}[event.iteration])

    class Slow(FakeModel):
        def train_step(self, *batches: Any) -> Any:
            time.sleep(0.01)
            return super().train_step(*batches)

    log = ListLog(asking)
    trainer(tmp_path, Slow(options(target_iter=60)), log=log).run()
    (made,) = there(tmp_path)
    assert (made.name, made.label.kind, made.label.note) == (
        "before GAN", "manual", "eyes are good",
    )  # fmt: skip
    state = read_model(made.folder, "new", "SAEHD")
    check_whole(state)
    assert 3 < state.iteration == made.label.iteration < 40
    assert made.previews
    assert file.with_name(file.name + ".refused").read_text() == "a/b"
    (refused,) = [line for line in log.lines if "is refused" in line]
    assert "snapshot name 'a/b' cannot be used" in refused


# -- the best model --------------------------------------------------------------------------------
class Scores:
    """A measurement of the fake model."""

    samples, faces = "faces", 4

    def __init__(self, value: float, **metrics: float) -> None:
        self.value, self.metrics = value, {"ssim": value, **metrics}


def rows_of(*values: Scores, phases: str = "") -> dict[str, Any]:
    run: dict[str, Any] = {}
    for number, each in enumerate(values):
        if phases:
            run["recipe"] = {"phase": phases[number]}
        note(run, 10 * (number + 1), each, 0.0)
    return run


def best(metric: str, run: dict[str, Any]) -> str:
    wanted = best_so_far(run, run["validation"][-1]["iteration"], metric)
    return "" if wanted is None else wanted.name


def test_what_is_the_best():
    one, two, three = Scores(0.5, dst_l1=0.2), Scores(0.4, dst_l1=0.1), Scores(0.5, dst_l1=0.1)
    assert best("ssim", rows_of(one)) == "best-10"
    assert best("none", rows_of(one)) == ""
    assert best("ssim", rows_of(one, two)) == ""
    assert best("dst_l1", rows_of(one, two)) == "best-20"  # less is better
    assert best("ssim", rows_of(one, two, three)) == ""  # no better
    assert best("jitter", rows_of(one)) == ""  # it was not measured
    assert best_so_far(rows_of(one), 11, "ssim") is None  # of another iteration
    assert best_so_far({}, 0, "ssim") is None


def test_nan_is_never_the_best_and_no_measure_of_others():
    none = Scores(math.nan, dst_l1=math.nan)
    assert best("ssim", rows_of(none)) == ""
    assert best("ssim", rows_of(none, Scores(0.1))) == "best-20"
    assert best("ssim", rows_of(Scores(0.1), none)) == ""


def test_best_begins_anew_with_each_phase_and_other_faces():
    assert best("ssim", rows_of(Scores(0.5), Scores(0.4), phases="ab")) == "best-20"
    others = Scores(0.4)
    others.samples = "other faces"
    assert best("ssim", rows_of(Scores(0.5), others)) == "best-20"


def measured(folder: Path, values: list[float], log: ListLog | None = None, **run: Any) -> Trainer:
    """Train with a measurement at each iteration."""
    there = (folder / "new_SAEHD_data.dat").exists()
    state = read_model(folder, "new", "SAEHD") if there else None
    model = FakeModel(options(target_iter=len(values), validate_every=1))
    if state is not None:
        model.load_state(state)
    made = trainer(
        folder, model, first=not there, position=2 * model.iteration, log=log, no_preview=True,
        keep_best="ssim", **run,
    )  # fmt: skip
    made.state.restore({} if state is None else state.run)
    made.state._measuring = lambda: lambda model: Scores(values[int(model.iteration) - 1])
    return made


def test_the_best_model_is_kept_and_no_other(tmp_path):
    values = [0.1, 0.3, 0.2, 0.4, 0.4, math.nan]
    measured(tmp_path, values).run()
    (kept,) = there(tmp_path)
    assert (kept.name, kept.label.kind, kept.label.metrics["ssim"]) == ("best-4", "best", 0.4)
    assert kept.label.note == "best ssim so far: 0.4000"
    assert find_snapshot(tmp_path, "new", "SAEHD", "best") == kept
    state = read_model(kept.folder, "new", "SAEHD")
    check_whole(state)
    assert state.iteration == 4


def test_killed_before_the_snapshot_of_the_best_it_is_made_by_the_next_run(tmp_path, monkeypatch):
    values, copy = [0.1, 0.3, 0.2], durable.copy_file

    def killing(source: Path, target: Path) -> None:
        if read_model(tmp_path, "new", "SAEHD").iteration == 2:
            raise Killed
        copy(source, target)

    with monkeypatch.context() as patch:
        patch.setattr(durable, "copy_file", killing)
        with pytest.raises(Killed):
            measured(tmp_path, values).run()
    assert names(tmp_path) == ["best-1"]
    log = ListLog()
    measured(tmp_path, values, log).run()
    assert log.iterations == [3]
    assert names(tmp_path) == ["best-2"]


def test_measuring_and_keeping_changes_no_weight(tmp_path):
    values = [0.1, 0.3, 0.2, 0.4]
    measured(tmp_path / "one", values).run()
    plain = trainer(tmp_path / "two", FakeModel(options(target_iter=4)), no_preview=True)
    plain.run()
    same(*(read_model(tmp_path / each, "new", "SAEHD") for each in ("one", "two")))


# -- which are kept --------------------------------------------------------------------------------
def made_of(kind: str, iteration: int, size: int = 10, **label: Any) -> Snapshot:
    name, known = f"{kind}-{iteration}", Label(kind=kind, iteration=iteration, **label)  # type: ignore[arg-type]
    return Snapshot(name, Path(name), known, str(iteration), size)


def going(found: list[Snapshot], **rules: int) -> list[str]:
    return [each.name for each in surplus(found, Rules(**rules))]


def test_the_last_of_the_regular_ones_are_kept():
    found = [made_of("regular", i) for i in (1, 2, 3, 4)]
    assert going(found) == ["regular-1", "regular-2"]
    assert going(found, regular=3) == ["regular-1"]
    assert going(found, regular=0) == ["regular-1", "regular-2", "regular-3"]  # one stays always


def test_one_of_each_phase_and_the_best_of_what_compares():
    found = [
        made_of("phase", 1, recipe="a", phase="warp"),
        made_of("phase", 2, recipe="a", phase="gan"),
        made_of("phase", 3, recipe="a", phase="warp"),
        made_of("phase", 4, recipe="b", phase="warp"),
        made_of("best", 5, metric="ssim", key="k", metrics={"ssim": 0.9}),
        made_of("best", 6, metric="ssim", key="k", metrics={"ssim": 0.8}),
        made_of("best", 7, metric="ssim", key="other", metrics={"ssim": 0.1}),
        made_of("best", 8, metric="dst_l1", key="k", metrics={"dst_l1": 0.2}),
        made_of("best", 9, metric="dst_l1", key="k", metrics={"dst_l1": 0.1}),
    ]
    assert going(found) == ["phase-1", "best-6", "best-8"]


def test_beyond_the_limit_the_oldest_go_but_what_the_user_made_never():
    kinds = ["manual", "phase", "replaced", "phase", "regular", "rescued", "folder", "phase"]
    found = [made_of(kind, i, recipe="r", phase=str(i)) for i, kind in enumerate(kinds)]
    assert going(found, limit=80) == []
    assert going(found, limit=79) == ["phase-1"]
    assert going(found, limit=60) == ["phase-1", "phase-3"]
    # what a roll-back goes to stays, and so does the newest one
    assert going(found, limit=1) == ["phase-1", "phase-3"]
    best = made_of("best", 9, metric="ssim", metrics={"ssim": 1.0})
    assert going([best, *found], limit=1) == ["best-9", "phase-1", "phase-3"]
    with pytest.raises(UsageError, match="those that never go"):
        refuse_beyond(found, 21, Rules(limit=70))  # 4 of the user's, and the regular one
    refuse_beyond(found, 20, Rules(limit=70))
    refuse_beyond(found, 30, Rules(limit=70), "regular")


def test_a_training_stays_within_its_limit(tmp_path):
    run = {"no_preview": True, "save_every_iters": 1, "snapshot_every": 2, "snapshots_keep": 9}
    trainer(tmp_path / "free", FakeModel(options(target_iter=6)), **run).run()
    assert names(tmp_path / "free") == ["regular-1", "regular-3", "regular-5"]
    gigabytes = 2.5e-9 * there(tmp_path / "free")[-1].bytes
    log, model = ListLog(), FakeModel(options(target_iter=6))
    trainer(tmp_path / "tight", model, log=log, **run, snapshots_max_gb=gigabytes).run()
    assert names(tmp_path / "tight") == ["regular-3", "regular-5"]
    assert sum(each.bytes for each in there(tmp_path / "tight")) < gigabytes * 1e9


# -- the past of a model ---------------------------------------------------------------------------
def test_regular_snapshots_are_due_by_the_past_of_the_model():
    assert regular_is_due({}, 1, 1000)
    run = {"snapshots": [["regular-5", 5]]}
    assert not regular_is_due(run, 1004, 1000)
    assert regular_is_due(run, 1005, 1000)
    assert regular_is_due(run, 3, 1000)  # the count was reset
    with pytest.raises(ModelFileError, match="list of snapshots"):
        past_of({"snapshots": [["x"]]})


def test_snapshots_that_are_gone_are_no_past(tmp_path):
    run = {"on_collapse": "stop", "save_every_iters": 1, "snapshot_every": 2, "no_preview": True}
    trainer(tmp_path, FakeModel(options(target_iter=3)), **run).run()
    assert names(tmp_path) == ["regular-1", "regular-3"]
    durable.remove_folder(tmp_path / "new_SAEHD_snapshots" / "regular-3")
    state = read_model(tmp_path, "new", "SAEHD")
    assert past_of(state.run) == [("regular-1", 1), ("regular-3", 3)]
    model = FakeModel(options(target_iter=4))
    model.load_state(state)
    made = trainer(tmp_path, model, first=False, position=6, **run)
    made.state.restore(state.run)
    made.run()
    assert names(tmp_path) == ["regular-1", "regular-4"]


def test_parts_that_an_earlier_state_does_not_have_go_with_the_next_save(tmp_path):
    state = FakeModel(options(gan_power=0.1)).state()
    more = {**state.tensors, "GAN": dict(state.tensors["encoder"])}
    saved = write_model(tmp_path, "new", replace(state, iteration=1, tensors=more))
    place = CheckpointLocation(tmp_path, "new", "SAEHD", basis=saved.basis)
    made = Trainer(segment(FakeModel()), place, log=ListLog())
    made.checkpoint.give_up_others(state.tensors.keys())
    made.checkpoint.save({})
    made.checkpoint.wait()
    assert "GAN" not in read_model(tmp_path, "new", "SAEHD").tensors
    assert "GAN" in read_model(tmp_path, "new", "SAEHD", previous=True).tensors
