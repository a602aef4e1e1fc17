"""The work mask of a merged face: which source, how far eroded, how soft."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np

from dfl_tf.merge.warping import Floats

# Values below one 8-bit step are noise of the networks and of cubic sampling.
SMALLEST = np.float32(1.0 / 255.0)

MaskSource = Callable[[], Floats]


def resize_cubic(image: Floats, size: int) -> Floats:
    """Resize a square image with cubic sampling; unchanged if it has that size already."""
    if image.shape[0] == size and image.shape[1] == size:
        return image
    return cv2.resize(image, (size, size), interpolation=cv2.INTER_CUBIC)


def without_traces(mask: Floats) -> Floats:
    """Set values below 1/255 to 0."""
    return mask * (mask >= SMALLEST)


def combine_masks(mode: str, sources: dict[str, MaskSource]) -> Floats:
    """Evaluate a mask mode such as `learned-prd*XSeg-dst`.

    Parameters
    ----------
    mode : str
        Names joined by `*` (product) or `+` (sum, clipped to [0, 1]).
    sources : dict of str to callable
        Gives each named mask, (size, size) float32; only what the mode names is evaluated.

    Returns
    -------
    ndarray, shape (size, size), float32
        Values below 1/255 are 0.

    References
    ----------
    merge.md 3, steps 5 and 6.
    """
    if "+" in mode:
        names = mode.split("+")
        mask = np.clip(sum((sources[name]() for name in names), np.float32(0)), 0, 1)
    else:
        first, *others = mode.split("*")
        mask = sources[first]().copy()
        for name in others:
            mask *= sources[name]()
    return without_traces(mask)


def soften_mask(mask: Floats, erode: int, blur: int) -> Floats:
    """Erode or dilate a mask, keep it away from the edge of the crop, and blur it.

    Parameters
    ----------
    mask : ndarray, shape (size, size), float32, 0 or more
        In the fine grid of four mask pixels to one network pixel.
    erode : int
        Side of the elliptic kernel; negative dilates.
    blur : int
        Side of the Gaussian kernel.

    Returns
    -------
    ndarray, shape (size, size), float32, in [0, 1]

    Notes
    -----
    The legacy program pads the mask with zeros first and cuts the padding off at the end; a
    constant zero border gives the same values on fewer pixels.

    References
    ----------
    merge.md 3, step 7.
    """
    if erode != 0:
        mask = _erode(mask, erode) if erode > 0 else _dilate(mask, -erode)
    clear = blur // 2
    if clear > 0:
        mask = mask.copy()
        mask[:clear] = 0
        mask[-clear:] = 0
        mask[:, :clear] = 0
        mask[:, -clear:] = 0
    if blur > 0:
        side = blur + 1 - blur % 2
        mask = cv2.GaussianBlur(mask, (side, side), 0, borderType=cv2.BORDER_CONSTANT)
    return np.clip(mask, 0, 1)


def _erode(mask: Floats, side: int) -> Floats:
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side))
    return cv2.erode(mask, kernel, borderType=cv2.BORDER_CONSTANT, borderValue=0)


def _dilate(mask: Floats, side: int) -> Floats:
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side))
    return cv2.dilate(mask, kernel, borderType=cv2.BORDER_CONSTANT, borderValue=0)


def mask_is_large_enough(mask: Floats) -> bool:
    """Tell whether the visible mask (0.1 and more) spans at least four rows and columns.

    References
    ----------
    merge.md 4, guard.
    """
    visible = mask.reshape(mask.shape[:2]) >= np.float32(0.1)
    spans = [np.flatnonzero(visible.any(axis=axis)) for axis in (0, 1)]
    return all(span.size > 0 and span[-1] - span[0] >= 4 for span in spans)


def seamless_mask(mask: Floats) -> Floats | None:
    """Return the binary mask of the seamless modes, or None if nothing is visible enough.

    References
    ----------
    merge.md 4, step c.
    """
    for tenth in range(1, 10):
        above = mask > tenth / 10.0
        if above.any():
            return above.astype(np.float32)
    return None
