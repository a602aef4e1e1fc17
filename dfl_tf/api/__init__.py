"""What programs use: models, training, merging, evaluation, conversion and export as functions."""

from __future__ import annotations

from dfl_tf.api.jobs import convert, evaluate, export_dfm, merge, train
from dfl_tf.api.opening import load_model, new_model
from dfl_tf.options import ModelKind, register_model

__all__ = [
    "ModelKind",
    "convert",
    "evaluate",
    "export_dfm",
    "load_model",
    "merge",
    "new_model",
    "register_model",
    "train",
]
