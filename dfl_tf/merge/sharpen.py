"""Motion blur and blur or sharpening of the pasted face."""

from __future__ import annotations

import cv2
import numpy as np

from dfl_tf.merge.warping import Floats


def motion_kernel(size: int, angle: float) -> Floats:
    """Return the kernel of a straight camera motion, shape (size, size), float32, with sum 1.

    References
    ----------
    merge.md 4, step g.4.
    """
    kernel = np.zeros((size, size), np.float32)
    kernel[(size - 1) // 2] = 1
    center = (size / 2 - 0.5, size / 2 - 0.5)
    turned = cv2.warpAffine(kernel, cv2.getRotationMatrix2D(center, angle, 1.0), (size, size))
    return turned / turned.sum()


def motion_blur(image: Floats, size: int, angle: float) -> Floats:
    """Blur along one direction.

    Parameters
    ----------
    image : ndarray, shape (h, w, 3), float32
    size : int
        Length of the motion in pixels of the crop.
    angle : float
        Degrees, counter-clockwise.

    Returns
    -------
    ndarray, shape (h, w, 3), float32
    """
    return cv2.filter2D(image, -1, motion_kernel(size, angle))


def blur_or_sharpen(image: Floats, amount: int, mode: str) -> Floats:
    """Sharpen by a positive amount, blur by a negative one.

    Parameters
    ----------
    image : ndarray, shape (h, w, 3), float32
    amount : int
        Positive: the factor of the sharpening filter. Negative: tenths of median passes, with any
        mode.
    mode : str
        "none", "box" or "gaussian"; "none" does not sharpen.

    Returns
    -------
    ndarray, shape (h, w, 3), float32, not clipped

    References
    ----------
    merge.md 4, step g.5.
    """
    if amount > 0 and mode == "box":
        kernel = np.zeros((3, 3), np.float32)
        kernel[1, 1] = 1.0
        kernel += (kernel - np.full((3, 3), 1.0 / 9.0, np.float32)) * amount
        return cv2.filter2D(image, -1, kernel)
    if amount > 0 and mode == "gaussian":
        soft = cv2.GaussianBlur(image, (3, 3), 0)
        return cv2.addWeighted(image, 1.0 + 0.5 * amount, soft, -0.5 * amount, 0)
    if amount < 0:
        return median_passes(image, -amount, full=10)
    return image


def median_passes(image: Floats, amount: int, full: int) -> Floats:
    """Median-filter again and again, `amount` going down by ten a pass.

    A pass counts fully while `full` or more is left, and partly below.

    Parameters
    ----------
    image : ndarray, shape (h, w, 3), float32
        Not modified.
    amount, full : int

    Returns
    -------
    ndarray, shape (h, w, 3), float32
        The input itself if `amount` is 0.

    References
    ----------
    merge.md 4, steps g.5 and g.6.
    """
    left = amount
    while left > 0:
        smooth = cv2.medianBlur(image, 5)
        if left >= full:
            image = smooth
        else:
            part = np.float32(left / full)
            image = image * (1 - part) + smooth * part
        left -= 10
    return image
