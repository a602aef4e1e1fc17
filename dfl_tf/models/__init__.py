"""The models. A class is found in `dfl_tf.options.KINDS` and imported only when it is wanted."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dfl_tf.options import kind_of

if TYPE_CHECKING:
    from dfl_tf.models.base import FaceModel
    from dfl_tf.options import RunOptions, TrainingOptions


def create(
    model_class: str, options: TrainingOptions, run: RunOptions | None = None, **settings: object
) -> FaceModel:
    """Make a model with initialized weights.

    Parameters
    ----------
    model_class : str
        A key of `dfl_tf.options.KINDS`.
    options : TrainingOptions
        Those of the class, as stored with the model.
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
    model: FaceModel = kind_of(model_class).model_type()(options, run, **settings)
    return model
