"""Means, covariances and linear maps of colors, in one pass each."""

from __future__ import annotations

import math

import cv2
import numpy as np
import numpy.typing as npt

from dfl_tf_ops.jit import njit, njit_inner

FloatImage = npt.NDArray[np.float32]
Matrix = npt.NDArray[np.float64]

_MIN_DEVIATION = 1e-6
_LARGEST_FACTOR = 64  # with it float32 sums are still right to some 1e-5


def mean_and_covariance(image: FloatImage) -> tuple[Matrix, Matrix]:
    """Mean and population covariance of all pixels, accumulated in float64.

    Parameters
    ----------
    image : ndarray, shape (h, w, 3), float32

    Returns
    -------
    mean : ndarray, shape (3,), float64
    covariance : ndarray, shape (3, 3), float64
    """
    pixels = np.ascontiguousarray(image).reshape(-1, 3)
    mean, products = np.zeros(3), np.zeros((3, 3))
    _accumulate(pixels, mean, products)
    return mean, products


def apply_affine(
    image: FloatImage, matrix: Matrix, from_mean: Matrix, to_mean: Matrix
) -> FloatImage:
    """Map each pixel x to matrix (x - from_mean) + to_mean, clipped to [0, 1].

    Parameters
    ----------
    image : ndarray, shape (h, w, 3), float32
        Not modified.
    matrix : ndarray, shape (3, 3), float64
    from_mean, to_mean : ndarray, shape (3,), float64

    Returns
    -------
    ndarray, shape (h, w, 3), float32 in [0, 1]

    Notes
    -----
    Colors without spread in some direction (gray images) make a matrix of huge entries that only
    cancel out in float64, and only if the mean is taken off first.
    """
    if np.abs(matrix).max() > _LARGEST_FACTOR:
        exact = (image.reshape(-1, 3) - from_mean) @ matrix.T + to_mean
        return np.clip(exact, 0, 1).astype(np.float32).reshape(image.shape)
    shift = to_mean - matrix @ from_mean
    out = cv2.transform(image, np.column_stack([matrix, shift]))
    return np.clip(out, 0, 1, out=out)


def match_lab(lab: FloatImage, mean: Matrix, covariance: Matrix) -> None:
    """Give each channel another mean and deviation in place, clipped to Lab's range.

    Parameters
    ----------
    lab : ndarray, shape (h, w, 3), float32, contiguous
        L in [0, 100], a and b in [-127, 127] afterwards.
    mean : ndarray, shape (3,), float64
    covariance : ndarray, shape (3, 3), float64
        Its diagonal holds the variances.
    """
    _match(lab.reshape(-1, 3), mean, covariance)


@njit
def _accumulate(pixels: FloatImage, mean: Matrix, products: Matrix) -> None:
    n = pixels.shape[0]
    s0, s1, s2 = 0.0, 0.0, 0.0
    for i in range(n):
        s0 += pixels[i, 0]
        s1 += pixels[i, 1]
        s2 += pixels[i, 2]
    m0, m1, m2 = s0 / n, s1 / n, s2 / n
    p00, p01, p02, p11, p12, p22 = 0.0, 0.0, 0.0, 0.0, 0.0, 0.0
    for i in range(n):
        x, y, z = pixels[i, 0] - m0, pixels[i, 1] - m1, pixels[i, 2] - m2
        p00 += x * x
        p01 += x * y
        p02 += x * z
        p11 += y * y
        p12 += y * z
        p22 += z * z
    mean[0], mean[1], mean[2] = m0, m1, m2
    products[0, 0], products[1, 1], products[2, 2] = p00 / n, p11 / n, p22 / n
    products[0, 1] = products[1, 0] = p01 / n
    products[0, 2] = products[2, 0] = p02 / n
    products[1, 2] = products[2, 1] = p12 / n


@njit
def _match(lab: FloatImage, mean: Matrix, covariance: Matrix) -> None:
    own, products = np.empty(3), np.empty((3, 3))
    _accumulate(lab, own, products)
    scale = np.empty((3, 3), np.float32)
    for c in range(3):
        deviation = math.sqrt(products[c, c])
        spread = deviation >= _MIN_DEVIATION
        scale[0, c] = math.sqrt(covariance[c, c]) / deviation if spread else 1.0
        scale[1, c], scale[2, c] = own[c], mean[c]
    _scale_lab(lab, scale[0], scale[1], scale[2])


@njit_inner
def _scale_lab(
    lab: FloatImage, ratio: FloatImage, from_mean: FloatImage, to_mean: FloatImage
) -> None:
    for i in range(lab.shape[0]):
        for c in range(3):
            x = (lab[i, c] - from_mean[c]) * ratio[c] + to_mean[c]
            low = np.float32(0) if c == 0 else np.float32(-127)
            high = np.float32(100) if c == 0 else np.float32(127)
            lab[i, c] = min(max(x, low), high)
