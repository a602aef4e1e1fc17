"""What is measured of a face that a model made, as functions on arrays."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from skimage.metrics import structural_similarity

METRICS_VERSION = 1
"""Raised when a function here gives another number: results of two versions are not compared."""

HIGHEST_PSNR = 100.0
"""Decibels that stand for equal images, for which the ratio has no bound."""

Floats = npt.NDArray[np.float64]

_SIGMA = 1.5


def ssim_map(image: npt.ArrayLike, target: npt.ArrayLike) -> Floats:
    """Structural similarity of each pixel's surroundings, averaged over the channels.

    Gaussian windows of sigma 1.5 and population covariances, as in the paper.

    Parameters
    ----------
    image, target : array_like, shape (h, w, 3), float in [0, 1]
        At least 11 pixels a side.

    Returns
    -------
    ndarray, shape (h, w), float64, in [-1, 1]

    References
    ----------
    Z. Wang, A. C. Bovik, H. R. Sheikh and E. P. Simoncelli, Image quality assessment: from error
    visibility to structural similarity, IEEE Trans. Image Processing 13 (2004). Computed by
    scikit-image.
    """
    _, similarity = structural_similarity(
        np.asarray(target, np.float64),
        np.asarray(image, np.float64),
        channel_axis=2,
        data_range=1.0,
        gaussian_weights=True,
        sigma=_SIGMA,
        use_sample_covariance=False,
        full=True,
    )
    return np.asarray(similarity.mean(axis=2), np.float64)


def masked_mean(values: npt.ArrayLike, mask: npt.ArrayLike) -> float:
    """Mean of values weighted by a mask: ``sum(values * mask) / sum(mask)``.

    Parameters
    ----------
    values : array_like, shape (h, w) or (h, w, c), float
    mask : array_like, shape (h, w) or (h, w, 1), float in [0, 1]

    Returns
    -------
    float
        NaN if the mask is empty.
    """
    array = np.asarray(values, np.float64)
    weights = np.asarray(mask, np.float64).reshape(array.shape[:2])
    total = float(weights.sum())
    if array.ndim == 3:
        array = array.mean(axis=2)
    return float((array * weights).sum() / total) if total > 0 else float("nan")


def masked_ssim(image: npt.ArrayLike, target: npt.ArrayLike, mask: npt.ArrayLike) -> float:
    """Mean of `ssim_map` over the mask, at most 1.

    Parameters
    ----------
    image, target : array_like, shape (h, w, 3), float in [0, 1]
    mask : array_like, shape (h, w) or (h, w, 1), float in [0, 1]

    Returns
    -------
    float
        NaN if the mask is empty.
    """
    return masked_mean(ssim_map(image, target), mask)


def l1(image: npt.ArrayLike, target: npt.ArrayLike, mask: npt.ArrayLike) -> float:
    """Mean absolute difference over mask and channels, in [0, 1].

    Parameters
    ----------
    image, target : array_like, shape (h, w, 3), float in [0, 1]
    mask : array_like, shape (h, w) or (h, w, 1), float in [0, 1]

    Returns
    -------
    float
        NaN if the mask is empty.
    """
    return masked_mean(np.abs(_difference(image, target)), mask)


def psnr(image: npt.ArrayLike, target: npt.ArrayLike, mask: npt.ArrayLike) -> float:
    """Peak signal-to-noise ratio over mask and channels: ``-10 log10(mean square difference)``.

    Parameters
    ----------
    image, target : array_like, shape (h, w, 3), float in [0, 1]
    mask : array_like, shape (h, w) or (h, w, 1), float in [0, 1]

    Returns
    -------
    float
        Decibels, at most `HIGHEST_PSNR`; NaN if the mask is empty.
    """
    square = masked_mean(np.square(_difference(image, target)), mask)
    if square <= 10 ** (-HIGHEST_PSNR / 10):
        return HIGHEST_PSNR
    return float(-10 * np.log10(square))


def iou(mask: npt.ArrayLike, target: npt.ArrayLike) -> float:
    """Overlap of two masks, cut at one half: intersection over union, in [0, 1].

    Parameters
    ----------
    mask, target : array_like, any shape, the same, float in [0, 1]

    Returns
    -------
    float
        1 if both are empty.
    """
    one, other = np.asarray(mask) >= 0.5, np.asarray(target) >= 0.5
    union = np.count_nonzero(one | other)
    return float(np.count_nonzero(one & other) / union) if union else 1.0


def jitter(
    swaps: tuple[npt.ArrayLike, npt.ArrayLike],
    faces: tuple[npt.ArrayLike, npt.ArrayLike],
    mask: npt.ArrayLike,
) -> float:
    """What a swap moves by itself from one frame to the next, in aligned coordinates.

    The mean over mask and channels of ``|(S(t+1) - S(t)) - (D(t+1) - D(t))|``, where S is the swap
    and D the dst face. 0 if nothing moves, and if the swap changes as the face does. Of a still
    face whose swap is shifted by s pixels it is s times the mean slope of the swap (brightness a
    pixel along the shift), where that is a ramp.

    Parameters
    ----------
    swaps : tuple of two array_like, shape (h, w, 3), float in [0, 1]
        S(t) and S(t+1).
    faces : tuple of two array_like, shape (h, w, 3), float in [0, 1]
        D(t) and D(t+1).
    mask : array_like, shape (h, w) or (h, w, 1), float in [0, 1]

    Returns
    -------
    float
        In the scale of the images, where 1 is from black to white; NaN if the mask is empty.
    """
    own, wanted = _difference(swaps[1], swaps[0]), _difference(faces[1], faces[0])
    return masked_mean(np.abs(own - wanted), mask)


def identity_distance(vector: npt.ArrayLike, person: npt.ArrayLike) -> float:
    """Euclidean distance of a face from a person: from the mean of the person's vectors.

    Parameters
    ----------
    vector : array_like, shape (k,), float
    person : array_like, shape (n, k), float
        Vectors of faces of the person.

    Returns
    -------
    float
        Smaller is more alike. NaN without vectors.
    """
    vectors = np.asarray(person, np.float64)
    if not len(vectors):
        return float("nan")
    return float(np.linalg.norm(np.asarray(vector, np.float64) - vectors.mean(axis=0)))


def _difference(first: npt.ArrayLike, second: npt.ArrayLike) -> Floats:
    return np.asarray(first, np.float64) - np.asarray(second, np.float64)
