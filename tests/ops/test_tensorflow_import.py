"""What happens around the import of TensorFlow, with a stand-in for it."""

from __future__ import annotations

import gc
import os
import sys
import types

import pytest
from dfl_tf_ops.native_output import QuietTensorFlow


def noisy(module: types.ModuleType) -> None:
    module.searching = gc.isenabled()
    os.write(2, b"WARNING: All log messages before absl::InitializeLog() are written\n")


def broken(module: types.ModuleType) -> None:
    noisy(module)
    raise ImportError("no such library")


@pytest.mark.parametrize("freeze", [True, False])
def test_it_is_quiet_and_garbage_is_searched_for_again(capfd, freeze):
    module = types.ModuleType("tensorflow")
    gc.collect()
    before = gc.get_freeze_count()
    held = [[]]  # tracked, and new
    QuietTensorFlow(freeze=freeze).execute(noisy, module)
    assert not module.searching
    assert gc.isenabled()
    assert (gc.get_freeze_count() > before) == freeze
    assert capfd.readouterr().err == ""
    assert held


def test_what_a_failing_import_wrote_is_shown(capfd):
    with pytest.raises(ImportError, match="no such library"):
        QuietTensorFlow().execute(broken, types.ModuleType("tensorflow"))
    assert gc.isenabled()
    assert "All log messages" in capfd.readouterr().err


def test_only_the_first_import_is_waited_for(monkeypatch):
    monkeypatch.setattr(sys, "meta_path", [*sys.meta_path])
    monkeypatch.delitem(sys.modules, "tensorflow", raising=False)
    QuietTensorFlow(freeze=True).install()
    QuietTensorFlow().install()
    waiting = [each for each in sys.meta_path if isinstance(each, QuietTensorFlow)]
    assert len(waiting) == 1
    assert waiting[0].find_spec("numpy", None) is None
    spec = waiting[0].find_spec("tensorflow", None)
    assert spec is not None
    assert spec.loader is not None
    assert spec.loader.exec_module.func == waiting[0].execute
    assert not any(isinstance(each, QuietTensorFlow) for each in sys.meta_path)
