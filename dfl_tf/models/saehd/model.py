"""SAEHD as a FaceModel."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

import tensorflow as tf

from dfl_tf.data import Batch, SampleSpec
from dfl_tf.models import generator, infer, swap_preview
from dfl_tf.models.base import PreviewImage, Update
from dfl_tf.models.df_liae import Archi
from dfl_tf.models.discriminators import (
    CodeDiscriminator,
    UNetPatchDiscriminator,
    check_patch_size,
)
from dfl_tf.models.generator import DecoderOutput
from dfl_tf.models.saehd.objective import SAEHDObjective
from dfl_tf.models.sample_specs import face_swap_specs
from dfl_tf.models.state import fits
from dfl_tf.models.swap import DstOutput, SwapModel, SwapOutput

if TYPE_CHECKING:
    from dfl_tf.formats.models.state import ModelState
    from dfl_tf.options import SAEHDOptions


class SAEHD(SwapModel):
    """The all-round model; see `FaceModel` for the parameters.

    Parameters
    ----------
    pretrain_true_face : bool
        Legacy quirk, for comparing with the legacy program only: while pretraining, keep the
        true-face term although its discriminator is not trained (design decision 22).

    References
    ----------
    models.md 2, training.md 2 and 4
    """

    model_class: ClassVar[str] = "SAEHD"
    options: SAEHDOptions
    effective: SAEHDOptions
    optional_parts: ClassVar[Mapping[str, str]] = {
        "code_discriminator": "true_face_power",
        "GAN": "gan_power",
    }

    def __init__(self, *args: Any, pretrain_true_face: bool = False, **kwargs: Any) -> None:
        self._pretrain_true_face = pretrain_true_face
        super().__init__(*args, **kwargs)

    def build_networks(self) -> None:
        """Fill `networks`, in file order."""
        options = self.options
        self.archi = Archi.parse(options.archi)
        self.networks = generator.build(
            self.make_network,
            self.archi,
            options.resolution,
            e=options.e_dims,
            ae=options.ae_dims,
            d=options.d_dims,
            dm=options.d_mask_dims,
        )
        self.generator = generator.Generator(self.archi, dict(self.networks))
        if not self.training:
            return
        if options.true_face_power and self.archi.flavor == "df":
            self.networks["code_discriminator"] = self.make_network(
                CodeDiscriminator,
                options.ae_dims,
                self.archi.inter_resolution(options.resolution),
                scope="dis",
            )
        if self.effective.gan_power:
            check_patch_size(options.gan_patch_size, options.resolution)
            self.networks["GAN"] = self.make_network(
                UNetPatchDiscriminator, options.gan_patch_size, options.gan_dims, scope="D_src"
            )

    def build_updates(self) -> None:
        """Fill `optimizers` and `updates`."""
        options = self.effective
        add_optimizer = functools.partial(
            self.add_optimizer,
            adabelief=options.adabelief,
            lr_dropout=options.lr_dropout,
            clipgrad=options.clipgrad,
        )
        generator_parts = generator.parts(self.archi)
        true_face = "code_discriminator" in self.networks
        objective = SAEHDObjective(
            self.generator,
            options,
            code_discriminator=self.networks.get("code_discriminator"),
            gan=self.networks.get("GAN"),
            true_face_power=self._true_face_power() if true_face else 0.0,
            total_variation_axes=self.run.total_variation_axes,
        )
        self.objective = objective
        add_optimizer("src_dst_opt", generator_parts)
        # The legacy program does not train inter_AB without random warp.
        frozen = self.archi.flavor == "liae" and not options.random_warp
        trained = [part for part in generator_parts if not (frozen and part == "inter_AB")]
        self.updates.append(
            Update("src_dst_opt", self.weights_of(trained), objective.generator_objective)
        )
        if true_face:
            add_optimizer("D_code_opt", ["code_discriminator"])
            if not options.pretrain:
                variables = self.weights_of(["code_discriminator"])
                self.updates.append(Update("D_code_opt", variables, objective.discriminate_codes))
        if "GAN" in self.networks:
            add_optimizer("GAN_opt", ["GAN"])
            variables = self.weights_of(["GAN"])
            self.updates.append(Update("GAN_opt", variables, objective.discriminate_images))

    def _true_face_power(self) -> float:
        if self._pretrain_true_face:
            return float(self.options.true_face_power)
        return 0.0 if self.options.pretrain else float(self.effective.true_face_power)

    def sample_specs(self) -> Mapping[str, SampleSpec]:
        """Return the specs of src and dst batches."""
        return face_swap_specs(
            self.effective,
            hsv_power=self.effective.random_hsv_power,
            eyes_mouth=self.effective.eyes_mouth_prio,
        )

    @property
    def history_period(self) -> int:
        """Iterations between two sheets of the preview history: more for larger faces."""
        return 10 * max(1, self.options.resolution // 64)

    def preview(self, *batches: Batch) -> list[PreviewImage]:
        """Draw `SAEHD` and `SAEHD masked` (in three parts each above 256 pixels)."""
        return swap_preview.draw(self, *batches, masked_by_both=self.options.face_type != "head")

    def view(self, src: tf.Tensor, dst: tf.Tensor) -> tuple[DecoderOutput, ...]:
        """Return (image, mask) of src to src, dst to dst and dst as src; see `Generator.view`."""
        return self.run_graph("view", self.generator.view, src, dst)

    def swap_tensors(self, face: tf.Tensor, morph: tf.Tensor | None = None) -> SwapOutput:
        """Return the src face on dst; `morph` plays no part. See `SwapModel.swap_tensors`."""
        swap, dst = self.generator.swap(face)
        return SwapOutput(swap.image, swap.mask, dst.mask)

    def src_tensors(self, face: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Return image and mask of src to src; see `SwapModel.src_tensors`."""
        return self.generator.src_to_src(face)

    def dst_tensors(self, face: tf.Tensor) -> DstOutput:
        """Return the src face on dst, and dst to dst; see `SwapModel.dst_tensors`."""
        swap, dst = self.generator.swap(face)
        return DstOutput(*swap, *dst)

    def parts_to_reset(self, state: ModelState) -> dict[str, str]:
        """Name the inters if pretraining has just ended, and the GAN if it was changed.

        Kept for compatibility: a GAN that fits is kept at the end of pretraining.
        """
        reset = {}
        if state.options.get("pretrain") and not self.options.pretrain:
            inters = ("inter",) if self.archi.flavor == "df" else ("inter_AB", "inter_B")
            reset = dict.fromkeys(inters, "pretraining has ended")
        if infer.gan_changed(state.options, self.options) and not (
            reset and fits(self.networks.get("GAN"), state.tensors.get("GAN"))
        ):
            reset["GAN"] = "gan_patch_size or gan_dims was changed"
        return reset
