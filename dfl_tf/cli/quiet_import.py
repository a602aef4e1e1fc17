"""TensorFlow is imported without its greeting, and without a search for garbage.

Stderr holds the lines of the command. Searching for garbage takes a fifth of the time of the
import, and each later search would go through what was imported again.
"""

from __future__ import annotations

import functools
import gc
import importlib.util
import re
import sys
from collections.abc import Callable, Sequence
from importlib.machinery import ModuleSpec
from types import ModuleType

from dfl_tf.disk.terminal import native_output_apart

GREETING = re.compile(r"WARNING: All log messages before absl|[IW]\d{4} ")
"""What native code logs below errors before it can be told not to."""


class QuietTensorFlow:
    """A finder of modules that waits for TensorFlow, and finds nothing else."""

    def install(self) -> None:
        """Wait for the import, unless it is over."""
        waiting = any(isinstance(finder, QuietTensorFlow) for finder in sys.meta_path)
        if "tensorflow" not in sys.modules and not waiting:
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
            run = functools.partial(execute, loader.exec_module)
            loader.exec_module = run  # type: ignore[method-assign]
        return spec


def execute(run: Callable[[ModuleType], None], module: ModuleType) -> None:
    """Run a module; of what native code writes meanwhile, errors are shown afterwards."""
    searching = gc.isenabled()
    gc.disable()
    try:
        with native_output_apart() as lines:
            run(module)
    finally:
        gc.freeze()
        if searching:
            gc.enable()
        for line in lines:
            if not GREETING.match(line):
                print(f"TensorFlow: {line}", file=sys.stderr)
