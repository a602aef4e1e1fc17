"""How often a thread gives the interpreter's lock away, and the time that it holds it.

Extensions and the interpreter itself give the lock away by `PyEval_SaveThread` and take it back by
`PyEval_RestoreThread`. `lock_count.c` stands in front of both: compiled by the C compiler that is
here, loaded by LD_PRELOAD before Python. Times are processor time of the thread, so that waiting
for the lock and other work on the machine do not count. A thread that the interpreter makes give
way (every 5 ms, if another one waits) is not seen. That needs a Python whose interpreter is a
shared library that calls these functions by their names; else `available` is False.
"""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Self

import cv2
import numpy as np
from dfl_tf_ops.native import find_compiler

_SOURCE = Path(__file__).with_name("lock_count.c")
_PRELOADED = "DFL_TF_LOCK_COUNT"


def restart_with_counter() -> None:
    """Start this program once more, with the counter in front; without a compiler, return."""
    compiler = find_compiler()
    if os.environ.get(_PRELOADED) or compiler is None or sys.platform != "linux":
        return
    with tempfile.TemporaryDirectory() as folder:
        library = Path(folder) / "lock_count.so"
        command = [compiler, "-x", "c", "-O2", "-shared", "-fPIC", str(_SOURCE)]
        if subprocess.run([*command, "-o", str(library)], check=False).returncode != 0:
            return
        environment = {**os.environ, "LD_PRELOAD": str(library), _PRELOADED: str(library)}
        done = subprocess.run([sys.executable, *sys.argv], env=environment, check=False)
    sys.exit(done.returncode)


class LockCount:
    """Counts for the thread that enters it.

    Attributes
    ----------
    given_away : int
        How often the lock was given away, and taken again.
    held : float
        Seconds of processor time with the lock.
    waited : float
        Seconds, of the clock on the wall, until the lock was there again.
    """

    given_away = 0
    held = waited = 0.0

    def __init__(self) -> None:
        # PyDLL: these calls must not give the lock away themselves.
        self._library = ctypes.PyDLL(os.environ[_PRELOADED])

    def __enter__(self) -> Self:
        self._library.lock_count_begin()
        return self

    def __exit__(self, *exception: object) -> None:
        times, held, waited = ctypes.c_long(), ctypes.c_double(), ctypes.c_double()
        self._library.lock_count_end(*map(ctypes.byref, (times, held, waited)))
        self.given_away, self.held, self.waited = times.value, held.value, waited.value


def available() -> bool:
    """Whether the counter is in front, and sees what OpenCV and the interpreter give away."""
    if not os.environ.get(_PRELOADED):
        return False
    image, result = np.zeros((8, 8), np.float32), np.empty((8, 8), np.float32)
    with LockCount() as by_opencv:
        cv2.blur(image, (3, 3), result)
    with LockCount() as by_python:
        os.getpid()
        os.stat(".")
    return by_opencv.given_away == 1 and by_python.given_away == 1
