"""What libraries write to stderr comes as lines of ours, in a process that really dies."""

from __future__ import annotations

import subprocess
import sys

import pytest
from dfl_tf_ops.library_messages import line_of_ours

DYING = """
import os, sys
from dfl_tf_ops import library_messages
from dfl_tf.disk.terminal import safe_output
safe_output().__enter__()
library_messages.tell()
library_messages.tell()  # once a process
os.write(2, b"2026-11-30 12:00:00.1: E tensorflow/x.cc:1] no kernel\\nhalf of a line")
print("a line of Python\\x1b", file=sys.stderr)
os.write(library_messages.stderr_fd(), b"a line of ours\\n")
if sys.argv[1] == "abort":
    os.abort()
library_messages.finish()
print("after all", file=sys.stderr)
"""


@pytest.mark.parametrize(
    ("line", "ours"),
    [
        ("2026-11-30 12:00:00.123456: E a/b.cc:266] failed", "TensorFlow: error: failed"),
        ("2026-11-30 12:00:00.123456: W a/b.cc:2] [node] odd", "TensorFlow: warning: [node] odd"),
        ("E0000 00:00:1700000000.123456  123 d.cc:152] cuInit", "TensorFlow: error: cuInit"),
        ("I0000 00:00:1700000000.1 1 d.cc:1] created", "TensorFlow: created"),
        ("libpng warning: iCCP\x1b[31m", "a library said: libpng warning: iCCP [31m"),
        ("  \n", ""),
    ],
)
def test_each_form_of_a_line(line, ours):
    assert line_of_ours(line) == ours


def spoken(how: str) -> tuple[int, list[str]]:
    done = subprocess.run(
        [sys.executable, "-c", DYING, how], stderr=subprocess.PIPE, text=True, check=False
    )
    return done.returncode, done.stderr.splitlines()


def test_lines_of_libraries_are_passed_on_when_the_process_aborts():
    code, lines = spoken("abort")
    assert code == -6
    told = ["TensorFlow: error: no kernel", "a library said: half of a line"]
    assert [line for line in lines if line in told] == told
    assert [line for line in lines if line not in told][:2] == [
        "a line of Python\\x1b",
        "a line of ours",
    ]


def test_all_is_told_before_the_end():
    code, lines = spoken("end")
    assert code == 0
    assert lines[-1] == "after all"
    assert "a library said: half of a line" in lines
