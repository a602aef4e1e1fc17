"""Quick96 as a FaceModel: a df-ud SAEHD of fixed size with losses of its own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar

import tensorflow as tf

from dfl_tf.data import Batch, OutputSpec, SampleSpec
from dfl_tf.face import FaceType
from dfl_tf.models import generator, swap_preview
from dfl_tf.models.base import Losses, PreviewImage, Update
from dfl_tf.models.df_liae import Archi
from dfl_tf.models.generator import DecoderOutput
from dfl_tf.models.swap import DstOutput, SwapModel, SwapOutput
from dfl_tf.models.targets import Target, of_side, output_variance, reconstruction_loss
from dfl_tf.nn.losses import gaussian_blur

if TYPE_CHECKING:
    from dfl_tf.options import Quick96Options

_ARCHI = Archi("df", u=True, d=True)
_REUSE_EVERY = 3
_MASK_BLUR = 3


class Quick96(SwapModel):
    """The fixed 96 pixel model for a first try; see `FaceModel` for the parameters.

    Notes
    -----
    Kept for compatibility: every third iteration takes the previous batch again, with its targets
    as network inputs (training.md 6). A resumed run hands in those that were `previous`, so that it
    goes on as if it had never been stopped.

    References
    ----------
    models.md 2.8, training.md 6
    """

    model_class: ClassVar[str] = "Quick96"
    options: Quick96Options
    effective: Quick96Options

    def build_networks(self) -> None:
        """Fill `networks`, in file order."""
        self.networks = generator.build(
            self.make_network, _ARCHI, self.options.resolution, e=64, ae=128, d=64, dm=16
        )
        self.generator = generator.Generator(_ARCHI, dict(self.networks))

    def build_updates(self) -> None:
        """Fill `optimizers` and `updates`."""
        self.add_optimizer(
            "src_dst_opt",
            tuple(self.networks),
            adabelief=False,
            lr_dropout="y",
            lr_cos=0,
        )
        variables = self.weights_of(tuple(self.networks))
        self.updates.append(Update("src_dst_opt", variables, self._objective))

    def _objective(self, src: Batch, dst: Batch) -> tuple[tf.Tensor, Losses]:
        src_code, dst_code, _ = self.generator.codes(src["image"], dst["image"])
        src_src, dst_dst = self.generator.decode([src_code], [dst_code])
        src_loss, src_terms = reconstruction_loss(_target(src), *src_src, both_windows=False)
        dst_loss, dst_terms = reconstruction_loss(_target(dst), *dst_dst, both_windows=False)
        terms = {**of_side("src", src_terms), **of_side("dst", dst_terms)}
        terms |= output_variance(src_src.image, dst_dst.image)
        return src_loss + dst_loss, {"src": src_loss, "dst": dst_loss, **terms}

    def repeats_batch(self, iteration: int) -> bool:
        """Return whether the step after `iteration` takes the batches of the one before again."""
        return iteration > 0 and iteration % _REUSE_EVERY == 0

    def train_step(self, *batches: Batch) -> Losses:
        """Move the weights once; see `FaceModel.train_step`.

        The batches may be left out where those of the step before are taken again.
        """
        if self.previous and self.repeats_batch(self.iteration + self.uncounted):
            batches = tuple(batch.with_arrays(image=batch["target"]) for batch in self.previous)
        else:
            self.previous = batches
        return super().train_step(*batches)

    def sample_specs(self) -> Mapping[str, SampleSpec]:
        """Return the specs of src and dst batches (data.md 4.4)."""
        outputs = {
            "image": OutputSpec(warp=True),
            "target": OutputSpec(),
            "mask": OutputSpec(kind="mask", channels="g"),
        }
        spec = SampleSpec(
            resolution=self.options.resolution,
            face_type=FaceType.from_name(self.options.face_type),
            outputs=outputs,
            scale_range=(-0.05, 0.05),
        )
        return {"src": spec, "dst": spec}

    def preview(self, *batches: Batch) -> list[PreviewImage]:
        """Draw `Quick96` and `Quick96 masked`."""
        return swap_preview.draw(self, *batches, masked_by_both=True)

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


def _target(batch: Batch) -> Target:
    """Kept for compatibility: the blurred mask is neither cut nor doubled."""
    image, mask = batch["target"], batch["mask"]
    return Target(image, mask, gaussian_blur(mask, _MASK_BLUR), None, True)
