"""Noise removal over time: every pixel is drawn towards its neighbors and its own past."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from dfl_tf_ops.jit import njit

Levels = npt.NDArray[np.float32]

_LEFT = 0.25  # of a difference as large as the strength so much is taken over
_LARGEST = 254.0


class TemporalDenoiser:
    """Denoises the frames of a video, one after the other.

    Each value follows what stands to the left, above, and in the frame before, the more so the
    less it differs: of a difference ``d`` to the value before, the share ``(1 - |d| / 255) ** g``
    is taken over, where ``g`` makes it a quarter at ``|d| = strength``. Edges and movements, which
    differ more, stay.

    Parameters
    ----------
    space : float
        Strength within a frame, in levels of 0 to 255, above 0.
    time : float
        Strength from frame to frame.
    """

    def __init__(self, space: float, time: float) -> None:
        if not (space > 0 and time > 0):
            raise ValueError(f"strengths must be above 0. Received: {space}, {time}")
        self._space, self._time = _exponent(space), _exponent(time)
        self._before: Levels | None = None

    def __call__(self, levels: Levels) -> Levels:
        """Denoise the next frame.

        Parameters
        ----------
        levels : ndarray, shape (h, w, c), float32
            0 to 255; channels are independent of each other. A frame of another shape than the
            one before starts over.

        Returns
        -------
        ndarray, shape (h, w, c), float32
        """
        result = np.ascontiguousarray(levels, np.float32).copy()
        _within(result, self._space)
        if self._before is not None and self._before.shape == result.shape:
            _after(result, self._before, self._time)
        self._before = result
        return result.copy()


def _exponent(strength: float) -> float:
    return math.log(_LEFT) / math.log(1 - min(strength, _LARGEST) / 255)


@njit
def _drawn(value: float, before: float, exponent: float) -> float:
    difference = before - value
    return value + difference * max(1.0 - abs(difference) / 255.0, 0.0) ** exponent


@njit
def _within(levels: Levels, exponent: float) -> None:
    """Each value towards the one to its left, then towards the result above it."""
    height, width, channels = levels.shape
    for r in range(height):
        for k in range(channels):
            left = float(levels[r, 0, k])
            for c in range(width):
                left = _drawn(float(levels[r, c, k]), left, exponent)
                levels[r, c, k] = (
                    _drawn(left, float(levels[r - 1, c, k]), exponent) if r > 0 else left
                )


@njit
def _after(levels: Levels, before: Levels, exponent: float) -> None:
    """Each value towards its result in the frame before."""
    height, width, channels = levels.shape
    for r in range(height):
        for c in range(width):
            for k in range(channels):
                levels[r, c, k] = _drawn(float(levels[r, c, k]), float(before[r, c, k]), exponent)
