"""The objectives of AMP: generator and GAN."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import tensorflow as tf

from dfl_tf.data.batch import Batch
from dfl_tf.models.amp.networks import AMPGenerator
from dfl_tf.models.targets import Target, of_side, output_variance, prepare, reconstruction_loss
from dfl_tf.nn.losses import discriminator_loss, total_variation_mse

if TYPE_CHECKING:
    from dfl_tf.nn.layers import Network
    from dfl_tf.options import AMPOptions

Losses = dict[str, tf.Tensor]
_AXES = "ch"  # what the legacy program has always summed over here (training.md 1.4)


@dataclass(frozen=True)
class AMPObjective:
    """All terms of a training step.

    Parameters
    ----------
    generator : AMPGenerator
    options : AMPOptions
    gan : Network or None

    Notes
    -----
    The objectives take the batches of src and dst (`image`, `target`, `mask`, `eyes_mouth`) and the
    channel mixing of this update, (n, inter_dims).

    References
    ----------
    training.md 5
    """

    generator: AMPGenerator
    options: AMPOptions
    gan: Network | None = None

    def generator_objective(
        self, src_batch: Batch, dst_batch: Batch, mixing: tf.Tensor
    ) -> tuple[tf.Tensor, Losses]:
        """Return the generator's objective, the losses and all of their terms, each (n,)."""
        src, dst = self._target(src_batch), self._target(dst_batch)
        src_code, dst_code, _ = self.generator.codes(src_batch["image"], dst_batch["image"], mixing)
        src_src, dst_dst = self.generator.decode(src_code, dst_code)
        src_loss, src_terms = reconstruction_loss(src, *src_src, both_windows=True)
        dst_loss, dst_terms = reconstruction_loss(dst, *dst_dst, both_windows=True)
        terms = {**of_side("src", src_terms), **of_side("dst", dst_terms)}
        terms |= output_variance(src_src.image, dst_dst.image)
        objective = src_loss + dst_loss
        terms["dst_background"] = 0.1 * dst.background_difference(dst_dst.image)
        objective += terms["dst_background"]
        outside = dst_dst.image * (1.0 - dst.soft)
        terms["dst_total_variation"] = 1e-6 * total_variation_mse(outside, _AXES)
        objective += terms["dst_total_variation"]
        if self.gan is not None:
            judged = (src.within(src_src.image), dst.within(dst_dst.image))
            adversarial = tf.zeros((), objective.dtype)
            for logits in self.gan(tf.concat(judged, axis=0)):
                for half in tf.split(logits, 2):
                    adversarial += discriminator_loss(1.0, half)
            terms["gan"] = self.options.gan_power * adversarial
            objective += terms["gan"]
            terms["src_total_variation"] = 1e-6 * total_variation_mse(src_src.image, _AXES)
            objective += terms["src_total_variation"]
            terms["src_background"] = 0.02 * src.background_difference(src_src.image)
            objective += terms["src_background"]
        return objective, {"src": src_loss, "dst": dst_loss, **terms}

    def discriminate_images(
        self, src_batch: Batch, dst_batch: Batch, mixing: tf.Tensor
    ) -> tuple[tf.Tensor, Losses]:
        """Return the GAN's objective, (n,): targets are 1, reconstructions 0; mean of 8 terms."""
        assert self.gan is not None
        src, dst = self._target(src_batch), self._target(dst_batch)
        src_code, dst_code, _ = self.generator.codes(src_batch["image"], dst_batch["image"], mixing)
        src_src, dst_dst = self.generator.decode(src_code, dst_code)
        true = [src.within(src.image), dst.within(dst.image)]
        fake = [
            tf.stop_gradient(src.within(src_src.image)),
            tf.stop_gradient(dst.within(dst_dst.image)),
        ]
        loss = tf.zeros((), true[0].dtype)
        for logits in self.gan(tf.concat(true + fake, axis=0)):
            for label, part in zip((1.0, 1.0, 0.0, 0.0), tf.split(logits, 4), strict=True):
                loss += discriminator_loss(label, part)
        return loss / 8.0, {}

    def _target(self, batch: Batch) -> Target:
        return prepare(
            batch["target"],
            batch["mask"],
            batch["eyes_mouth"],
            blur_out_mask=self.options.blur_out_mask,
            masked=True,
        )
