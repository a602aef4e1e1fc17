"""What native libraries write to stderr by themselves, past Python and past every log level."""

from __future__ import annotations

import contextlib
import functools
import gc
import importlib.util
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from importlib.machinery import ModuleSpec
from types import ModuleType

from dfl_tf_ops import library_messages
from dfl_tf_ops.process import scratch_file

__all__ = ["QuietTensorFlow", "import_tensorflow", "quiet_stderr"]


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


class QuietTensorFlow:
    """A finder of modules that waits for TensorFlow, and finds nothing else.

    Whoever imports it, it is imported without its start-up chatter, which no log level switches
    off (what it wrote is shown if the import fails), and without a search for garbage, which takes
    a fifth of the time.

    Parameters
    ----------
    freeze : bool
        Take all that is there after the import out of later searches for garbage, each of which
        would go through it again. For programs of our own: other people's objects may become
        garbage.
    tell : bool
        Pass what TensorFlow and other libraries write later on as lines of ours. For programs of
        our own: it is for the whole process (`library_messages`).
    """

    def __init__(self, *, freeze: bool = False, tell: bool = False) -> None:
        self._freeze, self._tell = freeze, tell

    def install(self) -> None:
        """Wait for the import, unless it is over or another one waits."""
        waiting = any(isinstance(finder, QuietTensorFlow) for finder in sys.meta_path)
        if "tensorflow" not in sys.modules and not waiting:
            os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
            sys.meta_path.insert(0, self)

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """The spec of TensorFlow, whose loader is quiet."""
        if name != "tensorflow":
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(name)
        if spec is not None and spec.loader is not None:
            loader = spec.loader
            run = functools.partial(self.execute, loader.exec_module)
            loader.exec_module = run  # type: ignore[method-assign]
        return spec

    def execute(self, run: Callable[[ModuleType], None], module: ModuleType) -> None:
        """Run a module."""
        if self._tell:
            library_messages.tell()
        searching = gc.isenabled()
        gc.disable()
        try:
            with quiet_stderr():
                run(module)
        finally:
            if self._freeze:
                gc.freeze()
            if searching:
                gc.enable()


def import_tensorflow() -> ModuleType:
    """Import TensorFlow as `QuietTensorFlow` does."""
    QuietTensorFlow().install()
    import tensorflow  # noqa: F401

    return sys.modules["tensorflow"]
