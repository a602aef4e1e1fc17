"""First values of weights: a pure function of the seed and the variable's path."""

from __future__ import annotations

import zlib
from collections.abc import Iterable

import keras
import numpy as np
import numpy.typing as npt


def initial_value(path: str, shape: tuple[int, ...], seed: int) -> npt.NDArray[np.float32]:
    """Return the value a weight starts with.

    Parameters
    ----------
    path : str
        The variable's path, e.g. ``"encoder/down1/downs_0/conv1/weight"``; the last part says what
        it is, the whole path which random numbers it gets.
    shape : tuple of int
    seed : int

    Returns
    -------
    ndarray, shape `shape`, float32
        Kernels: Glorot uniform with limit ``sqrt(6 / ((d2 + d3) k k))``, d2 and d3 the last two
        dimensions. Scale of a norm: 1. Its epsilon: 1e-6. Bias and threshold: 0.

    References
    ----------
    models.md 1.7
    """
    kind = path.rsplit("/", 1)[-1]
    if kind == "weight" and len(shape) >= 2:
        limit = np.sqrt(6.0 / (sum(shape[-2:]) * np.prod(shape[:-2], dtype=np.float64)))
        rng = np.random.default_rng([seed, zlib.crc32(path.encode())])
        value = rng.random(shape, dtype=np.float32)
        value *= np.float32(2 * limit)
        value -= np.float32(limit)
        return value
    constant = {"weight": 1.0, "eps": 1e-6}.get(kind, 0.0)
    return np.full(shape, constant, np.float32)


def initialize(variables: Iterable[keras.Variable], seed: int) -> None:
    """Give every variable its initial value (Keras variables; assigned in their own dtype)."""
    for variable in variables:
        variable.assign(initial_value(variable.path, tuple(variable.shape), seed))
