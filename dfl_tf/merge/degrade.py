"""Degrade a frame as far as its face: noise removal, lost detail, few colors."""

from __future__ import annotations

import cv2
import numpy as np
from PIL import Image

from dfl_tf.merge.sharpen import median_passes
from dfl_tf.merge.warping import Floats


def denoise(image: Floats, power: int) -> Floats:
    """Remove image noise by median passes.

    Parameters
    ----------
    image : ndarray, shape (h, w, 3), float32
        Not modified.
    power : int
        0 to 500; 0 leaves the image as it is.

    Returns
    -------
    ndarray, shape (h, w, 3), float32

    Notes
    -----
    Kept for compatibility: the power falls by 10 a pass while only 100 makes a full pass, so 100
    means one full and nine partial passes.

    References
    ----------
    merge.md 4, step g.6.
    """
    return median_passes(image, power, full=100)


def bicubic_degrade(image: Floats, power: int) -> Floats:
    """Lose detail by resizing down and up again; power 100 leaves a hundredth of the side.

    Parameters
    ----------
    image : ndarray, shape (h, w, 3), float32
    power : int
        0 to 100.

    Returns
    -------
    ndarray, shape (h, w, 3), float32
        Not clipped; cubic interpolation overshoots.

    References
    ----------
    merge.md 4, step g.7.
    """
    height, width = image.shape[:2]
    part = 1.0 - power / 101.0
    small = (max(1, int(width * part)), max(1, int(height * part)))
    reduced = cv2.resize(image, small, interpolation=cv2.INTER_CUBIC)
    return cv2.resize(reduced, (width, height), interpolation=cv2.INTER_CUBIC)


def color_degrade(image: Floats, power: int) -> Floats:
    """Reduce an image towards a palette of 256 colors of its own (median cut).

    Parameters
    ----------
    image : ndarray, shape (h, w, 3), float32 in [0, 1], BGR
    power : int
        Share of the reduced image in percent, 0 to 100.

    Returns
    -------
    ndarray, shape (h, w, 3), float32 in [0, 1], BGR

    References
    ----------
    merge.md 4, step h.
    """
    rgb = (image[:, :, ::-1] * np.float32(255)).astype(np.uint8)
    palette = Image.fromarray(rgb).convert("P", palette=Image.Palette.ADAPTIVE, colors=256)
    colors = np.asarray(palette.convert("RGB"))[:, :, ::-1]
    reduced: Floats = np.divide(colors, np.float32(255), dtype=np.float32)
    if power == 100:
        return np.ascontiguousarray(reduced)
    part = np.float32(power / 100.0)
    return image * (1 - part) + reduced * part
