"""The merger's menu of color transfers, and where their random numbers come from."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from dfl_tf_ops.color_transfer import (
    color_transfer_idt,
    color_transfer_mix,
    color_transfer_sot,
    draw_rotations,
)
from dfl_tf_ops.reference.color_transfer import lct, mkl, rct

from dfl_tf.merge.warping import Floats

_ROTATIONS = 20
_STEPS = 10
_SOT_BATCH, _MIX_BATCH = 30, 5

Array = npt.NDArray[np.float64]


class ColorDraws:
    """The random numbers of one frame, drawn face after face.

    Parameters
    ----------
    rng : numpy.random.RandomState
        A direction takes three normals, a rotation four.
    """

    def __init__(self, rng: np.random.RandomState):
        self._rng = rng

    def directions(self, steps: int, batch: int) -> Array:
        """Draw directions for sot and mix: normals, shape (steps, batch, 3), float64."""
        return self._rng.normal(size=(steps, batch, 3))

    def rotations(self, count: int) -> Array:
        """Draw rotation matrices for idt, shape (count, 3, 3), float64."""
        return draw_rotations(self._rng, count)


def frame_draws(seed: int, index: int) -> ColorDraws:
    """Return the generator of one frame, whichever worker gets it (merge.md 8, determinism)."""
    return ColorDraws(np.random.RandomState([seed & 0xFFFFFFFF, index]))


def recolor(mode: str, face: Floats, target: Floats, binary: Floats, draws: ColorDraws) -> Floats:
    """Give a face the colors of the frame's face.

    Parameters
    ----------
    mode : str
        none, rct, lct, mkl, mkl-m, idt, idt-m, sot-m or mix-m; "-m" works on masked images.
    face, target : ndarray, shape (size, size, 3), float32 BGR
    binary : ndarray, shape (size, size, 1), float32
        1 inside of the mask.
    draws : ColorDraws

    Returns
    -------
    ndarray, shape (size, size, 3), float32

    References
    ----------
    merge.md 4, step a.
    """
    if mode == "none":
        return face
    if mode == "rct":
        return rct(face, target, binary, binary)
    if mode == "lct":
        return lct(face, target)
    if mode.endswith("-m"):
        face, target = face * binary, target * binary
    if mode in ("mkl", "mkl-m"):
        return mkl(face, target)
    if mode in ("idt", "idt-m"):
        return color_transfer_idt(face, target, rotations=draws.rotations(_ROTATIONS))
    if mode == "sot-m":
        directions = draws.directions(_STEPS, _SOT_BATCH)
        return np.clip(color_transfer_sot(face, target, directions=directions), 0, 1)
    if mode == "mix-m":
        return color_transfer_mix(face, target, directions=draws.directions(_STEPS, _MIX_BATCH))
    raise ValueError(f"unknown color transfer {mode!r}")
