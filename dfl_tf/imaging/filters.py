"""Random degradations of an image, as XSeg training applies them.

Every filter takes a (h, w, 3) float32 BGR image in [0, 1], an optional mask (h, w, 1) that says
where it acts, and a `numpy.random.RandomState` whose draws happen in the order that is stated.
`percent` is a percentage: the filter acts if `randint(100) < percent`.

References: data.md 6.3.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
import numpy.typing as npt

from dfl_tf.imaging.files import decode_image, encode_image, to_float, to_uint8

Image = npt.NDArray[np.float32]
Rng = np.random.RandomState


def blend(image: Image, changed: Image, mask: Image | None) -> Image:
    """Return `changed` where the mask is 1 and `image` where it is 0; `changed` without a mask.

    Parameters
    ----------
    image, changed : ndarray, shape (h, w, 3), float32
    mask : ndarray, shape (h, w, 1), float32 in [0, 1], or None

    Returns
    -------
    ndarray, shape (h, w, 3), float32
    """
    if mask is None:
        return changed
    return image * (1 - mask) + changed * mask


def random_rgb_levels(image: Image, rng: Rng, *, mask: Image | None = None) -> Image:
    """Change black point, white point and gamma of each channel: 15 x `random_sample`.

    Shapes, dtypes and ranges: see the module.
    """
    draws = np.array([rng.random_sample() for _ in range(15)]).reshape(5, 3)
    in_black, in_white = draws[0] * 0.25, 1 - draws[1] * 0.25
    gamma = 0.5 + draws[2]
    out_black, out_white = draws[3] * 0.25, 1 - draws[4] * 0.25
    leveled = np.clip((image - in_black) / (in_white - in_black), 0, 1)
    leveled = leveled ** (1 / gamma) * (out_white - out_black) + out_black
    return blend(image, np.clip(leveled, 0, 1).astype(np.float32), mask)


def shift_hsv(image: Image, hue: float, saturation: float, value: float) -> Image:
    """Add to hue (degrees, wraps), saturation and value (both clipped).

    Parameters
    ----------
    image : ndarray, shape (h, w, 3), float32 in [0, 1], BGR
    hue : float
        Degrees.
    saturation, value : float

    Returns
    -------
    ndarray, shape (h, w, 3), float32 in [0, 1], BGR

    References
    ----------
    data.md 4.1, step 4.
    """
    h, s, v = cv2.split(cv2.cvtColor(image, cv2.COLOR_BGR2HSV))
    h = (h + np.float32(hue)) % 360
    s = np.clip(s + np.float32(saturation), 0, 1)
    v = np.clip(v + np.float32(value), 0, 1)
    return np.clip(cv2.cvtColor(cv2.merge([h, s, v]), cv2.COLOR_HSV2BGR), 0, 1)


def random_hsv_shift(image: Image, rng: Rng, *, mask: Image | None = None) -> Image:
    """Turn hue, shift saturation and value: `randint(360)`, 2 x `random_sample`.

    Shapes, dtypes and ranges: see the module.
    """
    hue = rng.randint(360)
    saturation = rng.random_sample() - 0.5
    value = rng.random_sample() - 0.5
    return blend(image, shift_hsv(image, hue, saturation, value), mask)


def random_sharpen(
    image: Image, rng: Rng, percent: int, kernel_max: int, *, mask: Image | None = None
) -> Image:
    """Sharpen by a box or a Gaussian: `randint(kernel_max)`, `randint(100)`, then two more.

    Shapes and dtypes: see the module; the result is not clipped.
    """
    kernel = rng.randint(kernel_max) + 1
    if rng.randint(100) >= percent:
        return image
    kernel += 1 - kernel % 2
    if rng.randint(2) == 0:
        sharp = _sharpen_box(image, kernel, rng.randint(10))
    else:
        sharp = _sharpen_gaussian(image, kernel, rng.randint(50))
    return blend(image, sharp, mask)


def _sharpen_box(image: Image, kernel: int, amount: int) -> Image:
    if amount == 0:
        return image
    delta = np.zeros((kernel, kernel), dtype=np.float32)
    delta[kernel // 2, kernel // 2] = 1
    box = np.full((kernel, kernel), 1 / (kernel * kernel), dtype=np.float32)
    return cv2.filter2D(image, -1, delta + (delta - box) * amount)


def _sharpen_gaussian(image: Image, kernel: int, amount: int) -> Image:
    if amount == 0:
        return image
    blurred = cv2.GaussianBlur(image, (kernel, kernel), 0)
    return cv2.addWeighted(image, 1 + 0.5 * amount, blurred, -0.5 * amount, 0)


def random_motion_blur(
    image: Image, rng: Rng, percent: int, kernel_max: int, *, mask: Image | None = None
) -> Image:
    """Blur along a line: `randint(kernel_max)`, `randint(360)`, `randint(100)`.

    Shapes, dtypes and ranges: see the module.
    """
    size = rng.randint(kernel_max) + 1
    angle = rng.randint(360)
    if rng.randint(100) >= percent:
        return image
    return blend(image, linear_motion_blur(image, size, angle), mask)


def linear_motion_blur(image: Image, size: int, angle: float) -> Image:
    """Average along a line of `size` pixels, turned by `angle` degrees.

    Parameters
    ----------
    image : ndarray, shape (h, w, 3), float32
    size : int
    angle : float

    Returns
    -------
    ndarray, shape (h, w, 3), float32
    """
    line = np.zeros((size, size), dtype=np.float32)
    line[(size - 1) // 2, :] = 1
    center = (size / 2 - 0.5, size / 2 - 0.5)
    line = cv2.warpAffine(line, cv2.getRotationMatrix2D(center, angle, 1.0), (size, size))
    return cv2.filter2D(image, -1, line * np.float32(1 / np.sum(line)))


def random_gaussian_blur(
    image: Image, rng: Rng, percent: int, kernel_max: int, *, mask: Image | None = None
) -> Image:
    """Blur by a Gaussian: `randint(100)`, then `randint(kernel_max)`.

    Shapes, dtypes and ranges: see the module.
    """
    if rng.randint(100) >= percent:
        return image
    kernel = 2 * rng.randint(kernel_max) + 1
    return blend(image, cv2.GaussianBlur(image, (kernel, kernel), 0), mask)


def random_resize(
    image: Image,
    rng: Rng,
    percent: int,
    max_percent: int,
    interpolation: int,
    *,
    mask: Image | None = None,
) -> Image:
    """Make smaller by up to `max_percent` and large again: `randint(100)`, `random_sample`.

    Shapes and dtypes: see the module; cubic interpolation overshoots, the result is not clipped.
    """
    if rng.randint(100) >= percent:
        return image
    share = rng.random_sample()
    height, width = image.shape[:2]
    small = (
        width - int(share * int(width * max_percent / 100)),
        height - int(share * int(height * max_percent / 100)),
    )
    coarse = cv2.resize(image, small, interpolation=interpolation)
    return blend(image, cv2.resize(coarse, (width, height), interpolation=interpolation), mask)


def random_jpeg(image: Image, rng: Rng, percent: int, *, mask: Image | None = None) -> Image:
    """Compress as JPEG and back: `randint(100)`, then quality `randint(10, 101)`.

    Shapes, dtypes and ranges: see the module.
    """
    if rng.randint(100) >= percent:
        return image
    quality = int(rng.randint(10, 101))
    decoded = to_float(decode_image(encode_image(to_uint8(image), ".jpg", quality=quality)))
    return blend(image, decoded, mask)


def faded_circle(size: Sequence[int], center: Sequence[int], fade: Sequence[int]) -> Image:
    """Draw a disk that fades out.

    Parameters
    ----------
    size : sequence of int
        (width, height).
    center : sequence of int
        (row, column).
    fade : sequence of int
        Radius where the fading starts, and the length by which it is divided.

    Returns
    -------
    ndarray, shape (height, width, 1), float32, [0, 1]

    Notes
    -----
    Kept for compatibility: the slope is 1 / fade[1], not 1 / (fade[1] - fade[0]).
    """
    width, height = size
    rows, columns = np.mgrid[0:height, 0:width]
    distance = np.sqrt((rows - center[0]) ** 2 + (columns - center[1]) ** 2)
    value = np.clip(1 - (distance - fade[0]) / max(fade[1], 1), 0, 1)
    return value.astype(np.float32)[:, :, None]


def random_faded_circle(size: Sequence[int], rng: Rng) -> Image:
    """Draw a random disk: start, end, row, column by four `randint`; see `faded_circle`."""
    width, height = size
    largest = max(width, height)
    start = rng.randint(largest)
    end = start + rng.randint(largest - start)
    center = (rng.randint(height), rng.randint(width))
    return faded_circle(size, center, (start, end))


def resize_to(
    image: npt.NDArray[np.float32],
    size: int,
    interpolation: int,
    *,
    room: npt.NDArray[np.float32] | None = None,
) -> npt.NDArray[np.float32]:
    """Resize an image to a square of `size` pixels.

    Parameters
    ----------
    image : ndarray, shape (h, w, c), float32
    size : int
    interpolation : int
        OpenCV flag.
    room : ndarray, shape (size, size, c), float32, optional
        Where the result is put.

    Returns
    -------
    ndarray, shape (size, size, c), float32
        The input itself if it has that size; not clipped.
    """
    if image.shape[:2] == (size, size):
        return image
    resized = cv2.resize(image, (size, size), dst=room, interpolation=interpolation)
    return resized if resized.ndim == 3 else resized[:, :, None]
