"""TensorFlow is imported without its greeting, and without a search for garbage.

Stderr holds the lines of the command. Searching for garbage takes a fifth of the time of the
import, and each later search would go through what was imported again.
"""

from __future__ import annotations

import gc
import importlib.abc
import importlib.machinery
import importlib.util
import re
import sys
from collections.abc import Sequence
from types import ModuleType

from dfl_tf.disk.terminal import native_output_apart

GREETING = re.compile(r"WARNING: All log messages before absl|[IW]\d{4} ")
"""What native code logs below errors before it can be told not to."""


class QuietTensorFlow(importlib.abc.MetaPathFinder):
    """Keeps what native code writes while TensorFlow is imported from stderr, but for errors."""

    def install(self) -> None:
        """Wait for the import, unless it is over."""
        waiting = any(isinstance(finder, QuietTensorFlow) for finder in sys.meta_path)
        if "tensorflow" not in sys.modules and not waiting:
            sys.meta_path.insert(0, self)

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        """The spec of TensorFlow, with another loader; of all else none."""
        if name != "tensorflow":
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(name)
        if spec is not None and spec.loader is not None:
            spec.loader = _Loader(spec.loader)
        return spec


class _Loader(importlib.abc.Loader):
    def __init__(self, real: importlib.abc.Loader) -> None:
        self._real = real

    def __getattr__(self, name: str) -> object:
        return getattr(self._real, name)

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> ModuleType | None:
        return self._real.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        searching = gc.isenabled()
        gc.disable()
        try:
            with native_output_apart() as lines:
                self._real.exec_module(module)
        finally:
            gc.freeze()
            if searching:
                gc.enable()
            for line in lines:
                if not GREETING.match(line):
                    print(f"TensorFlow: {line}", file=sys.stderr)
