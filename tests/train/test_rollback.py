"""Roll-backs around the fake model."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dfl_tf.errors import ModelFileError, TrainingDiverged
from dfl_tf.formats import read_model
from dfl_tf.jobs.events import Event
from dfl_tf.options import SAEHDOptions, default
from dfl_tf.options.recipe_file import read_recipe
from dfl_tf.train import guard, rollback, snapshots
from dfl_tf.train.events import Iteration
from dfl_tf.train.marks import Mark
from dfl_tf.train.recipe import ChosenRecipe, RecipeSource
from dfl_tf.train.recipe_state import RecipeState, stand
from dfl_tf.train.rollback import RollBackState, lifted, next_remedy, softened

from .support.fake_model import FakeModel, check_whole, options
from .support.runs import ListLog, trainer


class Killed(BaseException):
    """As SIGKILL."""


@pytest.fixture(autouse=True)
def short_stretches(monkeypatch: pytest.MonkeyPatch) -> None:
    """A save counts as good after 10 iterations instead of 1,000."""
    monkeypatch.setattr(snapshots, "QUIET", 10)
    monkeypatch.setattr(rollback, "QUIET", 10)


def spoiling(monkeypatch: pytest.MonkeyPatch, *collapses: int) -> None:
    """Give NaN the first time that each of these iterations is trained."""
    step, left = FakeModel.train_step, list(collapses)

    def spoiled(self: FakeModel, *batches: Any) -> Any:
        values = step(self, *batches)
        if left and self.iteration + 1 == left[0]:
            left.pop(0)
            return {name: value * np.nan for name, value in values.items()}
        return values

    monkeypatch.setattr(FakeModel, "train_step", spoiled)


def run(folder: Path, log: ListLog) -> Any:
    """Train to iteration 30, or go on to it."""
    state, given = None, {"target_iter": 30}
    if (folder / "new_SAEHD_data.dat").exists():
        state = read_model(folder, "new", "SAEHD")
        given["clipgrad"] = state.options["clipgrad"]
    model = FakeModel(options(**given))
    if state is not None:
        model.load_state(state)
    made = trainer(
        folder, model, first=state is None, position=2 * model.iteration, log=log,
        no_preview=True, save_every_iters=5, on_collapse="rollback",
    )  # fmt: skip
    made.state.restore({} if state is None else state.run)
    return made, made.run()


def saved(folder: Path) -> Any:
    state = read_model(folder, "new", "SAEHD")
    check_whole(state)
    return state


def came_back(log: ListLog) -> list[tuple[int, int]]:
    """Where each roll-back went to, and where it came from."""
    events = [fields for kind, fields in log.events if kind == "rollback"]
    return [(fields["iteration"], fields["undone_until"]) for fields in events]


def test_back_to_the_last_save_with_a_remedy(tmp_path, monkeypatch):
    spoiling(monkeypatch, 13)
    log = ListLog()
    made, result = run(tmp_path, log)
    assert (result.exit_code, result.iteration) == (0, 30)
    assert log.iterations == [*range(1, 13), *range(11, 31)]
    (event,) = [fields for kind, fields in log.events if kind == "rollback"]
    assert (event["iteration"], event["undone_until"], event["retry"]) == (10, 12, 1)
    assert event["remedy"] == "gradients are clipped (clipgrad)"
    assert event["reason"] == "iteration 13: loss src=nan, dst=nan is not finite."
    assert f"collapse: {event['reason']}" in log.lines  # without advice on how to resume
    state = saved(tmp_path)
    assert state.options["clipgrad"] is True
    assert len(state.loss_history) == 30
    found = RollBackState.read(state.run)
    assert (found.retry, found.remedies, found.undone) == (1, {"clipgrad": True}, ((10, 12),))
    assert state.run["retry"] == 1
    assert made.state.marks() == [Mark(10, "rollback", "rolled back from 12")]


def test_weights_that_are_not_finite_are_never_saved(tmp_path, monkeypatch):
    state, left = FakeModel.state, [15]

    def spoiled(self: FakeModel, **how: Any) -> Any:
        found = state(self)
        if left and self.iteration == left[0]:
            left.pop()
            found.tensors["inter"]["layer/weight:0"] *= np.nan
        return found

    monkeypatch.setattr(FakeModel, "state", spoiled)
    log = ListLog()
    _, result = run(tmp_path, log)
    assert result.iteration == 30
    assert log.iterations == [*range(1, 16), *range(11, 31)]


def test_a_second_collapse_soon_goes_to_an_older_snapshot(tmp_path, monkeypatch):
    spoiling(monkeypatch, 18, 19)
    log = ListLog()
    _, result = run(tmp_path, log)
    assert result.iteration == 30
    # snapshots are of iterations 1 and 15, the first save at least 10 after it
    assert came_back(log) == [(15, 17), (1, 18)]
    state = saved(tmp_path)
    assert RollBackState.read(state.run).remedies == {"clipgrad": True, "lr": 0.5}
    assert (state.options["clipgrad"], state.options["lr"]) == (True, 2.5e-5)


def test_snapshots_of_an_undone_stretch_go_and_folders_of_the_user_stay(tmp_path, monkeypatch):
    spoiling(monkeypatch, 18, 19)
    folder = tmp_path / "new_SAEHD_snapshots"
    (folder / "regular-gan").mkdir(parents=True)
    seen: list[list[str]] = []

    def looking(event: Event) -> None:
        if event.kind == "rollback":
            seen.append(sorted(path.name for path in folder.glob("regular-*")))

    run(tmp_path, ListLog(looking))
    # 15 lies in the stretch from 1 to 18
    assert seen == [["regular-1", "regular-15", "regular-gan"], ["regular-1", "regular-gan"]]


def test_after_a_quiet_stretch_the_count_starts_over(tmp_path, monkeypatch):
    spoiling(monkeypatch, 8, 28)
    log = ListLog()
    run(tmp_path, log)
    tries = [line for line in log.lines if line.startswith("rolled back")]
    assert [line.split(", ")[1].split(":")[0] for line in tries] == ["try 1 of 6", "try 1 of 6"]
    assert came_back(log) == [(5, 7), (25, 27)]


def test_when_no_remedy_is_left_it_ends(tmp_path, monkeypatch):
    spoiling(monkeypatch, *[7] * 9)
    log = ListLog()
    with pytest.raises(TrainingDiverged, match="All remedies are already in use"):
        run(tmp_path, log)
    remedies = [fields["remedy"] for kind, fields in log.events if kind == "rollback"]
    assert remedies == [
        "gradients are clipped (clipgrad)",
        "the learning rate is halved",
        "learning-rate dropout is on",
    ]
    assert saved(tmp_path).iteration <= 5


def test_before_the_first_save_there_is_nothing_to_go_back_to(tmp_path, monkeypatch):
    spoiling(monkeypatch, 1)
    with pytest.raises(TrainingDiverged, match="Nothing is saved yet"):
        run(tmp_path, ListLog())


def test_a_flat_output_rolls_back(tmp_path, monkeypatch):
    step, left = FakeModel.train_step, [*range(8, 28)]

    def flat(self: FakeModel, *batches: Any) -> Any:
        spoiled = bool(left) and self.iteration + 1 == left[0]
        self.variance["dst"] = 5e-5 if spoiled else 0.05
        if spoiled:
            left.pop(0)
        return step(self, *batches)

    monkeypatch.setattr(FakeModel, "train_step", flat)
    monkeypatch.setattr(guard, "_GROWN", 0)
    log = ListLog()
    _, result = run(tmp_path, log)
    assert result.iteration == 30
    # the saves from the fifth flat iteration on are held back
    assert came_back(log) == [(10, 26)]
    (event,) = [fields for kind, fields in log.events if kind == "rollback"]
    assert "the output for dst has been flat for 20 iterations" in event["reason"]


def test_a_plain_run_stops(tmp_path, monkeypatch):
    spoiling(monkeypatch, 13)
    made = trainer(tmp_path, FakeModel(options(target_iter=30)), no_preview=True)
    with pytest.raises(TrainingDiverged, match="not finite"):
        made.run()


def test_killed_after_a_roll_back_it_is_the_same(tmp_path, monkeypatch):
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    with monkeypatch.context() as patch:
        spoiling(patch, 13)
        run(whole, ListLog())
    spoiling(monkeypatch, 13)
    rng, kills = random.Random(1), 0
    for _ in range(50):
        left = rng.randrange(8, 30)

        def killing(event: Event) -> None:
            nonlocal left
            left -= isinstance(event, Iteration)
            if left == 0:
                raise Killed

        try:
            run(parts, ListLog(killing))
            break
        except Killed:
            kills += 1
    assert kills
    one, two = saved(whole), saved(parts)
    assert one.run["retry"] == two.run["retry"] == 1
    assert one.loss_history == two.loss_history
    for part, arrays in one.tensors.items():
        for key, array in arrays.items():
            np.testing.assert_array_equal(array, two.tensors[part][key])


def test_a_recipe_goes_back_over_a_change_of_phase(tmp_path, monkeypatch):
    path = tmp_path / "two.yaml"
    path.write_text(
        """
phases:
  - {name: a, set: {random_warp: true}, until: {at_iteration: 12}}
  - {name: b, set: {random_warp: false, clipgrad: false}, until: {iterations: 8}}
"""
    )
    found = read_recipe(path)
    spoiling(monkeypatch, 11, 14)
    log = ListLog()
    made = trainer(
        tmp_path, FakeModel(options()), log=log, no_preview=True, save_every_iters=5,
        on_collapse="rollback",
    )  # fmt: skip
    source = RecipeSource(ChosenRecipe(found, stand(found, {}, 0), (), ()))
    made._sources = (source, *made._sources)
    source.follow(made.state)
    made.run()
    assert came_back(log) == [(10, 10), (1, 13)]
    state = saved(tmp_path)
    assert state.iteration == 20
    assert state.options["clipgrad"] is True  # though phase b switches it off
    done = RecipeState.read(state.run["recipe"]).done
    assert [(each.name, each.start, each.end) for each in done] == [("a", 0, 12), ("b", 12, 20)]


def test_the_order_of_remedies():
    given = default(
        SAEHDOptions, gan_power=0.1, true_face_power=0.02, archi="df", face_style_power=1.0
    )
    order: list[str] = []
    remedies: dict[str, Any] = {}
    while (remedy := next_remedy(given, remedies)) is not None:
        order.append(remedy.key)
        remedies[remedy.key] = remedy.value
        given = default(SAEHDOptions, **softened(vars(given), {remedy.key: remedy.value}))
    assert order == ["clipgrad", "powers", "lr", "lr_dropout"]
    assert (given.gan_power, given.true_face_power, given.face_style_power) == (0.05, 0.01, 0.5)
    assert (given.clipgrad, given.lr, given.lr_dropout) == (True, 2.5e-5, "y")


def test_what_the_user_gives_lifts_a_remedy():
    state = RollBackState(2, 1, 900, {"clipgrad": True, "powers": 0.5, "lr": 0.5}, {"clipgrad": 7})
    stored, told = lifted({"seed": 3, "rollback": state.tree()}, {"gan_power", "lr"})
    assert RollBackState.read(stored).remedies == {"clipgrad": True}
    assert stored["seed"] == 3
    assert told == [
        "remedy dropped, since the option is set explicitly now: lr",
        "remedy dropped, since the option is set explicitly now: powers",
        "gradients are clipped (clipgrad) after the collapse at iteration 7; --set clipgrad=… "
        "lifts that",
    ]
    assert lifted({"seed": 3}, {"lr"}) == ({"seed": 3}, [])


def test_a_stored_state_that_is_none():
    with pytest.raises(ModelFileError, match="roll-backs"):
        RollBackState.read({"rollback": {"retry": -1}})


def test_a_damaged_snapshot_is_not_gone_back_to(tmp_path):
    made, _ = run(tmp_path, ListLog())
    snapshots_there = sorted(path.name for path in made.state.snapshot_folder.iterdir())
    assert snapshots_there == ["regular-15", "regular-25"]
    found = rollback._good_state(made.state, made.checkpoint.place, older=True)
    assert found is not None
    assert found.iteration == 25
    file = made.state.snapshot_folder / "regular-25" / "new_SAEHD_inter.npy"
    file.write_bytes(file.read_bytes()[:-4] + b"\1\2\3\4")
    found = rollback._good_state(made.state, made.checkpoint.place, older=True)
    assert found is not None
    assert found.iteration == 15
