"""NumPy twins of the optimizer steps: slow and obvious (training.md 3, training.md 13)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.floating]

TILE = 1024
ROUND_MULTIPLIERS = (0xD2511F53, 0xCD9E8D57)
ROUNDS = 10
KEY_STEPS = (0x9E3779B9, 0xBB67AE85)


def philox(blocks: int, seed: int, index: int, step: int) -> npt.NDArray[np.uint32]:
    """Philox4x32-10 of `blocks` consecutive counters.

    Parameters
    ----------
    blocks : int
        How many counters (block number, 0 ... blocks-1) to run.
    seed, index : int
        The two 32-bit words of the key.
    step : int
        Third counter word (the fourth holds its high bits, which are 0 in practice).

    Returns
    -------
    ndarray, shape (blocks, 4), uint32

    References
    ----------
    training.md 13; Salmon et al., Parallel random numbers: as easy as 1, 2, 3 (2011).
    """
    number = np.arange(blocks, dtype=np.uint64)
    low = np.uint64(0xFFFFFFFF)
    c0, c1 = number & low, number >> np.uint64(32)
    c2 = np.full(blocks, step & 0xFFFFFFFF, np.uint64)
    c3 = np.full(blocks, step >> 32, np.uint64)
    k0, k1 = seed & 0xFFFFFFFF, index & 0xFFFFFFFF
    for _ in range(ROUNDS):
        p0, p1 = c0 * np.uint64(ROUND_MULTIPLIERS[0]), c2 * np.uint64(ROUND_MULTIPLIERS[1])
        c0, c1, c2, c3 = (
            (p1 >> np.uint64(32)) ^ c1 ^ np.uint64(k0),
            p1 & low,
            (p0 >> np.uint64(32)) ^ c3 ^ np.uint64(k1),
            p0 & low,
        )
        k0, k1 = (k0 + KEY_STEPS[0]) & 0xFFFFFFFF, (k1 + KEY_STEPS[1]) & 0xFFFFFFFF
    return np.stack([c0, c1, c2, c3], axis=1).astype(np.uint32)


def dropout_mask(
    shape: Sequence[int], keep: float, *, seed: int, index: int, step: int
) -> npt.NDArray[np.bool_]:
    """Say which entries of a variable move in this step.

    Element `e` of a 1024-element tile takes word `e // 256` of the tile's block `e % 256`, so that
    256 blocks are computed side by side; it is kept where the word is below
    floor(float32(keep) * 2^32).

    Parameters
    ----------
    shape : sequence of int
        Of the variable.
    keep : float
        Share of the entries that move, in [0, 1].
    seed, index, step : int
        As in `philox`.

    Returns
    -------
    ndarray, shape `shape`, bool
        True where the entry moves.

    References
    ----------
    training.md 13 (mask definition).
    """
    size = int(np.prod(shape, dtype=np.int64))
    tiles = -(-size // TILE)
    words = philox(tiles * TILE // 4, seed, index, step)
    words = words.reshape(tiles, TILE // 4, 4).transpose(0, 2, 1).reshape(-1)[:size]
    return (words < keep_threshold(keep)).reshape(shape)


def keep_threshold(keep: float) -> int:
    """Limit below which a uint32 keeps its entry: floor(float32(keep) * 2^32)."""
    return int(np.floor(float(np.float32(keep)) * 2.0**32))


def global_norm(arrays: Sequence[FloatArray]) -> float:
    """Square root of the sum of all squares, accumulated in float64.

    Parameters
    ----------
    arrays : sequence of ndarray, any shape and floating dtype
    """
    return float(np.sqrt(sum(float(np.sum(np.square(a.astype(np.float64)))) for a in arrays)))


def adabelief(
    var: FloatArray,
    m: FloatArray,
    v: FloatArray,
    grad: FloatArray,
    *,
    learning_rate: float,
    beta_1: float = 0.9,
    beta_2: float = 0.999,
    epsilon: float = 1e-6,
    mask: npt.NDArray[np.bool_] | None = None,
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """One AdaBelief step in the dtype of `var`; returns the new (var, m, v).

    m = b1 m + (1-b1) g;  v = b2 v + (1-b2)(g - m)^2 with the new m;  d = -lr m / (sqrt(v) + eps).

    Parameters
    ----------
    var, m, v, grad : ndarray, any one shape, any floating dtype
        Not modified.
    learning_rate, beta_1, beta_2, epsilon : float
    mask : ndarray, same shape, bool, optional
        Where False, `var` stays; `m` and `v` change everywhere.

    Returns
    -------
    tuple of ndarray, same shape and dtype

    References
    ----------
    training.md 3.
    """
    t = var.dtype.type
    m = t(beta_1) * m + t(1 - beta_1) * grad
    v = t(beta_2) * v + t(1 - beta_2) * np.square(grad - m)
    delta = t(-learning_rate) * m / (np.sqrt(v) + t(epsilon))
    return var + (delta if mask is None else delta * mask), m, v


def rmsprop(
    var: FloatArray,
    acc: FloatArray,
    grad: FloatArray,
    *,
    learning_rate: float,
    rho: float = 0.9,
    epsilon: float = 1e-6,
    mask: npt.NDArray[np.bool_] | None = None,
) -> tuple[FloatArray, FloatArray]:
    """One RMSprop step in the dtype of `var`; returns the new (var, acc).

    a = rho a + (1-rho) g^2;  d = -lr g / (sqrt(a) + eps).

    Parameters
    ----------
    var, acc, grad : ndarray, any one shape, any floating dtype
        Not modified.
    learning_rate, rho, epsilon : float
    mask : ndarray, same shape, bool, optional
        Where False, `var` stays; `acc` changes everywhere.

    Returns
    -------
    tuple of ndarray, same shape and dtype

    References
    ----------
    training.md 3.
    """
    t = var.dtype.type
    acc = t(rho) * acc + t(1 - rho) * np.square(grad)
    delta = t(-learning_rate) * grad / (np.sqrt(acc) + t(epsilon))
    return var + (delta if mask is None else delta * mask), acc
