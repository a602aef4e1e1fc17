"""What a program gives to `FaceModel.swap`, checked and brought to one form."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

_SLACK = 1e-3
"""How far values may lie outside of [0, 1]: interpolation and rounding go beyond by less."""


def face_batch(face: npt.ArrayLike, resolution: int) -> tuple[npt.NDArray[np.generic], bool]:
    """Return faces as a batch of floats, and whether a single one was given.

    Parameters
    ----------
    face : array_like
        Shape (n, r, r, 3) or (r, r, 3), BGR; floats in [0, 1], or uint8 in 0 … 255.
    resolution : int
        The model's r.

    Returns
    -------
    faces : ndarray, shape (n, r, r, 3)
        Floats as they were given; float32 in [0, 1] of uint8.
    single : bool

    Raises
    ------
    TypeError
        If the numbers are neither floats nor uint8.
    ValueError
        If the shape does not fit, or values are not finite or lie outside of [0, 1].
    """
    faces = np.asarray(face)
    wanted = f"(n, {resolution}, {resolution}, 3) or ({resolution}, {resolution}, 3)"
    if faces.dtype != np.uint8 and not np.issubdtype(faces.dtype, np.floating):
        raise TypeError(
            f"face has the dtype {faces.dtype}; it must be float32 in [0, 1], or uint8. Convert it."
        )
    if faces.shape[-3:] != (resolution, resolution, 3) or faces.ndim not in (3, 4):
        raise ValueError(
            f"face has the shape {faces.shape}; it must be {wanted}, BGR. Resize aligned faces to "
            "the model's options.resolution."
        )
    if not faces.size:
        raise ValueError(f"face has the shape {faces.shape}: the batch is empty.")
    single = faces.ndim == 3
    faces = faces[None] if single else faces
    if faces.dtype == np.uint8:
        return faces.astype(np.float32) / np.float32(255), single
    low, high = float(faces.min()), float(faces.max())
    if not (low >= -_SLACK and high <= 1 + _SLACK):  # also for NaN
        raise ValueError(
            f"face has values from {low:g} to {high:g}; it must lie in [0, 1]. Divide float images "
            "of 0 … 255 by 255, or give them as uint8."
        )
    return faces, single


def checked_morph(morph: float | None) -> float | None:
    """Return the share of src as a float.

    Raises
    ------
    ValueError
        If it is outside of [0, 1].
    """
    if morph is not None and not 0 <= float(morph) <= 1:
        raise ValueError(f"morph={morph} is outside of 0 … 1 (1 = all src).")
    return None if morph is None else float(morph)
