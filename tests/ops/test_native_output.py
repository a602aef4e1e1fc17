"""What native code writes to stderr by itself is hidden, and shown where something fails."""

from __future__ import annotations

import os
import sys

import pytest
from dfl_tf_ops.native_output import import_tensorflow, quiet_stderr


def test_native_output_is_hidden_and_ours_before_and_after_is_not(capfd):
    print("before", file=sys.stderr)
    with quiet_stderr():
        os.write(2, b"INFO: Created TensorFlow Lite XNNPACK delegate for CPU.\n")
    os.write(2, b"after\n")
    assert capfd.readouterr().err == "before\nafter\n"


def test_native_output_is_shown_if_the_block_fails(capfd):
    def failing() -> None:
        with quiet_stderr():
            os.write(2, b"no such library\n")
            raise ImportError

    with pytest.raises(ImportError):
        failing()
    os.write(2, b"after\n")
    assert capfd.readouterr().err == "no such library\nafter\n"


def test_a_closed_stderr_does_no_harm(monkeypatch):
    def closed(number: int) -> int:
        raise OSError(9, "Bad file descriptor")

    monkeypatch.setattr(os, "dup", closed)
    ran = False
    with quiet_stderr():
        ran = True
    assert ran


def test_tensorflow_that_is_there_is_given(monkeypatch):
    there = object()
    monkeypatch.setitem(sys.modules, "tensorflow", there)
    assert import_tensorflow() is there
