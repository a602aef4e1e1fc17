"""What a face model is trained towards: targets, masks, and the terms that compare with them."""

from __future__ import annotations

from dataclasses import dataclass

import tensorflow as tf

from dfl_tf.nn.losses import dssim_terms, gaussian_blur, mean_hwc

Terms = dict[str, tf.Tensor]
VARIANCE = "output_variance/"
"""With which the names of `output_variance` begin."""


def blur_out_background(target: tf.Tensor, mask: tf.Tensor, resolution: int) -> tf.Tensor:
    """Replace what lies outside the mask by its own blur, so that faces fade into nothing.

    Parameters
    ----------
    target : tensor, shape (n, r, r, 3)
    mask : tensor, shape (n, r, r, 1)
    resolution : int
        r; the blur has sigma r / 128.

    Notes
    -----
    Kept for compatibility: the blur takes zeros beyond the border, the divisor is 1 minus the
    blurred mask, so the surroundings get darker near the border.

    References
    ----------
    training.md 2.2, step 1
    """
    sigma = resolution / 128
    outside = 1.0 - mask
    blurred = gaussian_blur(target * outside, sigma)
    share = 1.0 - gaussian_blur(mask, sigma)
    share = tf.where(tf.equal(share, 0.0), tf.ones_like(share), share)
    return target * mask + (blurred / share) * outside


def soft_mask(mask: tf.Tensor, resolution: int) -> tf.Tensor:
    """Grow and soften a mask: blur, cut at 0.5, double (training.md 2.2, step 2).

    Parameters
    ----------
    mask : tensor, shape (n, r, r, 1), in [0, 1]
    resolution : int
        r; the blur has sigma r // 32, at least 1.

    Returns
    -------
    tensor, shape (n, r, r, 1), in [0, 1]
    """
    blurred = gaussian_blur(mask, max(1, resolution // 32))
    return tf.clip_by_value(blurred, 0.0, 0.5) * 2.0


@dataclass(frozen=True)
class Target:
    """One person's targets of one step.

    Attributes
    ----------
    image : tensor (n, r, r, 3)
        After `blur_out_background` if that is on.
    mask : tensor (n, r, r, 1)
        As drawn.
    soft : tensor (n, r, r, 1)
        `soft_mask` of it.
    eyes_mouth : tensor (n, r, r, 1) or None
    masked : bool
        Whether images are compared within the soft mask only.
    """

    image: tf.Tensor
    mask: tf.Tensor
    soft: tf.Tensor
    eyes_mouth: tf.Tensor | None
    masked: bool

    def within(self, image: tf.Tensor) -> tf.Tensor:
        """Return what of an image, shape (n, r, r, 3), is compared: all, or image times `soft`."""
        return image * self.soft if self.masked else image

    def background_difference(self, image: tf.Tensor) -> tf.Tensor:
        """Mean square difference to the target outside the soft mask, (n,)."""
        outside = 1.0 - self.soft
        return mean_hwc(tf.square(image * outside - self.image * outside))


def prepare(
    image: tf.Tensor,
    mask: tf.Tensor,
    eyes_mouth: tf.Tensor | None,
    *,
    blur_out_mask: bool,
    masked: bool,
) -> Target:
    """Make the `Target` of one person's target images and masks.

    Parameters
    ----------
    image : tensor, shape (n, r, r, 3), nominally in [0, 1], BGR
    mask : tensor, shape (n, r, r, 1), in [0, 1]
    eyes_mouth : tensor, shape (n, r, r, 1), or None
    blur_out_mask : bool
        Whether the background is blurred.
    masked : bool
        Whether images are compared within the soft mask only.
    """
    resolution = image.shape[1]
    if blur_out_mask:
        image = blur_out_background(image, mask, resolution)
    return Target(image, mask, soft_mask(mask, resolution), eyes_mouth, masked)


def window_sizes(resolution: int) -> tuple[int, int]:
    """Return the sides of the large and the small dssim window (training.md 1.1)."""
    return int(resolution / 11.6), int(resolution / 23.2)


def reconstruction_loss(
    target: Target, image: tf.Tensor, mask: tf.Tensor, *, both_windows: bool
) -> tuple[tf.Tensor, Terms]:
    """Compare a reconstruction with its target: structure, pixels, eyes and mouth, mask.

    Parameters
    ----------
    target : Target
        Its `eyes_mouth` is None if eyes and mouth have no priority.
    image : tensor, shape (n, r, r, 3)
    mask : tensor, shape (n, r, r, 1)
    both_windows : bool
        Whether the structure is compared in two window sizes, each with half the weight.

    Returns
    -------
    loss : tensor, shape (n,)
    terms : dict of tensor, shape (n,)
        What it is the sum of: `dssim_large`, `dssim_small` (of two windows), `pixels`,
        `eyes_mouth` (with priority) and `mask`.

    References
    ----------
    training.md 2.3, terms 1 to 4; 5

    Notes
    -----
    Only what is not a sum itself is a term: TensorFlow adds a chain of sums at once, in another
    order where one of them is read as well, and so to other last bits.
    """
    wanted, got = target.within(target.image), target.within(image)
    sizes = window_sizes(image.shape[1])[: 2 if both_windows else 1]
    structure = dssim_terms(wanted, got, 5.0 if both_windows else 10.0, sizes)
    terms = dict(zip(("dssim_large", "dssim_small"), structure, strict=False))
    loss = tf.add_n(structure)
    terms["pixels"] = mean_hwc(10.0 * tf.square(wanted - got))
    loss += terms["pixels"]
    if target.eyes_mouth is not None:
        region = target.eyes_mouth
        terms["eyes_mouth"] = mean_hwc(300.0 * tf.abs(target.image * region - image * region))
        loss += terms["eyes_mouth"]
    terms["mask"] = mean_hwc(10.0 * tf.square(target.mask - mask))
    return loss + terms["mask"], terms


def output_variance(src: tf.Tensor, dst: tf.Tensor) -> Terms:
    """Return the variance of reconstructions over their pixels: of one flat color it is 0.

    Parameters
    ----------
    src, dst : tensor, shape (n, r, r, 3), nominally in [0, 1]

    Returns
    -------
    dict of tensor, shape (n,), at least float32
        By `VARIANCE` and side; the mean of the channels.

    Notes
    -----
    A grid of about 32 pixels a side tells that as well as all of them, and costs nothing.
    """
    found = {}
    for side, whole in (("src", src), ("dst", dst)):
        step = max(1, whole.shape[1] // 32)
        image = whole[:, ::step, ::step]
        wide = image if image.dtype.size >= 4 else tf.cast(image, tf.float32)
        variance = tf.math.reduce_variance(tf.stop_gradient(wide), axis=(1, 2))
        found[VARIANCE + side] = tf.reduce_mean(variance, axis=-1)
    return found


def of_side(side: str, terms: Terms) -> Terms:
    """Name terms by the side that they are of: ``src_pixels``; tensors of any shape."""
    return {f"{side}_{name}": term for name, term in terms.items()}
