"""The work mask of a merged face: which source, how far eroded, how soft."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np

from dfl_tf.merge.warping import Floats

# Values below one 8-bit step are noise of the networks and of cubic sampling.
SMALLEST = np.float32(1.0 / 255.0)

# From this side of an ellipse on, our way is quicker than OpenCV's.
_LARGE = 48

MaskSource = Callable[[], Floats]


def resize_cubic(image: Floats, size: int) -> Floats:
    """Resize a square image with cubic sampling; unchanged if it has that size already.

    Parameters
    ----------
    image : ndarray, shape (h, h) or (h, h, 3), float32
    size : int
        Side of the result in pixels.

    Returns
    -------
    ndarray, shape (size, size) or (size, size, 3), float32
        Not clipped; cubic interpolation overshoots.
    """
    if image.shape[0] == size and image.shape[1] == size:
        return image
    return cv2.resize(image, (size, size), interpolation=cv2.INTER_CUBIC)


def without_traces(mask: Floats) -> Floats:
    """Set values of a mask of any shape, float32, below 1/255 to 0."""
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
        mask = _ellipse_filter(mask, abs(erode), np.minimum if erode > 0 else np.maximum)
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


def _ellipse_filter(mask: Floats, side: int, extreme: np.ufunc) -> Floats:
    """Take the smallest (erode) or largest (dilate) value under an ellipse; zero outside.

    OpenCV looks at every pixel of the ellipse. A large one is quicker row by row, from narrow to
    wide: each row is the extreme of two windows of a narrower one.
    """
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side))
    if side < _LARGE:
        morphology = cv2.erode if extreme is np.minimum else cv2.dilate
        return morphology(mask, kernel, borderType=cv2.BORDER_CONSTANT, borderValue=0)
    anchor = side // 2
    height, width = mask.shape
    border = cv2.copyMakeBorder(mask, side, side, side, side, cv2.BORDER_CONSTANT, value=0)
    # windows[y, x]: the extreme of border[y, x : x + span], for the columns up to `count`
    windows, spare, span, count = border, np.empty_like(border), 1, border.shape[1]
    found = None
    for row in np.argsort(kernel.sum(axis=1), kind="stable"):
        wanted = int(kernel[row].sum())
        while span < wanted:
            step = min(span, wanted - span)
            count -= step
            extreme(windows[:, :count], windows[:, step : step + count], out=spare[:, :count])
            windows, spare = spare, windows
            span += step
        top = side + int(row) - anchor
        left = side + int(np.flatnonzero(kernel[row])[0]) - anchor
        part = windows[top : top + height, left : left + width]
        found = part.copy() if found is None else extreme(found, part, out=found)
    assert found is not None
    return found


def mask_is_large_enough(mask: Floats) -> bool:
    """Tell whether the visible mask (0.1 and more) spans at least four rows and columns.

    Parameters
    ----------
    mask : ndarray, shape (h, w) or (h, w, 1), float32 in [0, 1]

    References
    ----------
    merge.md 4, guard.
    """
    visible = mask.reshape(mask.shape[:2]) >= np.float32(0.1)
    spans = [np.flatnonzero(visible.any(axis=axis)) for axis in (0, 1)]
    return all(span.size > 0 and span[-1] - span[0] >= 4 for span in spans)


def seamless_mask(mask: Floats) -> Floats | None:
    """Return the binary mask of the seamless modes, or None if nothing is visible enough.

    Parameters
    ----------
    mask : ndarray, shape (h, w, 1), float32 in [0, 1]

    Returns
    -------
    ndarray, shape (h, w, 1), float32, 0 or 1; or None

    References
    ----------
    merge.md 4, step c.
    """
    for tenth in range(1, 10):
        above = mask > tenth / 10.0
        if above.any():
            return above.astype(np.float32)
    return None
