"""What native libraries write to stderr by themselves, past Python and past every log level."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from types import ModuleType

from dfl_tf_ops.process import scratch_file

__all__ = ["import_tensorflow", "quiet_stderr"]


@contextlib.contextmanager
def quiet_stderr() -> Iterator[None]:
    """Hide what is written to the file descriptor of stderr; show it if the block fails.

    It holds for the whole process, so it is for moments in which no other thread has anything to
    say: while libraries start.
    """
    try:
        kept = os.dup(2)
    except OSError:  # stderr is closed: there is nothing to hide
        yield
        return
    sys.stderr.flush()
    try:
        with scratch_file() as hidden:
            os.dup2(hidden.fileno(), 2)
            try:
                yield
            except BaseException:
                os.dup2(kept, 2)
                hidden.seek(0)
                sys.stderr.write(hidden.read().decode(errors="replace"))
                raise
            finally:
                os.dup2(kept, 2)
    finally:
        os.close(kept)


def import_tensorflow() -> ModuleType:
    """Import TensorFlow without its start-up chatter, which no log level switches off.

    What it wrote is shown if the import fails.
    """
    if "tensorflow" not in sys.modules:
        os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
        with quiet_stderr():
            import tensorflow  # noqa: F401
    return sys.modules["tensorflow"]
