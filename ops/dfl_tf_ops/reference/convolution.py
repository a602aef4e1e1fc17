"""Plain NumPy twins of `dfl_tf_ops.convolution`."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.floating]

INPUT = np.array([[1, 0, -1, 0], [0, 1, 1, 0], [0, -1, 1, 0], [0, 1, 0, -1]])
KERNEL = np.array([[1, 0, 0], [0.5, 0.5, 0.5], [0.5, -0.5, 0.5], [0, 0, 1]])
RESULT = np.array([[1, 1, 1, 0], [0, 1, -1, -1]])
"""The matrices of F(2, 3): ``RESULT ((KERNEL g) * (INPUT d))`` is a row of two results."""


def convolve(x: Array, kernel: Array) -> Array:
    """Sum the definition of a convolution with stride 1 and zeros around the image.

    Parameters
    ----------
    x : ndarray, shape (n, h, w, in), any floating dtype
    kernel : ndarray, shape (k, k, in, out), dtype of `x`
        k is odd.

    Returns
    -------
    ndarray, shape (n, h, w, out), dtype of `x`
    """
    size = kernel.shape[0]
    pad = size // 2
    padded = np.pad(x, ((0, 0), (pad, pad), (pad, pad), (0, 0)))
    height, width = x.shape[1:3]
    return sum(
        padded[:, i : i + height, j : j + width] @ kernel[i, j]
        for i in range(size)
        for j in range(size)
    )


def convolve_gradients(x: Array, kernel: Array, upstream: Array) -> tuple[Array, Array]:
    """Gradients of ``sum(convolve(x, kernel) * upstream)`` towards `x` and `kernel`.

    Parameters
    ----------
    x, kernel
        As in `convolve`.
    upstream : ndarray, shape (n, h, w, out), dtype of `x`
        Gradient towards the result.

    Returns
    -------
    tuple of ndarray, shapes of `x` and `kernel` and their dtypes
    """
    size = kernel.shape[0]
    pad = size // 2
    padded = np.pad(x, ((0, 0), (pad, pad), (pad, pad), (0, 0)))
    height, width = x.shape[1:3]
    towards_kernel = np.empty_like(kernel)
    for i in range(size):
        for j in range(size):
            seen = padded[:, i : i + height, j : j + width]
            towards_kernel[i, j] = np.tensordot(seen, upstream, axes=((0, 1, 2), (0, 1, 2)))
    turned = kernel[::-1, ::-1].transpose(0, 1, 3, 2)
    return convolve(upstream, turned), towards_kernel


def winograd(x: Array, kernel: Array) -> Array:
    """Convolve by a 3x3 kernel in the minimal form, tile by tile of 2x2 results.

    Parameters
    ----------
    x : ndarray, shape (n, h, w, in), any floating dtype
    kernel : ndarray, shape (3, 3, in, out), any floating dtype

    Returns
    -------
    ndarray, shape (n, h, w, out), dtype of `x`

    References
    ----------
    Lavin and Gray, Fast Algorithms for Convolutional Neural Networks, CVPR 2016
    """
    count, height, width, _ = x.shape
    rows, columns = -(-height // 2), -(-width // 2)
    padded = np.pad(x, ((0, 0), (1, 1 + 2 * rows - height), (1, 1 + 2 * columns - width), (0, 0)))
    points = np.einsum("pi,ijkl,qj->pqkl", KERNEL, kernel, KERNEL)
    result = np.zeros((count, 2 * rows, 2 * columns, kernel.shape[3]), x.dtype)
    for row in range(rows):
        for column in range(columns):
            top, left = 2 * row, 2 * column
            window = padded[:, top : top + 4, left : left + 4]
            seen = np.einsum("pi,nijk,qj->npqk", INPUT, window, INPUT)
            products = np.einsum("npqk,pqkl->npql", seen, points)
            result[:, top : top + 2, left : left + 2] = np.einsum(
                "ip,npql,jq->nijl", RESULT, products, RESULT
            )
    return result[:, :height, :width]
