"""dfl_tf: the DeepFaceLab 2.0 trainer, made new (TensorFlow/Keras, headless, proved by numbers).

Importing this package imports no TensorFlow.
"""

from __future__ import annotations

import importlib
import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dfl_tf.api import (
        ModelKind,
        convert,
        evaluate,
        export_dfm,
        load_model,
        merge,
        new_model,
        register_model,
        train,
    )

# Read when TensorFlow is first imported. By itself it leaves its oneDNN kernels off on CPUs without
# AVX-512 VNNI, where a training step is faster with them too (tools/bench_train.py --onednn).
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")

__version__ = "0.1.0.dev0"

__all__ = [
    "ModelKind",
    "__version__",
    "convert",
    "evaluate",
    "export_dfm",
    "load_model",
    "merge",
    "new_model",
    "register_model",
    "train",
]


def __getattr__(name: str) -> object:
    """Import what programs use when it is asked for; `__all__` names it."""
    if name in __all__:
        # By name, so that no room below depends on the top through this package.
        return getattr(importlib.import_module("dfl_tf.api"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
