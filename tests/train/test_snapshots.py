"""Snapshots that a training makes, around the fake model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dfl_tf.disk import durable
from dfl_tf.errors import ModelFileError
from dfl_tf.formats import read_model
from dfl_tf.formats.models.snapshots import Snapshot, list_snapshots
from dfl_tf.options.recipe import Recipe
from dfl_tf.options.recipe_file import read_recipe
from dfl_tf.train.recipe import ChosenRecipe, RecipeSource
from dfl_tf.train.recipe_state import stand
from dfl_tf.train.trainer import Trainer

from .support.fake_model import FakeModel, check_whole, options
from .support.runs import ListLog, trainer

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
