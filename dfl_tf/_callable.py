"""Packages that are functions as well: ``dfl_tf.merge(...)`` beside ``dfl_tf.merge.job``.

Once ``dfl_tf.merge.job`` is imported, Python binds the name ``dfl_tf.merge`` to the package, so a
function of that name would be gone. The package itself takes the call.
"""

from __future__ import annotations

import importlib
import sys
import types
from typing import Any


class CallableModule(types.ModuleType):
    """A package that hands calls to the function of its name in `dfl_tf.api`."""

    def __call__(self, *args: Any, **settings: object) -> Any:
        """Call the function."""
        function = getattr(importlib.import_module("dfl_tf.api"), self.__name__.rpartition(".")[2])
        return function(*args, **settings)


def make_callable(name: str) -> None:
    """Let the package `name` be called; its ``__init__`` does this."""
    sys.modules[name].__class__ = CallableModule
