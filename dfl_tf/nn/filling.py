"""Filling a network with the tensors of a weight file."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from dfl_tf.errors import ModelFileError
from dfl_tf.nn.layers import Network

_NAMED = 6


def fill_network(network: Network, tensors: Mapping[str, npt.ArrayLike], *, what: str) -> None:
    """Give a network that is only run, never trained, its weights.

    Parameters
    ----------
    network : Network
        Built here if it is not.
    tensors : mapping of str to ndarray, any shape
        By legacy name, any shape with as many numbers and any floating dtype.
    what : str
        Where they come from, for messages.

    Raises
    ------
    ModelFileError
        Tensors are missing, of another size or no numbers; all are named.
    """
    if not network.built:
        network.build()
    wanted = {variable.path.split("/", 1)[1] + ":0": variable for variable in network.weights}
    missing = [key for key in wanted if key not in tensors]
    misshapen = [
        f"{key} is {np.shape(tensors[key])}, not {tuple(variable.shape)}"
        for key, variable in wanted.items()
        if key in tensors and np.size(tensors[key]) != int(np.prod(variable.shape))
    ]
    other = [key for key in wanted if key in tensors and np.asarray(tensors[key]).dtype.kind != "f"]
    errors = [
        f"{len(found)} {kind} ({'; '.join(found[:_NAMED])}{'; …' if len(found) > _NAMED else ''})"
        for kind, found in (
            ("missing", missing),
            ("of another size", misshapen),
            ("without numbers", other),
        )
        if found
    ]
    if errors:
        raise ModelFileError(
            f"{what}: these are not the weights of {network.name}: {', '.join(errors)}."
        )
    for key, variable in wanted.items():
        variable.assign(np.asarray(tensors[key], np.float32).reshape(variable.shape))
