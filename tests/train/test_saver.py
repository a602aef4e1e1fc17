from __future__ import annotations

import threading

import numpy as np
import pytest

from dfl_tf.disk.durable import write_stream
from dfl_tf.errors import TrainingDiverged, WorkspaceError
from dfl_tf.train.guard import check_finite
from dfl_tf.train.host_copies import HostCopies
from dfl_tf.train.saver import Saver

from .support.fake_model import FakeModel


def test_views_are_copied_and_own_arrays_are_not():
    state = FakeModel().state()
    base = np.arange(10.0)
    state.tensors["encoder"]["view"] = base[:5]
    owned = HostCopies().take(state).state
    base[:] = -1
    np.testing.assert_array_equal(owned.tensors["encoder"]["view"], np.arange(5.0))
    counter = owned.tensors["src_dst_opt"]["iters:0"]
    assert type(counter) is np.int64
    weight = state.tensors["decoder_src"]["layer/weight:0"]
    assert owned.tensors["decoder_src"]["layer/weight:0"] is weight


def test_memory_is_kept_from_one_save_to_the_next():
    rng = np.random.default_rng(0)
    copies, places = HostCopies(), []
    for step in range(3):
        state = FakeModel().state()
        base = rng.random((2, 64)).astype(np.float32)
        for tensors in state.tensors.values():
            tensors["first"], tensors["second"] = base[0], base[1]
        taken = copies.take(state)
        for part, tensors in taken.state.tensors.items():
            np.testing.assert_array_equal(tensors["first"], base[0])
            np.testing.assert_array_equal(tensors["second"], base[1])
            assert taken.squares[part]["first"] == pytest.approx(float((base[0] ** 2).sum()))
        places.append({id(t[k]) for t in taken.state.tensors.values() for k in ("first", "second")})
        assert len(places[step]) == 2 * len(state.tensors)
    assert places[0] == places[1] == places[2]


def test_the_memory_of_the_first_save_can_be_taken_before(monkeypatch):
    rng = np.random.default_rng(0)
    state = FakeModel().state()
    base = rng.random((2, 64)).astype(np.float32)
    state.tensors["encoder"] |= {"first": base[0], "second": base[1], "bytes": base[0].view("i1")}
    copies = HostCopies()
    copies.prepare(state)
    copies.wait()
    monkeypatch.setattr(np, "empty", None)  # nothing more is taken
    taken = copies.take(state).state.tensors["encoder"]
    for name in ("first", "second", "bytes"):
        np.testing.assert_array_equal(taken[name], state.tensors["encoder"][name])
        assert not np.shares_memory(taken[name], base)
    assert not np.shares_memory(taken["first"], taken["second"])


def test_a_copy_says_whether_numbers_are_finite():
    state = FakeModel().state()
    state.tensors["encoder"]["bad"] = np.array([1, np.nan, 3], np.float32)
    state.tensors["inter"]["huge"] = np.array([1e30], np.float32)
    taken = HostCopies().take(state)
    assert np.isnan(taken.squares["encoder"]["bad"])
    assert np.isinf(taken.squares["inter"]["huge"])
    assert taken.squares["src_dst_opt"]["iters:0"] == 0
    with pytest.raises(TrainingDiverged, match=r"encoder: 1 \(bad"):
        check_finite(taken.state.tensors, taken.squares, 5)
    state.tensors["encoder"].pop("bad")
    taken = HostCopies().take(state)
    check_finite(taken.state.tensors, taken.squares, 5)


def test_training_goes_on_while_a_save_is_written_and_the_next_waits():
    gate, written = threading.Event(), []

    def write(state):
        gate.wait(10)
        written.append(state.iteration)

    saver, model = Saver(write), FakeModel()
    model.iteration = 1
    saver.submit(model.state())
    assert (written, saver.saved_iteration) == ([], None)
    threading.Timer(0.1, gate.set).start()
    model.iteration = 2
    saver.submit(model.state())  # waits for the first
    assert written[0] == 1
    saver.wait()
    assert (written, saver.saved_iteration) == ([1, 2], 2)


def test_a_failure_is_told_once():
    def write(state):
        raise WorkspaceError("the disk is full")

    saver = Saver(write)
    saver.submit(FakeModel().state())
    with pytest.raises(WorkspaceError, match="disk is full"):
        saver.wait()
    saver.wait()
    assert not saver.failed
    assert saver.saved_iteration is None


def test_previews_come_when_the_files_are_written():
    order = []
    saver = Saver(lambda state: order.append("written"))
    saver.submit(FakeModel().state(), lambda: order.append(f"drawn, saved {saver.saved_iteration}"))
    saver.wait()
    assert order == ["written", "drawn, saved 0"]


def test_writing_rests_until_somebody_waits(tmp_path, monkeypatch):
    """Between two pieces of a file the thread rests; waiting for it ends that at once."""
    rests, monkey = [], threading.Event.wait

    def wait(self, seconds=None):
        if threading.current_thread().name == "dfl-tf save":
            rests.append(seconds)
            return monkey(self, 60)
        return monkey(self, seconds)

    monkeypatch.setattr(threading.Event, "wait", wait)
    data = bytes(10 << 20)
    path = tmp_path / "file"
    saver = Saver(lambda state: write_stream(path, lambda write: write(data)))
    saver.submit(FakeModel().state())
    while not rests:
        pass
    assert not path.exists()
    saver.wait()
    assert path.read_bytes() == data
    assert len(rests) == 1
