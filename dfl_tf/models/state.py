"""A model's weights and slots to and from a ModelState, strictly.

References: models.md 5.2, 5.3, 5.5; options.md 4; design decisions 2, 22, 28, 36.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from dfl_tf.errors import ModelFileError, UsageError
from dfl_tf.formats.loss_history import LossHistory
from dfl_tf.formats.models.average import AVERAGE
from dfl_tf.formats.models.state import ModelState
from dfl_tf.models.keys import legacy_key
from dfl_tf.nn.local_replica import first_replica
from dfl_tf.options import to_legacy

if TYPE_CHECKING:
    import keras

    from dfl_tf.models.base import FaceModel
    from dfl_tf.nn.layers import Network

_NAMED = 6  # how many tensors of one kind of error are named


def state_of(model: FaceModel, *, views: bool = False) -> ModelState:
    """Return the state of a model; float32 whatever precision it trains in.

    With `views` its arrays may share the memory of the variables.
    """
    read = view_of if views else np.asarray
    tensors: dict[str, dict[str, npt.NDArray[np.generic] | np.generic]] = {}
    for part, network in model.networks.items():
        tensors[part] = {legacy_key(v): _stored(read(v)) for v in network.weights}
    for part, optimizer in model.optimizers.items():
        arrays = optimizer.state_arrays(legacy_names(model, part), read)
        tensors[part] = {key: _stored(value) for key, value in arrays.items()}
    if model.average is not None:
        averages = model.average.arrays(model.iteration)
        tensors[AVERAGE] = {key: _stored(value) for key, value in averages.items()}
    return ModelState(
        model_class=model.model_class,
        iteration=model.iteration,
        options=to_legacy(model.options) | model.unknown_options,
        loss_history=model.loss_history,
        tensors=tensors,
        extra=model.extra,
        run={"seed": model.seed, **model.rates.stored(), **model.forms.stored()},
    )


def view_of(variable: keras.Variable | tf.Variable) -> npt.NDArray[np.generic]:
    """Return the value of a variable, without a copy where it is in host memory.

    Returns
    -------
    ndarray, shape of the variable, its dtype
    """
    return np.asarray(memoryview(tf.convert_to_tensor(first_replica(variable))))


def _stored(value: npt.ArrayLike) -> npt.NDArray[np.generic] | np.generic:
    array = np.asarray(value)
    if array.dtype == np.float64:
        return array.astype(np.float32)
    return value if isinstance(value, np.generic) else array


def legacy_names(model: FaceModel, stem: str) -> list[str]:
    """Return the full legacy names of the variables an optimizer was built with."""
    return [v.path + ":0" for v in model.optimizer_variables[stem]]


def load(model: FaceModel, state: ModelState, reinit: Sequence[str]) -> list[str]:
    """Do `FaceModel.load_state`."""
    known = [*model.networks, *model.optimizers, *([AVERAGE] if model.average else [])]
    unknown = [part for part in reinit if part not in known]
    if unknown:
        raise UsageError(
            f"There is no part {', '.join(unknown)} to initialize in this model. "
            f"Its parts: {', '.join(known)}."
        )
    reset = model.parts_to_reset(state) | dict.fromkeys(reinit, "as asked for")
    pretrain_ended = bool(state.options.get("pretrain")) and not getattr(
        model.options, "pretrain", False
    )
    values, fresh = _plan_networks(model, state, reset)
    model.restore_seed(state)
    model.forms.restore(state.run)
    known_keys = to_legacy(model.options)
    model.unknown_options = {k: v for k, v in state.options.items() if k not in known_keys}
    for part, arrays in values.items():
        for variable, array in zip(model.networks[part].weights, arrays, strict=True):
            variable.assign(array)
    model.initialize(fresh)
    messages = [f"{part} starts with fresh weights: {why}." for part, why in fresh.items()]
    told, emptied = _load_optimizers(model, state, reset, fresh)
    messages += told
    if model.average is not None:
        messages += model.average.load(state, {*fresh, *reinit})
    model.iteration = 0 if pretrain_ended else state.iteration
    model.rates.restore(state.run, model.iteration, emptied)
    model.loss_history = LossHistory() if pretrain_ended else LossHistory.of(state.loss_history)
    model.extra = dict(state.extra)
    if pretrain_ended:
        model.extra.pop("sample_for_preview", None)
        messages.append("Pretraining has ended: iteration 0, empty loss history.")
    return messages


def check_shapes(model: FaceModel, state: ModelState, reinit: Sequence[str]) -> None:
    """Compare the shapes of a model's variables, which need no values yet, with those of a state.

    Raises
    ------
    ModelFileError
        With the errors of all networks.
    """
    reset = model.parts_to_reset(state) | dict.fromkeys(reinit, "as asked for")
    _plan_networks(model, state, reset)


def _plan_networks(
    model: FaceModel, state: ModelState, reset: dict[str, str]
) -> tuple[dict[str, list[npt.NDArray[np.generic]]], dict[str, str]]:
    """Return the arrays of the networks to load, and which networks start fresh and why.

    Raises
    ------
    ModelFileError
        With the errors of all networks.
    """
    values: dict[str, list[npt.NDArray[np.generic]]] = {}
    fresh: dict[str, str] = {}
    errors: list[str] = []
    for part, network in model.networks.items():
        if part in reset:
            fresh[part] = reset[part]
        elif part in state.tensors:
            arrays, found = match_tensors(network.weights, state.tensors[part])
            values[part] = arrays
            errors += [f"{part}: {error}" for error in found]
        elif part in model.optional_parts and not _was_on(part, model.optional_parts[part], state):
            fresh[part] = "it has just been switched on"
        else:
            errors.append(f"{part}: the file is missing")
    if errors:
        raise ModelFileError(_complaint(model, state, errors))
    return values, fresh


def _was_on(part: str, option: str, state: ModelState) -> bool:
    """Whether a state was saved here with a discriminator, or else by what its options say.

    There is no GAN while pretraining.
    """
    if state.disk is not None and state.disk.used is not None:
        return part in state.disk.used
    pretrain = bool(state.options.get("pretrain")) and option == "gan_power"
    return bool(state.options.get(option)) and not pretrain


def fits(network: Network | None, tensors: Mapping[str, npt.ArrayLike] | None) -> bool:
    """Whether the tensors of a part, of any shape, are those of a network; both must be there."""
    return (
        network is not None
        and tensors is not None
        and not match_tensors(network.weights, tensors)[1]
    )


def match_tensors(
    variables: Sequence[keras.Variable], tensors: Mapping[str, npt.ArrayLike]
) -> tuple[list[npt.NDArray[np.generic]], list[str]]:
    """Put tensors in the order and shape of variables (dtype stays); say what does not fit."""
    expected = {legacy_key(v): tuple(v.shape) for v in variables}
    missing = [key for key in expected if key not in tensors]
    unexpected = [key for key in tensors if key not in expected]
    misshapen = [
        f"{key} is {'x'.join(map(str, np.shape(tensors[key])))}, not {'x'.join(map(str, shape))}"
        for key, shape in expected.items()
        if key in tensors and np.size(tensors[key]) != int(np.prod(shape))
    ]
    errors = [
        f"{len(keys)} {kind} ({'; '.join(keys[:_NAMED])}{'; …' if len(keys) > _NAMED else ''})"
        for kind, keys in (
            ("missing", missing),
            ("unexpected", unexpected),
            ("misshapen", misshapen),
        )
        if keys
    ]
    if errors:
        return [], errors
    return [np.reshape(tensors[key], shape) for key, shape in expected.items()], []


def _complaint(model: FaceModel, state: ModelState, errors: list[str]) -> str:
    text = f"The files of {model.model_class} do not fit the options: {'. '.join(errors)}."
    differing = [
        f"{key}={value} (options: {getattr(model.options, key)})"
        for key, value in model.options_from(state).items()
        if getattr(model.options, key) != value
    ]
    if differing:
        text += f" The tensors are those of a model with {', '.join(differing)}."
    return (
        text + " Use the options that the model was made with, restore the files from a backup, or "
        "name the parts to start over with --reinit."
    )


def _load_optimizers(
    model: FaceModel, state: ModelState, reset: dict[str, str], fresh: dict[str, str]
) -> tuple[list[str], dict[str, bool]]:
    """Load the slots; those of re-initialized weights start empty (design decision 22).

    Returns
    -------
    (list of str, dict)
        What starts empty, for the log, and whether slots of each optimizer do.
    """
    messages: list[str] = []
    emptied: dict[str, bool] = {}
    for stem, optimizer in model.optimizers.items():
        before = len(messages)
        scopes = {v.path.split("/", 1)[0] for v in model.optimizer_variables[stem]}
        new_scopes = {model.networks[part].name for part in fresh} & scopes
        if stem in reset:
            messages.append(f"{stem} starts empty: {reset[stem]}.")
        elif new_scopes == scopes:
            messages.append(f"{stem} starts empty: so do the weights that it moves.")
        elif stem not in state.tensors:
            messages.append(f"{stem} starts empty: there is no file of it.")
        else:
            messages += optimizer.load_state_arrays(
                state.tensors[stem],
                legacy_names(model, stem),
                reset=new_scopes,
                optional=model.scopes_without_slots,
            )
        emptied[stem] = len(messages) > before
    return messages, emptied
