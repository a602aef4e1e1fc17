"""Smallest and largest value of an array, inside compiled kernels."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from dfl_tf_ops.jit import njit

_LANES = 16


@njit
def value_range(values: npt.NDArray[np.float32]) -> tuple[np.float32, np.float32]:
    """Return both ends of an array, shape (n,), float32; (inf, -inf) if it holds nothing but NaN.

    In lanes, so that it vectorizes: one by one, each comparison would wait for the one before.
    """
    lows = np.full(_LANES, np.float32(np.inf))
    highs = np.full(_LANES, np.float32(-np.inf))
    whole = values.size - values.size % _LANES
    for i in range(0, whole, _LANES):
        for lane in range(_LANES):
            x = values[i + lane]
            lows[lane] = x if x < lows[lane] else lows[lane]
            highs[lane] = x if x > highs[lane] else highs[lane]
    for i in range(whole, values.size):
        x = values[i]
        lows[0] = x if x < lows[0] else lows[0]
        highs[0] = x if x > highs[0] else highs[0]
    return lows.min(), highs.max()
