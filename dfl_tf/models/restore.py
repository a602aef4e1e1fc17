"""A FaceModel out of a ModelState: its options are the stored ones, its weights the stored ones."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dfl_tf import models
from dfl_tf.formats.models.state import ModelState
from dfl_tf.options import OPTIONS, Layer, RunOptions, kind_of, legacy_layer, resolve

if TYPE_CHECKING:
    from dfl_tf.models.base import FaceModel


def stored_layer(state: ModelState, origin: str) -> Layer:
    """Return the options saved with a model, completed by what its tensors say (options.md 5)."""
    slots = state.tensors.get("src_dst_opt", {})
    rmsprop = None if len(slots) < 2 else any(key.startswith("acc_") for key in slots)
    kind = kind_of(state.model_class)
    inferred = kind.options_from(state.tensors, state.options)
    return legacy_layer(
        kind.options,
        state.options,
        origin=origin,
        rmsprop_slots=rmsprop,
        inferred=inferred,
    )


def restore(
    state: ModelState,
    *,
    name: str,
    run: RunOptions | None = None,
    training: bool = True,
) -> tuple[FaceModel, list[str]]:
    """Build the model that a state describes and load it.

    Parameters
    ----------
    state : ModelState
    name : str
        Of the model's files.
    run : RunOptions, optional
    training : bool
        False leaves out optimizers and discriminators, e.g. for export.

    Returns
    -------
    (FaceModel, list of str)
        The messages say which options were adjusted and what was initialized instead of loaded.

    Raises
    ------
    OptionError, ModelFileError
        If the options are not a model's, or the tensors do not fit them.
    """
    layer = stored_layer(state, f"{name}_{state.model_class}")
    resolved = resolve(OPTIONS[state.model_class], [layer])
    model = models.create(
        state.model_class,
        resolved.options,
        run,
        name=name,
        training=training,
        initialized=False,
        expected=state,
    )
    messages = [*resolved.adjustments, *resolved.warnings]  # with the notes of the layer
    return model, messages + model.load_state(state)
