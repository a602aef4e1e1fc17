"""Plain NumPy twin of `dfl_tf_ops.blur_pool`."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.floating]


def band(row: npt.ArrayLike, side: int) -> npt.NDArray[np.float64]:
    """Return the matrix that blurs and halves one axis.

    Parameters
    ----------
    row : array-like, shape (size,), any numeric dtype
        Of the kernel; it is divided by its sum.
    side : int

    Returns
    -------
    ndarray, shape (h', side), float64
    """
    weights = np.asarray(row, np.float64) / np.sum(row)
    matrix = np.zeros(((side + 1) // 2, side))
    for half in range(len(matrix)):
        for tap, weight in enumerate(weights):
            place = 2 * half + tap - (len(weights) - 1) // 2
            if 0 <= place < side:
                matrix[half, place] = weight
    return matrix


def blur_pool(
    x: Array, row: npt.ArrayLike, upstream: Array
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Blur by a kernel that is the outer product of `row` with itself, and halve.

    Parameters
    ----------
    x : ndarray, shape (n, h, w, c), any floating dtype
    row : array-like, shape (size,), any numeric dtype
    upstream : ndarray, shape (n, h', w', c), any floating dtype
        Gradient towards the result.

    Returns
    -------
    tuple of ndarray, shapes (n, h', w', c) and (n, h, w, c), float64
        The result, and the gradient towards `x`.
    """
    rows, columns = band(row, x.shape[1]), band(row, x.shape[2])
    wide = np.asarray(x, np.float64), np.asarray(upstream, np.float64)
    return (
        np.einsum("ph,qw,nhwc->npqc", rows, columns, wide[0]),
        np.einsum("ph,qw,npqc->nhwc", rows, columns, wide[1]),
    )
