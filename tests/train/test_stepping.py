"""Losses that are read one step late, and batches that are read ahead."""

from __future__ import annotations

import threading

import numpy as np
import pytest

from dfl_tf.formats import read_model
from dfl_tf.train.batch_source import BatchSource

from .support.fake_model import FakeModel, FakeStream, check_whole, options
from .support.runs import ListLog, trainer


class Device(FakeModel):
    """A model on a device that works on its own: a loss says when it is read."""

    works_ahead = True

    def __init__(self, *args, **settings) -> None:
        super().__init__(*args, **settings)
        self.order: list[str] = []
        self.broken_at = 0

    def train_step(self, *batches):
        step = self.begun + 1
        self.order.append(f"begin {step}")
        values = super().train_step(*batches)
        model = self

        class Value:
            def __init__(self, name: str) -> None:
                self.name = name

            def __array__(self, dtype=None, copy=None):
                if step == model.broken_at:
                    raise RuntimeError("the device is gone\nat some address")
                if self.name == "src":
                    model.order.append(f"read {step}")
                return np.asarray(values[self.name], dtype)

        return {name: Value(name) for name in values}


def test_the_next_step_is_begun_before_a_loss_is_read(tmp_path):
    model, log = Device(options(target_iter=6)), ListLog()
    trainer(tmp_path, model, log=log, save_every_iters=4, no_preview=True).run()
    assert model.order == [
        "begin 1", "read 1",  # the first save of a new model
        "begin 2", "begin 3", "read 2", "begin 4", "read 3", "read 4",  # a save
        "begin 5", "begin 6", "read 5", "read 6",  # the target
    ]  # fmt: skip
    assert log.iterations == [1, 2, 3, 4, 5, 6]
    check_whole(read_model(tmp_path, "new", "SAEHD"))


@pytest.mark.parametrize("settings", [{"quarantine": True}, {"save_every_iters": 1}])
def test_losses_that_decide_are_read_at_once(tmp_path, settings):
    model = Device(options(target_iter=4))
    trainer(tmp_path, model, no_preview=True, **settings).run()
    assert model.order == [f"{what} {n}" for n in range(1, 5) for what in ("begin", "read")]


def test_late_losses_end_in_the_same_model(tmp_path):
    states = []
    for name, cls in (("late", Device), ("at once", FakeModel)):
        model = cls(options(target_iter=9))
        trainer(tmp_path / name, model, save_every_iters=5).run()
        states.append(read_model(tmp_path / name, "new", "SAEHD"))
    one, other = states
    assert one.run == other.run
    assert one.loss_history == other.loss_history
    for part, arrays in one.tensors.items():
        for key, array in arrays.items():
            np.testing.assert_array_equal(array, other.tensors[part][key])


def test_a_step_that_cannot_be_read_is_not_saved(tmp_path):
    model, log = Device(options(target_iter=9)), ListLog()
    model.broken_at = 5
    with pytest.raises(RuntimeError, match="the device is gone"):
        trainer(tmp_path, model, log=log, save_every_iters=3).run()
    assert read_model(tmp_path, "new", "SAEHD").iteration == 3
    assert any("not known to be good (the device is gone); the last save" in x for x in log.lines)


def test_batches_are_prepared_ahead_and_counted_when_they_are_used():
    ready = threading.Semaphore(0)

    def prepare(batches):
        ready.release()
        return tuple(batch.with_arrays(image=batch["image"] * 2) for batch in batches)

    ahead = BatchSource({"src": FakeStream(), "dst": FakeStream(seed=1)}, 3)
    plain = BatchSource({"src": FakeStream(), "dst": FakeStream(seed=1)}, 3)
    ahead.read_ahead(prepare)
    try:
        for count in (1, 2, 3, 4):
            for _ in range(1 if count > 1 else 2):  # two are made before the first is taken
                ready.acquire()
            drawn, wanted = ahead.draw(), plain.draw()
            for one, other, given in zip(drawn.batches, wanted.batches, drawn.inputs, strict=True):
                np.testing.assert_array_equal(one["image"], other["image"])
                np.testing.assert_array_equal(given["image"], one["image"] * 2)
            assert drawn.run_state == wanted.run_state == ahead.run_state()
            assert ahead.run_state()["positions"] == {"src": 2 * count, "dst": 2 * count}
    finally:
        ahead.close()


def test_a_copy_and_a_step_overlap(tmp_path):
    """A step goes on only once the batch after the next one is being copied."""
    copied = [threading.Event() for _ in range(40)]
    numbers = iter(copied)

    def prepare(batches):
        next(numbers).set()
        return batches

    class Waiting(Device):
        def train_step(self, *batches):
            assert copied[self.begun + 1].wait(60)
            return super().train_step(*batches)

    run = trainer(tmp_path, Waiting(options(target_iter=5)), no_preview=True)
    run.batch_source.read_ahead(prepare)
    assert run.run().iteration == 5
