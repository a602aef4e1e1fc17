"""The objectives of SAEHD: generator, code discriminator, GAN."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import tensorflow as tf

from dfl_tf.data.batch import Batch
from dfl_tf.models.generator import DecoderOutput, Generator
from dfl_tf.models.targets import Target, prepare, reconstruction_loss, window_sizes
from dfl_tf.nn.losses import (
    discriminator_loss,
    mean_dssim,
    mean_hwc,
    style_loss,
    total_variation_mse,
)

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
    options: Any
    code_discriminator: Any = None
    gan: Any = None
    true_face_power: float = 0.0
    total_variation_axes: str = "hw"

    def generator_objective(self, src_batch: Batch, dst_batch: Batch) -> tuple[tf.Tensor, Losses]:
        """Return the generator's objective and the reported losses, each (n,)."""
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
        src_loss = reconstruction_loss(src, *src_src, both_windows=both_windows)
        dst_loss = reconstruction_loss(dst, *dst_dst, both_windows=both_windows)
        if face:
            src_loss += self._face_style(swaps.pop(0), dst_dst)
        if background:
            src_loss += self._background_style(swaps.pop(0).image, src, dst)

        objective = src_loss + dst_loss
        if self.true_face_power:
            logits = self.code_discriminator(src_code)
            objective += self.true_face_power * discriminator_loss(1.0, logits)
        if self.gan is not None:
            objective += self._adversarial(src, src_src.image)
        return objective, {"src": src_loss, "dst": dst_loss}

    def discriminate_codes(self, src_batch: Batch, dst_batch: Batch) -> tuple[tf.Tensor, Losses]:
        """Return the code discriminator's objective, (n,): src is 0, dst is 1."""
        src_code, dst_code, _ = self.generator.codes(src_batch["image"], dst_batch["image"])
        logits_src = self.code_discriminator(tf.stop_gradient(src_code))
        logits_dst = self.code_discriminator(tf.stop_gradient(dst_code))
        loss = discriminator_loss(1.0, logits_dst) + discriminator_loss(0.0, logits_src)
        return 0.5 * loss, {}

    def discriminate_images(self, src_batch: Batch, dst_batch: Batch) -> tuple[tf.Tensor, Losses]:
        """Return the GAN's objective, (n,): src targets are 1, src reconstructions 0."""
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

    def _background_style(self, swap: tf.Tensor, src: Target, dst: Target) -> tf.Tensor:
        """Draw the swap's surroundings towards dst.

        Kept for compatibility: the surroundings are those of the *src* mask.
        """
        power = 10.0 * (self.options.bg_style_power / 100.0)
        outside = 1.0 - tf.stop_gradient(src.soft)
        wanted, got = dst.image * outside, swap * outside
        large, _ = window_sizes(self.options.resolution)
        return mean_dssim(got, wanted, power, (large,)) + mean_hwc(power * tf.square(got - wanted))

    def _adversarial(self, src: Target, image: tf.Tensor) -> tf.Tensor:
        center, full = self.gan(src.within(image))
        loss = discriminator_loss(1.0, center) + discriminator_loss(1.0, full)
        loss *= self.options.gan_power
        if self.options.masked_training:
            loss += 1e-6 * total_variation_mse(image, self.total_variation_axes)
            loss += 0.02 * src.background_difference(image)
        return loss
