"""How many held-out faces have a near duplicate among those that were trained on."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import cv2
import numpy as np
import numpy.typing as npt
from dfl_tf_ops.process import cores
from scipy.spatial.distance import cdist

from dfl_tf.data import Faceset
from dfl_tf.imaging import decode_image, to_bgr, to_uint8
from dfl_tf.imaging.files import to_float
from dfl_tf.jobs.pool import ordered

NEAR = 0.01
"""Mean difference of two small copies, in [0, 1], below which they are near duplicates: about what
neighboring frames of a calm clip differ by."""

SIDE = 16
_ROWS = 4096  # faces that are compared at once

Bytes = npt.NDArray[np.uint8]


def small_copies(faceset: Faceset, indices: Iterable[int]) -> Bytes:
    """Copies of faces at 16 pixels a side, in the given order; unreadable ones are missing.

    Returns
    -------
    ndarray, shape (n, 768), uint8
    """

    def work(index: int) -> Bytes:
        face = faceset[index]
        image = to_bgr(decode_image(face.bytes(), what=face.name))
        if image.dtype != np.uint8:
            image = to_uint8(to_float(image))
        return cv2.resize(image, (SIDE, SIDE), interpolation=cv2.INTER_AREA).reshape(-1)

    outcomes = ordered(work, indices, workers=cores())
    rows = [outcome.get() for outcome in outcomes if outcome.error is None]
    return np.stack(rows) if rows else np.zeros((0, 3 * SIDE * SIDE), np.uint8)


def share_with_near_duplicate(held_out: Bytes, trained: Bytes) -> float:
    """Share of the first faces that are nearer than `NEAR` to one of the second.

    Parameters
    ----------
    held_out, trained : ndarray, shape (n, k) and (m, k), uint8

    Returns
    -------
    float
        In [0, 1]; 0 without faces.
    """
    if not len(held_out):
        return 0.0
    limit = NEAR * 255 * held_out.shape[1]
    near = np.zeros(len(held_out), bool)
    for start in range(0, len(trained), _ROWS):
        distances = cdist(held_out, trained[start : start + _ROWS], "cityblock")
        near |= distances.min(axis=1) < limit
    return float(near.mean())


def near_duplicates(faceset: Faceset, held_out: Sequence[int], trained: Sequence[int]) -> float:
    """Share of some faces of a faceset that have a near duplicate among others of it.

    Parameters
    ----------
    faceset : Faceset
    held_out, trained : sequence of int
    """
    return share_with_near_duplicate(
        small_copies(faceset, held_out), small_copies(faceset, trained)
    )
