"""What libraries write to stderr, as lines that say who speaks.

TensorFlow's C++ code writes its errors to the file descriptor of stderr, past Python, in a form of
its own, and an aborting process writes its reason there last. `tell` puts a small process of its
own behind that descriptor, which outlives an abort and passes each line on as one of ours:

    2026-01-01 12:00:00.1: E tensorflow/core/x.cc:7] no kernel   ->   TensorFlow: error: no kernel

Python's own `sys.stderr` goes where it went before.
"""

from __future__ import annotations

import contextlib
import io
import os
import re
import subprocess
import sys
from typing import Any

__all__ = ["finish", "line_of_ours", "stderr_fd", "tell"]

_FORMS = (
    r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d[.:]\d+: ([IWEF]) [^\]]*\] (.*)",  # TensorFlow's logging
    r"([IWEF])\d{4} \d\d:\d\d:\d+\.\d+ +\d+ [^\]]*\] (.*)",  # Abseil's logging
)
_LEVELS = {"I": "", "W": "warning: ", "E": "error: ", "F": "error: "}
_fd = 2
_reader: subprocess.Popen[bytes] | None = None
_READER = """
import importlib.util, os, signal, sys
for name in ("SIGINT", "SIGTERM", "SIGHUP"):  # it ends when nobody can write any more
    if hasattr(signal, name):
        signal.signal(getattr(signal, name), signal.SIG_IGN)
spec = importlib.util.spec_from_file_location("library_messages", sys.argv[1])
messages = importlib.util.module_from_spec(spec)
spec.loader.exec_module(messages)
for line in sys.stdin.buffer:
    text = messages.line_of_ours(line.decode("utf-8", "replace"))
    if text:
        os.write(2, text.encode("utf-8", "replace") + b"\\n")
"""


def line_of_ours(line: str) -> str:
    """A line that a library wrote, as it is passed on; empty for nothing."""
    text = "".join(c if c.isprintable() else " " for c in line).strip()
    for form in _FORMS:
        found = re.fullmatch(form, text)
        if found:
            return f"TensorFlow: {_LEVELS[found[1]]}{found[2]}"
    return f"a library said: {text}" if text else ""


def stderr_fd() -> int:
    """The file descriptor of stderr as it was given to this process, for lines of ours."""
    return _fd


def tell() -> None:
    """Pass on what libraries write from now on, to the end of the process; once a process.

    Where no further process can be started, all stays as it is.
    """
    global _fd, _reader
    if _fd != 2:
        return
    try:
        kept = os.dup(2)
    except OSError:  # stderr is closed: nobody listens
        return
    command = [sys.executable, "-I", "-S", "-c", _READER, __file__]
    try:
        reader = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=kept
        )
    except OSError:
        os.close(kept)
        return
    assert reader.stdin is not None
    ours = os.fdopen(kept, "wb", buffering=0, closefd=False)
    stream: Any = sys.stderr
    inner = getattr(stream, "_stream", stream)  # of the stream that makes text safe
    if _writes_to(inner, 2):
        inner.flush()
        text = io.TextIOWrapper(ours, inner.encoding, "backslashreplace", write_through=True)
        if inner is stream:
            sys.stderr = text
        else:
            stream._stream = text
    os.dup2(reader.stdin.fileno(), 2)
    reader.stdin.close()
    _fd, _reader = kept, reader


def finish(seconds: float = 1.0) -> None:
    """Wait, for some seconds at most, until all that was written is passed on."""
    if _reader is None:
        return
    os.dup2(_fd, 2)
    with contextlib.suppress(subprocess.TimeoutExpired):  # a child of ours may still hold it
        _reader.wait(seconds)


def _writes_to(stream: object, fd: int) -> bool:
    with contextlib.suppress(AttributeError, OSError, ValueError):
        return bool(stream.fileno() == fd)  # type: ignore[attr-defined]
    return False
