"""The four models. A model is found by its class name and imported only when it is wanted."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from dfl_tf.errors import UsageError

if TYPE_CHECKING:
    from dfl_tf.models.base import FaceModel
    from dfl_tf.options import RunOptions

MODELS: dict[str, str] = {
    "SAEHD": "dfl_tf.models.saehd.model",
    "AMP": "dfl_tf.models.amp.model",
    "Quick96": "dfl_tf.models.quick96.model",
    "XSeg": "dfl_tf.models.xseg.model",
}


def create(
    model_class: str, options: Any, run: RunOptions | None = None, **settings: Any
) -> FaceModel:
    """Make a model with initialized weights.

    Parameters
    ----------
    model_class : str
        A key of `MODELS`.
    options : SAEHDOptions, AMPOptions, Quick96Options or XSegOptions
        As stored with the model.
    run : RunOptions, optional
        How it is run: precision, devices, seed.
    **settings
        See `FaceModel`.

    Raises
    ------
    UsageError
        If there is no such class.
    OptionError
        If the options contradict each other.
    """
    if model_class not in MODELS:
        raise UsageError(f"There is no model class {model_class!r}. Known: {', '.join(MODELS)}.")
    module = importlib.import_module(MODELS[model_class])
    return getattr(module, model_class)(options, run, **settings)
