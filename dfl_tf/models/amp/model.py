"""AMP as a FaceModel."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, ClassVar

import numpy.typing as npt
import tensorflow as tf

from dfl_tf.data import Batch, SampleSpec
from dfl_tf.models import infer
from dfl_tf.models.amp import networks, preview
from dfl_tf.models.amp.objective import AMPObjective
from dfl_tf.models.base import PreviewImage, Update
from dfl_tf.models.discriminators import UNetPatchDiscriminator, check_patch_size
from dfl_tf.models.generator import DecoderOutput
from dfl_tf.models.sample_specs import face_swap_specs
from dfl_tf.models.swap import DstOutput, SwapModel, SwapOutput

if TYPE_CHECKING:
    from dfl_tf.formats.models.state import ModelState
    from dfl_tf.options import AMPOptions


class AMP(SwapModel):
    """The model whose likeness can be dialed between dst and src; see `FaceModel`.

    Attributes
    ----------
    inject_mixing : iterator of arrays (n, inter_dims) or None
        Channel mixings to use in place of drawn ones, in the order of the updates (for tests).

    Notes
    -----
    Kept for compatibility: the two inters are not trained unless `train_inters` asks for it.

    References
    ----------
    models.md 3, training.md 5
    """

    model_class: ClassVar[str] = "AMP"
    options: AMPOptions
    effective: AMPOptions
    optional_parts: ClassVar[Mapping[str, str]] = {"GAN": "gan_power"}
    scopes_without_slots: ClassVar[tuple[str, ...]] = ("inter_src", "inter_dst")
    previews_one_face: ClassVar[bool] = True
    takes_morph: ClassVar[bool] = True

    inject_mixing: Iterator[npt.ArrayLike] | None = None

    def build_networks(self) -> None:
        """Fill `networks`, in file order."""
        options = self.options
        self.networks = networks.build(
            self.make_network,
            options.resolution,
            e=options.e_dims,
            ae=options.ae_dims,
            inter=options.inter_dims,
            d=options.d_dims,
            dm=options.d_mask_dims,
        )
        self.generator = networks.AMPGenerator(dict(self.networks), options.inter_dims)
        if self.training and self.effective.gan_power:
            check_patch_size(options.gan_patch_size, options.resolution)
            self.networks["GAN"] = self.make_network(
                UNetPatchDiscriminator, options.gan_patch_size, options.gan_dims, scope="GAN"
            )

    def build_updates(self) -> None:
        """Fill `optimizers` and `updates`."""
        options = self.effective
        add_optimizer = functools.partial(
            self.add_optimizer,
            adabelief=True,
            # The legacy program draws AMP's masks where the weights are, "cpu" or not.
            lr_dropout="n" if options.lr_dropout == "n" else "y",
            clipgrad=options.clipgrad,
        )
        objective = AMPObjective(self.generator, options, self.networks.get("GAN"))
        self.objective = objective
        trained = networks.PARTS if options.train_inters else ("encoder", "decoder")
        add_optimizer("src_dst_opt", trained)
        self.updates.append(
            Update("src_dst_opt", self.weights_of(trained), objective.generator_objective)
        )
        if "GAN" in self.networks:
            add_optimizer("GAN_opt", ["GAN"])
            variables = self.weights_of(["GAN"])
            self.updates.append(Update("GAN_opt", variables, objective.discriminate_images))

    def draws(self, update: Update, samples: int) -> list[tf.Tensor]:
        """Return the channel mixing of an update: 0 or 1, a tensor (samples, inter_dims)."""
        if self.inject_mixing is not None:
            return [tf.cast(next(self.inject_mixing), self.dtype)]
        number = self.updates.index(update)
        return [self._mixing(samples, number, self.optimizers[update.optimizer].iterations)]

    def _mixing(self, samples: int, number: int, counter: tf.Tensor) -> tf.Tensor:
        """Put exactly ``int(inter_dims * morph_factor)`` ones in random places of each row.

        The places are a pure function of (seed, number, counter).
        """
        dims = self.options.inter_dims
        count = int(dims * self.options.morph_factor)
        seed = tf.stack([(self.seed + number * 7919) % 2**31, tf.cast(counter, tf.int32)])
        draw = tf.random.stateless_uniform((samples, dims), seed)
        rank = tf.argsort(tf.argsort(draw, axis=-1), axis=-1)
        return tf.cast(rank < count, self.dtype)

    def sample_specs(self) -> Mapping[str, SampleSpec]:
        """Return the specs of src and dst batches."""
        return face_swap_specs(self.effective)

    @property
    def history_period(self) -> int:
        """Iterations between two sheets of the preview history: more for larger faces."""
        return 10 * max(1, self.options.resolution // 64)

    def preview(self, *batches: Batch) -> list[PreviewImage]:
        """Draw `AMP morph 1.0`, `AMP morph list` and `AMP morph list masked` of sample 0."""
        return preview.draw(self, *batches)

    def view(self, src: tf.Tensor, dst: tf.Tensor, *morphs: float) -> list[DecoderOutput]:
        """Return src to src, dst to dst, and dst at each morph value; see `Generator.view`."""
        mixing = self._mixing(int(src.shape[0]), len(self.updates), self.iteration)
        values = [tf.constant(morph, tf.float32) for morph in morphs]
        return self.run_graph("view", self.generator.view, src, dst, mixing, *values)

    def swap_tensors(self, face: tf.Tensor, morph: tf.Tensor | None = None) -> SwapOutput:
        """Return dst morphed towards src, without `morph` all src; see `SwapModel.swap_tensors`."""
        value = tf.constant(1.0, tf.float32) if morph is None else morph
        swap, dst = self.generator.swap(face, value)
        return SwapOutput(swap.image, swap.mask, dst.mask)

    def src_tensors(self, face: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Return src to src with the share of src that is trained (`morph_factor`).

        See `SwapModel.src_tensors`.
        """
        morph = tf.constant(self.options.morph_factor, tf.float32)
        return self.generator.swap(face, morph)[0]

    def dst_tensors(self, face: tf.Tensor) -> DstOutput:
        """Return dst morphed to all src, and dst to dst; see `SwapModel.dst_tensors`."""
        swap, dst = self.generator.swap(face, tf.constant(1.0, tf.float32))
        return DstOutput(*swap, *dst)

    def parts_to_reset(self, state: ModelState) -> dict[str, str]:
        """Name the GAN if it was changed."""
        if infer.gan_changed(state.options, self.options):
            return {"GAN": "gan_patch_size or gan_dims was changed"}
        return {}
