"""The objectives of SAEHD: generator, code discriminator, GAN."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import tensorflow as tf

from dfl_tf.data.batch import Batch
from dfl_tf.models.generator import DecoderOutput, Generator
from dfl_tf.models.targets import (
    Target,
    of_side,
    output_variance,
    prepare,
    reconstruction_loss,
    window_sizes,
)
from dfl_tf.nn.losses import (
    discriminator_loss,
    mean_dssim,
    mean_hwc,
    style_loss,
    total_variation_mse,
)

if TYPE_CHECKING:
    from dfl_tf.nn.layers import Network
    from dfl_tf.options import SAEHDOptions

Losses = dict[str, tf.Tensor]


@dataclass(frozen=True)
class SAEHDObjective:
    """All terms of a training step.

    Parameters
    ----------
    generator : Generator
    options : SAEHDOptions
        The effective ones: while pretraining, styles and GAN have power 0.
    code_discriminator, gan : Network or None
    true_face_power : float
        Power of the true-face term; 0 while pretraining (design decision 22).
    total_variation_axes : {"hw", "ch"}
        See `losses.total_variation_mse`.

    Notes
    -----
    The objectives take the batches of src and dst: `image`, `target`, `mask` and, with
    `eyes_mouth_prio`, `eyes_mouth`.

    References
    ----------
    training.md 2
    """

    generator: Generator
    options: SAEHDOptions
    code_discriminator: Network | None = None
    gan: Network | None = None
    true_face_power: float = 0.0
    total_variation_axes: str = "hw"

    def generator_objective(self, src_batch: Batch, dst_batch: Batch) -> tuple[tf.Tensor, Losses]:
        """Return the generator's objective, the losses and all of their terms, each (n,)."""
        src, dst = self._target(src_batch), self._target(dst_batch)
        face, background = self.options.face_style_power, self.options.bg_style_power

        src_code, dst_code, swap_code = self.generator.codes(src_batch["image"], dst_batch["image"])
        src_codes = [src_code]
        if face:
            src_codes.append(tf.stop_gradient(swap_code))
        if background:
            src_codes.append(swap_code)
        src_src, *swaps, dst_dst = self.generator.decode(src_codes, [dst_code])

        both_windows = self.options.resolution >= 256
        src_loss, src_terms = reconstruction_loss(src, *src_src, both_windows=both_windows)
        dst_loss, dst_terms = reconstruction_loss(dst, *dst_dst, both_windows=both_windows)
        terms = {**of_side("src", src_terms), **of_side("dst", dst_terms)}
        terms |= output_variance(src_src.image, dst_dst.image)
        if face:
            terms["face_style"] = self._face_style(swaps.pop(0), dst_dst)
            src_loss += terms["face_style"]
        if background:
            structure, pixels = self._background_style(swaps.pop(0).image, src, dst)
            src_loss += structure + pixels
            terms |= {"bg_style_dssim": structure, "bg_style_pixels": pixels}

        objective = src_loss + dst_loss
        if self.true_face_power and self.code_discriminator is not None:
            logits = self.code_discriminator(src_code)
            terms["true_face"] = self.true_face_power * discriminator_loss(1.0, logits)
            objective += terms["true_face"]
        if self.gan is not None:
            adversarial, its_terms = self._adversarial(src, src_src.image)
            objective += adversarial
            terms |= its_terms
        return objective, {"src": src_loss, "dst": dst_loss, **terms}

    def discriminate_codes(self, src_batch: Batch, dst_batch: Batch) -> tuple[tf.Tensor, Losses]:
        """Return the code discriminator's objective, (n,): src is 0, dst is 1."""
        assert self.code_discriminator is not None
        src_code, dst_code, _ = self.generator.codes(src_batch["image"], dst_batch["image"])
        logits_src = self.code_discriminator(tf.stop_gradient(src_code))
        logits_dst = self.code_discriminator(tf.stop_gradient(dst_code))
        loss = discriminator_loss(1.0, logits_dst) + discriminator_loss(0.0, logits_src)
        return 0.5 * loss, {}

    def discriminate_images(self, src_batch: Batch, dst_batch: Batch) -> tuple[tf.Tensor, Losses]:
        """Return the GAN's objective, (n,): src targets are 1, src reconstructions 0."""
        assert self.gan is not None
        src = self._target(src_batch)
        (src_src,) = self.generator.decode([self.generator.src_code(src_batch["image"])], [])
        true, fake = src.within(src.image), tf.stop_gradient(src.within(src_src.image))
        loss = tf.zeros((), true.dtype)
        for logits in self.gan(tf.concat((true, fake), axis=0)):
            logits_true, logits_fake = tf.split(logits, 2)
            loss += 0.5 * (
                discriminator_loss(1.0, logits_true) + discriminator_loss(0.0, logits_fake)
            )
        return loss, {}

    def _target(self, batch: Batch) -> Target:
        return prepare(
            batch["target"],
            batch["mask"],
            batch["eyes_mouth"] if self.options.eyes_mouth_prio else None,
            blur_out_mask=self.options.blur_out_mask,
            masked=self.options.masked_training,
        )

    def _face_style(self, swap: DecoderOutput, dst_dst: DecoderOutput) -> tf.Tensor:
        """Draw the swap's colors within its mask towards those of dst (decoder only)."""
        return style_loss(
            swap.image * tf.stop_gradient(swap.mask),
            tf.stop_gradient(dst_dst.image * dst_dst.mask),
            blur_radius=self.options.resolution // 8,
            weight=10000.0 * (self.options.face_style_power / 100.0),
        )

    def _background_style(
        self, swap: tf.Tensor, src: Target, dst: Target
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Draw the swap's surroundings towards dst: terms of structure and of pixels, (n,).

        Kept for compatibility: the surroundings are those of the *src* mask.
        """
        power = 10.0 * (self.options.bg_style_power / 100.0)
        outside = 1.0 - tf.stop_gradient(src.soft)
        wanted, got = dst.image * outside, swap * outside
        large, _ = window_sizes(self.options.resolution)
        structure = mean_dssim(got, wanted, power, (large,))
        return structure, mean_hwc(power * tf.square(got - wanted))

    def _adversarial(self, src: Target, image: tf.Tensor) -> tuple[tf.Tensor, Losses]:
        """Return what the GAN adds, and its terms, each (n,)."""
        assert self.gan is not None
        center, full = self.gan(src.within(image))
        loss = discriminator_loss(1.0, center) + discriminator_loss(1.0, full)
        loss *= self.options.gan_power
        terms = {"gan": loss}
        if self.options.masked_training:
            variation = total_variation_mse(image, self.total_variation_axes)
            terms["src_total_variation"] = 1e-6 * variation
            loss += terms["src_total_variation"]
            terms["src_background"] = 0.02 * src.background_difference(image)
            loss += terms["src_background"]
        return loss, terms
