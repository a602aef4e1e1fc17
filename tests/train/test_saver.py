from __future__ import annotations

import threading

import numpy as np
import pytest

from dfl_tf.errors import WorkspaceError
from dfl_tf.train.saver import Saver, own_arrays

from .support.fake_model import FakeModel


def test_views_are_copied_and_own_arrays_are_not():
    state = FakeModel().state()
    base = np.arange(10.0)
    state.tensors["encoder"]["view"] = base[:5]
    owned = own_arrays(state)
    base[:] = -1
    np.testing.assert_array_equal(owned.tensors["encoder"]["view"], np.arange(5.0))
    counter = owned.tensors["src_dst_opt"]["iters:0"]
    assert type(counter) is np.int64
    weight = state.tensors["decoder_src"]["layer/weight:0"]
    assert owned.tensors["decoder_src"]["layer/weight:0"] is weight


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
