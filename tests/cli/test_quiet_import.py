"""What happens around the import of TensorFlow, with a stand-in for it."""

from __future__ import annotations

import gc
import os
import sys
import types

from dfl_tf.cli.quiet_import import QuietTensorFlow, execute


def noisy(module: types.ModuleType) -> None:
    module.searching = gc.isenabled()
    os.write(2, b"WARNING: All log messages before absl::InitializeLog() are written\n")
    os.write(2, b"I0000 00:00:1 port.cc:153] operations are on\n")
    os.write(2, b"E0000 00:00:2 cuda.cc:1] no driver\n")


def test_errors_pass_and_garbage_is_searched_for_again(capfd):
    module = types.ModuleType("tensorflow")
    execute(noisy, module)
    assert not module.searching
    assert gc.isenabled()
    assert gc.get_freeze_count() > 1000
    assert capfd.readouterr().err == "TensorFlow: E0000 00:00:2 cuda.cc:1] no driver\n"


def test_only_the_first_import_is_waited_for(monkeypatch):
    monkeypatch.setattr(sys, "meta_path", [*sys.meta_path])
    monkeypatch.delitem(sys.modules, "tensorflow", raising=False)
    QuietTensorFlow().install()
    QuietTensorFlow().install()
    waiting = [each for each in sys.meta_path if isinstance(each, QuietTensorFlow)]
    assert len(waiting) == 1
    assert waiting[0].find_spec("numpy", None) is None
    spec = waiting[0].find_spec("tensorflow", None)
    assert spec is not None
    assert spec.loader is not None
    assert spec.loader.exec_module.func is execute
    assert not any(isinstance(each, QuietTensorFlow) for each in sys.meta_path)
